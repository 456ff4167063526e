"""Events on a screen: a live bar on a terminal, plain lines into a pipe."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from typing import IO, Any

from tunesmith.core.events import (
    Decided,
    Evaluated,
    Event,
    Paused,
    Phase,
    RolledBack,
    Step,
    Warned,
)
from tunesmith.core.text import visible

_EVERY = 10.0  # seconds between two plain lines about steps


def listener(stream: IO[str] | None = None) -> Any:
    """A function for `listeners`; a bar when `stream` (standard error) is a terminal."""
    out = stream or sys.stderr
    return _Bar(out) if out.isatty() else _Lines(out)


class _Lines:
    def __init__(self, out: IO[str]):
        self._out = out
        self._last = 0.0

    def __call__(self, event: Event) -> None:
        if isinstance(event, Step):
            if event.step < event.steps and time.monotonic() - self._last < _EVERY:
                return
            self._last = time.monotonic()
            self._say(f"step {event.step}/{event.steps}  {_rate(event)}")
            return
        text = _sentence(event)
        if text:
            self._say(visible(text))

    def _say(self, text: str) -> None:
        with suppress(OSError, ValueError):  # a run goes on where nobody can be told
            print(text, file=self._out, flush=True)


class _Bar:
    """rich's progress bar, with loss, metric, rows per second and time left."""

    def __init__(self, out: IO[str]):
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._console = Console(file=out)
        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"),
            TextColumn("{task.fields[info]}"), TimeRemainingColumn(), console=self._console,
        )  # fmt: skip
        self._task: Any = None
        self._metric = ""

    def __call__(self, event: Event) -> None:
        if isinstance(event, Step):
            if self._task is None:
                self._progress.start()
                self._task = self._progress.add_task("training", total=event.steps, info="")
            info = f"{_rate(event)}  {self._metric}"
            self._progress.update(self._task, completed=event.step, total=event.steps, info=info)
            return
        if isinstance(event, Evaluated):
            name = next((name for name in event.metrics if name != "loss"), "loss")
            self._metric = f"{name} {event.metrics[name]:.4f}"
        if isinstance(event, Phase) and self._task is not None and event.phase != "train":
            self._progress.stop()
            self._task = None
        text = _sentence(event)
        if text:
            self._console.print(visible(text), markup=False, highlight=False)


def _rate(event: Step) -> str:
    speed = event.rows / max(event.seconds, 1e-9)
    return f"loss {event.loss:.4f}  {speed:.0f} rows/s"


def _sentence(event: Event) -> str | None:
    if isinstance(event, Phase):
        return None if event.seconds is not None else f"[{event.phase}] {event.detail}".rstrip()
    if isinstance(event, Decided):
        return f"  {event.what} = {_short(event.value)}  ({event.why})"
    if isinstance(event, Warned):
        return f"  warning, {event.what}: {event.message}"
    if isinstance(event, Evaluated):
        numbers = "  ".join(f"{name} {value:.4f}" for name, value in event.metrics.items())
        return f"  step {event.step}, {event.split}: {numbers}{'  (kept so far)' if event.best else ''}"
    if isinstance(event, RolledBack):
        return (
            f"  step {event.step}: {event.why}; back to step {event.to_step}, "
            f"learning rate x {event.learning_rate_factor:g}"
        )
    if isinstance(event, Paused):
        return f"  paused at step {event.step}: {event.reason}"
    return None


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 80 else text[:77] + "..."
