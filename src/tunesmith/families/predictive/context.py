"""A run with one answer a row while it is under way: what each of its steps leaves to the next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from tunesmith.core.measured import Measured
from tunesmith.data.prepared import PreparedData
from tunesmith.engine import batching
from tunesmith.engine.background import BackgroundTask
from tunesmith.engine.encoded import EncodedItems
from tunesmith.engine.inference import answering, run_rows
from tunesmith.engine.objective import RowObjective
from tunesmith.engine.probe import MAX_ROWS, LinearSolution
from tunesmith.engine.protocols import PredictiveTask
from tunesmith.families.predictive.frozen_prefix import FrozenPrefix
from tunesmith.families.predictive.retained import Read
from tunesmith.runs import text_language
from tunesmith.runs.context import RunContext
from tunesmith.runs.cut_texts import Cut
from tunesmith.runs.settle import Plan

WATCHED_ROWS = 10_000
"""Most validation rows that are looked at while training."""


@dataclass(kw_only=True)
class PredictiveRun(RunContext):
    plan: Plan[PredictiveTask] = field(init=False)  # settle
    retained: Sequence[Read] = ()
    data: PreparedData = field(init=False)  # read
    rows: EncodedItems = field(init=False)  # encode
    objective: RowObjective = field(init=False)  # baselines
    frozen_prefix: FrozenPrefix = field(init=False)  # baselines
    features_of_base: np.ndarray = field(init=False)  # baselines
    """What the linear solution reads of the rows that need it: float32 [rows, hidden]."""
    simple: BackgroundTask[dict[str, Measured]] = field(init=False)  # baselines
    probe: LinearSolution = field(init=False)  # baselines
    """The linear solution on frozen features; a baseline, and perhaps where the head started."""
    probe_logits: dict[str, np.ndarray] = field(default_factory=dict)
    """Its logits on 'validation' and 'test'."""
    base_logits: np.ndarray | None = None
    """The base model's own on 'test', where it can answer before any training."""
    kept_method: str | None = None
    """The method of the model that is handed over, where that is not the one that was trained."""
    thresholds: np.ndarray | None = None
    """Tuned on validation rows, of several labels only."""
    others: dict[str, Measured] = field(default_factory=dict)
    """What the baselines say of 'test'."""
    ours: dict[str, Measured] = field(default_factory=dict)
    """What the model says of 'validation' and 'test' in the end."""
    expected: np.ndarray | None = None
    """Its scores of the first test rows, which the saved model must give again."""

    @property
    def fingerprint(self) -> str:
        return self.data.fingerprint

    @property
    def watched(self) -> np.ndarray:
        """Positions of the validation rows that are looked at while training."""
        return batching.sample(self.data.splits["validation"], WATCHED_ROWS, self.plan.spec.seed)

    @property
    def probe_rows(self) -> int:
        """Most training rows that the linear solution reads."""
        return max(1, MAX_ROWS * len(self.rows) // max(1, self.rows.answer_count))

    def logits(self, positions: np.ndarray) -> np.ndarray:
        """The model as it is now, on some rows: float32 [len(positions), outputs]."""
        model = self.bundle.model
        with answering(model, self.precision):
            return run_rows(model, self.rows, positions, on=self.device, check=self.stop.check)

    def features(self, rows: EncodedItems, positions: np.ndarray) -> np.ndarray:
        """What a head reads of some rows as the body is now: float32 [len(positions), hidden]."""
        model = self.bundle.model
        with answering(model, self.precision):
            return run_rows(model.features, rows, positions, on=self.device, check=self.stop.check)

    @cached_property
    def cut(self) -> Cut:
        """How much of the texts is not read."""
        rows, bundle = self.rows, self.bundle
        return Cut(
            rows.whole_lengths, len(rows), int(rows.lengths.max()), self.plan.spec.model, bundle.position_limit,
            text_language.sample(self.data),
        )  # fmt: skip

    @property
    def is_probe(self) -> bool:
        """Whether the model is nothing but the linear solution on the frozen base."""
        return self.kept_method == "head" or (self.plan.method.frozen_body and not self.plan.engine.epochs)

    def measured(self, split: str, logits: np.ndarray, thresholds: np.ndarray | None = None) -> Measured:
        """What logits of the rows of a split are worth."""
        return self.measured_at(self.data.splits[split], logits, thresholds)

    def measured_at(self, positions: np.ndarray, logits: np.ndarray, thresholds: np.ndarray | None = None) -> Measured:
        task = self.plan.task
        predictions = task.decode(logits, self.rows.counts(positions))
        return task.measure(predictions, task.truth(self.data.targets(positions)), thresholds)
