"""A pre-trained base for pictures against transformers, on the same model and the same pictures.

    python bench/picture_base.py steps --data ../shared/data/sign_digits      # seconds a step: Trainer and train
    python bench/picture_base.py predict --data ../shared/data/sign_digits    # pictures a second: pipeline and predict
    python bench/picture_base.py quality --data ../shared/data/sign_digits    # default, probe and scratch; few and all

`--data` is a folder of pictures for each class. Steps are of 16 pictures in both, fp32 and all weights for the Trainer
(its defaults, pictures prepared by the base's own processor as its examples do), whatever Tunesmith chooses for ours;
the median of the last steps counts. Run it on a quiet machine.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from transformers import (
    AutoImageProcessor,
    AutoModelForImageClassification,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    pipeline,
)

import tunesmith
import tunesmith.models.efficientnet_lite
from tunesmith.models import catalog

ROWS = 16


def chosen(source: Path, folder: Path, each: int, held: int = 20) -> None:
    """`each` pictures a class to learn from, and `held` others to test on, as train/ and test/."""
    for place in sorted(path for path in source.iterdir() if path.is_dir()):
        files = sorted(path for path in place.iterdir() if path.is_file())
        order = torch.randperm(len(files), generator=torch.Generator().manual_seed(7)).tolist()
        for part, some in (("test", order[:held]), ("train", order[held : held + each])):
            (folder / part / place.name).mkdir(parents=True)
            for number in some:
                shutil.copy(files[number], folder / part / place.name)


class Pictures(torch.utils.data.Dataset[dict[str, Any]]):
    """As transformers' examples read them: decoded and prepared when their turn comes."""

    def __init__(self, folder: Path, processor: Any):
        self.files = sorted(path for path in folder.rglob("*") if path.is_file())
        self.names = sorted({path.parent.name for path in self.files})
        self.processor = processor

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, at: int) -> dict[str, Any]:
        image = Image.open(self.files[at]).convert("RGB")
        pixels = self.processor(images=image, return_tensors="pt")["pixel_values"][0]
        return {"pixel_values": pixels, "labels": self.names.index(self.files[at].parent.name)}


class Clock(TrainerCallback):
    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.ends.append(time.perf_counter())


def steps(folder: Path, place: Path, base: str) -> None:
    source = catalog.fetch(base).folder
    assert source is not None
    rows = Pictures(folder / "train", AutoImageProcessor.from_pretrained(source, backend="pil"))
    count = -(-len(rows) // ROWS)
    network = AutoModelForImageClassification.from_pretrained(source, num_labels=len(rows.names))
    clock = Clock()
    words = TrainingArguments(
        output_dir=str(place / "trainer"), per_device_train_batch_size=ROWS, num_train_epochs=1, learning_rate=1e-3,
        report_to=[], save_strategy="no", disable_tqdm=True, logging_strategy="no",
    )  # fmt: skip
    Trainer(network, words, train_dataset=rows, callbacks=[clock]).train()
    theirs = [end - begin for begin, end in zip(clock.ends, clock.ends[1:], strict=False)][:-1]
    for level in ("none", "standard"):
        run = tunesmith.train(
            str(folder), out=place / f"ours-{level}", model=base, method="full", epochs=1, batch_size=ROWS,
            augment=level, flip="none", verbose=False,
        )  # fmt: skip
        events = [json.loads(line) for line in (run.path / "events.jsonl").read_text(encoding="utf-8").splitlines()]
        ours = [event["seconds"] for event in events if event["event"] == "step"][1:-1]
        mine, other = statistics.median(ours[len(ours) // 3 :]), statistics.median(theirs[len(theirs) // 3 :])
        print(
            f"{count} steps of {ROWS}, augment {level}: Trainer {other:.3f} s, train {mine:.3f} s, {other / mine:.2f}x"
        )


def predict(folder: Path, place: Path, base: str) -> None:
    run = tunesmith.train(str(folder), out=place / "run", model=base, method="head", verbose=False)
    files = sorted(str(path) for path in (folder / "test").rglob("*") if path.is_file())
    asked = pipeline("image-classification", str(run.path / "model"))
    model = tunesmith.load(run.path)
    for batch in (1, ROWS):  # the pipeline's default, and what suits it
        asked(files[:ROWS], batch_size=batch)  # both are warm
        begun = time.perf_counter()
        theirs = asked(files, batch_size=batch)
        middle = time.perf_counter()
        ours = model.predict(files)
        end = time.perf_counter()
        same = sum(one["label"] == two[0]["label"] for one, two in zip(ours, theirs, strict=True))
        rates = len(files) / (middle - begun), len(files) / (end - middle)
        print(
            f"pipeline in batches of {batch}: {rates[0]:.1f} pictures a second, predict {rates[1]:.1f}, "
            f"{rates[1] / rates[0]:.2f}x; {same} of {len(files)} answers are the same"
        )


def quality(source: Path, place: Path, base: str) -> None:
    for each in (10, 1_000):
        folder = place / f"data-{each}"
        chosen(source, folder, each)
        for name, words in (("default", {"model": base}), ("scratch", {"method": "scratch"})):
            begun = time.perf_counter()
            run = tunesmith.train(str(folder), out=place / f"{name}-{each}", verbose=False, **words)  # type: ignore[arg-type]
            took = time.perf_counter() - begun
            probe = run.document["baselines"].get("linear_probe", {}).get("accuracy", {}).get("value")
            print(f"{each} a class, {name}: {run.metrics['accuracy']:.3f} (probe {probe}), {took:.0f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["steps", "predict", "quality"])
    parser.add_argument("--data", type=Path, default=Path("../shared/data/sign_digits"))
    parser.add_argument("--model", default="efficientnet-lite0")
    parser.add_argument("--pictures", type=int, default=60, help="of each class to learn from")
    parser.add_argument("--held", type=int, default=40, help="of each class to ask for, or to test on")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        if asked.what == "quality":
            quality(asked.data, place, asked.model)
            return
        chosen(asked.data, place / "data", 10 if asked.what == "predict" else asked.pictures, held=asked.held)
        (steps if asked.what == "steps" else predict)(place / "data", place, asked.model)


if __name__ == "__main__":
    main()
