"""train and resume: a model from data, measured; with progress that suits the place."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Unpack

from tunesmith.core.errors import OptionError
from tunesmith.core.events import Event
from tunesmith.core.words import TrainWords
from tunesmith.display.notebook import progress_listeners
from tunesmith.runs import train as running
from tunesmith.runs.train import Run

_SEVERAL = {
    "cv": "`tunesmith.studies.folds.cross_validate(data, out=..., cv=5)`",
    "seeds": "`tunesmith.studies.seeds.several_seeds(data, out=..., seeds=3)`",
    "until": "`tunesmith.studies.until.until(data, metric=..., out=...)`",
}
"""Flags of the command `train` that are functions of their own."""


def train(
    data: object = None, *, out: str | os.PathLike[str] | None = None, verbose: bool = True,
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
    for word in _SEVERAL.keys() & words.keys():
        raise OptionError(f"{word} makes several runs, and `train` gives one.", f"Use {_SEVERAL[word]}.")
    with progress_listeners(verbose) as more:
        return running.train(data, out=None if out is None else Path(out), listeners=[*more, *listeners], **words)


def resume(
    run: str | os.PathLike[str], *, verbose: bool = True, listeners: Sequence[Callable[[Event], None]] = ()
) -> Run:  # fmt: skip
    """Continue a run that was killed, stopped or paused. A finished run is returned as it is.

    Raises FolderError, RunFailed, Stopped.
    """
    with progress_listeners(verbose) as more:
        return running.resume(Path(run), listeners=[*more, *listeners])
