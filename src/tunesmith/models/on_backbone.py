"""What our own networks share that stand on any network with maps of features."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import nn
from transformers import CONFIG_MAPPING, AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel
from transformers import initialization as init

from tunesmith.models.own_types import teach_type


class OnBackboneConfig(PreTrainedConfig):
    """`backbone_config` is the config of a network that reads pictures."""

    sub_configs: ClassVar[dict[str, Any]] = {"backbone_config": AutoConfig}

    backbone_config: Any = None

    def __post_init__(self, **words: Any) -> None:
        if isinstance(self.backbone_config, dict):
            given = dict(self.backbone_config)
            kind = given.pop("model_type")
            teach_type(kind)
            self.backbone_config = CONFIG_MAPPING[kind](**given)
        super().__post_init__(**words)


class SeparableBlock(nn.Sequential):
    """A convolution of each channel, one of each place, normalised in groups, as few pictures make a batch."""

    def __init__(self, inside: int, outside: int):
        super().__init__(
            nn.Conv2d(inside, inside, 3, padding=1, groups=inside, bias=False),
            nn.Conv2d(inside, outside, 1, bias=False), nn.GroupNorm(math.gcd(outside, 8), outside), nn.SiLU(),
        )  # fmt: skip


class OnBackbone(PreTrainedModel):
    """`backbone`: the network below, which brings its own weights."""

    base_model_prefix = "backbone"
    main_input_name = "pixel_values"
    input_modalities = ("image",)

    def __init__(self, config: OnBackboneConfig):
        super().__init__(config)
        self.backbone = AutoModel.from_config(config.backbone_config, trust_remote_code=False)

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, nn.Conv2d):
            init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
