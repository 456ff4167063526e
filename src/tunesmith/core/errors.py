"""Every error that Tunesmith raises on purpose, and the exit code that each one means.

* TunesmithError
  x UsageError            exit 2: the user's input or options; nothing was trained
    - OptionError         an option, flag or name that does not exist or does not fit
    - DataError           something is wrong with the data; carries every `Problem` found
    - ModelError          the base model can not be found, is unsafe, or does not fit the task
    - FolderError         the run folder is taken, unwritable or not a run
    - MissingPackageError an optional package is needed; carries the `pip install` line
    - NotSupported        the model has no such method or attribute; an AttributeError too
  x RunFailed             exit 3: the run started and can not go on
    - Diverged            loss or gradients stopped being finite and the remedies did not help
    - CorruptCheckpoint   a checkpoint does not match its manifest
  x Stopped               exit 130: stopped on request (or paused on a full disk), resumable
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


class TunesmithError(Exception):
    """Base of all. `str(error)` is a complete message for the user: what, expected, fix."""

    exit_code = 3

    def __init__(self, message: str, fix: str | None = None):
        self.message = message
        self.fix = fix
        super().__init__(message if fix is None else f"{message}\n{fix}")


class UsageError(TunesmithError):
    exit_code = 2


class OptionError(UsageError):
    pass


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with the data, and where.

    `row` counts data rows from 1 (a header is not a row); `line` is the line of the file in which
    that row starts, counted from 1, where the file has lines.
    """

    message: str
    file: str | None = None
    row: int | None = None
    column: str | None = None
    line: int | None = None

    def __str__(self) -> str:
        where = [str(self.file)] if self.file else []
        if self.line is not None:
            where.append(f"line {self.line}")
        if self.row is not None:
            where.append(f"row {self.row}")
        if self.column is not None:
            where.append(f"column {self.column!r}")
        message = self.message.removeprefix(f"{self.file}: ")  # of an input that is a file of its own
        return f"{', '.join(where)}: {message}" if where else message


class DataError(UsageError):
    """Carries all problems found at once; the message lists the first twenty."""

    SHOWN = 20

    def __init__(self, problems: Problem | Sequence[Problem], fix: str | None = None):
        self.problems = [problems] if isinstance(problems, Problem) else list(problems)
        lines = [str(problem) for problem in self.problems[: self.SHOWN]]
        if len(self.problems) > self.SHOWN:
            lines.append(f"... and {len(self.problems) - self.SHOWN} more problems like these")
        super().__init__("\n".join(lines), fix)


class ModelError(UsageError):
    pass


class FolderError(UsageError):
    pass


class MissingPackageError(UsageError):
    pass


class NotSupported(UsageError, AttributeError):
    """So that `hasattr(model, "classes_")` is False where there are none, as scikit-learn has it."""


class RunFailed(TunesmithError):
    exit_code = 3
    code = "failed"


class Diverged(RunFailed):
    code = "diverged"

    def __init__(self, message: str, *, step: int, row_ids: Sequence[int], fix: str | None = None):
        self.step = step
        self.row_ids = list(row_ids)
        super().__init__(message, fix)


class CorruptCheckpoint(RunFailed):
    code = "corrupt_checkpoint"


class Stopped(TunesmithError):
    """The run stopped at a safe point. `reason` is 'signal' or 'disk_full'."""

    exit_code = 130

    def __init__(self, message: str, *, reason: str, fix: str | None = None, step: int | None = None):
        self.reason = reason
        self.step = step
        super().__init__(message, fix)


def did_you_mean(name: str, options: Iterable[str]) -> str:
    """' Did you mean 'lora'?' for a near miss, else the list of what exists."""
    known = sorted(str(option) for option in options)
    near = difflib.get_close_matches(name.lower(), [option.lower() for option in known], n=1, cutoff=0.6)
    if near:
        match = next(option for option in known if option.lower() == near[0])
        return f"Did you mean {match!r}?"
    return f"Known: {', '.join(known)}." if known else "None is known."
