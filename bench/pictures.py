"""How much of a training step on pictures is spent on getting its batch: drawn, changed and normalised.

    python bench/pictures.py                     photographs made here, efficientnet-lite0
    python bench/pictures.py --data FOLDER --model tiny-convnet

Processor time, of all threads, so that other programs on the machine change little.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from PIL import Image

from tunesmith.engine.augment import LEVELS, of_level
from tunesmith.engine.pixels import EncodedPictures, encode_pictures
from tunesmith.models.loaders.vision import load_vision_base

ROWS = 32
CLASSES = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, help="a folder of pictures, in folders or not")
    parser.add_argument("--model", default="efficientnet-lite0")
    parser.add_argument("--steps", type=int, default=3)
    given = parser.parse_args()
    bundle = load_vision_base(
        given.model, label_names=[str(number) for number in range(CLASSES)],
        problem_type="single_label_classification",
    )  # fmt: skip
    assert bundle.processor is not None
    with TemporaryDirectory() as folder:
        paths = _paths(given.data, Path(folder))
        start = time.process_time()
        rows = encode_pictures(paths, bundle.processor, Path(folder))
        print(f"decoded once: {1000 * (time.process_time() - start) / len(paths):.1f} ms a picture")
        rows = rows.with_targets(np.arange(len(rows)) % CLASSES, np.arange(len(rows)))
        step = _seconds(lambda number: _step(bundle.model, rows, number), given.steps)
        print(f"forward and backward of {ROWS}: {1000 * step:.0f} ms")
        for level in LEVELS:
            rows.augmentation = of_level(level, "horizontal")
            batch = _seconds(lambda number: rows.training_batch(_positions(rows, number), 0, number), given.steps)
            print(f"augment {level}: {1000 * batch:.0f} ms, {batch / (batch + step):.1%} of a step")


def _paths(data: Path | None, folder: Path) -> list[str]:
    """Pictures that are there, or 64 that are made."""
    if data is not None:
        found = [path for path in sorted(data.rglob("*")) if path.suffix.lower() in (".jpg", ".jpeg", ".png")]
        return [str(path) for path in found[: 8 * ROWS]]
    chance = np.random.default_rng(0)
    made = []
    for number in range(2 * ROWS):
        small = Image.fromarray(chance.integers(0, 256, (30, 40, 3), dtype=np.uint8))
        made.append(str(folder / f"{number}.jpg"))
        small.resize((640, 480), Image.Resampling.BICUBIC).save(made[-1], quality=90)
    return made


def _positions(rows: EncodedPictures, number: int) -> np.ndarray:
    return np.sort(np.random.default_rng(number).permutation(len(rows))[:ROWS])


def _step(model: torch.nn.Module, rows: EncodedPictures, number: int) -> None:
    batch = rows.collate(_positions(rows, number))
    targets = batch.pop("targets")
    torch.nn.functional.cross_entropy(model.train()(batch), targets).backward()


def _seconds(work: object, steps: int) -> float:
    """Processor seconds of one, without the first."""
    assert callable(work)
    work(0)
    start = time.process_time()
    for number in range(1, steps + 1):
        work(number)
    return (time.process_time() - start) / steps


if __name__ == "__main__":
    main()
