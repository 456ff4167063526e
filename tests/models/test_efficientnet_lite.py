"""EfficientNet-Lite as a network of transformers: its padding, its maps, its folders."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.nn import functional
from transformers import (
    AutoModel,
    AutoModelForImageClassification,
    ConvNextConfig,
    ConvNextModel,
    MobileNetV2Config,
    MobileNetV2Model,
    ResNetConfig,
    ResNetForImageClassification,
    SwinConfig,
    SwinModel,
    ViTConfig,
    ViTModel,
)

from tunesmith.core.errors import ModelError
from tunesmith.models import tiny
from tunesmith.models.backbone import Backbone
from tunesmith.models.blocks import list_blocks
from tunesmith.models.efficientnet_lite import (
    EfficientNetLiteConfig,
    EfficientNetLiteForImageClassification,
    EfficientNetLiteModel,
)
from tunesmith.models.loaders.vision import load_vision_base, load_vision_finished, save_vision_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.efficientnet_lite(tmp_path_factory.mktemp("lite") / "base")


def test_it_is_of_the_published_size() -> None:
    with torch.device("meta"):
        network = EfficientNetLiteForImageClassification(EfficientNetLiteConfig(num_labels=1000))
    assert sum(one.numel() for one in network.parameters()) == 4_652_008
    assert (network.efficientnet_lite.strides, network.efficientnet_lite.channels) == (
        (2, 4, 8, 16, 32), (16, 24, 40, 112, 320),
    )  # fmt: skip


@pytest.mark.parametrize(("size", "kernel"), [(8, 3), (9, 3), (8, 5), (7, 5), (2, 5)])
def test_what_is_halved_is_padded_at_the_end_first(size: int, kernel: int) -> None:
    """As TensorFlow's SAME: of an odd number of zeros the one more stands after the picture."""
    config = EfficientNetLiteConfig(
        stem_size=2, hidden_sizes=[2], depths=[1], kernel_sizes=[kernel], strides=[2], expand_ratios=[1], hidden_size=4
    )
    layer = EfficientNetLiteModel(config).eval().blocks[0].depthwise
    x = torch.randn(1, 2, size, size)
    places = -(-size // 2)
    wide = torch.zeros(1, 2, size + 2 * kernel, size + 2 * kernel)
    wide[:, :, kernel : kernel + size, kernel : kernel + size] = x
    begin = kernel - max((places - 1) * 2 + kernel - size, 0) // 2
    with torch.no_grad():
        expected = torch.cat([
            torch.cat([
                functional.conv2d(
                    wide[:, :, begin + 2 * row :][:, :, :kernel, begin + 2 * column :][..., :kernel],
                    layer.conv.weight, groups=2,
                )
                for column in range(places)
            ], dim=3)
            for row in range(places)
        ], dim=2)  # fmt: skip
        torch.testing.assert_close(layer(x), functional.relu6(layer.norm(expected)))


def test_a_folder_of_it_is_a_base_and_survives_saving(folder: Path, tmp_path: Path) -> None:
    bundle = load_vision_base(
        str(folder), label_names=["cat", "dog", "cow"], problem_type="single_label_classification"
    )
    bundle.model.eval()
    pixels = torch.randn(2, 3, 32, 32)
    blocks = [block.name for block in list_blocks(bundle.model)]
    assert blocks == ["embeddings", *(f"layers.{number}" for number in range(6)), "head"]
    with torch.no_grad():
        logits = bundle.model({"pixel_values": pixels})
        save_vision_model(bundle, tmp_path / "saved")
        again = load_vision_finished(tmp_path / "saved")
        torch.testing.assert_close(again.model({"pixel_values": pixels}), logits, rtol=0, atol=0)
        plainly = AutoModelForImageClassification.from_pretrained(tmp_path / "saved").eval()
        found = plainly(pixel_values=pixels, labels=torch.tensor([0, 2]), output_hidden_states=True)
        torch.testing.assert_close(found.logits, logits)
        assert found.loss.ndim == 0
        maps = AutoModel.from_pretrained(tmp_path / "saved").eval().feature_maps(pixels)
        for one, other in zip(maps, found.hidden_states, strict=True):
            torch.testing.assert_close(one, other)
        assert torch.equal(plainly(pixel_values=pixels, return_dict=False)[0], found.logits)


@pytest.mark.slow
def test_one_import_is_all_that_transformers_needs_for_it(folder: Path, tmp_path: Path) -> None:
    network = AutoModelForImageClassification.from_pretrained(folder)
    network.save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_bytes((folder / "preprocessor_config.json").read_bytes())
    program = (
        "import tunesmith.models.efficientnet_lite\n"
        "from transformers import pipeline\n"
        f"print(pipeline('image-classification', {str(tmp_path)!r}).model.config.model_type)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "efficientnet_lite", done.stderr


def test_maps_of_features_are_had_of_every_network_that_makes_some(folder: Path) -> None:
    lite = AutoModel.from_pretrained(folder)
    networks = [
        lite,
        ResNetForImageClassification(ResNetConfig(embedding_size=8, hidden_sizes=[8, 12], depths=[1, 1])),
        ConvNextModel(ConvNextConfig(hidden_sizes=[8, 12, 16], depths=[1, 1, 1], num_stages=3)),
        SwinModel(SwinConfig(image_size=64, embed_dim=8, depths=[1, 1], num_heads=[2, 2], window_size=4)),
        MobileNetV2Model(MobileNetV2Config(depth_multiplier=0.1, image_size=64)),
    ]
    for network in networks:
        backbone = Backbone(network.eval()).eval()
        with torch.no_grad():
            maps = backbone(torch.randn(2, 3, 64, 96)) if network is not networks[3] else backbone(
                torch.randn(2, 3, 64, 64)
            )  # fmt: skip
        assert list(backbone.strides) == sorted(set(backbone.strides))
        assert [one.shape[1] for one in maps] == list(backbone.channels)
        assert [64 // one.shape[2] for one in maps] == list(backbone.strides)
    assert Backbone(lite).strides == lite.strides == (2, 4, 8)
    with pytest.raises(ModelError, match="gives no maps of features"):
        Backbone(ViTModel(ViTConfig(
            hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, image_size=64, patch_size=8,
        )), "vit")  # fmt: skip
