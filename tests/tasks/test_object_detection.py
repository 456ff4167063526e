"""Boxes in pictures, from files to a model that answers in pixels of the picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import tiny_detectors
import tunesmith
from tunesmith.core.errors import ModelError
from tunesmith.core.events import ignore
from tunesmith.engine import box_fusion, box_loss
from tunesmith.engine.augment import Augmentation
from tunesmith.engine.detected import NOTHING, EncodedDetections
from tunesmith.engine.pixels import EncodedPictures
from tunesmith.models.processor import plain
from tunesmith.tasks.object_detection import ObjectDetection, usual_side

TOY = ObjectDetection.toys()[0]


def rows(folder: Path) -> Path:
    for name, content in TOY.files.items():
        (folder / name).write_bytes(content)
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in TOY.rows))
    return path


def train(folder: Path, **words: Any) -> tunesmith.Run:
    data = rows(folder)
    usual = {
        "task": "object-detection", "image_size": 64, "batch_size": 5, "epochs": 12, "learning_rate": 3e-3,
        "near_duplicates": 0, "verbose": False,
    }  # fmt: skip
    return tunesmith.train(data, validation=data, test=data, out=folder / "run", **{**usual, **words})


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tunesmith.Run:
    folder = tmp_path_factory.mktemp("boxes")
    TOY.base(folder / "base")
    return train(folder, model=str(folder / "base"), augment="light", flip="both", tta="horizontal")


@pytest.mark.story
def test_what_a_run_leaves(run: tunesmith.Run) -> None:
    document = run.document
    assert document["first_metric"] == "map"
    assert document["test"]["map50"]["value"] > 0.5
    assert document["baselines"].keys() == {"box_prior"}
    assert {row["label"] for row in document["per_class"]} == {"cold", "warm"}
    assert all(0 <= row["ap_low"] <= row["ap"] <= row["ap50"] <= 1 for row in document["per_class"])
    report = (run.path / "report.html").read_text()
    assert "<h2>Boxes</h2>" in report
    assert "give each of them these boxes?" in report
    assert "<h2>Precision and recall by label</h2>" in report
    assert "AutoModelForObjectDetection" in (run.path / "model" / "README.md").read_text()


@pytest.mark.story
def test_answers_are_in_pixels_of_the_picture(run: tunesmith.Run, tmp_path: Path) -> None:
    folder = run.path.parent
    model = tunesmith.load(run.path)
    assert model.bundle.model.mirrors == ((3,),)  # --tta is a part of the saved model
    small = model.predict(str(folder / "shapes-0.png"))
    assert {one["label"] for one in small["objects"]} <= {"cold", "warm"}
    Image.open(folder / "shapes-0.png").resize((256, 128), Image.Resampling.NEAREST).save(tmp_path / "large.png")
    large = model.predict(Image.open(tmp_path / "large.png"))
    surest = [{one["label"]: one["box"] for one in reversed(of["objects"])} for of in (small, large)]
    assert surest[0].keys() == surest[1].keys() == {"cold", "warm"}
    for label, box in surest[0].items():
        np.testing.assert_allclose(np.array(box) * [4, 2, 4, 2], surest[1][label], atol=8)
    assert model.predict(str(folder / "shapes-0.png"), threshold=1.0)["objects"] == []
    assert len(model.predict(str(folder / "shapes-0.png"), threshold=0.0)["objects"]) > len(small["objects"])
    frame = model.predict(str(folder / "rows.jsonl"))
    assert frame["predicted"][0] == small["objects"]
    assert model.score(str(folder / "rows.jsonl")) == pytest.approx(run.metrics["map"], abs=1e-3)


@pytest.mark.story
@pytest.mark.parametrize("kind", list(tiny_detectors.MADE))
def test_detectors_of_transformers_learn_with_their_own_loss(kind: str, tmp_path: Path) -> None:
    tiny_detectors.write(kind, tmp_path / "base")
    run = train(tmp_path, model=str(tmp_path / "base"), epochs=2, method="full", augment="none")
    again = tunesmith.load(run.path)
    assert again.bundle.model.form == {"rt_detr": "set"}.get(kind, "set_with_nothing")
    path = str(tmp_path / "shapes-0.png")
    assert again.predict(path, threshold=0.0) == run.model.predict(path, threshold=0.0)


def test_a_base_without_maps_is_refused_in_words(tmp_path: Path) -> None:
    from transformers import ViTConfig, ViTModel

    config = ViTConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=64)
    ViTModel(config).save_pretrained(tmp_path / "vit")
    plain(64).save(tmp_path / "vit")
    task = ObjectDetection(ObjectDetection.Options())
    task.label_names = ["cat"]
    with pytest.raises(ModelError, match="gives no maps of features"):
        task.load(str(tmp_path / "vit"), lambda event: None)


def test_boxes_follow_their_pictures() -> None:
    pixels = np.zeros((2, 64, 64, 3), dtype=np.uint8)
    pixels[:, 8:24, 16:48] = 255
    target = np.array([[1, 16 / 64, 8 / 64, 48 / 64, 24 / 64]], dtype=np.float32)
    targets: Any = [target, target[:0]]
    pictures = EncodedPictures(pixels, plain(64), np.zeros(32, dtype=np.uint8))
    items = EncodedDetections.of(pictures).with_targets(targets, np.array([3, 9]))
    assert items.batch_targets(np.arange(2))[1, 0, 0] == NOTHING
    items.augmentation = Augmentation(flip="both", crop=(0.6, 1.0))
    seen = set()
    for epoch in range(6):
        batch = items.training_batch(np.arange(2), 0, epoch)
        again = items.training_batch(np.array([0]), 0, epoch)
        assert torch.equal(again["targets"][0], batch["targets"][0])  # whatever else is in its batch
        _, left, top, right, bottom = (64 * batch["targets"][0, 0]).round().int().tolist()
        light = batch["pixel_values"][0, 0] > 0
        assert light[top + 1 : bottom - 1, left + 1 : right - 1].float().mean() > 0.95
        assert light.float().sum() <= 1.15 * (right - left) * (bottom - top)
        seen.add((left, top))
    assert len(seen) > 3
    rows = items.preview(np.arange(2), 0, 2)
    assert [len(row) for row in rows] == [3, 3]
    assert rows[0][0].boxes is not None
    np.testing.assert_allclose(rows[0][0].boxes, [[16, 8, 48, 24]], atol=1e-3)  # as it is, then as it was changed
    np.testing.assert_allclose(rows[0][2].boxes / 64, items.training_batch(np.arange(1), 0, 1)["targets"][0, :, 1:])


def test_the_loss_of_a_row_does_not_depend_on_its_batch_and_falls_where_boxes_fit() -> None:
    chance = torch.Generator().manual_seed(0)
    ys, xs = torch.meshgrid(torch.arange(8), torch.arange(8), indexing="ij")
    places = torch.stack([(xs + 0.5) / 8, (ys + 0.5) / 8, torch.full((8, 8), 1 / 8), torch.full((8, 8), 1 / 8)], -1)
    middle = places.reshape(1, 64, 4).expand(2, -1, -1)
    rough = torch.cat([middle[..., :2] - 0.2, middle[..., :2] + 0.2], -1)
    logits = torch.randn(2, 64, 3, generator=chance)
    targets = torch.full((2, 2, 5), NOTHING)
    targets[0, 0] = torch.tensor([2, 0.2, 0.3, 0.7, 0.6])
    outputs = torch.cat([logits, rough, middle], -1)
    both = box_loss.loss(outputs, targets, "dense")
    torch.testing.assert_close(box_loss.loss(outputs[:1], targets[:1, :1], "dense"), both[:1])
    fitting = outputs.clone()
    fitting[0, :, 3:7] = targets[0, 0, 1:]
    assert box_loss.loss(fitting, targets, "dense")[0] < both[0]


def test_of_doubles_the_surest_is_left() -> None:
    boxes = torch.tensor([[0.0, 0, 0.5, 0.5], [0.0, 0, 0.5, 0.48], [0.0, 0, 0.5, 0.5], [0.5, 0.5, 1, 1]])
    labels = torch.tensor([0, 0, 1, 0])
    assert box_loss.without_doubles(boxes, labels).tolist() == [0, 2, 3]


@pytest.mark.parametrize("kind", ["ours", "rt_detr", "yolos"])
def test_mirror_images_are_seen_too_and_boxes_are_turned_back(kind: str, tmp_path: Path) -> None:
    TOY.base(tmp_path / "base") if kind == "ours" else tiny_detectors.write(kind, tmp_path / "base")
    task = ObjectDetection(ObjectDetection.Options(image_size=64, tta="both"))
    task.label_names = ["cold", "warm"]
    torch.manual_seed(0)
    model = task.load(str(tmp_path / "base"), ignore).model.eval()
    for parameter in model.head.parameters():  # else all places say the same
        parameter.data += 0.05 * torch.randn_like(parameter)
    pixels = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        plain_, turned = (model({"pixel_values": one}) for one in (pixels, pixels.flip(3)))
    assert plain_.shape[1] == 4
    targets = torch.tensor([[[1, 0.1, 0.2, 0.5, 0.7]], [[0, 0.4, 0.4, 0.9, 0.6]]])
    assert task.loss(plain_, targets).shape == (2,)
    answers = [task.kept(one) for one in (plain_, turned)]
    assert answers[0].shape == (2, *model.outputs)
    for here, there in zip(*answers, strict=True):
        assert (here[:, 0] >= 0).any()
        torch.testing.assert_close(here[:, 1], there[:, 1], atol=1e-4, rtol=0)
        torch.testing.assert_close(here[0, [2, 4]], 1 - there[0, [4, 2]], atol=1e-3, rtol=0)
        torch.testing.assert_close(here[0, [3, 5]], there[0, [3, 5]], atol=1e-3, rtol=0)
    model.train()
    assert model({"pixel_values": pixels}).dim() == 3  # of what is learned there is one look


def test_boxes_of_several_looks_are_fused() -> None:
    none = [-1.0, 0, 0, 0, 0, 0]
    first = [[0, 0.9, 0.1, 0.1, 0.5, 0.5], [1, 0.8, 0.1, 0.1, 0.5, 0.5], [0, 0.6, 0.6, 0.6, 0.9, 0.9]]
    second = [[0, 0.3, 0.14, 0.1, 0.54, 0.5], none, none]
    found = box_fusion.fused(torch.tensor([[first, second]]))[0]
    assert found[:, 0].tolist()[:4] == [0, 1, 0, -1]
    torch.testing.assert_close(found[:3, 1], torch.tensor([0.6, 0.4, 0.3]))  # one that a single look sees is less sure
    torch.testing.assert_close(found[0, 2:], torch.tensor([0.11, 0.1, 0.51, 0.5]))


@pytest.mark.slow
def test_a_detector_of_transformers_learns_in_smaller_steps(tmp_path: Path) -> None:
    tiny_detectors.write("yolos", tmp_path / "base")
    TOY.base(tmp_path / "other")
    data = rows(tmp_path)
    rates = []
    for base in ("base", "other"):
        found = tunesmith.check(data, task="object-detection", model=str(tmp_path / base), near_duplicates=0)
        rates.append([one["value"] for one in found["decisions"] if one["what"] == "rate_factor"])
    assert rates == [[0.1], []]


def test_small_things_are_read_larger_and_small_pictures_not_much() -> None:
    def pictures(side: int, *things: tuple[str, int]) -> list[dict[str, object]]:
        boxes = [{"label": label, "box": [9, 9, 9 + size, 9 + size], "used": True} for label, size in things]
        return [{"width": side, "height": side * 3 // 4, "boxes": boxes}] * 3

    assert usual_side(pictures(640, ("cell", 100))) == 320
    assert usual_side(pictures(640, ("cell", 100), ("platelet", 38))) == 480
    assert usual_side(pictures(640, ("cell", 100), ("dot", 9))) == 640
    assert usual_side(pictures(400, ("dot", 9))) == 480
    assert usual_side(pictures(100, ("dot", 4))) == 320
    assert usual_side([{"width": 640, "height": 480, "boxes": []}]) == 320
