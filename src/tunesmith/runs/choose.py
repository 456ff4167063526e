"""Automatic choices that need more than one part to make: task, model, method."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tunesmith.core import registry
from tunesmith.core.errors import DataError, OptionError, Problem
from tunesmith.core.events import Decided, Emit
from tunesmith.core.spec import RunSpec
from tunesmith.data.prepared import PreparedData
from tunesmith.data.target_kind import kind_named
from tunesmith.data.types import Columns, Kind
from tunesmith.engine.modality import Modality
from tunesmith.engine.protocols import PredictiveTask
from tunesmith.models import catalog

FULL_ROWS, FULL_PER_CLASS = 2_000, 16
"""Training rows, and those of the median class, from which `full` measured as good as `contrastive`, in half the
time; with fewer, `contrastive` was better wherever the base knew little about the classes."""
MANY_PER_CLASS = 200
"""Rows of the median class from which on `contrastive`, which pairs them, is no longer chosen ..."""
LONG_ROWS = 600
"""... nor for rows longer than this, in letters, of which each costs much and says many things at once."""
CONTRASTIVE_SECONDS, FULL_SECONDS = 600, 3_600
"""Longest forecast with which either is chosen by itself."""
_LOOKED_AT, _OFTENER = 2_000, 3.0
FULL_PAIRS = 200
"""Training rows from which `full` measured no worse than `head` for pairs and numbers, about which frozen features
know little."""


def check_method(method: str, task: str) -> None:
    """Raises OptionError for a method that is of no use to this task."""
    family = family_of_task(task)
    fitting = methods_of(family, task)
    if method in fitting:
        return
    tasks = registry.get("families", family).tasks
    if family in families_of(method):
        tasks = f"the {modality_of(registry.get('tasks', task)).nouns} of {task}"
    raise OptionError(f"--method {method} does not fit {tasks}.", f"Use one of {', '.join(fitting)}.")


def fits_modality(method: str, modality: str | None) -> bool:
    """Whether a method can learn from inputs of a modality; None: from texts that are read to go on."""
    fitting = registry.get("methods", method).modalities
    return modality is None or fitting is None or modality in fitting


def tasks_of(form: str) -> list[str]:
    """Names of the tasks that learn examples of this form ('chat', 'pair', ...), the first the default."""
    return [name for name, task in registry.usable("tasks").items() if form in task.forms]


def task_of(asked: str, form: str, format: str, file: str) -> str:
    """The task that learns examples of this form. Raises DataError where the one that is asked for does not."""
    fitting = tasks_of(form)
    if asked not in ("auto", *fitting):
        raise DataError(
            Problem(f"the data is of the form {form!r} ({format}), which --task {asked} does not learn", file),
            "Name the columns query and response, or use --task seq2seq and a model that reads a source."
            if (asked, form) == ("chat", "pair")
            else f"Leave --task out, or use --task {fitting[0]}.",
        )
    return fitting[0] if asked == "auto" else asked


def epochs_of(method: str, rows: int | None = None) -> int:
    """How often a run of this method sees each of its training rows when nothing is asked; `rows` of them."""
    plugin = registry.get("methods", method)
    usual = int(plugin.epochs)
    if rows and plugin.least_steps:
        usual = max(usual, math.ceil(plugin.least_steps / math.ceil(rows / plugin.batch_rows)))
    return usual


def rate_and_epochs(method: str, task: str, rows: int) -> tuple[float, int]:
    """Highest learning rate and epochs of a method on so many training rows of a task, when nothing is asked."""
    own = registry.get("tasks", task)
    if method not in own.method_defaults:
        return float(registry.get("methods", method).learning_rate), epochs_of(method, rows)
    rate, epochs = own.method_defaults[method]
    if own.epochs_rows is not None and rows:
        epochs = round(epochs * min(_OFTENER, max(1 / _OFTENER, own.epochs_rows / rows)))
    return rate, max(1, epochs)


def median_per_label(kind: str, targets: Sequence[Any]) -> float:
    """Rows of the label in the middle of all, by how many have it; of what has no labels, all rows."""
    other = kind_named(kind)
    if kind == "number" or (other is not None and not other.labelled):
        return float(len(targets))
    lists = targets if other is None else map(other.labels_of, targets)
    flat = targets if kind == "label" else [label for labels in lists for label in labels]
    return float(statistics.median(Counter(map(str, flat)).values()))


def family_of_task(name: str) -> str:
    """The family that a task says it is of."""
    return registry.canonical("families", registry.get("tasks", name).family)


def usual_family() -> str:
    """The one whose data is a table, where nothing says that it is another's: the first."""
    return registry.names("families")[0]


def families_of(method: str) -> tuple[str, ...]:
    """The kinds of task that a method fits; all where it names none."""
    names = registry.get("methods", method).families or registry.names("families")
    return tuple(dict.fromkeys(registry.canonical("families", name) for name in names))


def loader_of(task: PredictiveTask | type[PredictiveTask]) -> Any:
    """The `models.bundle.Loader` of a task's networks; tasks of plugins that name none learn with encoders."""
    return registry.get("models.loaders", task.loader)


def methods_of(family: str, task: str = "auto") -> list[str]:
    """Names of the methods that fit the tasks of a family, or one of them."""
    modality = None if task == "auto" else registry.get("tasks", task).modality
    known = registry.usable("methods")
    fitting = [name for name in known if family in families_of(name) and fits_modality(name, modality)]
    if task == "auto" or getattr(registry.get("tasks", task), "probe_loss", None) is not None:
        return fitting
    return [name for name in fitting if not registry.get("methods", name).needs_vectors]


def modality_of(task: PredictiveTask | type[PredictiveTask]) -> Modality:
    """What the inputs of a task are. Raises OptionError where that modality is not installed."""
    return modality_named(task.modality)


def inputs_of(task: str) -> Modality:
    """What the inputs of the task called `task` are: texts too where it is 'auto' or reads conversations."""
    name = None if task == "auto" else registry.get("tasks", task).modality
    return modality_named(name or "text")


def asked_of(task: str, columns: int) -> list[str]:
    """What a model of the task called `task` is asked about, part by part, where its rows have so many columns."""
    predictor = None if task == "auto" else getattr(registry.get("tasks", task), "predictor", None)
    alone = predictor is not None and registry.get("families.predictors", predictor).texts_alone
    return list(inputs_of(task).parts[: 1 if alone else columns])


def modality_named(name: str) -> Modality:
    """Raises OptionError."""
    modality: Modality = registry.get("modalities", name)()
    return modality


def modalities_for(task: str) -> tuple[list[Modality], list[Modality]]:
    """What the inputs of a task may be, of 'auto' those of any task, and all others."""
    every = {name: kind() for name, kind in registry.usable("modalities").items()}
    if task == "auto":
        return list(every.values()), []
    own = modality_of(registry.get("tasks", task))
    return [own], [one for name, one in every.items() if name != own.name]


def kinds_for(task: str) -> tuple[Kind, ...]:
    """The kinds of target that the task can learn; all kinds of all tasks for 'auto'."""
    tasks = registry.usable("tasks").values() if task == "auto" else [registry.get("tasks", task)]
    return tuple(kind for one in tasks for kind in one.kinds)


def task_for(columns: Columns, asked: str, emit: Emit) -> str:
    """The task that learns from such columns, where none is asked for. Raises DataError where there is none."""
    if asked != "auto":
        return asked
    kind, modality = columns.kind, columns.modality
    fitting = [
        name for name, task in registry.usable("tasks").items()
        if kind in task.kinds and task.modality == modality
    ]  # fmt: skip
    if not fitting:
        raise DataError(
            Problem(f"no task learns {kind} targets of {modality_named(modality).nouns}"),
            "Name another column with --target.",
        )
    name = fitting[0]
    what = {"label": "one label per row", "labels": "several labels per row", "number": "a number per row"}
    said = what.get(kind) or registry.get("evaluate.targets", kind).said
    emit(Decided("task", name, f"the target holds {said}"))
    return name


@dataclass(frozen=True)
class TrainingRows:
    """What the choice of a method goes by."""

    kind: Kind
    count: int
    per_label: float
    """Of the label in the middle of all, by how many have it."""
    pairs: bool = False
    letters: float = 0.0
    """Of the row in the middle of all, by length."""
    modality: str = "text"
    untrained: bool = False
    """Whether the base has random weights."""
    usual: str | None = None
    """The method that their task is learned with, where it does not depend on them."""


def training_rows(data: PreparedData, positions: np.ndarray, model: str, task: str) -> TrainingRows:
    """Those at `positions`, for the base called `model` and the task of that name."""
    kind, columns = data.columns.kind, data.columns
    median = median_per_label(kind, data.targets(positions))
    return TrainingRows(
        kind, len(positions), median, len(columns.inputs) > 1, letters(data, positions)[0],
        "table" if columns.features else columns.modality,
        catalog.is_untrained(model), registry.get("tasks", task).usual_method,
    )  # fmt: skip


def letters(data: PreparedData, positions: np.ndarray | slice, most: float = math.inf) -> tuple[float, float]:
    """Median and mean length of some rows, in letters, of each `most`; evenly spread ones stand for many. 0 of what
    has none."""
    every: Sequence[int] | np.ndarray = range(len(data.rows))[positions] if isinstance(positions, slice) else positions
    some = [int(every[at * len(every) // _LOOKED_AT]) for at in range(_LOOKED_AT)] if len(every) > _LOOKED_AT else every
    words = data.modality.words(data.rows.select(some)) or []
    lengths = [min(len(text), most) for text in words]
    return (statistics.median(lengths), statistics.fmean(lengths)) if lengths else (0.0, 0.0)


def effort_of(spec: RunSpec) -> str | None:
    """How far a run goes; None where it is not asked for, and the method is given."""
    return spec.effort or ("better" if spec.method == "auto" else None)


def method_for(
    spec: RunSpec, rows: TrainingRows, emit: Emit, forecast: Callable[[str], Any] = lambda method: None
) -> str:
    """What was asked for, or by the data: few short rows teach more when they are compared with each other.

    `forecast`: {"seconds": ...} of a run of a method, None where that is not known. Raises OptionError.
    """
    if spec.effort == "quick" and spec.method not in ("auto", "head"):
        raise OptionError(
            f"--effort quick is the linear head, and --method {spec.method} is asked for.", "Leave one of them out."
        )
    if spec.method != "auto":
        return spec.method
    name, why = _by_data(rows)
    if spec.effort == "quick":
        name, why = "head", "effort is quick: only the last layer is trained"
    took = None if name == "head" else forecast(name)
    if name == "contrastive" and took and took["seconds"] > CONTRASTIVE_SECONDS:
        name, why = "full", f"{why}; contrastive would take about {minutes(took['seconds'])}, which is too long"
        took = forecast(name)
    if name == "full" and took and took["seconds"] > FULL_SECONDS:
        name = "head"
        why = (
            f"training more than that would take about {minutes(took['seconds'])} here; --method full does it "
            "all the same"
        )
    emit(Decided("method", name, why))
    return name


def _by_data(rows: TrainingRows) -> tuple[str, str]:
    if rows.untrained:
        return "scratch", "the base has random weights, so that all of it has to be learned"
    if rows.usual is not None:
        return rows.usual, "this task is learned so where nothing else is asked for"
    if rows.kind == "number" or rows.pairs:
        enough, what = rows.count >= FULL_PAIRS, f"training rows of {'pairs' if rows.pairs else 'numbers'}"
        why = f"{rows.count:,} {what} are {'enough to train the whole model' if enough else 'few'}"
        return "full" if enough else "head", why
    why = f"{rows.count:,} training rows, about {rows.per_label:.0f} for a typical label"
    if rows.count >= FULL_ROWS and rows.per_label >= FULL_PER_CLASS:
        return "full", f"{why}, are enough to train the whole model"
    if rows.modality != "text":
        return "full", f"{why}: the whole model is trained"
    if rows.letters > LONG_ROWS:
        return "full", f"{why}, of {rows.letters:,.0f} letters: comparing texts with each other is for short ones"
    if rows.per_label >= MANY_PER_CLASS:
        return "full", f"{why}: comparing texts with each other is for fewer than {MANY_PER_CLASS} a label"
    few = "are few: most is learned from them by comparing texts of one label with those of others"
    return "contrastive", f"{why}, {few}"


def minutes(seconds: float) -> str:
    """As people say it."""
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 5_400 else f"{seconds / 3_600:.1f} hours"
