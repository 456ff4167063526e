"""The best weights that lose no more than is allowed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from tunesmith.core import registry
from tunesmith.core.events import Decided
from tunesmith.engine import loop
from tunesmith.engine.interpolation import walk
from tunesmith.engine.retained import ForgettingMonitor, copies
from tunesmith.engine.setup import Callback
from tunesmith.models.model import Model
from tunesmith.runs.context import RunContext

ATTEMPTS: tuple[dict[str, dict[str, float]], ...] = (
    {"rehearsal": {"rehearsal_rate": 0.5}},
    {"rehearsal": {"rehearsal_rate": 2.0}},
    {"rehearsal": {"rehearsal_rate": 2.0}, "ewc": {"ewc_strength": 5.0}},
    {"rehearsal": {"rehearsal_rate": 2.0}, "ewc": {"ewc_strength": 50.0}},
)
"""Callbacks and options that `forget_at_most` trains with, the gentlest first."""
_COST = 0.05
"""Share of what plain training gained that may be given up before it is worth training again."""


class Trained(Protocol):
    """Trains from the weights that the model has, with these callbacks and checkpoints in a folder of their own."""

    def __call__(
        self, callbacks: Sequence[Callback], checkpoints: str | None = None
    ) -> tuple[loop.Setup, loop.TrainState]: ...


class Search:
    """The best weights, by the validation metric, that lose at most `most` for certain (the interval's end).

    First between start and trained weights, which costs no training; then by training again with stronger
    measures. It ends with the first that is as good as plain training, as far as validation rows can tell.
    """

    def __init__(
        self, run: RunContext, monitor: ForgettingMonitor, trained: Trained, start: Mapping[str, Tensor], most: float
    ):
        self.run, self.monitor, self.trained, self.start, self.most = run, monitor, trained, start, most
        self.best: tuple[bool, float, dict[str, Tensor], loop.TrainState, str] | None = None

    def train(self, setup: loop.Setup, state: loop.TrainState) -> loop.TrainState:
        emit, lost = self.run.emit, self.monitor.lost()
        plain = float(setup.evaluate()[setup.metric])
        if lost["high"] <= self.most:
            emit(Decided("forget_at_most", "plain training", f"{_said(lost)}: at most {self.most:g}"))
            return state
        emit(Decided("forget_at_most", "interpolate", f"plain training: {_said(lost)}, {setup.metric} {plain:.4f}"))
        if self._good_enough(setup, state, "interpolate", plain):
            return state
        for number, words in enumerate(ATTEMPTS, 1):
            what = ", ".join(f"{name}={value:g}" for part in words.values() for name, value in part.items())
            emit(Decided("forget_at_most", what, "what was kept so far cost the new task too much; training again"))
            _set_weights(self.run.bundle.model, self.start)
            setup, state = self.trained(self._callbacks(words), f"again-{number}")
            if self._good_enough(setup, state, what, plain):
                return state
        assert self.best is not None
        kept, value, weights, state, what = self.best
        _set_weights(self.run.bundle.model, weights)
        many = 1 + len(ATTEMPTS)
        why = f"the best of {many} that kept enough" if kept else f"none of {many} kept enough, nor did the start"
        emit(Decided("forget_at_most", what, f"{why}: {value:.4f}"))
        return state

    def _good_enough(self, setup: loop.Setup, state: loop.TrainState, what: str, plain: float) -> bool:
        """Go back as far as needed, note what that gives, and say whether the new task suffered."""
        value, before = walk(setup, self.monitor, self.start, self.most)
        sign = 1.0 if setup.higher_is_better else -1.0
        good = sign * (plain - value) <= max(2 * setup.noise(plain), _COST * abs(plain - before))
        lost = self.monitor.lost()
        kept = lost["high"] <= self.most  # what is added to a network may cost something before it is trained
        if self.best is None or (kept, sign * value) > (self.best[0], sign * self.best[1]):
            model = self.run.bundle.model
            weights = copies({name: model.get_parameter(name) for name in self.start})
            self.best = (kept, value, weights, state, what)
        verdict = "as good as plain training" if good else "worse than plain training"
        why = f"{_said(lost)}, {setup.metric} {value:.4f}: {verdict} ({plain:.4f})"
        self.run.emit(Decided("forget_at_most", what, why))
        return good and kept

    def _callbacks(self, words: Mapping[str, Mapping[str, float]]) -> list[Callback]:
        plugins = {name: registry.get("callbacks", name) for name in words}
        kept = [one for one in self.run.plan.callbacks if type(one) not in plugins.values()]
        engine, folder = self.run.plan.engine, self.run.folder.path
        return kept + [
            plugin(plugin.Options(**words[name]), engine=engine, folder=folder) for name, plugin in plugins.items()
        ]


def _said(lost: Mapping[str, float]) -> str:
    return f"lost {lost['value']:.4f} ({lost['low']:.4f} to {lost['high']:.4f}) on validation rows"


@torch.no_grad()
def _set_weights(model: Model, weights: Mapping[str, Tensor]) -> None:
    """Put `weights` into the model; they move again, also where a method had frozen some meanwhile."""
    for name, values in weights.items():
        parameter = model.get_parameter(name)
        parameter.requires_grad_(True)
        parameter.copy_(values)
