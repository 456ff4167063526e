"""A small detector of boxes on any network that gives maps of features: anchor-free, dense, one stage.

Each place of the maps at strides 8, 16 and 32 says how likely each label is and how far the four sides of a box are
(FCOS: Tian et al. 2019, arXiv 1904.01355), on maps that are mixed from the top down (FPN: Lin et al. 2017).

Importing this module teaches transformers the type: `AutoConfig` and `AutoModelForObjectDetection` read its folders
from then on. `logits` and `pred_boxes` are those of transformers' own detectors without a class for nothing (RT-DETR).
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import (
    AutoConfig,
    AutoModelForObjectDetection,
)
from transformers import initialization as init
from transformers.models.rt_detr.modeling_rt_detr import RTDetrObjectDetectionOutput

from tunesmith.models.backbone import every_map
from tunesmith.models.on_backbone import OnBackbone, OnBackboneConfig, SeparableBlock

STRIDES = (8, 16, 32)
"""Pixels of a side of the picture for each place of the maps that are read."""
_SIDE = 4.0
"""Strides from a place to each side of its box, before anything is learned."""
_LIKELY = 0.01
"""Of each label at each place, before anything is learned (Lin et al. 2017, RetinaNet)."""


class DetectorConfig(OnBackboneConfig):
    model_type = "tunesmith_detector"

    hidden_size: int = 96
    """Channels of the maps once they are mixed."""
    head_layers: int = 2
    """Convolutions before each answer."""


class DetectorHead(nn.Module):
    """Maps [b, channels, h, w] of several strides to answers at their places."""

    def __init__(self, channels: list[int], config: DetectorConfig):
        super().__init__()
        width = config.hidden_size
        self.lateral = nn.ModuleList(nn.Conv2d(one, width, 1) for one in channels)
        self.mixed = nn.ModuleList(SeparableBlock(width, width) for _ in channels)
        self.label_tower = nn.Sequential(*(SeparableBlock(width, width) for _ in range(config.head_layers)))
        self.box_tower = nn.Sequential(*(SeparableBlock(width, width) for _ in range(config.head_layers)))
        self.labels = nn.Conv2d(width, config.num_labels, 1)
        self.sides = nn.Conv2d(width, 4, 1)
        self.scales = nn.Parameter(torch.ones(len(channels)))

    def forward(self, maps: list[Tensor]) -> tuple[Tensor, Tensor]:
        """(logits [b, places, labels], logarithms of the sides in strides [b, places, 4]), map by map."""
        found = [lateral(one) for lateral, one in zip(self.lateral, maps, strict=True)]
        for lower in range(len(found) - 2, -1, -1):
            found[lower] = found[lower] + functional.interpolate(found[lower + 1], size=found[lower].shape[-2:])
        logits, sides = [], []
        for level, (mixed, one) in enumerate(zip(self.mixed, found, strict=True)):
            one = mixed(one)
            logits.append(self.labels(self.label_tower(one)).flatten(2).transpose(1, 2))
            reach = self.scales[level] * self.sides(self.box_tower(one))
            sides.append(reach.flatten(2).transpose(1, 2))
        return torch.cat(logits, 1), torch.cat(sides, 1)


class DetectorForObjectDetection(OnBackbone):
    config_class = DetectorConfig

    def __init__(self, config: DetectorConfig):
        super().__init__(config)
        self.head = DetectorHead(_channels(self.backbone, config.backbone_config), config)
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, DetectorHead):
            init.normal_(module.labels.weight, std=0.01)
            init.constant_(module.labels.bias, -math.log(1 / _LIKELY - 1))
            init.normal_(module.sides.weight, std=0.01)
            init.constant_(module.sides.bias, math.log(_SIDE))
            init.ones_(module.scales)

    def forward(
        self, pixel_values: Tensor, return_dict: bool | None = None, **_: Any
    ) -> RTDetrObjectDetectionOutput | tuple[Any, ...]:
        """`logits` [b, places, labels]; `pred_boxes` [b, places, 4]: middle, width and height as shares of the picture.
        Boxes that mean the same thing are not merged: `tunesmith.load` does that."""
        logits, boxes, _places = self.answers(pixel_values)
        sides = boxes[..., 2:] - boxes[..., :2]
        found = RTDetrObjectDetectionOutput(
            logits=logits, pred_boxes=torch.cat([boxes[..., :2] + sides / 2, sides], -1)
        )  # fmt: skip
        return found if return_dict is None or return_dict else found.to_tuple()

    def answers(self, pixel_values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(logits [b, places, labels]; boxes [b, places, 4]: left, top, right, bottom; places [places, 4]: x, y, and
        how far the next one is either way), all but the logits as shares of the picture."""
        maps = _maps(self.backbone, pixel_values)
        logits, sides = self.head(maps)
        places = _places([(one.shape[2], one.shape[3]) for one in maps], logits)
        reach = sides.clamp(max=6.0).exp() * torch.cat([places[:, 2:], places[:, 2:]], 1)
        middle = places[:, :2].expand(len(logits), -1, -1)
        return logits, torch.cat([middle - reach[..., :2], middle + reach[..., 2:]], -1), places


def _places(shapes: list[tuple[int, int]], like: Tensor) -> Tensor:
    parts = []
    for height, width in shapes:
        y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        middle = torch.stack([(x.flatten() + 0.5) / width, (y.flatten() + 0.5) / height], 1)
        parts.append(torch.cat([middle, torch.tensor([1 / width, 1 / height]).expand(len(middle), 2)], 1))
    return torch.cat(parts).to(like)


def _maps(backbone: Any, pixels: Tensor) -> list[Tensor]:
    """The last map of each of STRIDES."""
    every = every_map(backbone, pixels)
    by_stride = {round(pixels.shape[3] / one.shape[3]): one for one in every if one.dim() == 4}
    return [by_stride[stride] for stride in STRIDES if stride in by_stride]


def _channels(backbone: Any, config: Any) -> list[int]:
    """Of the maps that are read. Raises ValueError for a network that has none."""
    if hasattr(backbone, "channels"):
        return [many for many, stride in zip(backbone.channels, backbone.strides, strict=True) if stride in STRIDES]
    side = 4 * STRIDES[-1]
    training = backbone.training
    try:
        with torch.no_grad(), torch.device(next(backbone.parameters()).device):
            found = _maps(backbone.eval(), torch.zeros(1, getattr(config, "num_channels", 3), side, side))
    except (ValueError, RuntimeError):  # it reads pictures of one size alone
        found = []
    backbone.train(training)
    if not found:
        raise ValueError(f"{type(backbone).__name__} gives no maps of features at strides {STRIDES}")
    return [one.shape[1] for one in found]


AutoConfig.register(DetectorConfig.model_type, DetectorConfig, exist_ok=True)
AutoModelForObjectDetection.register(DetectorConfig, DetectorForObjectDetection, exist_ok=True)
