"""What one training is made of, and the callbacks that hear of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from tunesmith.core import renamed
from tunesmith.core.events import Emit, Step
from tunesmith.core.options import Options
from tunesmith.engine.checkpoint import CheckpointStore
from tunesmith.engine.objective import Objective
from tunesmith.engine.optim import ParameterGroup
from tunesmith.engine.options import EngineOptions
from tunesmith.engine.retained import ForgettingMonitor
from tunesmith.engine.state import TrainState
from tunesmith.engine.stop import StopRequest
from tunesmith.models.model import Model


class Callback:
    """What happens around a step. It has those of these that it wants to hear of."""

    Options: ClassVar[type[Options]] = Options
    summary: ClassVar[str]
    """One line for `tunesmith callbacks`."""
    turn: ClassVar[int] = 1
    """Those with a lower one are set up first."""

    def __init__(self, options: Any, *, engine: EngineOptions, folder: Path) -> None:
        """`folder`: that of the run."""
        self.options, self.engine, self.folder = options, engine, folder

    def on_setup(self, setup: Setup, monitor: ForgettingMonitor) -> None:
        """Before training, where something must not be forgotten; may change `setup`."""

    def on_start(self, state: TrainState) -> None:
        """Before the first step, and before the next one after a resume."""

    def on_loss(self, model: nn.Module, loss: Tensor, share: float) -> Tensor:
        """The loss to learn from, a scalar, for every part of a batch; `share` of the step that the part is."""
        return loss

    def on_gradients(self, masters: Mapping[str, nn.Parameter]) -> float:
        """Once a step, with the float32 weights and their gradients, to which it may add; the penalty that it adds."""
        return 0.0

    def on_weights(self, weights: Mapping[str, Tensor], step: int) -> None:
        """Once a step, after it: the float32 weights that move and running statistics, by name."""

    def on_step(self, state: TrainState, event: Step) -> None: ...

    def on_evaluate(self, state: TrainState, metrics: dict[str, float]) -> None:
        """After validation; may set `state.should_stop`."""

    def on_end(self, state: TrainState) -> None: ...

    def stand_ins(self) -> Mapping[str, Tensor] | None:
        """What stands in for the weights of `on_weights` where the model is judged, and in the end; None: nothing."""
        return None

    def tensors(self) -> Mapping[str, Tensor]:
        """What a checkpoint keeps of it, by name."""
        return {}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """What `tensors` gave when the checkpoint was saved that is gone on with."""

    def on_trained(self, setup: Setup, monitor: ForgettingMonitor) -> None:
        """After training, where something must not be forgotten; the best weights are in the model."""


def overrides(callback: type[Callback], *hooks: str) -> bool:
    """Whether it has one of these hooks of its own."""
    return any(getattr(callback, hook) is not getattr(Callback, hook) for hook in hooks)


@dataclass
class Setup:
    """Everything that one training needs."""

    model: Model
    objective: Objective
    evaluate: Callable[[], Mapping[str, float]]
    """Metrics on the validation rows, 'loss' among them."""
    metric: str
    """The metric that picks the best checkpoint."""
    higher_is_better: bool
    groups: Sequence[ParameterGroup]
    epochs: int
    precision: str
    options: EngineOptions
    checkpoints: CheckpointStore
    callbacks: Sequence[Callback]
    emit: Emit
    stop: StopRequest
    seed: int
    device: torch.device
    tokens_at_once: int | None = None
    """Larger batches are computed in parts whose gradients are added up: less memory, the same result."""
    noise: Callable[[float], float] = lambda _: 0.0
    """Differences of the metric, at a value of it, that the number of validation rows can not tell."""
    float32_names: frozenset[str] = frozenset()
    """Parameters that stay float32 whatever the precision."""
    keeps_last: bool = False
    """Train to the end and keep those weights, whatever the evaluations say."""
    stage: Callable[[int, int, bool], int] = lambda *_: 0
    """The stage of the epoch (from 0) that begins, by that of the epoch before and whether validation stalled in it."""
    on_stage: Callable[[int], bool] = lambda _: True
    """Called with the stage before an epoch's first step, and when one goes on after a resume or a rollback; whether
    no other stage follows."""

    @property
    def lesson(self) -> Objective:
        """`objective`, as callbacks of an earlier version call it."""
        return self.objective

    @lesson.setter
    def lesson(self, value: Objective) -> None:
        renamed.say("Setup.lesson", "Setup.objective")
        self.objective = value
