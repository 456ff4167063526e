"""Tasks that no linear head answers: what a network says of their rows, looked at as a whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tunesmith.core.errors import DataError, Problem
from tunesmith.core.events import ignore
from tunesmith.core.measured import Measured
from tunesmith.data.prepared import PreparedData
from tunesmith.engine import batching
from tunesmith.engine.encoded import EncodedItems
from tunesmith.engine.inference import answering, run_rows
from tunesmith.engine.objective import EqualItems, RowObjective, spare
from tunesmith.engine.protocols import PredictiveTask
from tunesmith.engine.retained import Retained
from tunesmith.families.predictive.context import PredictiveRun
from tunesmith.families.predictive.probes import TaskProbe
from tunesmith.models.answers import Answers


class AnswerProbe(TaskProbe):
    """What the network answers on the body as it is now: through the head of an earlier run, or through its own."""

    def __init__(
        self, run: PredictiveRun, name: str, task: PredictiveTask, data: PreparedData, rows: EncodedItems,
        answers: Answers, thresholds: np.ndarray | None,
    ):  # fmt: skip
        """`thresholds`: of an earlier run; None: there are none, or they are tuned anew by each look."""
        super().__init__(run, name, task, data, rows)
        self.answers, self.thresholds = answers, thresholds
        self.how = "by its own head" if answers.parts else "as the model itself answers them"
        self._beside = task.beside(run.bundle, run.folder.cache / f"beside-{name}", run.stop.check)

    def look(self, choosing: bool) -> Measured:
        some, cuts = self.split(choosing), self.thresholds
        if cuts is None and self.task.target.has_thresholds:
            held = self.split(True)
            cuts = self.task.target.tune(self._measured(held, self._outputs(held)))
        return self._measured(some, self._outputs(some), cuts)

    def retained(self) -> Retained:
        task, run = self.task, self.run
        task.settle_rows(self.rows, None, ignore)
        plain = RowObjective(self.rows, self.data.splits["train"], task.loss, batching.ROWS, batching.TOKENS, self.seed)
        objective = AnswersObjective(task.objective(plain, run.bundle), self.answers)
        return Retained(self.name, objective, objective.sampled_nll)

    def _outputs(self, positions: np.ndarray) -> np.ndarray:
        """What the task keeps of what the network says of these rows, float32 [answers, ...]."""
        run, model, kept = self.run, self.run.bundle.model, self.task.kept
        with self.answers.given_by(model), answering(model, run.precision):
            if self._beside is not None:
                every = np.arange(len(self._beside))
                found = run_rows(model, self._beside, every, on=run.device, check=run.stop.check)
                self.task.know_beside(found)
            return run_rows(lambda batch: kept(model(batch)), self.rows, positions, on=run.device, check=run.stop.check)


def check_same_task(run: PredictiveRun, name: str, path: object) -> None:
    """Raises DataError for rows of another task than the run's: its network gives no answers to them."""
    if name != run.plan.spec.task:
        raise DataError(
            Problem(f"it holds data of {name}, and a network of {run.plan.spec.task} gives no such answers", str(path)),
            fix=f"Retain data, or a run, of {run.plan.spec.task}.",
        )


def check_answers(run: PredictiveRun, data: PreparedData, path: object) -> None:
    """Raises DataError for rows that the base can not answer before it is trained, so that there is nothing yet that
    could be forgotten."""
    known, fix = run.plan.task.label_names, "Begin with the run that learned them: --continue-from RUN."
    if run.bundle.zero_shot != "head":
        raise DataError(
            Problem(f"{run.plan.spec.model} has no trained head for {run.plan.spec.task}, so it knows nothing yet of "
                    "such rows that could be forgotten", str(path)), fix,
        )  # fmt: skip
    if unknown := sorted(set(data.label_names or ()) - set(known or ())):
        raise DataError(
            Problem(f"{run.plan.spec.model} gives no {', '.join(map(repr, unknown[:5]))}, so it knows nothing yet of "
                    "such rows that could be forgotten", str(path)), fix,
        )  # fmt: skip


@dataclass
class AnswersObjective(EqualItems):
    """The items of `inner`, learned through an earlier head, which stays as it is, or through that of the network."""

    inner: RowObjective
    answers: Answers

    def __post_init__(self) -> None:
        self.lengths, self.row_ids, self.seed = self.inner.lengths, self.inner.row_ids, self.inner.seed
        self.batch_rows, self.batch_tokens = self.inner.batch_rows, self.inner.batch_tokens

    @property
    def compares(self) -> bool:
        return self.inner.compares

    def spare(self, model: Any) -> bool:
        return spare(self.inner, model)

    def tokens(self, items: np.ndarray) -> int:
        return self.inner.tokens(items)

    def weight(self, items: np.ndarray) -> float:
        return self.inner.weight(items)

    def loss(self, model: Any, items: np.ndarray, device: torch.device) -> Tensor:
        self.inner.epoch = self.epoch
        with self.answers.given_by(model):
            return self.inner.loss(model, items, device)

    def sampled_nll(self, model: Any, items: np.ndarray, device: torch.device, chance: torch.Generator) -> Tensor:
        with self.answers.given_by(model):
            return self.inner.sampled_nll(model, items, device, chance)
