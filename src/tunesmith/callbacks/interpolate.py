"""Between the weights before and after training lies a model that keeps more: WiSE-FT (Wortsman et al. 2022)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field
from torch import Tensor

from tunesmith.core.options import Options
from tunesmith.engine.interpolation import place, walk, weights
from tunesmith.engine.retained import ForgettingMonitor, copies
from tunesmith.engine.setup import Callback, Setup
from tunesmith.models.additions import moving


class InterpolateOptions(Options):
    interpolate_alpha: float | None = Field(default=None, ge=0, le=1)
    """Where interpolate stops between the start (0) and the trained weights (1); when not given, the place that
    forgets least among those whose validation metric costs next to nothing beside the best one."""


class Interpolate(Callback):
    Options = InterpolateOptions
    summary: ClassVar[str] = "against forgetting: after training, go back part of the way to the start (WiSE-FT)"

    def on_setup(self, setup: Setup, monitor: ForgettingMonitor) -> None:
        self._start: Mapping[str, Tensor] = monitor.way(setup.model, copies(moving(setup.model)))

    def on_trained(self, setup: Setup, monitor: ForgettingMonitor) -> None:
        alpha = self.options.interpolate_alpha
        if alpha is None:
            walk(setup, monitor, self._start)
        else:
            place(setup.model, self._start, weights(setup.model, self._start), alpha)
