"""The network is unfrozen from the head down, stage by stage, lower blocks ever slower (Howard & Ruder 2018)."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from tunesmith.engine.method_kinds import FrozenShare, FrozenShareOptions
from tunesmith.models.additions import moving
from tunesmith.models.blocks import depths
from tunesmith.models.bundle import Bundle


class GradualOptions(FrozenShareOptions):
    stages: int = Field(default=3, ge=1)
    """Steps until all that is to move moves: the head alone in the first, a share of the blocks more in each."""
    unfreeze: Literal["epoch", "stall"] = "epoch"
    """When the next stage begins: with each epoch, or after one in which validation has not improved (give it enough
    epochs then)."""
    rate_decay: float = Field(default=2.6, ge=1)
    """Learning rate of each block by that of the block below it."""


class Gradual(FrozenShare):
    Options = GradualOptions
    summary: ClassVar[str] = "the model learns from its last layer down, stage by stage"
    learning_rate = 2e-4
    language_learning_rate = 5e-4
    epochs = 5
    rate_by_width = True
    same_batches = True
    """What is frozen in a stage is run once, in the batches of the training; else it would round differently."""

    def __init__(self, options: GradualOptions):
        super().__init__(options)
        self._later: dict[str, int] = {}
        """Depth of each parameter that moves at some time; empty before `prepare`."""

    def prepare(self, bundle: Bundle, seed: int) -> None:
        """Freeze what never moves. What is unfrozen later counts as moving from the start: the optimizer knows it, and
        every checkpoint holds it. `on_stage` then says what has a gradient."""
        super().prepare(bundle, seed)
        depth_of, _ = depths(bundle.model)
        self._later = {name: depth_of[name] for name in moving(bundle.model)}

    def stage(self, epoch: int, before: int, stalled: bool) -> int:
        wanted = epoch if self.options.unfreeze == "epoch" else before + (stalled and epoch > 0)
        return min(wanted, self.options.stages - 1)

    def on_stage(self, stage: int, bundle: Bundle) -> bool:
        lowest = self._lowest_moving(stage, bundle)
        for name, parameter in bundle.model.named_parameters():
            if name in self._later:
                parameter.requires_grad_(self._later[name] >= lowest)
                if not parameter.requires_grad:
                    parameter.grad = None
        return stage >= self.options.stages - 1

    def _lowest_moving(self, stage: int, bundle: Bundle) -> int:
        """The depth from which on the network moves in that stage; in the first of several that of the highest part
        that is not frozen, which is the head where nobody asks for another."""
        lowest = self._lowest(bundle)
        if stage >= self.options.stages - 1:
            return lowest
        depth_of, _ = depths(bundle.model)
        highest = max((depth_of[name] for name in self._later or moving(bundle.model)), default=lowest)
        return highest - round((highest - lowest) * stage / (self.options.stages - 1))

    def frozen_prefix(self, stage: int, bundle: Bundle) -> int:
        return max(0, self._lowest_moving(stage, bundle) - 1)

    def _rate(self, below: int, learning_rate: float) -> float:
        return float(learning_rate / self.options.rate_decay ** max(0, below))  # the head is as fast as the top block
