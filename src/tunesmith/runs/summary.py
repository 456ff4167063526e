"""What a run folder says of its run, as plain values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tunesmith.core import events
from tunesmith.core.errors import FolderError, TunesmithError
from tunesmith.core.files import DAMAGED_FIX
from tunesmith.core.run import RunFolder
from tunesmith.core.spec import Words


@contextmanager
def readable(folder: RunFolder) -> Iterator[None]:
    """What a damaged file of the run makes of the code that reads it, as FolderError."""
    try:
        yield
    except TunesmithError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError, OSError) as error:
        raise FolderError(
            f"What is written in {folder.path} can not be read: {type(error).__name__}: {error}.", DAMAGED_FIX
        ) from error


def row(folder: RunFolder) -> Words:
    """Its path, status, what was asked for, and its first metric once it is finished."""
    spec = folder.load_spec()
    found: Words = {
        "run": str(folder.path), "status": folder.status(), "task": spec.task, "model": spec.model,
        "method": spec.method, "data": spec.data,
    }  # fmt: skip
    if folder.metrics.exists():
        document = folder.load_metrics()
        name = document["first_metric"]
        found |= {
            "method": document["method"],
            "metric": name,
            **{bound: _number(document["test"][name][bound]) for bound in ("value", "low", "high")},
            "outcome": document["verdict"]["outcome"],
        }
    return found


def _number(found: Any) -> float | None:
    """Raises TypeError or ValueError for what is none."""
    return None if found is None else float(found)


def in_full(folder: RunFolder) -> Words:
    """Its row, and what metrics.json holds; how far it has come where it is not finished."""
    found = row(folder) | {"report": str(folder.report), "model_folder": str(folder.model)}
    log = events.read(folder.events)
    if folder.metrics.exists():
        found["document"] = folder.load_metrics()
        found["decisions"] = [record for record in log if record["event"] == "decided"]
    else:
        found["last_events"] = log[-3:]
        found["progress"] = progress(log)
    return found


def progress(log: Sequence[Words]) -> Words:
    """How far an unfinished run has come: its last {"phase", "step", "evaluated", "best", "saved", "failed", "paused"},
    each the record of that event, as far as there was one."""
    found: Words = {}
    for record in log:
        if record["event"] == "started":  # of a resume, which does better perhaps
            found.pop("failed", None)
            found.pop("paused", None)
        if record["event"] == "evaluated" and record["best"]:
            found["best"] = record
        found[record["event"]] = record
    names = ("phase", "step", "evaluated", "best", "saved", "failed", "paused")
    return {name: found[name] for name in names if name in found}
