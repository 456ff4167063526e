"""Between the weights before and after training lies a model that keeps more: WiSE-FT (Wortsman et al. 2022)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from tunesmith.core.events import Decided
from tunesmith.core.options import Options
from tunesmith.engine.loop import Setup
from tunesmith.engine.retained import Keeping, copies
from tunesmith.models.additions import moving

_ALPHAS = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.0)


class InterpolateOptions(Options):
    interpolate_alpha: float | None = Field(default=None, ge=0, le=1)
    """Where interpolate stops between the start (0) and the trained weights (1); when not given, the place that
    forgets least among those whose validation metric can not be told from the best one."""


class Interpolate:
    Options = InterpolateOptions
    summary: ClassVar[str] = "against forgetting: after training, go back part of the way to the start (WiSE-FT)"

    def __init__(self, options: InterpolateOptions, *, engine: Any, folder: Path):
        self.alpha = options.interpolate_alpha
        self._start: dict[str, Tensor] = {}

    def on_setup(self, setup: Setup, keeping: Keeping) -> None:
        self._start = copies(moving(setup.model))

    def on_trained(self, setup: Setup, keeping: Keeping) -> None:
        if self.alpha is not None:
            place(setup, self._start, copies(moving(setup.model)), self.alpha)
        else:
            self.walk(setup, keeping, self._start)

    def walk(self, setup: Setup, keeping: Keeping, start: Mapping[str, Tensor], most: float | None = None) -> None:
        """Choose between `start` and the weights as they are, which are replaced by the choice.

        With `most`, only among those that lose at most that (the start itself, if none do).
        """
        end = copies(moving(setup.model))
        found = []
        for alpha in _ALPHAS:
            setup.stop.check()
            place(setup, start, end, alpha)
            found.append((alpha, float(setup.evaluate()[setup.metric]), keeping.lost()))
        sign = 1.0 if setup.higher_is_better else -1.0
        able = [one for one in found if most is None or one[2]["high"] <= most] or [found[-1]]
        best = max(able, key=lambda one: sign * one[1])
        near = [one for one in able if sign * (best[1] - one[1]) <= setup.noise(best[1])]
        alpha, value, lost = min(near, key=lambda one: (one[2]["value"], -one[0]))
        place(setup, start, end, alpha)
        plain = found[0]
        why = f"{setup.metric} {value:.4f} and lost {lost['value']:.4f} on validation rows, at 1: "
        setup.emit(Decided("interpolate_alpha", alpha, f"{why}{plain[1]:.4f} and {plain[2]['value']:.4f}"))


@torch.no_grad()
def place(setup: Setup, start: Mapping[str, Tensor], end: Mapping[str, Tensor], alpha: float) -> None:
    """Put start + alpha (end - start) into the model, in float32."""
    for name, parameter in moving(setup.model).items():
        parameter.copy_(end[name] if alpha == 1 else torch.lerp(start[name], end[name], alpha))
