"""EfficientNet-Lite (Tan & Le 2019, arXiv 1905.11946; Lite: Google 2020), which transformers does not have, as a
network of transformers: inverted bottlenecks with ReLU6, without squeeze-and-excitation, padded as TensorFlow pads.

Importing this module teaches transformers the type: `AutoConfig`, `AutoModel` and `AutoModelForImageClassification`
read its folders from then on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoConfig, AutoModel, AutoModelForImageClassification, PreTrainedConfig, PreTrainedModel
from transformers import initialization as init
from transformers.modeling_outputs import (
    BaseModelOutputWithPoolingAndNoAttention,
    ImageClassifierOutputWithNoAttention,
)

from tunesmith.models.norms import folded


class EfficientNetLiteConfig(PreTrainedConfig):
    """The defaults are those of Lite0. `hidden_sizes`, `depths`, `kernel_sizes`, `strides` and `expand_ratios` have a
    value for each of the stages."""

    model_type = "efficientnet_lite"

    num_channels: int = 3
    image_size: int = 224
    stem_size: int = 32
    hidden_sizes: tuple[int, ...] | list[int] = (16, 24, 40, 80, 112, 192, 320)
    depths: tuple[int, ...] | list[int] = (1, 2, 2, 3, 3, 4, 1)
    kernel_sizes: tuple[int, ...] | list[int] = (3, 3, 5, 3, 5, 5, 3)
    strides: tuple[int, ...] | list[int] = (1, 2, 2, 2, 1, 2, 1)
    expand_ratios: tuple[int, ...] | list[int] = (1, 6, 6, 6, 6, 6, 6)
    hidden_size: int = 1280
    """Of what the head reads."""
    batch_norm_eps: float = 1e-3
    batch_norm_momentum: float = 0.01
    classifier_dropout: float = 0.0


class _ConvNorm(nn.Module):
    """A convolution padded as TensorFlow's SAME, batch normalisation and, but at the end of a block, ReLU6."""

    def __init__(
        self, config: EfficientNetLiteConfig, inside: int, outside: int, kernel: int = 1, stride: int = 1,
        groups: int = 1, act: bool = True,
    ):  # fmt: skip
        super().__init__()
        self._kernel, self._stride = kernel, stride
        padding = kernel // 2 if stride == 1 else 0
        self.conv = nn.Conv2d(inside, outside, kernel, stride, padding, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(outside, eps=config.batch_norm_eps, momentum=config.batch_norm_momentum)
        self.act = nn.ReLU6(inplace=True) if act else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        if self.norm.training or type(self.conv) is not nn.Conv2d:  # such as one that PEFT has added to
            if self._stride > 1:
                x = functional.pad(x, self._missing(x))
            return self.act(self.norm(self.conv(x)))
        weight, bias = folded(self.conv, self.norm)

        def convolved(x: Tensor, ahead: int, padding: tuple[int, int]) -> Tensor:
            return functional.conv2d(x, _with_zeros(weight, ahead), bias, self._stride, padding, 1, self.conv.groups)

        return self.act(self._as_same(x, convolved))

    def packed(self, lay: Callable[[Tensor, Tensor, nn.Conv2d, nn.Module], Any]) -> Callable[[Tensor], Tensor] | None:
        """`forward` of weights that do not change, laid out by `lay(weight, bias, conv, act)`, which gives a function
        of an input and its padding; None where the convolution is not one that can be."""
        if self.norm.training or type(self.conv) is not nn.Conv2d:
            return None
        weight, bias = folded(self.conv, self.norm)
        laid = [
            lay(_with_zeros(weight, ahead), bias, self.conv, self.act)
            for ahead in ((0,) if self._stride == 1 else (0, 1))
        ]
        return lambda x: self._as_same(x, lambda x, ahead, padding: laid[ahead](x, padding))

    def _as_same(self, x: Tensor, convolved: Callable[[Tensor, int, tuple[int, int]], Tensor]) -> Tensor:
        """Padded as SAME, by the convolution itself where it can be, as a wider copy of `x` takes a tenth of the time:
        where a zero more is missing after each side than before it, a kernel with zeros ahead, which begins a place
        earlier, sees the same."""
        left, right, top, bottom = self._missing(x)
        if (left, top) == (right, bottom):
            return convolved(x, 0, (top, left))
        if (left + 1, top + 1) == (right, bottom):
            return convolved(x, 1, (bottom, right))
        return convolved(functional.pad(x, (left, right, top, bottom)), 0, (0, 0))

    def _missing(self, x: Tensor) -> tuple[int, int, int, int]:
        """Zeros at the left, right, top and bottom, the odd one after a side."""
        found = []
        for size in (x.shape[3], x.shape[2]):
            total = max((-(-size // self._stride) - 1) * self._stride + self._kernel - size, 0)
            found += [total // 2, total - total // 2]
        left, right, top, bottom = found
        return left, right, top, bottom


def _with_zeros(weight: Tensor, ahead: int) -> Tensor:
    """A kernel with so many rows and columns of zeros before its own."""
    return functional.pad(weight, (ahead, 0, ahead, 0)) if ahead else weight


class _Block(nn.Module):
    """An inverted bottleneck: wider by `ratio`, a convolution of each channel, narrow again."""

    def __init__(
        self, config: EfficientNetLiteConfig, inside: int, outside: int, kernel: int, stride: int, ratio: int
    ):  # fmt: skip
        super().__init__()
        wide = inside * ratio
        self.expand = _ConvNorm(config, inside, wide) if ratio > 1 else nn.Identity()
        self.depthwise = _ConvNorm(config, wide, wide, kernel, stride, groups=wide)
        self.project = _ConvNorm(config, wide, outside, act=False)
        self._adds = stride == 1 and inside == outside

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.project(self.depthwise(self.expand(x)))
        return x + found if self._adds else found


class _PreTrained(PreTrainedModel):
    config_class = EfficientNetLiteConfig
    base_model_prefix = "efficientnet_lite"
    main_input_name = "pixel_values"
    input_modalities = ("image",)
    _no_split_modules: ClassVar[list[str]] = ["_Block"]

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, nn.Conv2d):
            init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


class EfficientNetLiteModel(_PreTrained):
    """`blocks` from the bottom, the last of them the convolution to `hidden_size` channels."""

    def __init__(self, config: EfficientNetLiteConfig):
        super().__init__(config)
        self.embedder = _ConvNorm(config, config.num_channels, config.stem_size, 3, 2)
        self.blocks = nn.ModuleList()
        inside, reduction = config.stem_size, 2
        maps: dict[int, tuple[int, int]] = {}
        stages = zip(
            config.hidden_sizes, config.depths, config.kernel_sizes, config.strides, config.expand_ratios, strict=True
        )
        for outside, depth, kernel, stride, ratio in stages:
            reduction *= stride
            for number in range(depth):
                self.blocks.append(_Block(config, inside, outside, kernel, 1 if number else stride, ratio))
                inside = outside
            maps[reduction] = (len(self.blocks), inside)
        self.strides: tuple[int, ...] = tuple(maps)
        """Pixels of a side of the picture for each place of a map, by map."""
        self.channels: tuple[int, ...] = tuple(channels for _, channels in maps.values())
        self._ends = [end for end, _ in maps.values()]
        self.blocks.append(_ConvNorm(config, inside, config.hidden_size))
        self.pooler = nn.AdaptiveAvgPool2d((1, 1))
        self.post_init()

    def feature_maps(self, pixel_values: Tensor) -> list[Tensor]:
        """For each of `strides` (2, 4, 8, 16, 32) a map [b, channels, ceil(height / stride), ceil(width / stride)] of
        so many `channels`, from `pixel_values` [b, 3, height, width]: the last of that size, before the last
        convolution."""
        return self._run(pixel_values)[0]

    def forward(
        self, pixel_values: Tensor, output_hidden_states: bool | None = None, return_dict: bool | None = None, **_: Any
    ) -> BaseModelOutputWithPoolingAndNoAttention | tuple[Any, ...]:
        """`last_hidden_state` [b, hidden, h, w], `pooler_output` [b, hidden, 1, 1]; 'hidden_states' are the maps."""
        maps, narrow = self._run(pixel_values)
        last = self.blocks[-1](narrow)
        found = BaseModelOutputWithPoolingAndNoAttention(
            last_hidden_state=last, pooler_output=self.pooler(last),
            hidden_states=tuple(maps) if _asked(output_hidden_states, self.config.output_hidden_states) else None,
        )  # fmt: skip
        return found if _asked(return_dict, self.config.return_dict) else found.to_tuple()

    def _run(self, pixel_values: Tensor) -> tuple[list[Tensor], Tensor]:
        x = self.embedder(pixel_values)
        maps = []
        for count, block in enumerate(self.blocks[:-1], 1):
            x = block(x)
            if count in self._ends:
                maps.append(x)
        return maps, x


class EfficientNetLiteForImageClassification(_PreTrained):
    def __init__(self, config: EfficientNetLiteConfig):
        super().__init__(config)
        self.num_labels = config.num_labels
        self.efficientnet_lite = EfficientNetLiteModel(config)
        self.dropout = nn.Dropout(config.classifier_dropout)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    def forward(
        self, pixel_values: Tensor, labels: Tensor | None = None, output_hidden_states: bool | None = None,
        return_dict: bool | None = None, **_: Any,
    ) -> ImageClassifierOutputWithNoAttention | tuple[Any, ...]:  # fmt: skip
        """`logits` [b, labels], and the loss where `labels` are given, int64 [b] or float32 [b, labels]."""
        found = self.efficientnet_lite(pixel_values, output_hidden_states=output_hidden_states, return_dict=True)
        logits = self.classifier(self.dropout(found.pooler_output.flatten(1)))
        loss = None if labels is None else self.loss_function(labels, logits, self.config)
        answer = ImageClassifierOutputWithNoAttention(loss=loss, logits=logits, hidden_states=found.hidden_states)
        return answer if _asked(return_dict, self.config.return_dict) else answer.to_tuple()


def _asked(given: bool | None, usual: bool) -> bool:
    return usual if given is None else given


AutoConfig.register(EfficientNetLiteConfig.model_type, EfficientNetLiteConfig, exist_ok=True)
AutoModel.register(EfficientNetLiteConfig, EfficientNetLiteModel, exist_ok=True)
AutoModelForImageClassification.register(EfficientNetLiteConfig, EfficientNetLiteForImageClassification, exist_ok=True)
