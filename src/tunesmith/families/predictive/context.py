"""A run with one answer a row while it is under way: what each of its steps leaves to the next."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch

from tunesmith.core.events import Emit
from tunesmith.core.run import RunFolder
from tunesmith.data.prepared import PreparedData
from tunesmith.engine import loop
from tunesmith.engine.background import Beside
from tunesmith.engine.inference import answering, run_rows
from tunesmith.engine.lesson import RowLesson
from tunesmith.engine.probe import LinearSolution
from tunesmith.engine.retained import Keeping
from tunesmith.engine.stop import StopRequest
from tunesmith.engine.tokens import EncodedRows
from tunesmith.evaluate.types import Outcome
from tunesmith.families.predictive import frozen_prefix
from tunesmith.families.predictive.retained import Read
from tunesmith.models.load import Bundle
from tunesmith.runs import text_language
from tunesmith.runs.cut_texts import Cut
from tunesmith.runs.settle import Plan


@dataclass
class Work:
    """A run under way: filled by the steps below, read by `finish`."""

    folder: RunFolder
    emit: Emit
    stop: StopRequest
    plan: Plan
    data: PreparedData
    bundle: Bundle
    rows: EncodedRows
    device: torch.device
    precision: str
    lesson: RowLesson
    resting: frozen_prefix.Resting
    of_texts: Beside[dict[str, Outcome]]
    probe: LinearSolution
    """The linear solution on frozen features; a baseline, and perhaps where the head started."""
    probe_logits: dict[str, np.ndarray] = field(default_factory=dict)
    """Its logits on 'validation' and 'test'."""
    base_logits: np.ndarray | None = None
    """The base model's own on 'test', where it can answer before any training."""
    trainable_parameters: int = 0
    state: loop.TrainState = field(default_factory=loop.TrainState)
    retained: list[Read] = field(default_factory=list)
    """The files and runs that must not be forgotten, as data."""
    keeping: Keeping | None = None
    """What must not be forgotten, as it was before training."""
    forgetting: dict[str, Any] | None = None
    """What was, for metrics.json."""
    kept_method: str | None = None
    """The method of the model that is handed over, where that is not the one that was trained."""

    def logits(self, positions: np.ndarray) -> np.ndarray:
        """The model as it is now, on some rows: float32 [len(positions), outputs]."""
        model = self.bundle.model
        with answering(model, self.precision):
            return run_rows(model, self.rows, positions, on=self.device, check=self.stop.check)

    def features(self, rows: EncodedRows, positions: np.ndarray) -> np.ndarray:
        """What a head reads of some rows as the body is now: float32 [len(positions), hidden]."""
        model = self.bundle.model
        with answering(model, self.precision):
            return run_rows(model.features, rows, positions, on=self.device, check=self.stop.check)

    @cached_property
    def cut(self) -> Cut:
        """How much of the texts is not read."""
        return cut_of(self.plan, self.data, self.bundle, self.rows)

    @property
    def is_probe(self) -> bool:
        """Whether the model is nothing but the linear solution on the frozen base."""
        return self.kept_method == "head" or (self.plan.method.frozen_body and not self.plan.engine.epochs)

    def outcome(self, split: str, logits: np.ndarray, thresholds: np.ndarray | None = None) -> Outcome:
        return self.outcome_at(self.data.splits[split], logits, thresholds)

    def outcome_at(self, positions: np.ndarray, logits: np.ndarray, thresholds: np.ndarray | None = None) -> Outcome:
        return outcome_of(self.plan, self.data, positions, logits, thresholds)


def outcome_of(
    plan: Plan, data: PreparedData, positions: np.ndarray, logits: np.ndarray, thresholds: np.ndarray | None = None
) -> Outcome:
    task = plan.task
    return Outcome(task.kind, task.truth(data.targets(positions)), task.scores(logits), task.label_names, thresholds)


def cut_of(plan: Plan, data: PreparedData, bundle: Bundle, rows: EncodedRows) -> Cut:
    return Cut(
        rows.whole_lengths, len(rows), int(rows.lengths.max()), plan.spec.model, bundle.position_limit,
        text_language.sample(data),
    )  # fmt: skip
