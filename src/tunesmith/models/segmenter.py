"""A small network that gives a class for each pixel, on any network that gives maps of features: a U-Net (Ronneberger
et al. 2015, arXiv 1505.04597) whose way down is the base, and whose way up is small.

Importing this module teaches transformers the type: `AutoConfig` and `AutoModelForSemanticSegmentation` read its
folders from then on.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import (
    AutoConfig,
    AutoModelForSemanticSegmentation,
)
from transformers import initialization as init
from transformers.modeling_outputs import SemanticSegmenterOutput

from tunesmith.models.backbone import Backbone, every_map
from tunesmith.models.on_backbone import OnBackbone, OnBackboneConfig, SeparableBlock

_WHOLE_FROM = 8
"""Stride from which on the way up has all its channels."""


class SegmenterConfig(OnBackboneConfig):
    model_type = "tunesmith_segmenter"

    hidden_size: int = 96
    """Channels of the way up, where a place of a map stands for 8 pixels of a side or more; below that in proportion,
    as most places are there."""
    classifier_dropout: float = 0.0


class _Lateral(nn.Sequential):
    """A map of the base as the way up adds it. Normalised: as a base gives its maps they are ten times as large as what
    comes from below, which would not be heard."""

    def __init__(self, inside: int, outside: int):
        super().__init__(
            nn.Conv2d(inside, outside, 1, bias=False), nn.GroupNorm(math.gcd(outside, 8), outside)
        )  # fmt: skip


class SegmenterHead(nn.Module):
    """Maps [b, channels, h, w] from the largest to the smallest, at `strides`, to classes at the places of the
    largest."""

    def __init__(self, channels: tuple[int, ...], strides: tuple[int, ...], config: SegmenterConfig):
        super().__init__()
        widths = [max(8, config.hidden_size * min(stride, _WHOLE_FROM) // _WHOLE_FROM) for stride in strides]
        self.lateral = nn.Sequential(*(_Lateral(one, width) for one, width in zip(channels, widths, strict=True)))
        self.deepest = SeparableBlock(widths[-1], widths[-1])
        self.narrow = nn.Sequential(*(nn.Conv2d(deep, wide, 1, bias=False) for wide, deep in pairwise(widths)))
        self.up = nn.Sequential(*(SeparableBlock(width, width) for width in widths[:-1]))
        self.dropout = nn.Dropout2d(config.classifier_dropout)
        self.classifier = nn.Conv2d(widths[0], config.num_labels, 1)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Logits [b, classes, h, w] of the largest map."""
        kind = self.classifier.weight.dtype
        across = [lateral(one.to(kind)) for lateral, one in zip(self.lateral, maps, strict=True)]
        found = self.deepest(across[-1])
        for narrow, block, one in zip(reversed(self.narrow), reversed(self.up), reversed(across[:-1]), strict=True):
            # fewer channels first, as that costs least where there are few places
            wider = functional.interpolate(narrow(found), size=one.shape[-2:], mode="bilinear", align_corners=False)
            found = block(wider + one)
        logits: Tensor = self.classifier(self.dropout(found))
        return logits


class SegmenterForSemanticSegmentation(OnBackbone):
    config_class = SegmenterConfig

    def __init__(self, config: SegmenterConfig):
        super().__init__(config)
        maps = _Maps(self.backbone)
        self.head = SegmenterHead(maps.channels, maps.strides, config)
        self._places = maps
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, SegmenterHead):
            init.normal_(module.classifier.weight, std=0.1)
            init.zeros_(module.classifier.bias)

    def forward(
        self, pixel_values: Tensor, return_dict: bool | None = None, **_: Any
    ) -> SemanticSegmenterOutput | tuple[Any, ...]:
        """`logits` [b, classes, height / s, width / s], s the smallest stride of the base: made larger by who asks, as
        those of SegFormer are."""
        found = SemanticSegmenterOutput(logits=self.head(self._places.of(self.backbone, pixel_values)))
        return found if return_dict is None or return_dict else found.to_tuple()


class _Maps:
    """Which maps of a network are read, without being a part of it."""

    def __init__(self, network: Any):
        if hasattr(network, "feature_maps"):
            self.channels: tuple[int, ...] = tuple(network.channels)
            self.strides: tuple[int, ...] = tuple(network.strides)
            self._chosen: list[int] | None = None
            return
        probed = Backbone(network, network.config.model_type, side=128)
        self.channels, self.strides, self._chosen = probed.channels, probed.strides, probed.places

    def of(self, network: Any, pixels: Tensor) -> list[Tensor]:
        every = every_map(network, pixels)
        return every if self._chosen is None else [every[place] for place in self._chosen]


AutoConfig.register(SegmenterConfig.model_type, SegmenterConfig, exist_ok=True)
AutoModelForSemanticSegmentation.register(SegmenterConfig, SegmenterForSemanticSegmentation, exist_ok=True)
