"""Training without forgetting: callbacks are set up with what is to be kept, losses measured and held down.

The same for rows and for language: both have a `Keeping` (see `retain_rows` for how one is made).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from tunesmith.core import registry
from tunesmith.core.events import Decided
from tunesmith.core.run import RunFolder
from tunesmith.core.spec import RunSpec
from tunesmith.engine import loop
from tunesmith.engine.checkpoint import CheckpointStore
from tunesmith.engine.retained import Keeping, copies, moving_body, worst
from tunesmith.evaluate import forgetting
from tunesmith.models.additions import moving

ATTEMPTS: tuple[dict[str, dict[str, float]], ...] = (
    {"rehearsal": {"rehearsal_rate": 0.5}},
    {"rehearsal": {"rehearsal_rate": 2.0}},
    {"rehearsal": {"rehearsal_rate": 2.0}, "ewc": {"ewc_strength": 1.0}},
    {"rehearsal": {"rehearsal_rate": 2.0}, "ewc": {"ewc_strength": 10.0}},
)
"""Callbacks and options that `forget_at_most` trains with, the gentlest first."""


def train(work: Any, make: Callable[[Any], loop.Setup]) -> loop.TrainState:
    """`loop.train` on the Setup that `make(work)` gives, with the callbacks against forgetting around it.

    With `forget_at_most`, also everything that it takes to lose no more.
    """
    keeping: Keeping | None = work.keeping
    most = cast(RunSpec, work.plan.spec).forget_at_most
    if keeping is None or not moving_body(work.bundle.model):
        return loop.train(make(work))
    start = copies(moving(work.bundle.model))
    setup, state = _trained(work, make, work.plan.callbacks)
    if most is not None:
        state = _Search(work, make, start, most).run(setup, state)
    return state


def chooses(spec: RunSpec) -> bool:
    """Whether the run chooses something by what was lost, and so needs to look at rows kept for that."""
    plugins = [registry.get("callbacks", name) for name in spec.callbacks]
    return spec.forget_at_most is not None or any(hasattr(plugin, "on_trained") for plugin in plugins)


def _trained(
    work: Any, make: Callable[[Any], loop.Setup], callbacks: Sequence[Any], checkpoints: str | None = None
) -> tuple[loop.Setup, loop.TrainState]:
    setup = make(work)
    setup.callbacks = list(callbacks)
    if checkpoints:
        setup.checkpoints = CheckpointStore(setup.checkpoints.folder / checkpoints, setup.checkpoints.identity)
    for callback in sorted(callbacks, key=lambda one: int(getattr(one, "turn", 1))):
        if hasattr(callback, "on_setup"):
            callback.on_setup(setup, work.keeping)
    state = loop.train(setup)
    for callback in callbacks:
        if hasattr(callback, "on_trained"):
            callback.on_trained(setup, work.keeping)
    return setup, state


class _Search:
    """The best weights, by the validation metric, that lose at most `most` for certain (the interval's end).

    First between start and trained weights, which costs no training; then by training again with stronger
    measures. It ends with the first that is as good as plain training, as far as validation rows can tell.
    """

    def __init__(self, work: Any, make: Callable[[Any], loop.Setup], start: Mapping[str, Tensor], most: float):
        self.work, self.make, self.start, self.most = work, make, start, most
        self.found: list[tuple[float, dict[str, Tensor], loop.TrainState, str]] = []

    def run(self, setup: loop.Setup, state: loop.TrainState) -> loop.TrainState:
        emit, lost = self.work.emit, self.work.keeping.lost()
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
            _place(self.work.bundle.model, self.start)
            setup, state = _trained(self.work, self.make, self._callbacks(words), f"again-{number}")
            if self._good_enough(setup, state, what, plain):
                return state
        sign = 1.0 if setup.higher_is_better else -1.0
        value, weights, state, what = max(self.found, key=lambda one: sign * one[0])
        _place(self.work.bundle.model, weights)
        emit(Decided("forget_at_most", what, f"the best of {1 + len(ATTEMPTS)} that kept enough: {value:.4f}"))
        return state

    def _good_enough(self, setup: loop.Setup, state: loop.TrainState, what: str, plain: float) -> bool:
        """Go back as far as needed, note what that gives, and say whether the new task suffered."""
        interpolate = registry.get("callbacks", "interpolate")
        walker = interpolate(interpolate.Options(), engine=setup.options, folder=self.work.folder.path)
        walker.walk(setup, self.work.keeping, self.start, self.most)
        value = float(setup.evaluate()[setup.metric])
        loss = value - plain if not setup.higher_is_better else plain - value
        good = loss <= 2 * setup.noise(plain)
        self.found.append((value, copies(moving(setup.model)), state, what))
        verdict = "as good as plain training" if good else "worse than plain training"
        why = f"{_said(self.work.keeping.lost())}, {setup.metric} {value:.4f}: {verdict} ({plain:.4f})"
        self.work.emit(Decided("forget_at_most", what, why))
        return good

    def _callbacks(self, words: Mapping[str, Mapping[str, float]]) -> list[Any]:
        plugins = {name: registry.get("callbacks", name) for name in words}
        kept = [one for one in self.work.plan.callbacks if type(one) not in plugins.values()]
        engine, folder = self.work.plan.engine, self.work.folder.path
        return kept + [
            plugin(plugin.Options(**words[name]), engine=engine, folder=folder) for name, plugin in plugins.items()
        ]


def _said(lost: Mapping[str, float]) -> str:
    return f"lost {lost['value']:.4f} ({lost['low']:.4f} to {lost['high']:.4f}) on validation rows"


@torch.no_grad()
def _place(model: Any, weights: Mapping[str, Tensor]) -> None:
    for name, parameter in moving(model).items():
        parameter.copy_(weights[name])


# measuring


class LossProbe:
    """The token loss of a language model on texts of before.

    `measure(choosing)` gives the summed loss and the learned tokens of each sequence, float [n], of the
    model as it is now.
    """

    is_task = True

    def __init__(self, name: str, measure: Callable[[bool], tuple[np.ndarray, np.ndarray]], seed: int):
        self.name, self.measure, self.seed = name, measure, seed

    def look(self, choosing: bool) -> tuple[np.ndarray, np.ndarray]:
        return self.measure(choosing)

    def compare(self, before: Any, after: Any) -> dict[str, Any]:
        probe = f"token loss on {len(before[0])} texts of {self.name}"
        return forgetting.lost_loss(before, after, name=self.name, probe=probe, seed=self.seed)


def measured(
    work: Any, metric: str, own: float | None, higher_is_better: Callable[[str], bool]
) -> dict[str, Any] | None:
    """The part 'forgetting' of metrics.json; call it on the trained model before it is saved.

    `metric` and `own`: the first metric of the new task and its value on the test rows, None if it has none there.
    """
    keeping: Keeping | None = work.keeping
    if keeping is None:
        return None
    found = keeping.compare()
    document = forgetting.document(found, worst(found))
    spec = cast(RunSpec, work.plan.spec)
    chain = earlier(spec)
    if chain and own is not None:
        document |= _matrix(chain, found, (work.folder.name, metric, own), higher_is_better)
    most = spec.forget_at_most
    if most is not None:
        lost = document["lost"]
        kept = "kept to" if lost["high"] <= most else "not certain" if lost["value"] <= most else "missed"
        why = f"lost {lost['value']:.4f} ({lost['low']:.4f} to {lost['high']:.4f}) on rows that nothing was chosen by"
        work.emit(Decided("forget_at_most", kept, why))
    return document


def earlier(spec: RunSpec) -> list[RunFolder]:
    """The runs that this one continues, the first task first."""
    chain: list[RunFolder] = []
    while spec.continue_from is not None:
        chain.insert(0, RunFolder.open(spec.continue_from))
        spec = chain[0].load_spec()
    return chain


def retained_paths(spec: RunSpec) -> list[Path]:
    """Every file or run that is retained, those of the chain first."""
    chain = [run.path.resolve() for run in earlier(spec)]
    return chain + [path for name in spec.retain or [] if (path := Path(name).resolve()) not in chain]


def _matrix(
    chain: Sequence[RunFolder], found: Sequence[Mapping[str, Any]], own: tuple[str, str, float],
    higher_is_better: Callable[[str], bool],
) -> dict[str, Any]:  # fmt: skip
    """Row i: the metric of every task up to i after stage i, on the test rows of each."""
    documents = [run.load_metrics() for run in chain]
    names = [*(document["first_metric"] for document in documents), own[1]]
    first = documents[0]["test"][names[0]]["value"]
    before = documents[-1].get("forgetting", {}).get("matrix", {}).get("values", [[first]])
    tasks = [one["after"] for one in found if "metric" in one][: len(chain)]
    values = [*before, [*tasks, own[2]]]
    matrix = {"tasks": [*(run.name for run in chain), own[0]], "metrics": names, "values": values}
    return {"matrix": matrix, **forgetting.of_sequence(values, [higher_is_better(name) for name in names])}
