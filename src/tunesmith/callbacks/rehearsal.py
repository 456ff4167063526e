"""Retained rows are learned again beside the new ones (experience replay: Robins 1995; Rolnick et al. 2019)."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from tunesmith.core.options import Options
from tunesmith.engine.mixed import MixedObjective
from tunesmith.engine.retained import ForgettingMonitor
from tunesmith.engine.setup import Callback, Setup


class RehearsalOptions(Options):
    rehearsal_rate: float = Field(default=0.5, gt=0, le=10)
    """Retained rows that rehearsal learns with each new row."""
    sampled_texts: int = Field(default=0, ge=0, le=10_000)
    """Texts that a language model writes of itself before training, to be retained beside, or without, data that it
    learned from (pseudo-rehearsal: Robins 1995; of language models: Sun et al. 2020)."""


class Rehearsal(Callback):
    Options = RehearsalOptions
    summary: ClassVar[str] = "against forgetting: learn retained rows again beside the new ones"

    def on_setup(self, setup: Setup, monitor: ForgettingMonitor) -> None:
        setup.objective = MixedObjective(
            setup.objective, [one.objective for one in monitor.retained], self.options.rehearsal_rate, setup.seed
        )
