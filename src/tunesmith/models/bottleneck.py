"""Bottleneck adapters as a tuner of PEFT: what PEFT saves, loads, stacks and disables, it does here too.

After a linear layer stands x + up(act(down(x))), with `down` [width / reduction, width] and `up` back
again. Houlsby et al. 2019 (arXiv 1902.00751, section 2) put one after the attention output and one after
the feed-forward part of each block, Pfeiffer et al. 2020 (arXiv 2005.00247, section 2.2.2) after the
feed-forward part alone. `up` starts at zero, so training starts from the base model itself. The additions
are not linear and can not be folded into the weights: they are saved beside them.

Importing this module teaches PEFT the type BOTTLENECK.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from peft import PeftConfig
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING, PEFT_TYPE_TO_PREFIX_MAPPING, PEFT_TYPE_TO_TUNER_MAPPING
from peft.tuners.tuners_utils import BaseTuner, BaseTunerLayer
from torch import Tensor, nn
from transformers.activations import ACT2FN


class BottleneckType(str, Enum):  # noqa: UP042 - as PEFT's own, whose tables then find it by its name too
    """The type that an adapter_config.json names. PEFT's own enumeration is closed; its tables are not."""

    BOTTLENECK = "BOTTLENECK"


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
        self.peft_type = BottleneckType.BOTTLENECK
        if isinstance(self.target_modules, list):
            self.target_modules = set(self.target_modules)


class BottleneckLayer(nn.Module, BaseTunerLayer):
    """A linear layer and, for every adapter by name, what is added to its output [..., width]."""

    adapter_layer_names = ("bottleneck_down", "bottleneck_up")
    other_param_names = ()

    def __init__(self, base_layer: nn.Module, adapter_name: str, config: BottleneckConfig):
        super().__init__()
        self.base_layer = base_layer
        self.bottleneck_down = nn.ModuleDict()
        self.bottleneck_up = nn.ModuleDict()
        self._acts: dict[str, nn.Module] = {}
        self._disable_adapters = False
        self.merged_adapters: list[str] = []
        self._active_adapter = adapter_name
        self.update_layer(adapter_name, config)

    def update_layer(self, adapter_name: str, config: BottleneckConfig) -> None:
        """Add an adapter; the identity at first: `up` is zero, `down` drawn as any linear layer."""
        tuner: Any = self  # PEFT's half of this class, which is not typed
        base = tuner.get_base_layer()
        width = int(getattr(base, "out_features", 0) or base.nf)  # transformers' Conv1D has another name for it
        narrow = max(1, round(width / config.reduction_factor))
        down, up = nn.Linear(width, narrow), nn.Linear(narrow, width)
        nn.init.zeros_(up.weight)
        nn.init.zeros_(up.bias)
        self.bottleneck_down[adapter_name], self.bottleneck_up[adapter_name] = down, up
        self._acts[adapter_name] = ACT2FN[config.non_linearity]
        tuner._move_adapter_to_device_of_base_layer(adapter_name)
        tuner.set_adapter(tuner.active_adapters, inference_mode=config.inference_mode)

    def forward(self, x: Tensor, *arguments: Any, **named: Any) -> Tensor:
        result: Tensor = self.base_layer(x, *arguments, **named)
        active: Any = [] if self.disable_adapters else self.active_adapters
        for name in active:  # several are stacked: each reads what the one before gave
            if name in self.bottleneck_down:
                down: Any = self.bottleneck_down[name]
                up: Any = self.bottleneck_up[name]
                inner = result.to(down.weight.dtype)
                result = result + up(self._acts[name](down(inner))).to(result.dtype)
        return result

    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        raise NotImplementedError("Bottleneck adapters are not linear: they can not be merged into weights.")


class BottleneckModel(BaseTuner):
    """What PEFT calls to put the layers in."""

    prefix = "bottleneck_"
    tuner_layer_cls = BottleneckLayer
    target_module_mapping: dict[str, list[str]] = {}  # noqa: RUF012 - as in PEFT's own tuners

    def _create_and_replace(
        self, peft_config: Any, adapter_name: str, target: nn.Module, target_name: str, parent: nn.Module,
        current_key: str, parameter_name: str | None = None,
    ) -> None:  # fmt: skip
        if isinstance(target, BottleneckLayer):
            target.update_layer(adapter_name, peft_config)
            return
        layer = BottleneckLayer(target, adapter_name, peft_config)
        if adapter_name not in self.active_adapters:
            layer.requires_grad_(False)
        self._replace_module(parent, target_name, layer, target)


PEFT_TYPE_TO_CONFIG_MAPPING[BottleneckType.BOTTLENECK] = BottleneckConfig
PEFT_TYPE_TO_TUNER_MAPPING[BottleneckType.BOTTLENECK] = BottleneckModel
PEFT_TYPE_TO_PREFIX_MAPPING[BottleneckType.BOTTLENECK] = BottleneckModel.prefix
