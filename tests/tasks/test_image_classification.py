"""Pictures learned from nothing, judged, saved, read by plain transformers, and asked in every way."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoModelForImageClassification, ViTConfig, ViTModel

import tunesmith
from tunesmith.core import events
from tunesmith.core.errors import DataError, OptionError
from tunesmith.models.processor import plain
from tunesmith.testing import conformance

SIGNS = {"square": (30, 30, 20, 20), "bar": (10, 45, 44, 8), "post": (45, 10, 8, 44)}
QUIET: dict[str, Any] = {"verbose": False, "precision": "fp32", "model": "tiny-convnet"}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 pictures of each of three signs, at random places and in random colours."""
    folder = tmp_path_factory.mktemp("signs") / "photos"
    random = np.random.default_rng(0)
    for name, (_, _, width, height) in SIGNS.items():
        (folder / name).mkdir(parents=True)
        for number in range(20):
            pixels = random.integers(150, 256, (64, 64, 3), dtype=np.uint8)
            left, top = random.integers(0, 64 - width), random.integers(0, 64 - height)
            pixels[top : top + height, left : left + width] = random.integers(0, 90, 3)
            Image.fromarray(pixels).save(folder / name / f"{number:02}.png")
    return folder


@pytest.fixture(scope="module")
def run(photos: Path) -> tunesmith.Run:
    return tunesmith.train(str(photos), out=photos.parent / "run", epochs=12, batch_size=8, **QUIET)


pytestmark = pytest.mark.story


def test_it_is_better_than_what_is_simpler(run: tunesmith.Run) -> None:
    document = json.loads((run.path / "metrics.json").read_text(encoding="utf-8"))
    assert document["task"] == "image-classification"
    assert set(document["baselines"]) == {"majority", "colours_and_edges_logistic_regression", "linear_probe"}
    assert run.metrics["accuracy"] > document["baselines"]["majority"]["accuracy"]["value"]
    assert document.get("forgetting") is None  # general sentences say nothing of it


def test_report_and_card_are_of_pictures(run: tunesmith.Run) -> None:
    page = (run.path / "report.html").read_text(encoding="utf-8")
    assert "search in the pictures and labels" in page or "No mistake" in page
    for words in ("characters</th>", "text-classification", "AutoTokenizer"):
        assert words not in page
    card = (run.path / "model" / "README.md").read_text(encoding="utf-8")
    assert "AutoImageProcessor" in card
    assert "AutoTokenizer" not in card
    assert "one of the labels above for a picture" in card
    assert str(run.path.parent) not in card  # no path of this machine


def test_training_pictures_are_changed_as_their_labels_allow(run: tunesmith.Run) -> None:
    """A bar is no post when it is turned, and both are what they are in a mirror."""
    spec = (run.path / "spec.yaml").read_text(encoding="utf-8")
    assert "augment: standard" in spec
    decided = {one["what"]: one for one in events.read(run.path / "events.jsonl") if one["event"] == "decided"}
    assert decided["flip"]["value"] in ("none", "horizontal", "vertical", "both")
    assert "left for right" in decided["flip"]["why"]
    page = (run.path / "report.html").read_text(encoding="utf-8")
    assert '<img class="sheet" src="data:image/jpeg;base64,' in page
    for title in ("Test pictures", "Where it looks", "Training pictures"):
        assert f"<h2>{title}</h2>" in page
    assert page.count("<figure") >= 12


def test_mirror_images_are_asked_too_also_by_the_saved_model(photos: Path, run: tunesmith.Run) -> None:
    given = {"model": str(run.path / "model"), "method": "head", "tta": "horizontal", "sampling": "balanced"}
    other = tunesmith.train(str(photos), out=photos.parent / "mirrors", **(QUIET | given))
    picture = np.asarray(Image.open(photos / "bar" / "03.png").convert("RGB"))
    model = tunesmith.load(other.path)
    both = model.predict_proba([picture, np.ascontiguousarray(picture[:, ::-1])])
    np.testing.assert_allclose(both[0], both[1], atol=1e-5)
    assert model.bundle.model.mirrors == ((3,),)
    pixels = torch.randn(1, 3, 64, 64)  # less sure of than of the picture
    with torch.no_grad():
        seen = model.bundle.model({"pixel_values": pixels})
        model.bundle.model.mirrors = ()
        assert (model.bundle.model({"pixel_values": pixels}) - seen).abs().max() > 1e-6


def test_plain_transformers_gives_the_same_answers(run: tunesmith.Run, photos: Path) -> None:
    path = photos / "bar" / "03.png"
    processor = AutoImageProcessor.from_pretrained(run.path / "model")
    network = AutoModelForImageClassification.from_pretrained(run.path / "model").eval()
    with torch.no_grad():
        logits = network(**processor(images=Image.open(path).convert("RGB"), return_tensors="pt")).logits
    ours = run.model.predict_proba([str(path)])
    np.testing.assert_allclose(logits.softmax(-1).numpy(), ours, atol=1e-4)
    assert [network.config.id2label[at] for at in range(3)] == list(run.model.classes_)


@pytest.mark.slow
def test_the_lines_of_the_card_run(run: tunesmith.Run, photos: Path, in_tmp: Path) -> None:
    card = (run.path / "model" / "README.md").read_text(encoding="utf-8")
    for block in card.split("```python\n")[1:]:
        code = block.split("```")[0].replace("path/to/this/folder", str(run.path / "model"))
        (in_tmp / "lines.py").write_text(code.replace("path/to/it", str(photos / "post" / "01.png")), encoding="utf-8")
        done = subprocess.run([sys.executable, "lines.py"], capture_output=True, text=True, check=True)
    assert done.stdout.split()[-1] in SIGNS


def test_it_answers_paths_pictures_folders_and_tables(run: tunesmith.Run, photos: Path, in_tmp: Path) -> None:
    model, path = run.model, photos / "post" / "05.png"
    wanted = model.predict(str(path))
    picture = Image.open(path)
    for given in (path, picture, np.asarray(picture)):
        assert model.predict(given)["label"] == wanted["label"]
    assert [one["label"] for one in model.predict([picture, str(path)])] == [wanted["label"]] * 2
    whole = model.predict(str(photos))
    assert len(whole) == 60
    bare = model.predict(str(photos / "bar"))
    assert list(bare.columns) == ["image", "predicted", "probability"]
    (in_tmp / "new.csv").write_text(f"where,note\n{os.path.relpath(path)},x\n")
    table = tunesmith.predict(run.path, str(in_tmp / "new.csv"), out="out.csv")
    assert table is not None
    assert pd.read_csv("out.csv")["predicted"].tolist() == [wanted["label"]]
    assert model.score(whole.assign(label=[Path(one).parent.name for one in whole["image"]])) > 0.5
    with pytest.raises(DataError, match="no such file"):
        model.predict("nowhere.png")


def test_evaluation_knows_the_pictures_that_it_has_learned_from(run: tunesmith.Run, photos: Path, in_tmp: Path) -> None:
    for path in sorted(photos.glob("*/*.png")):
        (in_tmp / "again" / path.parent.name).mkdir(parents=True, exist_ok=True)
        Image.open(path).save(in_tmp / "again" / path.parent.name / f"{path.stem}.bmp")
    with pytest.warns(UserWarning, match="42 of 60 rows were trained on"):
        found = tunesmith.evaluate(run.path, str(in_tmp / "again"))
    assert found["trained_rows"] == 42


@pytest.mark.slow
def test_a_stopped_run_ends_with_the_same_weights(photos: Path, in_tmp: Path) -> None:
    """Also what batch normalisation has seen is part of a checkpoint."""
    words: dict[str, Any] = {"epochs": 3, "batch_size": 16, **QUIET}
    straight = tunesmith.train(str(photos), out="straight", **words)

    def stop(event: Any) -> None:
        if type(event).__name__ == "Step" and event.step == 4:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(tunesmith.TunesmithError, match="Stopped"):
        tunesmith.train(str(photos), out="stopped", listeners=[stop], **words)
    again = tunesmith.resume("stopped")
    ours, theirs = (one.model.bundle.model.state_dict() for one in (straight, again))
    for name, tensor in ours.items():
        torch.testing.assert_close(tensor, theirs[name], rtol=0, atol=0, msg=name)


def test_the_next_run_tells_what_it_kept_of_the_first(run: tunesmith.Run, photos: Path, in_tmp: Path) -> None:
    for name in ("bar", "post"):
        shutil.copytree(photos / name, in_tmp / "two" / name)
    after = tunesmith.train(
        in_tmp / "two", out="after", continue_from=run.path, method="full", epochs=1, **{**QUIET, "model": "auto"}
    )
    document = json.loads((after.path / "metrics.json").read_text(encoding="utf-8"))
    assert document["forgetting"]["probe"].startswith("accuracy on 12 rows of run, by its own head")


def _vision_transformer(folder: Path) -> None:
    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, patch_size=8, image_size=32
    )
    ViTModel(config).save_pretrained(folder)
    plain(32).save(folder)


test_additions_fit_transformers_of_pictures = conformance(
    ["image-classification"], ["lora", "adapters", "ia3"], base=_vision_transformer
)


def test_what_it_can_not_do_is_said(photos: Path, in_tmp: Path) -> None:
    with pytest.raises(OptionError, match="retain"):
        tunesmith.train(str(photos), out="a", forget_at_most=0.1, **QUIET)
    with pytest.raises(OptionError, match="gradient_checkpointing"):
        tunesmith.train(str(photos), out="b", epochs=1, gradient_checkpointing=True, **QUIET)
