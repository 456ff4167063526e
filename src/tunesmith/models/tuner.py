"""What tuners of our own share: PEFT puts them in, and saves, loads, stacks and disables them as it does its own."""

from __future__ import annotations

from enum import Enum
from typing import Any, ClassVar

from peft import PeftConfig
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING, PEFT_TYPE_TO_PREFIX_MAPPING, PEFT_TYPE_TO_TUNER_MAPPING
from peft.tuners.tuners_utils import BaseTuner, BaseTunerLayer
from torch import nn


class TunerType(str, Enum):  # noqa: UP042 - as PEFT's own, whose tables then find it by its name too
    """Types that an adapter_config.json names. PEFT's own enumeration is closed; its tables are not."""

    BOTTLENECK = "BOTTLENECK"
    COLUMN = "COLUMN"


class TunerLayer(nn.Module, BaseTunerLayer):
    """A part of the base, and by the name of each adapter what learns beside it."""

    adapter_layer_names: tuple[str, ...] = ()
    other_param_names: tuple[str, ...] = ()
    not_merged: ClassVar[str]
    """Why it can not become part of the base's weights."""

    def __init__(self, base_layer: nn.Module, adapter_name: str):
        super().__init__()
        self.base_layer = base_layer
        self._active_adapter = adapter_name
        for name in self.adapter_layer_names:
            setattr(self, name, nn.ModuleDict())

    def _added(self, adapter_name: str, inference_mode: bool) -> None:
        """To be called when an adapter has its modules."""
        peft: Any = self  # its half of this class, which is not typed
        peft._move_adapter_to_device_of_base_layer(adapter_name)
        peft.set_adapter(peft.active_adapters, inference_mode=inference_mode)

    def _running(self) -> list[str]:
        """Names of the adapters that are switched on."""
        active: Any = [] if self.disable_adapters else self.active_adapters
        return [name for name in active if name in getattr(self, self.adapter_layer_names[0])]

    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        raise NotImplementedError(self.not_merged)


def look_like(layer: nn.Module, base: nn.Module) -> None:
    """`layer` stands in the place of a convolution `base`, and some networks pad by what that says of itself."""
    if isinstance(base, nn.Conv2d):
        for name in ("stride", "kernel_size", "dilation"):
            setattr(layer, name, getattr(base, name))


class Tuner(BaseTuner):
    """What PEFT calls to put the layers in."""

    target_module_mapping: ClassVar[dict[str, list[str]]] = {}

    def _put_in(self, layer: TunerLayer, adapter_name: str, parent: nn.Module, name: str, target: nn.Module) -> None:
        if adapter_name not in self.active_adapters:
            layer.requires_grad_(False)
        self._replace_module(parent, name, layer, target)


def teach_peft(kind: TunerType, config: type[PeftConfig], tuner: type[Tuner]) -> None:
    """PEFT knows the type from then on."""
    PEFT_TYPE_TO_CONFIG_MAPPING[kind] = config
    PEFT_TYPE_TO_TUNER_MAPPING[kind] = tuner
    PEFT_TYPE_TO_PREFIX_MAPPING[kind] = tuner.prefix
