"""Only the last block and the head move."""

from __future__ import annotations

from tunesmith.core.options import Options
from tunesmith.engine.optim import ParameterGroup
from tunesmith.engine.protocols import Method
from tunesmith.models.additions import moving
from tunesmith.models.blocks import depths
from tunesmith.models.bundle import Bundle


class LastBlockOptions(Options):
    head_speed: float = 2.0
    """Learning rate of the head as a multiple of that of the block."""


class LastBlock(Method):
    Options = LastBlockOptions
    summary = "the last block and the head learn"
    learning_rate, epochs = 3e-4, 3
    families = ("predictive",)

    def prepare(self, bundle: Bundle, seed: int) -> None:
        depth_of, top = depths(bundle.model)
        for name, parameter in bundle.model.named_parameters():
            if depth_of[name] < top - 1:
                parameter.requires_grad_(False)

    def frozen_blocks(self, bundle: Bundle) -> int:
        return depths(bundle.model)[1] - 2

    def groups(self, bundle: Bundle, learning_rate: float) -> list[ParameterGroup]:
        depth_of, top = depths(bundle.model)
        named = moving(bundle.model)
        head = {name: one for name, one in named.items() if depth_of[name] == top}
        block = {name: one for name, one in named.items() if depth_of[name] < top}
        return [
            ParameterGroup(block, learning_rate),
            ParameterGroup(head, learning_rate * self.options.head_speed),
        ]
