"""A run with one answer a row while it is under way: what each of its steps leaves to the next."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from torch import Tensor

from tunesmith.core.measured import Measured
from tunesmith.core.spec import Words
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
    features_of_base: np.ndarray = field(init=False)  # baselines, where the task has a linear solution
    """What the linear solution reads of the rows that need it: float32 [rows, hidden]."""
    simple: BackgroundTask[dict[str, Measured]] = field(init=False)  # baselines
    probe: LinearSolution = field(init=False)  # baselines, as above
    """The linear solution on frozen features; a baseline, and perhaps where the head started."""
    probe_logits: dict[str, np.ndarray] = field(default_factory=dict)
    """Its logits on 'validation' and 'test'."""
    text_logits: dict[str, np.ndarray] = field(default_factory=dict)
    """The same of one that does not read the columns beside the texts, where there are any."""
    base: Measured | None = None
    """What the base model's own answers to 'test' are worth, where it can answer before any training."""
    kept_method: str | None = None
    """The method of the model that is handed over, where that is not the one that was trained."""
    thresholds: np.ndarray | None = None
    """Tuned on validation rows, of several labels only."""
    columns: list[Words] = field(default_factory=list)
    """What each column beside the texts is worth (`columns.worth`)."""
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
        """What is kept of what the model as it is now says of some rows: float32 [answers, outputs]."""
        model, kept = self.bundle.model, self.plan.task.kept
        with answering(model, self.precision):
            return run_rows(
                lambda batch: kept(model(batch)), self.rows, positions, on=self.device, check=self.stop.check
            )

    def outputs(self, split: str) -> np.ndarray:
        """`logits` of the rows of a split, by which they are judged; of test rows with what stands beside them."""
        beside = self.beside if split == "test" else None
        if beside is not None:
            model = self.bundle.model
            with answering(model, self.precision):
                every = np.arange(len(beside))
                self.plan.task.know_beside(run_rows(model, beside, every, on=self.device, check=self.stop.check))
        return self.logits(self.data.splits[split])

    @cached_property
    def beside(self) -> EncodedItems | None:
        return self.plan.task.beside(self.bundle, self.folder.cache / "beside", self.stop.check)

    def logits_and_loss(self, positions: np.ndarray) -> tuple[np.ndarray, float]:
        """The same, and the mean loss of these rows, which the whole outputs of a batch are needed for."""
        task, model, losses = self.plan.task, self.bundle.model, list[float]()

        def kept(batch: dict[str, Tensor]) -> Tensor:
            outputs = model(batch).float()
            losses.extend(task.loss(outputs, batch["targets"]).tolist())
            return task.kept(outputs)

        with answering(model, self.precision):
            logits = run_rows(kept, self.rows, positions, on=self.device, check=self.stop.check)
        return logits, math.fsum(losses) / max(1, len(losses))  # exact, so in whatever order batches are done

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
            rows.whole_lengths, len(rows), rows.longest, self.plan.spec.model, bundle.position_limit,
            text_language.sample(self.data),
        )  # fmt: skip

    @property
    def is_probe(self) -> bool:
        """Whether the model is nothing but the linear solution on the frozen base."""
        alone = self.plan.method.frozen_body and not self.plan.engine.epochs
        return self.has_probe and (alone or self.kept_method == "head")

    @property
    def has_probe(self) -> bool:
        """Whether a linear head gives the answers, so that there is a linear solution."""
        return self.plan.task.probe_loss is not None

    def measured(self, split: str, logits: np.ndarray, thresholds: np.ndarray | None = None) -> Measured:
        """What logits of the rows of a split are worth."""
        return self.measured_at(self.data.splits[split], logits, thresholds)

    def measured_at(self, positions: np.ndarray, logits: np.ndarray, thresholds: np.ndarray | None = None) -> Measured:
        task = self.plan.task
        rows = self.data.rows.select(positions)
        predictions = task.decode(logits, self.rows.counts(positions), rows)
        return task.measure(predictions, task.truth_of(self.data.targets(positions), rows), thresholds)
