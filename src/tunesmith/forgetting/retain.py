"""Training without forgetting: callbacks are set up with what is to be kept, losses measured and held down.

The same for rows and for language: both have a `Keeping`, made in `retain_rows` and `retain_language`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from tunesmith.core import registry
from tunesmith.core.errors import DataError, OptionError, Problem
from tunesmith.core.events import Decided
from tunesmith.core.run import RunFolder, is_run
from tunesmith.core.spec import RunSpec
from tunesmith.engine import loop
from tunesmith.engine.checkpoint import CheckpointStore
from tunesmith.engine.retained import Keeping, copies, moving_body
from tunesmith.engine.setup import overrides
from tunesmith.evaluate import forgetting
from tunesmith.evaluate.metrics import higher_is_better
from tunesmith.models.additions import described, moving
from tunesmith.models.virtual import can_merge
from tunesmith.runs import choose
from tunesmith.runs.family import family_of

ATTEMPTS: tuple[dict[str, dict[str, float]], ...] = (
    {"rehearsal": {"rehearsal_rate": 0.5}},
    {"rehearsal": {"rehearsal_rate": 2.0}},
    {"rehearsal": {"rehearsal_rate": 2.0}, "ewc": {"ewc_strength": 5.0}},
    {"rehearsal": {"rehearsal_rate": 2.0}, "ewc": {"ewc_strength": 50.0}},
)
"""Callbacks and options that `forget_at_most` trains with, the gentlest first."""
APART = ("adapters", "prompt", "prefix", "head")
"""Methods that leave a base as it is, so that adapters of earlier tasks beside it still answer as they did."""
_COST = 0.05
"""Share of what plain training gained that may be given up before it is worth training again."""


def check(spec: RunSpec, family: str) -> None:
    """What makes no sense, before anything is computed. `family`: the one of the run.

    Raises OptionError, FolderError (a run that is not there or not finished), DataError (no such file).
    """
    given = {"--retain": spec.retain, "--continue-from": spec.continue_from, "--forget-at-most": spec.forget_at_most}
    asked = [flag for flag, value in given.items() if value is not None]
    if asked and spec.method == "scratch":  # the one method that throws away what there was
        raise OptionError(
            f"{asked[0]} with --method scratch: it begins with random weights, which know nothing to be kept.",
            "Use another method, such as full.",
        )
    earlier = Path(spec.continue_from) if spec.continue_from else None
    if earlier and not is_run(earlier) and (earlier / "config.json").exists():
        raise OptionError(
            f"--continue-from {earlier} is a model, and not the run that it came from.",
            f"Train on it with --model {earlier}, which keeps its template and tokens, or give the run's folder.",
        )
    if family == "predictive" and spec.options.get("sampled_texts"):
        raise OptionError(
            "sampled_texts: a model with one answer per row writes no text that could be retained.",
            "Give what it must not forget with --retain.",
        )
    if spec.continue_from:
        _check_additions(Path(spec.continue_from), spec.method, family)
    for path in retained_paths(spec):
        if is_run(path):
            finished(path, family)
        elif not path.exists():
            raise DataError(Problem("no such file or run", file=str(path)), "Correct the path given to --retain.")


def _check_additions(path: Path, method: str, family: str) -> None:
    """Of runs whose body is more than one network, those with columns can be continued: by another column."""
    if family == "generative":
        beside = [name for name in registry.names("methods") if stays_beside(name)]
        if stands_apart(path) and method not in beside:
            raise _beside_only(path, method, beside)
        return
    kind = additions(path).get("peft_type")
    if kind == "COLUMN" and method != "progressive":
        raise OptionError(
            f"The run {path} is a progressive network, whose columns stay as they are.",
            "Learn the next task in a column of its own: --method progressive.",
        )
    if kind not in (None, "COLUMN") and method not in APART:
        raise _beside_only(path, method, APART)


def _beside_only(path: Path, method: str, fitting: Sequence[str]) -> OptionError:
    return OptionError(
        f"The run {path} keeps what it learned in an adapter beside its base, which --method {method} would move "
        "from under it.",
        f"Learn the next task beside the same base: --method {', '.join(fitting[:-1])} or {fitting[-1]}.",
    )


def stays_beside(method: str) -> bool:
    """Whether a method of models that write leaves the base as it is, and lies beside it."""
    return "generative" in choose.families_of(method) and bool(registry.get("methods", method).adds)


def stands_apart(path: Path) -> bool:
    """Whether what a run that writes text has learned can not become part of its base's weights."""
    return bool(additions(path)) and not can_merge(path / "model")


def additions(path: Path) -> dict[str, Any]:
    """PEFT's description of what lies beside the base in a run's model; empty where nothing does."""
    return described(path / "model")


def finished(path: Path, family: str) -> RunFolder:
    """A finished run of that family. Raises FolderError, OptionError."""
    run = RunFolder.open(path)
    run.load_metrics()
    if family_of(run.load_spec()) != family:
        rows = f"The run {path} gives one answer per row, and this one writes text."
        text = f"The run {path} writes text, and this one gives one answer per row."
        raise OptionError(rows if family == "generative" else text, "Give a run of the same kind.")
    return run


def base_name(spec: RunSpec) -> str:
    """The name of the base model: the run that is continued, or what was asked for. Raises OptionError."""
    if spec.continue_from is None:
        return spec.model
    if spec.model not in ("auto", spec.continue_from):
        raise OptionError(
            f"--continue-from {spec.continue_from} starts from the model of that run, so --model {spec.model} "
            "can not be had as well.",
            "Leave one of them out.",
        )
    return spec.continue_from


def train(work: Any, make: Callable[[Any], loop.Setup]) -> loop.TrainState:
    """`loop.train` on the Setup that `make(work)` gives, with the callbacks against forgetting around it.

    With `forget_at_most`, also everything that it takes to lose no more.
    """
    keeping: Keeping | None = work.keeping
    spec = cast(RunSpec, work.plan.spec)
    if keeping is None or not moving_body(work.bundle.model):
        if keeping is not None:
            keeping.moves = False
            if holds(spec):
                why = f"--method {spec.method} moves nothing below the head, so there is nothing to hold"
                work.emit(Decided("forgetting", "impossible", why))
        return loop.train(make(work))
    start = copies(moving(work.bundle.model))
    setup, state = _trained(work, make, work.plan.callbacks)
    if spec.forget_at_most is not None:
        state = _Search(work, make, start, spec.forget_at_most).run(setup, state)
    return state


def holds(spec: RunSpec) -> bool:
    """Whether anything is done against forgetting, beside measuring it."""
    plugins = [registry.get("callbacks", name) for name in spec.callbacks]
    return spec.forget_at_most is not None or any(overrides(plugin, "on_setup") for plugin in plugins)


def chooses(spec: RunSpec) -> bool:
    """Whether the run chooses something by what was lost, and so needs to look at rows kept for that."""
    plugins = [registry.get("callbacks", name) for name in spec.callbacks]
    return spec.forget_at_most is not None or any(overrides(plugin, "on_trained") for plugin in plugins)


def _trained(
    work: Any, make: Callable[[Any], loop.Setup], callbacks: Sequence[Any], checkpoints: str | None = None
) -> tuple[loop.Setup, loop.TrainState]:
    setup = make(work)
    setup.callbacks = list(callbacks)
    if checkpoints:
        setup.checkpoints = CheckpointStore(
            setup.checkpoints.folder / checkpoints, setup.checkpoints.identity, setup.emit
        )
    for callback in sorted(callbacks, key=lambda one: one.turn):
        callback.on_setup(setup, work.keeping)
    state = loop.train(setup)
    for callback in callbacks:
        callback.on_trained(setup, work.keeping)
    return setup, state


class _Search:
    """The best weights, by the validation metric, that lose at most `most` for certain (the interval's end).

    First between start and trained weights, which costs no training; then by training again with stronger
    measures. It ends with the first that is as good as plain training, as far as validation rows can tell.
    """

    def __init__(self, work: Any, make: Callable[[Any], loop.Setup], start: Mapping[str, Tensor], most: float):
        self.work, self.make, self.start, self.most = work, make, start, most
        self.best: tuple[bool, float, dict[str, Tensor], loop.TrainState, str] | None = None

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
        assert self.best is not None
        kept, value, weights, state, what = self.best
        _place(self.work.bundle.model, weights)
        many = 1 + len(ATTEMPTS)
        why = f"the best of {many} that kept enough" if kept else f"none of {many} kept enough, nor did the start"
        emit(Decided("forget_at_most", what, f"{why}: {value:.4f}"))
        return state

    def _good_enough(self, setup: loop.Setup, state: loop.TrainState, what: str, plain: float) -> bool:
        """Go back as far as needed, note what that gives, and say whether the new task suffered."""
        interpolate = registry.get("callbacks", "interpolate")
        walker = interpolate(interpolate.Options(), engine=setup.options, folder=self.work.folder.path)
        value, before = walker.walk(setup, self.work.keeping, self.start, self.most)
        sign = 1.0 if setup.higher_is_better else -1.0
        good = sign * (plain - value) <= max(2 * setup.noise(plain), _COST * abs(plain - before))
        lost = self.work.keeping.lost()
        kept = lost["high"] <= self.most  # what is added to a network may cost something before it is trained
        if self.best is None or (kept, sign * value) > (self.best[0], sign * self.best[1]):
            model = self.work.bundle.model
            weights = copies({name: model.get_parameter(name) for name in self.start})
            self.best = (kept, value, weights, state, what)
        verdict = "as good as plain training" if good else "worse than plain training"
        why = f"{_said(lost)}, {setup.metric} {value:.4f}: {verdict} ({plain:.4f})"
        self.work.emit(Decided("forget_at_most", what, why))
        return good and kept

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
    """Put `weights` into the model; they move again, also where a method had frozen some meanwhile."""
    for name, values in weights.items():
        parameter = model.get_parameter(name)
        parameter.requires_grad_(True)
        parameter.copy_(values)


# measuring


def measured(work: Any, metric: str, own: float | None) -> dict[str, Any] | None:
    """The part 'forgetting' of metrics.json; call it on the trained model before it is saved.

    `metric` and `own`: the first metric of the new task and its value on the test rows, None if it has none there.
    """
    keeping: Keeping | None = work.keeping
    if keeping is None:
        return None
    found = keeping.compare()
    counts = keeping.worst(found)
    document = forgetting.document(found, counts)
    spec = cast(RunSpec, work.plan.spec)
    chain = earlier(spec)
    if chain:
        document |= _matrix(chain, found, (work.folder.name, metric, own))
    lost = document["lost"]
    if spec.retain or chain or holds(spec):
        interval = f"95 % interval {lost['low']:.4f} to {lost['high']:.4f}"
        work.emit(Decided("lost", round(lost["value"], 4), f"{interval}; before against after: {counts['probe']}"))
    most = spec.forget_at_most
    if most is not None:
        lost = max((one["lost"] for one in keeping.counted(found)), key=lambda one: float(one["high"]))
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
    """Every file or run that is retained, once, those of the chain first."""
    chain = [run.path.resolve() for run in earlier(spec)]
    return list(dict.fromkeys([*chain, *(Path(name).resolve() for name in spec.retain or [])]))


def _matrix(
    chain: Sequence[RunFolder], found: Sequence[Mapping[str, Any]], own: tuple[str, str, float | None],
) -> dict[str, Any]:  # fmt: skip
    """Row i: the metric of every task up to i after stage i, on the test rows of each."""
    documents = [run.load_metrics() for run in chain]
    names = [*(document["first_metric"] for document in documents), own[1]]
    first = documents[0]["test"].get(names[0], {"value": None})["value"]
    before = documents[-1].get("forgetting", {}).get("matrix", {}).get("values", [[first]])
    values = [*before, [*(one["after"] for one in found[: len(chain)]), own[2]]]
    matrix = {"tasks": [*(run.name for run in chain), own[0]], "metrics": names, "values": values}
    return {"matrix": matrix, **forgetting.of_sequence(values, [higher_is_better(name) for name in names])}
