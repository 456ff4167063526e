"""SIGTERM and Ctrl-C ask the run to stop at the next safe point; a second Ctrl-C stops at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from tunesmith.core.errors import Stopped


class StopRequest:
    """Set by a signal, read by the loop between steps."""

    def __init__(self) -> None:
        self.signal: str | None = None

    def check(self) -> None:
        """Raise Stopped if a stop was asked for. For phases that have nothing to save."""
        if self.signal:
            raise Stopped(f"Stopped by {self.signal}.", reason="signal")

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.signal and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = signal.Signals(number).name

    @contextmanager
    def listening(self) -> Iterator[StopRequest]:
        """Handle the signals inside the block. Other threads than the main one can not, and do not."""
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        before = {number: signal.signal(number, self._ask) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
