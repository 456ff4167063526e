"""Weights between those before and after training, chosen by validation and by what was forgotten: WiSE-FT (Wortsman
et al. 2022)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from tunesmith.core.events import Decided
from tunesmith.engine.retained import ForgettingMonitor, copies
from tunesmith.engine.setup import Setup

_ALPHAS = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.0)
_COST = 0.05
"""Share of what training gained that may be given back for forgetting less, where noise would hide less."""


def walk(
    setup: Setup, monitor: ForgettingMonitor, start: Mapping[str, Tensor], most: float | None = None
) -> tuple[float, float]:
    """Choose between `start` and the weights as they are, which are replaced by the choice.

    With `most`, only among those that lose at most that (the start itself, if none do). Returns the
    validation metric of the choice and that of `start`.
    """
    start = monitor.way(setup.model, start)
    end = weights(setup.model, start)
    found = []
    for alpha in _ALPHAS:
        setup.stop.check()
        place(setup.model, start, end, alpha)
        found.append((alpha, float(setup.evaluate()[setup.metric]), monitor.lost()))
    sign = 1.0 if setup.higher_is_better else -1.0
    able = [one for one in found if most is None or one[2]["high"] <= most] or [found[-1]]
    best, before = max(able, key=lambda one: sign * one[1])[1], found[-1][1]
    slack = max(setup.noise(best), _COST * abs(best - before))
    near = [one for one in able if sign * (best - one[1]) <= slack]
    alpha, value, lost = min(near, key=lambda one: (one[2]["value"], -one[0]))
    place(setup.model, start, end, alpha)
    _, plain, forgotten = found[0]
    why = f"{setup.metric} {value:.4f} and lost {lost['value']:.4f} on validation rows, at 1: "
    setup.emit(Decided("interpolate_alpha", alpha, f"{why}{plain:.4f} and {forgotten['value']:.4f}"))
    return value, before


def weights(model: nn.Module, names: Iterable[str]) -> dict[str, Tensor]:
    return copies({name: model.get_parameter(name) for name in names})


@torch.no_grad()
def place(model: nn.Module, start: Mapping[str, Tensor], end: Mapping[str, Tensor], alpha: float) -> None:
    """Put start + alpha (end - start) into the model, in float32."""
    for name in start:
        model.get_parameter(name).copy_(end[name] if alpha == 1 else torch.lerp(start[name], end[name], alpha))
