"""Keys, values and feed-forward activations are scaled by learned vectors (IA3: Liu et al. 2022), through PEFT."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from tunesmith.core.options import Options
from tunesmith.engine.optim import ParameterGroup
from tunesmith.engine.protocols import Method
from tunesmith.models.additions import (
    add_to,
    feed_forward_targets,
    key_value_targets,
    linear_targets,
    quiet_peft,
    split_head,
)
from tunesmith.models.bundle import Bundle


class IA3Options(Options):
    pass


class IA3(Method):
    Options = IA3Options
    summary: ClassVar[str] = "three learned scales in each block move; the smallest adapter, a few kB a block"
    learning_rate = 3e-4
    epochs = 6
    adds = True

    def __init__(self, options: IA3Options):
        self.options = options
        self._peft: Any = None

    def prepare(self, bundle: Bundle, seed: int) -> None:
        from peft import IA3Config

        names = linear_targets(bundle.model)
        scaled_inside = feed_forward_targets(names)
        config = IA3Config(target_modules=key_value_targets(names) + scaled_inside, feedforward_modules=scaled_inside)
        self._peft = add_to(bundle.model, config, seed)

    def groups(self, bundle: Bundle, learning_rate: float) -> list[ParameterGroup]:
        """The scales are ten times as fast, as they start at one where weights are of the size of a tenth (Adam's
        steps are absolute); the head, which has most of the fit to do, five times."""
        scales, head = split_head(bundle.model)
        return [ParameterGroup(scales, 10 * learning_rate), ParameterGroup(head, 5 * learning_rate)]

    def merge(self, bundle: Bundle, folder: Path) -> None:
        """Save the scales in PEFT's layout in `folder`/adapter, then multiply them into the weights."""
        with quiet_peft():
            self._peft.save_pretrained(folder / "adapter", safe_serialization=True)
            bundle.model.network = self._peft.merge_and_unload()
