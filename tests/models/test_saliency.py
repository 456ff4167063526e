"""Where a network looks, whatever it is made of."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from transformers import (
    PreTrainedModel,
    ResNetConfig,
    ResNetForImageClassification,
    SwinConfig,
    SwinForImageClassification,
    ViTConfig,
    ViTForImageClassification,
)
from transformers.modeling_outputs import ImageClassifierOutput

from tunesmith.models.saliency import saliency

PIXELS = torch.rand(2, 3, 32, 64, generator=torch.Generator().manual_seed(0))


def networks() -> list[PreTrainedModel]:
    torch.manual_seed(0)
    vit = ViTConfig(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16,
                    image_size=(32, 64), patch_size=16)  # fmt: skip
    swin = SwinConfig(image_size=(32, 64), embed_dim=8, depths=[1, 1], num_heads=[2, 2], window_size=4)
    return [
        ViTForImageClassification(vit), SwinForImageClassification(swin),
        ResNetForImageClassification(ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1])),
    ]  # fmt: skip


@pytest.mark.parametrize("network", networks(), ids=["vit", "swin", "resnet"])
def test_networks_of_every_kind_say_where(network: PreTrainedModel) -> None:
    network.requires_grad_(False)
    network.eval()
    before = network.config._attn_implementation
    found = saliency(network, PIXELS, torch.tensor([0, 1]))
    assert found is not None
    assert found.shape[2] == 2 * found.shape[1]  # as wide as its picture
    assert (float(found.min()), float(found.max())) == (0.0, 1.0)
    assert network.config._attn_implementation == before


class Spot(PreTrainedModel):
    """Its second output is how bright a picture is where it is brighter than grey."""

    config_class = ResNetConfig

    def __init__(self) -> None:
        super().__init__(ResNetConfig())
        self.pool = nn.AvgPool2d(8)
        self.post_init()

    def forward(self, pixel_values: Tensor, **_: object) -> ImageClassifierOutput:
        bright = self.pool(pixel_values.mean(1, keepdim=True)).sub(0.5).relu_().mean((1, 2, 3))
        return ImageClassifierOutput(logits=torch.stack([-bright, bright], 1))


def test_what_was_looked_at_is_red_and_what_was_not_is_nothing() -> None:
    pixels = torch.zeros(1, 3, 32, 32)
    pixels[:, :, 8:16, 16:24] = 1
    found = saliency(Spot().eval(), pixels, torch.tensor([1]))
    assert found is not None
    assert found[0].nonzero().tolist() == [[1, 2]]


def test_a_network_that_never_says_where_is_left_out() -> None:
    class Blind(Spot):
        def forward(self, pixel_values: Tensor, **_: object) -> ImageClassifierOutput:
            return ImageClassifierOutput(logits=pixel_values.mean((2, 3)))

    assert saliency(Blind().eval(), PIXELS, torch.tensor([0, 1])) is None
