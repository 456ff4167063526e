"""The run's scalars for TensorBoard: loss and learning rate per step, validation metrics."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from tunesmith.core.events import Step
from tunesmith.core.files import own_folder, set_modes
from tunesmith.core.options import Options
from tunesmith.engine.setup import Callback
from tunesmith.engine.state import TrainState


class TensorBoardOptions(Options):
    pass


class TensorBoard(Callback):
    Options = TensorBoardOptions
    summary: ClassVar[str] = "write loss, learning rate and validation metrics for TensorBoard"

    def __init__(self, options: Any, *, engine: Any, folder: Path):
        self._folder = folder / "tensorboard"
        self._writer: Any = None

    def on_start(self, state: TrainState) -> None:
        from torch.utils.tensorboard import SummaryWriter

        # after a resume, what was written beyond the checkpoint is superseded
        self._writer = SummaryWriter(str(own_folder(self._folder)), purge_step=state.step + 1)
        set_modes(self._folder, private=True)  # its file is made as the umask says

    def on_step(self, state: TrainState, event: Step) -> None:
        self._writer.add_scalar("train/loss", event.loss, event.step)
        self._writer.add_scalar("train/learning_rate", event.learning_rate, event.step)
        self._writer.add_scalar("train/gradient_norm", event.gradient_norm, event.step)

    def on_evaluate(self, state: TrainState, metrics: dict[str, float]) -> None:
        for name, value in metrics.items():
            self._writer.add_scalar(f"validation/{name}", value, state.step)

    def on_end(self, state: TrainState) -> None:
        if self._writer is not None:
            self._writer.close()
