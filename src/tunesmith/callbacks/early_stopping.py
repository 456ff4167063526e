"""Stop when the validation metric has not improved for `patience` evaluations, and nothing is left to unfreeze."""

from __future__ import annotations

from typing import ClassVar

from tunesmith.engine.setup import Callback
from tunesmith.engine.state import TrainState


class EarlyStopping(Callback):
    summary: ClassVar[str] = "stop when the validation metric has not improved for `patience` evaluations"

    def on_evaluate(self, state: TrainState, metrics: dict[str, float]) -> None:
        if state.step and state.last_stage and state.evaluations_since_best >= self.engine.patience:
            state.should_stop = True
