"""Keys, values and feed-forward activations are scaled by learned vectors (IA3: Liu et al. 2022), through PEFT."""

from __future__ import annotations

from typing import ClassVar

from tunesmith.engine.method_kinds import Additive
from tunesmith.engine.optim import ParameterGroup
from tunesmith.models.additions import (
    feed_forward_targets,
    key_value_targets,
    linear_targets,
    split_head,
)
from tunesmith.models.bundle import Bundle


class IA3(Additive):
    summary: ClassVar[str] = "three learned scales in each block move; the smallest adapter, a few kB a block"
    learning_rate = 3e-4
    epochs = 6
    toy_rate = 3.0

    def prepare(self, bundle: Bundle, seed: int) -> None:
        from peft import IA3Config

        names = linear_targets(bundle.model)
        scaled_inside = feed_forward_targets(names)
        config = IA3Config(target_modules=key_value_targets(names) + scaled_inside, feedforward_modules=scaled_inside)
        self._add(bundle, config, seed)

    def groups(self, bundle: Bundle, learning_rate: float) -> list[ParameterGroup]:
        """The scales are ten times as fast, as they start at one where weights are of the size of a tenth (Adam's
        steps are absolute); the head, which has most of the fit to do, five times."""
        scales, head = split_head(bundle.model)
        return [ParameterGroup(scales, 10 * learning_rate), ParameterGroup(head, 5 * learning_rate)]
