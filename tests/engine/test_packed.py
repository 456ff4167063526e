"""Weights that are laid out once for inference: the same results, quicker, and nothing left behind."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from transformers import AutoModelForImageClassification, MobileNetV2Config, PreTrainedConfig, ResNetConfig

from tunesmith.engine.packed import packed
from tunesmith.models.efficientnet_lite import EfficientNetLiteConfig


def test_packed_weights_give_the_same_products_and_are_gone_after() -> None:
    if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        pytest.skip("this processor has no bf16")
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(48, 96), nn.GELU(), nn.Linear(96, 5, bias=False)).to(torch.bfloat16)
    x = torch.randn(3, 17, 48, dtype=torch.bfloat16)
    with torch.no_grad():
        plain = model(x)
        with packed(model, 51):
            assert "forward" in vars(model[0])
            again = model(x)
        assert "forward" not in vars(model[0])
    assert again.shape == plain.shape
    torch.testing.assert_close(again, plain, atol=0.02, rtol=0.02)


def test_a_gelu_is_computed_with_the_product_before_it() -> None:
    if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        pytest.skip("this processor has no bf16")
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    made = BertModel(BertConfig(vocab_size=9, hidden_size=48, num_hidden_layers=1, num_attention_heads=2), False).eval()
    middle = made.encoder.layer[0].intermediate.bfloat16()
    x = 3 * torch.randn(3, 17, 48, dtype=torch.bfloat16)
    with torch.no_grad():
        plain = middle(x)
        exact = copy.deepcopy(middle).float()(x.float())
        with packed(made, 51):
            assert "forward" not in vars(middle.dense)
            again = middle(x)
        assert "forward" not in vars(middle)
    assert (again - exact).abs().mean() < (plain - exact).abs().mean()  # rounded once, not twice
    torch.testing.assert_close(again.float(), exact, atol=0.02, rtol=0.02)


def test_float32_weights_are_left_alone() -> None:
    model = nn.Linear(8, 8)
    with packed(model, 4):
        assert "forward" not in vars(model)


@pytest.mark.parametrize(
    "config",
    [
        EfficientNetLiteConfig(stem_size=8, hidden_sizes=(8, 12), depths=(1, 2), kernel_sizes=(3, 5), strides=(1, 2),
                               expand_ratios=(1, 4), hidden_size=32),
        ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic"),
        MobileNetV2Config(depth_multiplier=0.1, image_size=32),
    ],
    ids=["efficientnet_lite", "resnet", "mobilenet_v2"],
)  # fmt: skip
def test_convolutions_take_in_what_follows_them(config: PreTrainedConfig) -> None:
    torch.manual_seed(0)
    network = AutoModelForImageClassification.from_config(config).eval()
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.running_mean.normal_(0, 0.1)
        norm.running_var.uniform_(0.5, 2)
        nn.init.uniform_(norm.weight, 0.5, 2)
    x = torch.randn(2, 3, 32, 29).to(memory_format=torch.channels_last)
    with torch.no_grad():
        plain = network(x).logits
        with packed(network, 8):
            assert sum("forward" in vars(module) for module in network.modules()) >= len(norms)
            again = network(x).logits
        assert not any("forward" in vars(module) for module in network.modules())
        assert torch.equal(network(x).logits, plain)
    torch.testing.assert_close(again, plain, atol=1e-4 * float(plain.abs().max()), rtol=1e-4)


def test_a_block_of_someone_else_may_do_things_in_another_order() -> None:
    class PreActivation(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.act, self.conv = nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = self.conv(self.act(self.norm(x)))
            return found

    torch.manual_seed(0)
    block, x = PreActivation().eval(), torch.randn(2, 4, 8, 8)
    with torch.no_grad():
        plain = block(x)
        with packed(block, 8):
            assert "forward" not in vars(block.norm)
            torch.testing.assert_close(block(x), plain)
