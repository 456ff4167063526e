"""The phases of a run and what each took."""

from __future__ import annotations

import time

from tunesmith.core.events import Emit, Phase
from tunesmith.engine import hardware


class Clock:
    """Says when a phase begins, and how long the one before it took."""

    def __init__(self, emit: Emit):
        self._emit = emit
        self._now: tuple[str, float] | None = None

    def phase(self, name: str, detail: str = "") -> None:
        self.end()
        self._emit(Phase(name, detail))
        self._now = (name, time.perf_counter())

    def end(self) -> None:
        hardware.release_memory()
        if self._now:
            self._emit(Phase(self._now[0], "done", round(time.perf_counter() - self._now[1], 3)))
            self._now = None
