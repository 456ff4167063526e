"""Stop when the validation metric has not improved for `patience` evaluations, and nothing is left to unfreeze."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from tunesmith.core.options import Options
from tunesmith.engine.options import EngineOptions
from tunesmith.engine.setup import Callback
from tunesmith.engine.state import TrainState


class EarlyStoppingOptions(Options):
    pass


class EarlyStopping(Callback):
    Options = EarlyStoppingOptions
    summary: ClassVar[str] = "stop when the validation metric has not improved for `patience` evaluations"

    def __init__(self, options: Any, *, engine: EngineOptions, folder: Path):
        self.patience = engine.patience

    def on_evaluate(self, state: TrainState, metrics: dict[str, float]) -> None:
        if state.step and state.last_stage and state.evaluations_since_best >= self.patience:
            state.should_stop = True
