"""train and resume: one spec, one folder, one result."""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tunesmith.core import registry
from tunesmith.core.errors import Stopped, TunesmithError
from tunesmith.core.events import Event, EventLog, Failed, Paused, Started
from tunesmith.core.files import write_text
from tunesmith.core.renamed import given_words
from tunesmith.core.run import RunFolder
from tunesmith.core.spec import RunSpec
from tunesmith.data.annotations.yolo import is_settings
from tunesmith.data.conversations import peek
from tunesmith.data.prepare import keep
from tunesmith.display.results import RunResults
from tunesmith.engine.stop import StopRequest
from tunesmith.models import own_module
from tunesmith.runs import run_options, spine
from tunesmith.runs.history import versions
from tunesmith.runs.load import load

Listener = Callable[[Event], None]

_PATHS = (str, os.PathLike)


class Run(RunResults):
    """A run and what came of it; it stands for its folder where a path is asked for.

    **Usage**:
    run                          # the verdict, the metrics with their intervals, the baselines
    run.metrics["accuracy"]      # on the test rows
    run.leaderboard()            # the model and its baselines, as a DataFrame
    run.show()                   # the report
    run.model.predict(df)

    `folder`: also the path of an earlier run, or its name below `runs`. Raises FolderError where there is none.
    """

    def __init__(self, folder: RunFolder | str | os.PathLike[str]):
        folder = folder if isinstance(folder, RunFolder) else RunFolder.open(folder)
        self.folder = folder
        self.path = folder.path
        self.report = folder.report
        self._model: Any = None

    def __fspath__(self) -> str:
        return str(self.path)

    @property
    def model(self) -> Any:
        """What `tunesmith.load` gives for the run: a Model, or a TextGenerator where text is written."""
        if self._model is None:
            self._model = load(self.path)
        return self._model


def train(
    data: object = None, *, out: str | Path | None = None, listeners: Sequence[Listener] = (), **words: object
) -> Run:
    """A run from words to report: see `workflows.train`, which shows its progress as well."""
    started = time.monotonic()
    given = {"data": data, **{name: words.get(name) for name in ("validation", "test")}}
    held = {name: value for name, value in given.items() if value is not None and not isinstance(value, _PATHS)}
    spec = spec_of(None if "data" in held else data, {**words, **dict.fromkeys(held, "(in memory)")})
    run_options.check_words(spec)
    name = "data" if "data" in held else Path(spec.data.rstrip("/")).name.split(".")[0]
    folder = RunFolder.create(out, name)
    with folder.lock():
        try:
            spec = spec.model_copy(update={part: _keep(value, folder, part) for part, value in held.items()})
            spec = _absolute(spec)
            write_text(folder.spec, spec.dump())
            return _execute(folder, spec, listeners, started)
        except TunesmithError as error:
            if error.exit_code == 2 and not folder.begun():  # bad input must not block the corrected try
                folder.abandon()
            raise


def resume(path: str | Path, *, listeners: Sequence[Listener] = ()) -> Run:
    """Continue a run that was killed, stopped or paused. A finished run is returned as it is."""
    started = time.monotonic()
    folder = RunFolder.open(path)
    if folder.result.exists():
        return Run(folder)
    with folder.lock():
        return _execute(folder, folder.load_spec(), listeners, started)


def _execute(folder: RunFolder, spec: RunSpec, listeners: Sequence[Listener], started: float) -> Run:
    log = EventLog(folder.events, list(listeners))
    stop = StopRequest()
    try:
        with stop.listening():
            log(Started(folder.name, versions(), resumed=folder.begun()))
            if spec.effort == "best":
                spec = registry.get("studies", "best-effort")(folder, spec, log)
            spine.run(folder, spec, log, stop, started)
    except Stopped as error:
        if error.step is None:  # stopped before the loop, which says so itself
            log(Paused(0, error.message))
        raise Stopped(
            error.message, reason=error.reason, fix=f"Continue with: tunesmith resume {folder.path}"
        ) from error
    except TunesmithError as error:
        log(Failed(getattr(error, "code", "usage"), error.message, getattr(error, "step", None),
                   getattr(error, "row_ids", [])))  # fmt: skip
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise Stopped(
                "The disk is full; what was saved before is intact.", reason="disk_full",
                fix=f"Free some space, then continue with: tunesmith resume {folder.path}",
            ) from error  # fmt: skip
        log(Failed("error", f"{type(error).__name__}: {error}"))
        raise
    except KeyboardInterrupt:
        raise Stopped(
            "Stopped at once.", reason="signal", fix=f"Continue with: tunesmith resume {folder.path}"
        ) from None
    finally:
        log.close()
    return Run(folder)


def make_spec(data: object, words: Mapping[str, object]) -> tuple[RunSpec, object]:
    """The words as a checked spec, and where to read from: a path, or the data themselves."""
    held = data if data is not None and not isinstance(data, str | Path) else None
    memory = {} if held is None else {"data": "(in memory)"}
    spec = spec_of(None if held is not None else data, {**words, **memory})
    run_options.check_words(spec)
    return spec, held if held is not None else spec.data


def spec_of(data: object, words: Mapping[str, object]) -> RunSpec:
    """From a spec file, or from words; words given beside a file win."""
    given = given_words(words)
    own_module.allow(given.get("model"))  # named by the user, and not in a file
    if data is not None and str(data).lower().endswith((".yaml", ".yml")) and not is_settings(Path(str(data))):
        return RunSpec.make({**RunSpec.load(Path(str(data))).words(), **given})
    if data is not None:
        given["data"] = str(data)
    return RunSpec.make(given)


def _absolute(spec: RunSpec) -> RunSpec:
    """Paths that still mean the same when the run is resumed from elsewhere."""
    changes: dict[str, Any] = {}
    for name in ("data", "validation", "test", "model"):
        value = getattr(spec, name)
        if value and value != "auto" and Path(value).expanduser().exists():
            changes[name] = str(Path(value).expanduser().resolve())
    if "model" in changes and not Path(changes["model"]).is_dir():
        del changes["model"]
    return spec.model_copy(update=changes)


def _keep(data: object, folder: RunFolder, part: str) -> str:
    """Data from memory goes into the run folder, so that the run can be resumed."""
    name = "source" if part == "data" else f"source-{part}"
    if isinstance(data, list | tuple) and peek(data) is not None:  # nested values, which tables would mangle
        path = folder.data / f"{name}.jsonl"
        write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in data))
        return str(path)

    return str(keep(data, folder.data / name))
