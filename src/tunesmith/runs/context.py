"""A run under way: what each stage leaves to the next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch

from tunesmith.core.events import Emit
from tunesmith.core.files import write_text
from tunesmith.core.run import RunFolder
from tunesmith.core.spec import RunSpec, Words
from tunesmith.engine.loop import TrainState
from tunesmith.engine.retained import ForgettingMonitor
from tunesmith.engine.stop import StopRequest
from tunesmith.models.bundle import Bundle
from tunesmith.runs.clock import Clock
from tunesmith.runs.settle import Plan


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

    def write_spec(self) -> None:
        """What was settled so far, so that a resumed run does not settle it anew."""
        write_text(self.folder.spec, self.plan.spec.dump())
