"""The functions of the package: what the commands do, with typed words, progress, and results that show themselves.

Each is a thin cover over the workflow of its name, which it imports when it is called; the workflows themselves say
nothing while they work.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Unpack, cast

from tunesmith.core.words import SamplingWords, TrainWords

if TYPE_CHECKING:
    import os

    from tunesmith.core.events import Event
    from tunesmith.display.cards import Listing
    from tunesmith.display.results import Check, Comparison, Evaluation
    from tunesmith.families.generative.preview import Preview
    from tunesmith.families.generative.session import ChatSession
    from tunesmith.families.plan_words import Plan
    from tunesmith.runs.train import Run
    from tunesmith.studies.search import SearchResult
    from tunesmith.studies.series import Budget

    Place = str | os.PathLike[str] | Run
    Format = Literal["openai", "sharegpt", "alpaca", "messages", "gemini"]


_SEVERAL = {
    "cv": "`tunesmith.studies.folds.cross_validate(data, out=..., cv=5)`",
    "seeds": "`tunesmith.studies.seeds.several_seeds(data, out=..., seeds=3)`",
    "until": "`tunesmith.studies.until.until(data, metric=..., out=...)`",
}
"""Flags of the command `train` that are functions of their own."""


# --- Start --------------------------------------------------------------------------------------


def check(data: Any = None, **words: Unpack[TrainWords]) -> Check:
    """What `train` would do with the same arguments, and what is wrong with the data; nothing is trained.

    Returns a dict with "task", "model", "method", "columns", "splits", "audit", "decisions", "warnings" and
    "estimate" (for text that is written: "form", "format", "problems", "advice"). Raises the errors that `train` would
    raise before its first step.
    """
    from tunesmith.display.results import Check
    from tunesmith.workflows import check as workflow

    return Check(workflow.check(data, **words))


def train(
    data: Any = None, *, out: str | os.PathLike[str] | None = None, verbose: bool = True,
    listeners: Sequence[Callable[[Event], None]] = (), **words: Unpack[TrainWords],
) -> Run:  # fmt: skip
    """Fine-tune a model on `data` and measure it; returns when `result.json` is written.

    `data`: a path (file, folder, or a spec.yaml), DataFrame, datasets.Dataset or DatasetDict, list
    of dicts, or hub id. `out`: the run folder, `runs/<name>-0001` when not given. `words`: everything
    in `docs/reference.md` (task, model, method, target, text, test, validation, seed, callbacks, epochs,
    learning_rate, ...); `test` and `validation` may be in memory as `data` may. `listeners` are called with
    every event. `verbose`: show progress, as a bar on a terminal, a card in a notebook, two lines elsewhere;
    without it nothing is printed, by the libraries below neither.

    Raises UsageError (input or options; nothing was trained), RunFailed, Stopped (resumable).
    """
    from tunesmith.core.errors import OptionError
    from tunesmith.runs import train as workflow

    for word in _SEVERAL.keys() & words.keys():
        raise OptionError(f"{word} makes several runs, and `train` gives one.", f"Use {_SEVERAL[word]}.")
    with _spoken(verbose) as more:
        return workflow.train(data, out=None if out is None else Path(out), listeners=[*more, *listeners], **words)


def resume(
    run: Place, *, verbose: bool = True, listeners: Sequence[Callable[[Event], None]] = ()
) -> Run:  # fmt: skip
    """Continue a run that was killed, stopped or paused. A finished run is returned as it is.

    Raises FolderError, RunFailed, Stopped.
    """
    from tunesmith.runs import train as workflow

    with _spoken(verbose) as more:
        return workflow.resume(Path(run), listeners=[*more, *listeners])


def plan(data: Any, *, device: str | None = None, **words: Unpack[TrainWords]) -> Plan:
    """Memory, time, disk and tokens of `train` with the same arguments, from the model's config alone.

    `device`: a GPU by name (h100, l4, ...), None for this machine. Raises DataError, ModelError, OptionError.
    """
    from tunesmith.families import plan as workflow

    return workflow.plan(data, device=device, **words)


def preview(
    data: Any, *, model: str | os.PathLike[str], row: int | None = 1, task: str = "auto",
    template: str | None = None, max_length: int | None = None, **options: Any,
) -> Preview:  # fmt: skip
    """One row of conversations (or all: None) as the model would learn it, token by token.

    `options` are the task's, such as overflow. Raises DataError, ModelError, OptionError.
    """
    from tunesmith.families.generative import preview as workflow

    return workflow.Preview(list(workflow.previewed(
        data, model=str(Path(model)) if not isinstance(model, str) else model, row=row, task=task, template=template,
        max_length=max_length, **options,
    )))  # fmt: skip


def convert(source: str | os.PathLike[str], out: str | os.PathLike[str], to: Format) -> int:
    """Write conversations in another format; returns the number of examples. Raises DataError, OptionError."""
    from tunesmith.workflows import convert as workflow

    return workflow.convert(str(Path(source)), out, to)


# --- Understand ---------------------------------------------------------------------------------


def evaluate(run: Any, data: Any, *, seed: int = 0, verbose: bool = True) -> Evaluation:
    """Metrics of a run (or model) on other data, each with its interval: {"rows", "metrics"}.

    The columns are named as in training. Raises DataError, FolderError.
    """
    from tunesmith.display.results import Evaluation
    from tunesmith.workflows import evaluate as workflow

    with _spoken(verbose):
        return Evaluation(workflow.evaluate(run, data, seed=seed, emit=_emit(verbose)))


def runs(root: str | os.PathLike[str] = "runs") -> Listing:
    """The run folders below `root`: a list of dicts, with their state, first metric and verdict."""
    from tunesmith.display.cards import Listing
    from tunesmith.workflows import catalogues

    return Listing(catalogues.runs(Path(root)), "Runs", without=("data", "low", "high"))


def models() -> Listing:
    """Base models: a list of dicts with size, licence, tasks, and whether each is on this machine."""
    from tunesmith.display.cards import Listing
    from tunesmith.workflows import base_models

    return Listing(base_models.models(), "Base models", without=("hub_id", "note"))


def methods() -> Listing:
    """Methods and their options: a list of dicts."""
    return _plugins("methods")


def tasks() -> Listing:
    """Tasks and their options: a list of dicts."""
    return _plugins("tasks")


# --- Improve ------------------------------------------------------------------------------------


def compare(
    data: Any, *, out: str | os.PathLike[str] | None = None, models: Sequence[str] | None = None,
    methods: Sequence[str] | None = None, launcher: str = "process", verbose: bool = True,
    **words: Unpack[TrainWords],
) -> Comparison:  # fmt: skip
    """Should I fine-tune at all? From a constant answer to full fine-tuning, on one split.

    `out`: the folder of the results, `runs/<name>-compare` when not given; the same one goes on where it stopped.
    `launcher`: where each way is tried, in a process of its own with its own memory, or `here`.
    Returns a dict with "rungs" and "recommendation". Raises UsageError, RunFailed, Stopped.
    """
    from tunesmith.display.results import Comparison
    from tunesmith.studies import comparison

    with _spoken(verbose) as more:
        found = comparison.ladder(
            data, out=_folder(out, data, "compare"), models=_names(models), methods=_names(methods),
            launcher=launcher, emit=_each(more), **words,
        )  # fmt: skip
    return Comparison(found)


def search(
    data: Any, *, out: str | os.PathLike[str] | None = None, budget: str | Budget = "20 trials",
    space: Mapping[str, Any] | None = None, models: Sequence[str] | None = None,
    methods: Sequence[str] | None = None, pruning: bool = True, launcher: str = "here", verbose: bool = True,
    **words: Unpack[TrainWords],
) -> SearchResult:  # fmt: skip
    """The best settings within a budget ('30m', '2h', '20 trials'); the test rows are read once, at the end.

    `space`: option -> values or {"low", "high"}. `out` and `launcher` as for
    `compare`. Raises UsageError, RunFailed, Stopped.
    """
    from tunesmith.studies import search as workflow

    with _spoken(verbose) as more:
        return workflow.search(
            data, out=_folder(out, data, "search"), budget=budget, space=space, models=_names(models),
            methods=_names(methods), pruning=pruning, launcher=launcher, emit=_each(more), **words,
        )  # fmt: skip


# --- Use ----------------------------------------------------------------------------------------


def load(run: Place) -> Any:
    """The model of a run (or of its `model` folder): a Model, or a TextGenerator where text is written.

    Raises FolderError, ModelError.
    """
    from tunesmith.runs import load as workflow

    return workflow.load(run)


def predict(
    run: Any, data: Any, out: str | os.PathLike[str] | None = None, *, threshold: float | None = None,
    probabilities: bool = False, precision: Literal["auto", "fp32"] = "auto", **sampling: Unpack[SamplingWords],
) -> Any:  # fmt: skip
    """Answers of a run (or model) for `data`, in the shape of `Model.predict`; with `out`, a file of them.

    A file gets all columns of `data` and returns the number of rows; the format is that of its suffix (.csv, .tsv,
    .jsonl, .parquet). `sampling` is for models that write. Raises DataError, FolderError, OptionError.
    """
    from tunesmith.workflows import predict as workflow

    return workflow.answer(
        run, data, out, threshold=threshold, probabilities=probabilities or None,
        precision=None if precision == "auto" else precision, **sampling,
    )  # fmt: skip


def chat(run: Place, *, system: str | None = None, **sampling: Unpack[SamplingWords]) -> ChatSession:
    """A conversation with a model that writes: `chat(run).ask("Hello")`. Raises FolderError, OptionError."""
    from tunesmith.workflows import chat as workflow

    return cast("ChatSession", workflow.chat(run, system=system, sampling=sampling))


def export(run: Place, *, to: str = "merged", out: str | os.PathLike[str] | None = None) -> dict[str, Any]:
    """One plain model out of a run, checked to answer the same: {"out", "largest_difference", "answers"}.

    Raises OptionError, FolderError, RunFailed.
    """
    from tunesmith.families import export as workflow

    return workflow.export(Path(run), to=to, out=None if out is None else Path(out))


# --- What they share ----------------------------------------------------------------------------


def _spoken(verbose: bool) -> AbstractContextManager[list[Callable[[Event], None]]]:
    """The listeners that show progress; without `verbose` none, and the libraries are silent too."""
    from tunesmith.display import notebook

    return nullcontext([notebook.progress()]) if verbose else notebook.silence()


def _each(listeners: Sequence[Callable[[Event], None]]) -> Callable[[Event], None]:
    def emit(event: Event) -> None:
        for listener in listeners:
            listener(event)

    return emit


def _emit(verbose: bool) -> Callable[[Event], None]:
    from tunesmith.core.events import ignore
    from tunesmith.data.predict_inputs import as_warning

    return as_warning if verbose else ignore


def _folder(out: str | os.PathLike[str] | None, data: Any, what: str) -> Path:
    if out is not None:
        return Path(out)
    name = Path(str(data).rstrip("/")).name.split(".")[0] if isinstance(data, str | Path) else "data"
    return Path("runs") / f"{name}-{what}"


def _names(names: Sequence[str] | None) -> list[str] | None:
    return [names] if isinstance(names, str) else None if names is None else list(names)


def _plugins(seam: str) -> Listing:
    from tunesmith.display.cards import Listing
    from tunesmith.workflows import catalogues

    return Listing(catalogues.plugins(seam), seam.capitalize(), without=("options",))
