"""Write down every step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tunesmith.core.events import Step
from tunesmith.core.options import Options
from tunesmith.engine.setup import Callback
from tunesmith.engine.state import TrainState


class ShoutOptions(Options):
    volume: int = 1
    """How loud."""


class Shout(Callback):
    Options = ShoutOptions
    summary = "write down every step"

    def __init__(self, options: ShoutOptions, *, engine: Any, folder: Path):
        self._file, self._volume = folder / "shouted.txt", options.volume

    def on_step(self, state: TrainState, event: Step) -> None:
        with self._file.open("a", encoding="utf-8") as file:
            print("!" * self._volume, event.step, file=file)
