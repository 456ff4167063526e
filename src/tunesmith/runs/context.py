"""A run under way: what each stage leaves to the next."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast

import torch

from tunesmith.core.events import Emit, Phase
from tunesmith.core.files import write_text
from tunesmith.core.run import RunFolder
from tunesmith.core.spec import RunSpec, Words
from tunesmith.engine import hardware
from tunesmith.engine.checkpoint import CheckpointStore
from tunesmith.engine.loop import TrainState
from tunesmith.engine.objective import Objective
from tunesmith.engine.retained import ForgettingMonitor
from tunesmith.engine.setup import Setup
from tunesmith.engine.stop import StopRequest
from tunesmith.evaluate.metrics import higher_is_better
from tunesmith.models.bundle import Bundle
from tunesmith.runs.identity import identity
from tunesmith.runs.settle import Plan


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


class RetainedData(Protocol):
    """A file or run that must not be forgotten, as data."""

    @property
    def path(self) -> Path: ...

    @property
    def fingerprint(self) -> str: ...


@dataclass(kw_only=True)
class RunContext:
    """What every run has; a family's own adds what only its stages know. Attributes without a value here are set by
    the stage that their comment names."""

    folder: RunFolder
    spec: RunSpec
    """As it was asked for; `plan.spec` is what was made of it."""
    emit: Emit
    stop: StopRequest
    clock: Clock
    plan: Plan[Any] = field(init=False)  # settle
    bundle: Bundle[Any] = field(init=False)  # load
    device: torch.device = field(init=False)  # load
    precision: str = field(init=False)  # load
    retained: Sequence[RetainedData] = ()
    """The files and runs that must not be forgotten, as data."""
    monitor: ForgettingMonitor | None = None
    """What must not be forgotten, as it was before training."""
    trainable_parameters: int = 0
    state: TrainState = field(default_factory=TrainState)
    forgetting: Words | None = None
    """What was, for metrics.json."""

    @property
    def fingerprint(self) -> str:
        """sha256 of the data and of its division."""
        raise NotImplementedError

    def setup(self, objective: Objective, evaluate: Callable[[], Mapping[str, float]]) -> Setup:
        """A training of the model as it is; `evaluate` as `Setup` has it."""
        plan, model = self.plan, self.bundle.model
        metric = plan.task.metrics[0]
        made_of = identity(plan.spec, self.fingerprint, self.bundle.fingerprint)
        return Setup(
            model=model, objective=objective, evaluate=evaluate, metric=metric,
            higher_is_better=higher_is_better(metric),
            groups=plan.method.groups(self.bundle, cast(float, plan.engine.learning_rate)),
            epochs=cast(int, plan.engine.epochs), precision=self.precision, options=plan.engine,
            checkpoints=CheckpointStore(self.folder.checkpoints, made_of, self.emit),
            callbacks=plan.callbacks, emit=self.emit, stop=self.stop, seed=plan.spec.seed, device=self.device,
            tokens_at_once=hardware.tokens_at_once(self.device), float32_names=model.float32_names,
            stage=plan.method.stage, on_stage=lambda stage: plan.method.on_stage(stage, self.bundle),
        )  # fmt: skip

    def write_spec(self) -> None:
        """What was settled so far, so that a resumed run does not settle it anew."""
        write_text(self.folder.spec, self.plan.spec.dump())
