"""Bottleneck adapters as a tuner of PEFT: what PEFT saves, loads, stacks and disables, it does here too.

After a linear layer stands x + up(act(down(x))), with `down` [width / reduction, width] and `up` back
again; after a convolution the same at every place. Houlsby et al. 2019 (arXiv 1902.00751, section 2) put
one after the attention output and one after the feed-forward part of each block, Pfeiffer et al. 2020
(arXiv 2005.00247, section 2.2.2) after the feed-forward part alone. `up` starts at zero, so training
starts from the base model itself. The additions are not linear and can not be folded into the weights:
they are saved beside them.

Importing this module teaches PEFT the type BOTTLENECK.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from peft import PeftConfig
from torch import Tensor, nn
from transformers.activations import ACT2FN

from tunesmith.models.tuner import Tuner, TunerLayer, TunerType, look_like, teach_peft


@dataclass
class BottleneckConfig(PeftConfig):
    target_modules: list[str] | set[str] | str | None = field(
        default=None, metadata={"help": "Linear layers that an adapter follows."}
    )
    exclude_modules: list[str] | str | None = field(default=None, metadata={"help": "Layers that none follows."})
    reduction_factor: float = field(default=16, metadata={"help": "Width of a layer by that of its adapter."})
    non_linearity: str = field(default="relu", metadata={"help": "Activation, by its name in transformers."})
    modules_to_save: list[str] | None = field(default=None, metadata={"help": "Other modules that are trained."})

    def __post_init__(self) -> None:
        super().__post_init__()
        self.peft_type = TunerType.BOTTLENECK
        if isinstance(self.target_modules, list):
            self.target_modules = set(self.target_modules)


class BottleneckLayer(TunerLayer):
    """A linear layer, or a convolution, and for every adapter by name what is added to its output, [..., width] or
    [b, width, h, w]."""

    adapter_layer_names = ("bottleneck_down", "bottleneck_up")
    not_merged = "Bottleneck adapters are not linear: they can not be merged into weights."
    bottleneck_down: nn.ModuleDict
    bottleneck_up: nn.ModuleDict

    def __init__(self, base_layer: nn.Module, adapter_name: str, config: BottleneckConfig):
        super().__init__(base_layer, adapter_name)
        self._acts: dict[str, nn.Module] = {}
        look_like(self, base_layer)
        self.update_layer(adapter_name, config)

    def update_layer(self, adapter_name: str, config: BottleneckConfig) -> None:
        """Add an adapter; the identity at first: `up` is zero, `down` drawn as any linear layer."""
        peft: Any = self  # its half of this class, which is not typed
        base = peft.get_base_layer()
        # transformers' Conv1D has another name for it, and a convolution a third
        width = next(int(getattr(base, name)) for name in ("out_features", "nf", "out_channels") if hasattr(base, name))
        narrow = max(1, round(width / config.reduction_factor))
        down, up = (
            (nn.Conv2d(width, narrow, 1), nn.Conv2d(narrow, width, 1)) if isinstance(base, nn.Conv2d)
            else (nn.Linear(width, narrow), nn.Linear(narrow, width))
        )  # fmt: skip
        nn.init.zeros_(up.weight)
        assert up.bias is not None
        nn.init.zeros_(up.bias)
        self.bottleneck_down[adapter_name], self.bottleneck_up[adapter_name] = down, up
        self._acts[adapter_name] = ACT2FN[config.non_linearity]
        self._added(adapter_name, config.inference_mode)

    def forward(self, x: Tensor, *arguments: object, **named: object) -> Tensor:
        result: Tensor = self.base_layer(x, *arguments, **named)
        for name in self._running():  # several are stacked: each reads what the one before gave
            down: Any = self.bottleneck_down[name]
            inner = self._acts[name](down(result.to(down.weight.dtype)))
            result = result + self.bottleneck_up[name](inner).to(result.dtype)
        return result


class BottleneckModel(Tuner):
    prefix = "bottleneck_"
    tuner_layer_cls = BottleneckLayer

    def _create_and_replace(
        self, peft_config: BottleneckConfig, adapter_name: str, target: nn.Module, target_name: str, parent: nn.Module,
        **_: object,
    ) -> None:  # fmt: skip
        if isinstance(target, BottleneckLayer):
            target.update_layer(adapter_name, peft_config)
        else:
            self._put_in(BottleneckLayer(target, adapter_name, peft_config), adapter_name, parent, target_name, target)


teach_peft(TunerType.BOTTLENECK, BottleneckConfig, BottleneckModel)
