"""Methods on every family of networks that read pictures: what moves, that it begins at the base, and what is saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import (
    AutoModel,
    ConvNextConfig,
    ConvNextModel,
    Dinov2Config,
    Dinov2Model,
    MobileNetV2Config,
    MobileNetV2Model,
    ResNetConfig,
    ResNetModel,
    SwinConfig,
    SwinModel,
    ViTConfig,
    ViTModel,
)

from tunesmith.core import registry
from tunesmith.models import tiny
from tunesmith.models.additions import moving
from tunesmith.models.blocks import depths
from tunesmith.models.bundle import Bundle
from tunesmith.models.loaders.vision import load_vision_base
from tunesmith.models.processor import plain

SMALL = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "image_size": 32, "patch_size": 8}
FAMILIES: dict[str, Any] = {
    "resnet": lambda: ResNetModel(ResNetConfig(embedding_size=8, hidden_sizes=[8, 12, 16], depths=[1, 2, 1])),
    "vit": lambda: ViTModel(ViTConfig(intermediate_size=32, **SMALL)),
    "dinov2": lambda: Dinov2Model(Dinov2Config(mlp_ratio=2, **SMALL)),
    "convnext": lambda: ConvNextModel(
        ConvNextConfig(hidden_sizes=[8, 12, 16], depths=[1, 2, 1], num_stages=3, layer_scale_init_value=0.5)
    ),
    "swin": lambda: SwinModel(SwinConfig(image_size=32, embed_dim=8, depths=[1, 1], num_heads=[2, 2], window_size=4)),
    "mobilenet": lambda: MobileNetV2Model(MobileNetV2Config(depth_multiplier=0.1, image_size=32)),
}
PIXELS = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bases")
    torch.manual_seed(0)
    for name, make in FAMILIES.items():
        _save(make(), folder / name)
    tiny.efficientnet_lite(folder / "new")
    _save(AutoModel.from_pretrained(folder / "new"), folder / "efficientnet_lite")
    return folder


def _save(network: Any, folder: Path) -> None:
    """As one that has seen pictures."""
    with torch.no_grad():
        network.train()(PIXELS)
    network.save_pretrained(folder)
    plain(32).save(folder)


def _bundle(folder: Path) -> Bundle:
    torch.manual_seed(0)
    return load_vision_base(str(folder), label_names=["a", "b", "c"], problem_type="single_label_classification")


def _method(name: str, **options: Any) -> Any:
    plugin = registry.get("methods", name)
    return plugin(plugin.Options(**options))


@pytest.mark.parametrize("family", [*FAMILIES, "efficientnet_lite"])
def test_every_method_fits_every_family(bases: Path, family: str, tmp_path: Path) -> None:
    for name in ("head", "full", "gradual", "contrastive", "bitfit", "scratch", "lora", "adapters"):
        bundle = _bundle(bases / family)
        before = {key: one.detach().clone() for key, one in bundle.model.named_parameters()}
        with torch.no_grad():
            plainly = bundle.model.eval()({"pixel_values": PIXELS})
        method = _method(name)
        method.prepare(bundle, 0)
        moved = moving(bundle.model)
        assert {id(one) for one in bundle.model.head.parameters()} <= {id(one) for one in moved.values()}, name
        groups = method.groups(bundle, 1e-3)
        assert sum(len(group.parameters) for group in groups) == len(moved), name
        if name in ("full", "gradual", "contrastive"):
            _, top = depths(bundle.model)
            assert top > 2
            assert sum(one.numel() for one in before.values()) > sum(one.numel() for one in moved.values()), name
        model = bundle.model
        if name != "scratch":
            with torch.no_grad():
                torch.testing.assert_close(model.eval()({"pixel_values": PIXELS}), plainly)
        statistics = {key: one.clone() for key, one in model.named_buffers() if key.endswith("running_mean")}
        if name == "gradual":
            method.on_stage(2, bundle)
        optimizer = torch.optim.SGD(moved.values(), lr=1e-2)
        model.train()({"pixel_values": PIXELS}).square().sum().backward()
        optimizer.step()
        changed = [
            key for key, one in model.named_buffers() if key in statistics and not torch.equal(one, statistics[key])
        ]
        assert bool(changed) == bool(statistics and name in ("scratch",)), name
        if name in ("lora", "adapters"):
            _saved_and_merged(bundle, method, tmp_path / name)


def _saved_and_merged(bundle: Bundle, method: Any, folder: Path) -> None:
    model = bundle.model.eval()
    with torch.no_grad():
        expected = model({"pixel_values": PIXELS})
        folder.mkdir()
        method.merge(bundle, folder)
        found = bundle.model({"pixel_values": PIXELS})
    assert any(folder.rglob("adapter_model.safetensors"))
    if type(method).__name__ == "Lora":
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    else:
        assert not torch.equal(found, expected)  # what is not linear lies beside the base


def test_low_rank_additions_are_to_convolutions_that_mix_channels(bases: Path) -> None:
    bundle = _bundle(bases / "efficientnet_lite")
    _method("lora").prepare(bundle, 0)
    wrapped = [
        name for name, one in bundle.model.named_modules() if hasattr(one, "lora_A") and hasattr(one, "base_layer")
    ]
    assert wrapped
    assert all(bundle.model.get_submodule(name).base_layer.groups == 1 for name in wrapped)
    assert any(isinstance(bundle.model.get_submodule(name).base_layer, nn.Conv2d) for name in wrapped)


def test_a_new_network_gathers_statistics_and_a_trained_one_keeps_them(bases: Path) -> None:
    bundle = _bundle(bases / "new")
    norm = bundle.model.norms.every[0]
    bundle.model.train()({"pixel_values": PIXELS})
    assert float(norm.running_mean.abs().sum()) > 0  # the base has random weights and had no statistics
    again = type(bundle.model)(bundle.model.network)  # as it is read back
    before = norm.running_mean.clone()
    again.train()({"pixel_values": PIXELS})
    assert torch.equal(norm.running_mean, before)
