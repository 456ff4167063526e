"""Events on a screen: a live bar on a terminal, plain lines into a pipe."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from typing import IO, Any

from tunesmith.core.events import Evaluated, Event, Phase, Step, Warned
from tunesmith.display.narration import Narrator, rate
from tunesmith.evaluate import words

_EVERY, _RARELY = 10.0, 60.0
"""Seconds between two plain lines about steps, in the first minutes and later."""


def listener(stream: IO[str] | None = None, *, verbose: bool = False) -> _Lines | _Bar:
    """A function for `listeners`; a bar when `stream` (standard error) is a terminal.

    `verbose`: every choice with its reason, losses and rows a second; else plain words.
    """
    out = stream or sys.stderr
    return _Bar(out, Narrator(verbose)) if out.isatty() else _Lines(out, Narrator(verbose))


class _Lines:
    def __init__(self, out: IO[str], narrator: Narrator):
        self._out = out
        self._narrator = narrator
        self._last = self._begun = time.monotonic()
        self._first: Step | None = None

    def __call__(self, event: Event) -> None:
        now = time.monotonic()
        if isinstance(event, Step):
            if self._first is None or event.step < self._first.step:
                self._first, self._begun = event, now
            every = _EVERY if now - self._begun < 3 * _RARELY else _RARELY
            if event.step < event.steps and now - self._last < every:
                return
            self._last = now
            self._say(self._narrator.step(event, self._left(event, now)))
            return
        text = self._narrator.sentence(event)
        if text:
            self._say(text)

    def _left(self, event: Step, now: float) -> float | None:
        """Seconds that the steps to come take, from those that were made."""
        done = event.step - self._first.step if self._first else 0
        return (now - self._begun) / done * (event.steps - event.step) if done else None

    def _say(self, text: str) -> None:
        with suppress(OSError, ValueError):  # a run goes on where nobody can be told
            print(text, file=self._out, flush=True)


class _Bar:
    """rich's progress bar, with the share that is done, the metric, and the time left."""

    def __init__(self, out: IO[str], narrator: Narrator):
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

        self._narrator = narrator
        self._console = Console(file=out)
        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(),
            TextColumn("{task.fields[info]}"), TimeRemainingColumn(), console=self._console,
        )  # fmt: skip
        self._task: Any = None
        self._metric = ""

    def __call__(self, event: Event) -> None:
        if isinstance(event, Step):
            if self._task is None:
                self._progress.start()
                self._task = self._progress.add_task("training", total=event.steps, info="")
            info = f"{rate(event)}  {self._metric}" if self._narrator.verbose else self._metric
            self._progress.update(self._task, completed=event.step, total=event.steps, info=info)
            return
        if isinstance(event, Evaluated):
            name = next((name for name in event.metrics if name != "loss"), "loss")
            self._metric = f"{words.metric(name)} {words.number(event.metrics[name])}"
        if isinstance(event, Phase) and self._task is not None and event.phase != "train":
            self._progress.stop()
            self._task = None
        text = self._narrator.sentence(event)
        if text:
            style = "yellow" if isinstance(event, Warned) else "bold" if isinstance(event, Phase) else None
            self._console.print(text, markup=False, highlight=False, style=style)
