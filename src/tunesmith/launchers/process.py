"""A process for each run, with memory of its own: `python -m tunesmith.launchers.process MODULE:FUNCTION`.

The job comes as one line on its standard input, its events leave as lines on its standard output, and after each it
waits for an answer. So a listener hears every event before the run goes on, as it would within one process, and a
process that is left alone, however that came about, ends at its next event.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from tunesmith.core import errors, events
from tunesmith.core.errors import DataError, Problem, RunFailed, Stopped, TunesmithError, UsageError
from tunesmith.core.events import Emit, Event, ignore
from tunesmith.core.files import new_in_place, nowhere, remove
from tunesmith.core.imports import resolve

PATIENCE = 60.0
"""Seconds within which a process that was left alone ends by itself, before it is made to."""
_STOPPED = (Stopped.exit_code, -signal.SIGINT, -signal.SIGTERM)
_REASONED = (UsageError.exit_code, RunFailed.exit_code)
"""Exit statuses of a process that said why."""


class Process:
    """See `runs.protocols.Launcher`."""

    summary = "Each run in a process of its own, with its own memory"

    def launch(self, work: str, job: Mapping[str, object], log: Path, emit: Emit = ignore) -> None:
        # arguments, no shell; what is printed goes to a file, where it can be read. A session of its own: Ctrl-C in the
        # terminal is for this process, which passes it on once
        command = [sys.executable, "-m", "tunesmith.launchers.process", work]
        with new_in_place(log, text=True) as said:
            child = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, encoding="utf-8",
                start_new_session=True,
            )  # fmt: skip
        try:
            with _passing_on(child):
                error = _listened(child, job, emit)
        finally:
            _ended(child)
            if child.returncode in (0, *_STOPPED, *_REASONED):
                remove(log)
        if error is not None:
            raise error
        if child.returncode in _STOPPED:
            raise Stopped("The process of a run was stopped.", reason="signal")
        if child.returncode:
            lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-3:]
            why = " ".join(lines) or f"exit status {child.returncode}"
            raise RunFailed(f"The process of a run failed: {why}", f"All that it said is in {log}.")


def _listened(child: subprocess.Popen[str], job: Mapping[str, object], emit: Emit) -> TunesmithError | None:
    """Hand over the job, answer every event; the error that the process ended with. Raises what `emit` does."""
    assert child.stdin is not None
    assert child.stdout is not None
    with suppress(BrokenPipeError):  # it died: its exit status says how
        _say(child.stdin, job)
        for line in child.stdout:
            try:
                record = json.loads(line)
            except ValueError:  # cut off by its end
                break
            if "error" in record:
                return _error_of(record)
            event = events.of_record(record)
            if event is not None:
                emit(event)
            _say(child.stdin, "go on")
    return None


def _ended(child: subprocess.Popen[str]) -> None:
    """Left alone it ends at its next event; else it is asked to, and at last made to."""
    with suppress(BrokenPipeError):
        assert child.stdin is not None
        child.stdin.close()
    for end in (child.terminate, child.kill):
        with suppress(subprocess.TimeoutExpired):
            child.wait(PATIENCE)
            break
        end()
    child.wait()
    assert child.stdout is not None
    child.stdout.close()


@contextmanager
def _passing_on(child: subprocess.Popen[str]) -> Iterator[None]:
    """SIGTERM and Ctrl-C are for the process, which saves what it has. Only the main thread can hear them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [n for n in (signal.SIGTERM, signal.SIGINT) if signal.getsignal(n) != signal.SIG_IGN]
    before = {number: signal.signal(number, lambda number, _: child.send_signal(number)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _say(stream: IO[str], what: object) -> None:
    stream.write(json.dumps(what, default=str) + "\n")
    stream.flush()


# errors, from one process to the other


def _record_of(error: TunesmithError) -> dict[str, object]:
    values = dict(vars(error))
    if isinstance(error, DataError):
        values["problems"] = [asdict(problem) for problem in error.problems]
    return {"error": type(error).__name__, "text": str(error), "values": values}


def _error_of(record: Mapping[str, Any]) -> TunesmithError:
    """The same error; one that is not known here is of the nearest kind that is."""
    kind = getattr(errors, record["error"], RunFailed)
    error: TunesmithError = kind.__new__(kind, record["text"])
    error.args = (record["text"],)
    vars(error).update(record["values"])
    if isinstance(error, DataError):
        error.problems = [Problem(**problem) for problem in record["values"]["problems"]]
    return error


# within the process


class _Left(BaseException):
    """Nobody listens any more: there is nothing to work for."""


def main(work: str) -> int:
    """Do the job on standard input; returns the exit status."""
    # what libraries print must not come between the events
    answers, said = os.fdopen(os.dup(0), encoding="utf-8"), os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    with nowhere() as empty:
        os.dup2(empty.fileno(), 0)

    def emit(event: Event) -> None:
        try:
            _say(said, event.record())
            if answers.readline():
                return
        except BrokenPipeError:
            pass
        raise _Left

    try:
        resolve(work)(json.loads(answers.readline()), emit)
    except _Left:
        return Stopped.exit_code
    except TunesmithError as error:
        print(error, file=sys.stderr)
        with suppress(BrokenPipeError):
            _say(said, _record_of(error))
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
