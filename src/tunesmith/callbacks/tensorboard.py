"""The run's scalars for TensorBoard: loss and learning rate per step, validation metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from tunesmith.core.events import Step
from tunesmith.core.files import own_folder, set_modes
from tunesmith.engine.setup import Callback
from tunesmith.engine.state import TrainState

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class TensorBoard(Callback):
    summary: ClassVar[str] = "write loss, learning rate and validation metrics for TensorBoard"
    _writer: SummaryWriter | None = None

    def on_start(self, state: TrainState) -> None:
        from torch.utils.tensorboard import SummaryWriter

        # after a resume, what was written beyond the checkpoint is superseded
        folder = own_folder(self.folder / "tensorboard")
        self._writer = SummaryWriter(str(folder), purge_step=state.step + 1)
        set_modes(folder, private=True)  # its file is made as the umask says

    def on_step(self, state: TrainState, event: Step) -> None:
        assert self._writer is not None
        self._writer.add_scalar("train/loss", event.loss, event.step)
        self._writer.add_scalar("train/learning_rate", event.learning_rate, event.step)
        self._writer.add_scalar("train/gradient_norm", event.gradient_norm, event.step)

    def on_evaluate(self, state: TrainState, metrics: dict[str, float]) -> None:
        assert self._writer is not None
        for name, value in metrics.items():
            self._writer.add_scalar(f"validation/{name}", value, state.step)

    def on_end(self, state: TrainState) -> None:
        if self._writer is not None:
            self._writer.close()
