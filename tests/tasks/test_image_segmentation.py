"""A class for each pixel: a whole run on generated shapes, and networks of transformers that do so already."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

import tunesmith
from tunesmith.core import events
from tunesmith.core.errors import DataError, ModelError, OptionError
from tunesmith.core.events import ignore
from tunesmith.data.masks import Mask
from tunesmith.engine.masked import mask_loss
from tunesmith.models import tiny, tiny_convnet
from tunesmith.models.loaders.segmentation import Segmentation, load_base, load_finished
from tunesmith.models.manifest import write_manifest
from tunesmith.models.processor import plain
from tunesmith.runs.choose import rate_and_epochs
from tunesmith.tasks.image_segmentation import ImageSegmentation


def shapes(folder: Path, count: int, size: tuple[int, int] = (96, 64)) -> Path:
    """Pictures of a disc and a square on a ground of any colour, and their masks."""
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    for number in range(count):
        chance = np.random.default_rng(number)
        image = Image.fromarray(chance.integers(90, 131, (size[1], size[0], 3)).astype(np.uint8))
        mask = Image.new("L", size, 0)
        for kind, left in ((1, 4), (2, size[0] // 2)):
            side = int(chance.integers(size[1] // 3, size[1] // 2))
            left, top = left + int(chance.integers(0, 12)), int(chance.integers(2, size[1] - side - 2))
            box = (left, top, left + side, top + side)
            for draw, fill in ((ImageDraw.Draw(image), (230, 60, 40) if kind == 1 else (40, 70, 220)),
                               (ImageDraw.Draw(mask), kind)):  # fmt: skip
                (draw.ellipse if kind == 1 else draw.rectangle)(box, fill=fill)
        image.save(folder / "images" / f"{number:02d}.jpg", quality=95)
        mask.save(folder / "masks" / f"{number:02d}.png")
    (folder / "classes.txt").write_text("ground\ndisc\nsquare\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tunesmith.Run:
    folder = tmp_path_factory.mktemp("shapes")
    data = shapes(folder / "data", 24)
    tiny_convnet.write(folder / "base")
    return tunesmith.train(
        str(data), model=str(folder / "base"), out=folder / "run", epochs=8, batch_size=4, learning_rate=1e-2,
        image_size=64, augment="light", tta="horizontal", verbose=False,
    )  # fmt: skip


@pytest.mark.story
def test_shapes_are_learned_measured_shown_and_answered(run: tunesmith.Run, tmp_path: Path) -> None:
    document = run.document
    assert (document["task"], document["method"], document["first_metric"]) == ("image-segmentation", "full", "miou")
    assert run.metrics["miou"] > 0.7
    assert {"majority", "pixel_colours"} == set(document["baselines"])
    assert [row["label"] for row in document["per_class"]] == ["disc", "ground", "square"]
    assert all(row["iou_low"] <= row["iou"] <= row["iou_high"] for row in document["per_class"])
    page = (run.path / "report.html").read_text(encoding="utf-8")
    assert 'id="classes"' in page
    assert 'id="masks"' in page
    assert "give each of them this mask?" in page
    decided = {e["what"]: e["value"] for e in events.read(run.folder.events) if e["event"] == "decided"}
    assert decided["image_size"] == [32, 64]
    assert decided["layout"] == "masks beside pictures"

    model = tunesmith.load(run.path)
    data = Path(run.folder.load_spec().data)
    pictures = sorted((data / "images").iterdir())
    large = Image.open(pictures[0]).resize((301, 200))
    answer = model.predict(large)
    assert model.bundle.model.mirrors == ((3,),)  # --tta is a part of the saved model
    turned = np.asarray(model.predict(large.transpose(Image.Transpose.FLIP_LEFT_RIGHT))["mask"])[:, ::-1]
    assert (turned == np.asarray(answer["mask"])).mean() > 0.99
    assert (answer["mask"].size, answer["mask"].mode) == ((301, 200), "P")
    assert sum(answer["shares"].values()) == pytest.approx(1, abs=1e-4)
    names = np.array(model.labels)[np.asarray(answer["mask"])]
    assert set(np.unique(names)) == set(answer["shares"])
    truth = np.array(["ground", "disc", "square"])[np.asarray(Image.open(data / "masks" / "00.png").resize((301, 200)))]
    assert (names == truth).mean() > 0.9

    some = tmp_path / "pictures"
    some.mkdir()
    for picture in pictures[:3]:
        (some / picture.name).write_bytes(picture.read_bytes())
    assert tunesmith.predict(run.path, some, tmp_path / "answers.jsonl") == 3
    rows = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text(encoding="utf-8").splitlines()]
    saved = Image.open(tmp_path / rows[1]["mask"])
    assert np.array_equal(np.asarray(saved), np.asarray(model.predict(str(pictures[1]))["mask"]))
    assert rows[1]["predicted"] == model.predict(str(pictures[1]))["shares"]
    with pytest.warns(UserWarning, match="trained rows"):
        assert tunesmith.evaluate(run.path, str(data))["metrics"]["miou"]["value"] > 0.7

    pixels = torch.rand(2, 3, 32, 64)
    from transformers import AutoImageProcessor, AutoModelForSemanticSegmentation

    other = AutoModelForSemanticSegmentation.from_pretrained(run.folder.model).eval()
    model.bundle.model.mirrors = ()  # of which transformers knows nothing
    with torch.no_grad():
        logits = torch.nn.functional.interpolate(
            other(pixel_values=pixels).logits, size=(32, 64), mode="bilinear", align_corners=False
        )
        torch.testing.assert_close(logits, model.bundle.model({"pixel_values": pixels}), atol=1e-5, rtol=1e-5)
    processor = AutoImageProcessor.from_pretrained(run.folder.model, backend="pil")
    found = processor.post_process_semantic_segmentation(other(pixel_values=pixels), target_sizes=[(200, 301)] * 2)
    assert found[0].shape == (200, 301)


def test_bad_masks_are_refused_before_anything_trains(tmp_path: Path) -> None:
    data = shapes(tmp_path / "data", 12)
    tiny_convnet.write(tmp_path / "base")
    Image.new("L", (10, 10)).save(data / "masks" / "03.png")
    with pytest.raises(DataError, match=r"03\.png: it is 10 x 10 pixels, and its picture 96 x 64"):
        tunesmith.train(str(data), model=str(tmp_path / "base"), out=tmp_path / "run", verbose=False)
    assert not (tmp_path / "run").exists()


def _segformer(folder: Path) -> None:
    from transformers import SegformerConfig, SegformerForSemanticSegmentation

    torch.manual_seed(0)
    config = SegformerConfig(
        depths=[1, 1, 1, 1], hidden_sizes=[8, 16, 16, 16], num_attention_heads=[1, 1, 1, 1], decoder_hidden_size=16,
        sr_ratios=[4, 2, 1, 1], num_labels=2,
    )  # fmt: skip
    SegformerForSemanticSegmentation(config).save_pretrained(folder)
    plain(64).save(folder)


def _mask2former(folder: Path) -> None:
    from transformers import Mask2FormerConfig, Mask2FormerForUniversalSegmentation, SwinConfig

    torch.manual_seed(0)
    swin = SwinConfig(
        image_size=64, embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 1, 1], window_size=4,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )  # fmt: skip
    config = Mask2FormerConfig(
        backbone_config=swin, feature_size=32, mask_feature_size=32, hidden_dim=32, encoder_feedforward_dim=16,
        dim_feedforward=16, encoder_layers=1, decoder_layers=2, num_attention_heads=2, num_queries=6,
        train_num_points=64, num_labels=2,
    )  # fmt: skip
    Mask2FormerForUniversalSegmentation(config).save_pretrained(folder)
    plain(64).save(folder)


@pytest.mark.story
@pytest.mark.parametrize("base", [_segformer, pytest.param(_mask2former, marks=pytest.mark.slow)])
def test_networks_of_transformers_learn(base: Callable[[Path], None], tmp_path: Path) -> None:
    data = shapes(tmp_path / "data", 12, (64, 64))
    base(tmp_path / "base")
    run = tunesmith.train(
        str(data), model=str(tmp_path / "base"), out=tmp_path / "run", epochs=3, batch_size=4, learning_rate=1e-2,
        augment="none", verbose=False, precision="fp32",
    )  # fmt: skip
    losses = [e["metrics"]["loss"] for e in events.read(run.folder.events) if e["event"] == "evaluated"]
    assert min(losses) < losses[0]
    picture = next((data / "images").iterdir())
    assert tunesmith.load(run.path).predict(str(picture)) == run.model.predict(str(picture))


def test_a_way_up_stands_on_an_efficientnet_lite(tmp_path: Path) -> None:
    tiny.efficientnet_lite(tmp_path)
    bundle = load_base(str(tmp_path), label_names=["a", "b", "c"], longest=96, shape=1.5)
    pixels = torch.rand(2, 3, 64, 96)
    assert bundle.model.by_channel
    bundle.model.eval()
    logits = bundle.model({"pixel_values": pixels})
    assert logits.shape == (2, 3, 64, 96)
    Segmentation.save(bundle, tmp_path / "model")
    write_manifest(tmp_path / "model")
    again = load_finished(tmp_path / "model").model({"pixel_values": pixels})
    assert torch.equal(again, logits)
    sides = [load_base(str(tmp_path), label_names=["a"], longest=None, shape=1.0, side=side).model.outputs
             for side in (20.0, 150.0, 900.0)]  # fmt: skip
    assert sides == [(128, 128), (160, 160), (256, 256)]


@pytest.mark.parametrize(("rows", "epochs"), [(700, 20), (350, 40), (10, 60), (100_000, 7)])
def test_few_pictures_are_seen_more_often(rows: int, epochs: int) -> None:
    assert rate_and_epochs("full", "image-segmentation", rows)[1] == epochs


def test_what_it_can_not_learn_with_is_told(tmp_path: Path) -> None:
    from transformers import ViTConfig, ViTModel

    ViTModel(ViTConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=1, intermediate_size=16, image_size=32)
             ).save_pretrained(tmp_path)  # fmt: skip
    plain(32).save(tmp_path)
    with pytest.raises(ModelError, match="gives no maps of features"):
        load_base(str(tmp_path), label_names=["a", "b"], longest=32, shape=1.0)


def _fitted(pixels: list[dict[str, int]], **options: Any) -> ImageSegmentation:
    task = ImageSegmentation(ImageSegmentation.Options(**options))
    targets = [Mask("x", {0: "a", 1: "b"}, False, "d", (8, 4), one).written() for one in pixels]
    task.fit("mask", ["a", "b"], targets, ignore)
    return task


def test_rare_classes_weigh_more_and_places_that_do_not_count_cost_nothing() -> None:
    task = _fitted([{"a": 9_900, "b": 100}, {"a": 9_900, "b": 100}])
    assert (task._shape, task._side) == (2.0, 12.0)
    assert task._weights is not None
    assert task._weights.tolist() == pytest.approx([0.9709, 3.8835], abs=1e-3)
    assert _fitted([{"a": 90, "b": 10}])._weights is None
    with pytest.raises(OptionError, match="no class of the data"):
        _fitted([{"a": 1, "b": 1}], class_weights={"c": 2.0})
    logits = torch.randn(2, 2, 4, 4, requires_grad=True)
    targets = torch.randint(0, 2, (2, 4, 4), dtype=torch.uint8)
    targets[0, 0], targets[1] = 255, 255
    losses = mask_loss(logits, targets, None, 0.5)
    losses.sum().backward()
    assert losses[1] == 0
    assert logits.grad is not None
    assert not logits.grad[1].any()
    assert not logits.grad[0, :, 0].any()
    counted = targets[0] != 255
    alone = torch.nn.functional.cross_entropy(logits[0].flatten(1).T, targets[0].flatten().long(), ignore_index=255)
    assert mask_loss(logits, targets, None, 0.0)[0].item() == pytest.approx(alone.item(), rel=1e-5)
    perfect = torch.nn.functional.one_hot(targets[:1].long() * counted, 2).permute(0, 3, 1, 2) * 50.0
    assert mask_loss(perfect, targets[:1], None, 1.0).item() == pytest.approx(0, abs=1e-6)
