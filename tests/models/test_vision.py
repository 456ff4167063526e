"""Networks that read pictures: as transformers reads them, with a new head or their own, saved and read back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import (
    AutoImageProcessor,
    AutoModelForImageClassification,
    BitImageProcessorPil,
    CLIPImageProcessorPil,
    ConvNextConfig,
    ConvNextForImageClassification,
    ConvNextImageProcessorPil,
    DeiTImageProcessorPil,
    ViTConfig,
    ViTForImageClassification,
    ViTImageProcessorPil,
)

from tunesmith.core.errors import ModelError
from tunesmith.data.pictures import to_uri
from tunesmith.engine.inference import run_rows
from tunesmith.engine.pixels import encode_pictures
from tunesmith.models import tiny_convnet
from tunesmith.models.blocks import list_blocks
from tunesmith.models.loaders.encoder import load_text_base
from tunesmith.models.loaders.vision import load_vision_base, load_vision_finished, save_vision_model
from tunesmith.models.pooled import Pooled, as_splittable
from tunesmith.models.processor import of_transformers, plain
from tunesmith.models.vision import running_statistics

NAMES = ["cat", "dog", "cow"]


def _picture(width: int, height: int, seed: int = 0) -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(noise)


@pytest.fixture(scope="module")
def convnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("convnet") / "base"
    tiny_convnet.write(folder)
    return folder


def _base(folder: Path, **words: Any) -> Any:
    words = {"label_names": NAMES, "problem_type": "single_label_classification", **words}
    return load_vision_base(str(folder), **words)


@pytest.mark.parametrize(
    "own",
    [
        ViTImageProcessorPil(size={"height": 20, "width": 30}),
        DeiTImageProcessorPil(size={"height": 40, "width": 40}, crop_size={"height": 32, "width": 32}),
        CLIPImageProcessorPil(size={"shortest_edge": 33}, crop_size={"height": 28, "width": 28}),
        BitImageProcessorPil(size={"shortest_edge": 24}, crop_size={"height": 32, "width": 31}),
        ConvNextImageProcessorPil(size={"shortest_edge": 32}),
        ConvNextImageProcessorPil(size={"shortest_edge": 384}),
        ViTImageProcessorPil(size={"height": 16, "width": 16}, do_normalize=False),
        ViTImageProcessorPil(size={"height": 16, "width": 16}, do_rescale=False, image_mean=[99.0] * 3),
    ],
    ids=lambda own: f"{type(own).__name__}-{own.size}",
)
def test_pictures_become_what_transformers_makes_of_them(own: Any) -> None:
    ours = of_transformers(own, "it")
    for width, height in ((50, 40), (31, 77), (64, 64), (9, 11)):
        image = _picture(width, height)
        theirs = own(images=image, return_tensors="pt")["pixel_values"]
        found = ours.normalise(ours.pixels(image)[None])
        assert found.dtype == torch.float32
        assert found.shape == theirs.shape
        assert float((found - theirs).abs().max()) < (1e-4 if own.do_rescale else 1e-2)


def test_a_processor_of_no_fixed_size_is_refused() -> None:
    with pytest.raises(ModelError, match="in any shape"):
        of_transformers(BitImageProcessorPil(size={"shortest_edge": 24}, do_center_crop=False), "it")
    with pytest.raises(ModelError, match="in any size"):
        of_transformers(ViTImageProcessorPil(do_resize=False), "it")


def test_a_new_head_is_put_on_a_base_and_survives_saving(convnet: Path, tmp_path: Path) -> None:
    bundle = _base(convnet)
    pixels = torch.randn(2, 3, 64, 64)
    bundle.model.eval()
    with torch.no_grad():
        logits = bundle.model({"pixel_values": pixels})
        features = bundle.model.features({"pixel_values": pixels})
        assert logits.shape == (2, 3)
        assert features.shape == (2, bundle.model.head.in_features)
        torch.testing.assert_close(bundle.model({"features": features}), logits)
        save_vision_model(bundle, tmp_path / "saved")
        again = load_vision_finished(tmp_path / "saved")
        torch.testing.assert_close(again.model({"pixel_values": pixels}), logits, rtol=0, atol=0)
        plainly = AutoModelForImageClassification.from_pretrained(tmp_path / "saved").eval()
        torch.testing.assert_close(plainly(pixel_values=pixels).logits, logits)
    assert plainly.config.id2label == dict(enumerate(NAMES))
    image = _picture(70, 50)
    theirs = AutoImageProcessor.from_pretrained(tmp_path / "saved")(images=image, return_tensors="pt")["pixel_values"]
    ours = again.processor
    assert ours is not None
    assert float((ours.normalise(ours.pixels(image)[None]) - theirs).abs().max()) < 1e-5


def test_a_head_of_the_same_labels_is_kept_in_our_order(convnet: Path, tmp_path: Path) -> None:
    first = _base(convnet)
    save_vision_model(first, tmp_path / "trained")
    again = _base(tmp_path / "trained", label_names=["Dog", "cow", "cat"])
    assert again.zero_shot == "head"
    torch.testing.assert_close(again.model.head.weight, first.model.head.weight[[1, 2, 0]], rtol=0, atol=0)
    other = _base(tmp_path / "trained", label_names=["a", "b", "c"])
    assert other.zero_shot is None
    assert not torch.equal(other.model.head.weight, first.model.head.weight)


def test_other_families_of_networks_fit(tmp_path: Path) -> None:
    small = {"image_size": 32, "num_labels": 2}
    vit = ViTConfig(
        hidden_size=16, num_hidden_layers=3, num_attention_heads=2, intermediate_size=32, patch_size=8, **small
    )
    convnext = ConvNextConfig(hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 5, 1], **small)
    networks = {"vit": ViTForImageClassification(vit), "convnext": ConvNextForImageClassification(convnext)}
    for name, network in networks.items():
        network.save_pretrained(tmp_path / name)
        plain(32).save(tmp_path / name)
        bundle = _base(tmp_path / name)
        bundle.model.eval()
        pixels = torch.randn(2, 3, 32, 32)
        with torch.no_grad():
            torch.testing.assert_close(
                bundle.model({"pixel_values": pixels}), bundle.model.network(pixel_values=pixels).logits
            )
        blocks = [block.name for block in list_blocks(bundle.model)]
        layers = {"vit": 3, "convnext": 4}[name]  # of a network in stages these, and not the blocks of the longest
        assert blocks == ["embeddings", *(f"layers.{number}" for number in range(layers)), "head"]
        assert isinstance(bundle.model, Pooled)
        assert as_splittable(bundle.model) is None
    plain(64).save(tmp_path / "vit")  # which has places for 32 pixels
    with pytest.raises(ModelError, match="can not be read"):
        _base(tmp_path / "vit")


def test_texts_and_pictures_are_not_taken_for_each_other(convnet: Path, tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="reads texts, and this task reads pictures"):
        _base(tiny_model)
    with pytest.raises(ModelError, match="reads pictures, and this task reads texts"):
        load_text_base(str(convnet), label_names=NAMES, problem_type="single_label_classification", dropout=0.0)
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("config.json", "model.safetensors"):
        (bare / name).write_bytes((convnet / name).read_bytes())
    with pytest.raises(ModelError, match="has no preprocessor"):
        _base(bare)
    config = json.loads((convnet / "config.json").read_text())
    (bare / "config.json").write_text(json.dumps({**config, "num_channels": 1}))
    with pytest.raises(ModelError, match="pictures of 1 channels"):
        _base(bare)


def test_frozen_batch_norm_keeps_its_statistics(convnet: Path) -> None:
    model = _base(convnet).model.train()
    names = running_statistics(model)
    assert any(name.endswith("running_var") for name in names)
    before = {name: one.clone() for name, one in names.items()}
    for parameter in model.network.base_model.encoder.stages[0].parameters():
        parameter.requires_grad_(False)
    model({"pixel_values": torch.randn(4, 3, 64, 64)})
    moved = {name for name, one in running_statistics(model).items() if not torch.equal(one, before[name])}
    assert moved
    assert not any("stages.0" in name for name in moved)


def test_rows_of_pictures_are_read_from_disk(convnet: Path, tmp_path: Path) -> None:
    bundle = _base(convnet)
    bundle.model.eval()
    images = [_picture(40 + number, 50, number) for number in range(5)]
    rows = encode_pictures([to_uri(image) for image in images], bundle.processor, tmp_path / "rows")
    assert rows.lengths.tolist() == [16] * 5
    batch = rows.collate(np.array([3, 1]))
    direct = bundle.processor.normalise(bundle.processor.pixels(images[3])[None])
    torch.testing.assert_close(batch["pixel_values"][:1], direct)
    found = run_rows(bundle.model, rows, np.arange(5), on=torch.device("cpu"))
    assert found.shape == (5, 3)
    assert len(encode_pictures([], bundle.processor, tmp_path / "none")) == 0
