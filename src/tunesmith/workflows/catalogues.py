"""What there is: runs, models, methods, tasks. Plain values, for a screen or as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tunesmith.core import events, registry
from tunesmith.core.errors import FolderError, TunesmithError
from tunesmith.core.files import DAMAGED_FIX, read_json
from tunesmith.core.options import describe
from tunesmith.core.run import RunFolder, list_runs


def runs(root: Path) -> list[dict[str, Any]]:
    """One row per run folder below `root`: path, status, what, and the first metric if finished. Of a damaged one the
    status says so, and `problem` what is wrong."""
    found = []
    for folder in list_runs(root):
        try:
            with _guarded(folder):
                found.append(_row(folder))
        except TunesmithError as error:
            found.append({"run": str(folder.path), "status": "damaged", "task": "", "model": "", "method": "",
                          "data": "", "problem": error.message})  # fmt: skip
    return found


@contextmanager
def _guarded(folder: RunFolder) -> Iterator[None]:
    """What a damaged file of the run makes of the code that reads it, as FolderError."""
    try:
        yield
    except TunesmithError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError, OSError) as error:
        raise FolderError(
            f"What is written in {folder.path} can not be read: {type(error).__name__}: {error}.", DAMAGED_FIX
        ) from error


def _row(folder: RunFolder) -> dict[str, Any]:
    spec = folder.load_spec()
    row: dict[str, Any] = {
        "run": str(folder.path), "status": folder.status(), "task": spec.task, "model": spec.model,
        "method": spec.method, "data": spec.data,
    }  # fmt: skip
    if folder.metrics.exists():
        document = folder.load_metrics()
        name = document["first_metric"]
        row |= {
            "method": document["method"],
            "metric": name,
            **{bound: _number(document["test"][name][bound]) for bound in ("value", "low", "high")},
            "outcome": document["verdict"]["outcome"],
        }
    return row


def _number(found: Any) -> float | None:
    """Raises TypeError or ValueError for what is none."""
    return None if found is None else float(found)


def run(path: str | Path) -> dict[str, Any]:
    """A run in full: its row, and what metrics.json holds once it is finished."""
    folder = RunFolder.open(path)
    with _guarded(folder):
        return _in_full(folder)


def _in_full(folder: RunFolder) -> dict[str, Any]:
    found = _row(folder) | {"report": str(folder.report), "model_folder": str(folder.model)}
    log = events.read(folder.events)
    if folder.metrics.exists():
        found["document"] = folder.load_metrics()
        found["decisions"] = [record for record in log if record["event"] == "decided"]
    else:
        found["last_events"] = log[-3:]
        found["progress"] = progress(log)
    return found


def progress(log: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """How far an unfinished run has come: its last {"phase", "step", "evaluated", "best", "saved", "failed", "paused"},
    each the record of that event, as far as there was one."""
    found: dict[str, Any] = {}
    for record in log:
        if record["event"] == "started":  # of a resume, which does better perhaps
            found.pop("failed", None)
            found.pop("paused", None)
        if record["event"] == "evaluated" and record["best"]:
            found["best"] = record
        found[record["event"]] = record
    names = ("phase", "step", "evaluated", "best", "saved", "failed", "paused")
    return {name: found[name] for name in names if name in found}


SERIES = ("search", "folds", "seeds", "until", "ladder")
"""What the document of several runs is called, by the verb that wrote it: DOCUMENT.json in its folder."""


def series(path: str | Path) -> tuple[str, dict[str, Any]] | None:
    """(name of the document, the document) of a folder of several runs; None for any other."""
    for name in SERIES:
        file = Path(path) / f"{name}.json"
        if file.exists():
            return name, read_json(file)
    return None


def plugins(seam: str) -> list[dict[str, Any]]:
    """Name, one line and options of every plugin of a seam."""
    found = []
    for name in registry.names(seam):
        plugin = registry.get(seam, name)
        found.append({"name": name, "summary": plugin.summary, "options": describe(plugin.Options)})
    return found
