"""Progress for Python: a bar on a terminal, a card that grows in a notebook, two lines anywhere else."""

from __future__ import annotations

import importlib
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from html import escape
from typing import IO, Any

from tunesmith.core.events import Decided, Evaluated, Event, Failed, Finished, Paused, Phase, Started, Step, Warned
from tunesmith.display.cards import Card, as_html, plain

Listener = Callable[[Event], None]

_EVERY = 0.3
"""Seconds between two pictures of a notebook's card."""
_POINTS = 400
"""Most points of a curve: beyond, every second one is dropped."""
_WIDTH, _HEIGHT = 520, 120


def progress() -> Listener:
    """A listener that suits the place: notebook, terminal, or neither (two lines on standard error)."""
    if in_notebook():
        return NotebookProgress(importlib.import_module("IPython.display"))
    if sys.stderr.isatty():
        from tunesmith.display.progress import listener

        return listener()
    return Brief(sys.stderr)


def in_notebook() -> bool:
    """Whether a kernel shows what is computed here: Jupyter, Colab, VS Code."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return shell is not None and hasattr(shell, "kernel")


@contextmanager
def silence() -> Iterator[list[Listener]]:
    """No warnings, and no bars or log lines of the libraries below, until the end of the block."""
    import datasets
    from datasets.utils import are_progress_bars_disabled

    from tunesmith.models.pretrained import quiet_transformers

    shown = not are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        with quiet_transformers(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield []
    finally:
        if shown:
            datasets.enable_progress_bars()


def progress_listeners(verbose: bool) -> AbstractContextManager[list[Listener]]:
    """The listeners that show progress; without `verbose` none, and the libraries are silent too."""
    return nullcontext([progress()]) if verbose else silence()


class Brief:
    """Where a run began, and what came of it."""

    def __init__(self, out: IO[str]):
        self._out = out
        self._warned = 0

    def __call__(self, event: Event) -> None:
        if isinstance(event, Started):
            self._say(f"run {event.run}: {'continued' if event.resumed else 'started'}")
        elif isinstance(event, Warned):
            self._warned += 1
        elif isinstance(event, Finished):
            found = ", ".join(f"{name} {value:.4f}" for name, value in list(event.metrics.items())[:1])
            more = (
                f"; {self._warned} {'warning' if self._warned == 1 else 'warnings'} in the report"
                if self._warned
                else ""
            )
            self._say(f"finished in {event.seconds:.1f} s: {found}{more}")

    def _say(self, text: str) -> None:
        print(f"tunesmith: {plain(text)}", file=self._out, flush=True)


class NotebookProgress:
    """One output that is drawn again: what is going on, a bar, the curves of loss and metric, and what was decided.

    `display`: IPython's module of that name.
    """

    def __init__(self, display: Any):
        self._display = display
        self._handle: Any = None
        self._drawn = 0.0
        self._title, self._phase = "Training", ""
        self._loss: list[tuple[float, float]] = []
        self._metric: list[tuple[float, float]] = []
        self._metric_name = ""
        self._facts: list[tuple[str, str]] = []
        self._end = ""
        self._step: Step | None = None

    def __call__(self, event: Event) -> None:
        self._heard(event)
        last = isinstance(event, Finished | Failed | Paused | Started)
        if last or time.monotonic() - self._drawn >= _EVERY:
            self._draw()

    def _heard(self, event: Event) -> None:
        if isinstance(event, Started):
            self._title = f"Run {event.run}"
        elif isinstance(event, Phase):
            if event.seconds is None:
                self._phase = ": ".join(filter(None, (event.phase, event.detail)))
        elif isinstance(event, Step):
            self._step = event
            self._loss.append((event.step, event.loss))
            self._loss = self._loss[::2] if len(self._loss) > _POINTS else self._loss
        elif isinstance(event, Evaluated) and event.split == "validation":
            self._metric_name = next((name for name in event.metrics if name != "loss"), "loss")
            self._metric.append((event.step, event.metrics[self._metric_name]))
        elif isinstance(event, Decided):
            self._facts.append((event.what, f"{event.value}: {event.why}"))
        elif isinstance(event, Warned):
            self._facts.append(("warning", f"{event.what}: {event.message}"))
        elif isinstance(event, Finished):
            found = ", ".join(f"{name} {value:.4f}" for name, value in event.metrics.items())
            self._end = f"finished in {event.seconds:.1f} s: {found}"
        elif isinstance(event, Failed):
            self._end = f"failed: {event.message}"
        elif isinstance(event, Paused):
            self._end = f"stopped at step {event.step}: {event.reason}"

    def html(self) -> str:
        """What is shown now."""
        done = 1.0 if self._end else 0.0 if self._step is None else self._step.step / max(self._step.steps, 1)
        at = f"step {self._step.step:,} of {self._step.steps:,}, loss {self._step.loss:.4f}" if self._step else ""
        metric = f"{self._metric_name} {self._metric[-1][1]:.4f}" if self._metric else ""
        now = self._end or ", ".join(filter(None, (self._phase, at, metric)))
        bar = (
            '<div style="background:rgba(128,128,128,.25);border-radius:4px;height:8px;max-width:520px">'
            f'<div style="background:#2f6feb;border-radius:4px;height:8px;width:{100 * done:.1f}%"></div></div>'
        )
        curves = _curve(self._loss, "training loss", "#2f6feb") + _curve(self._metric, self._metric_name, "#d97706")
        facts = "".join(f"<li>{escape(plain(f'{name} = {value}')[:300])}</li>" for name, value in self._facts)
        details = f"<details><summary>{len(self._facts)} decisions and warnings</summary><ul>{facts}</ul></details>"
        head = as_html(Card(self._title)).removesuffix("</div>")
        return f"{head}<p>{escape(plain(now))}</p>{bar}{curves}{details if facts else ''}</div>"

    def _draw(self) -> None:
        self._drawn = time.monotonic()
        shown = self._display.HTML(self.html())
        if self._handle is None:
            self._handle = self._display.display(shown, display_id=True)
        else:
            self._handle.update(shown)


def _curve(points: list[tuple[float, float]], name: str, colour: str) -> str:
    """An SVG line over the steps, with its first and last value; nothing for fewer than two points."""
    if len(points) < 2:
        return ""
    (left, right), values = (points[0][0], points[-1][0]), [value for _, value in points]
    low, high = min(values), max(values)
    across, up = (right - left) or 1, (high - low) or 1
    line = " ".join(
        f"{(x - left) / across * _WIDTH:.1f},{_HEIGHT - 4 - (y - low) / up * (_HEIGHT - 8):.1f}" for x, y in points
    )
    return (
        f'<div style="display:inline-block;margin:.5em 1em 0 0"><div style="color:{colour}">{escape(name)}: '
        f'{values[0]:.4f} to {values[-1]:.4f}</div><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH // 2}" '
        f'height="{_HEIGHT // 2}" role="img" aria-label="{escape(name)}"><polyline fill="none" stroke="{colour}" '
        f'stroke-width="3" points="{line}"/></svg></div>'
    )
