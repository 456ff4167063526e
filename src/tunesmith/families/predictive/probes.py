"""Ways to look at something that was known before, and what of it callbacks hold."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from tunesmith.core.measured import Measured
from tunesmith.core.spec import Words
from tunesmith.data.prepared import PreparedData
from tunesmith.engine import batching
from tunesmith.engine.encoded import EncodedItems
from tunesmith.engine.inference import answering, run_rows
from tunesmith.engine.objective import RowObjective
from tunesmith.engine.probe import LinearSolution, solve
from tunesmith.engine.protocols import PredictiveTask
from tunesmith.engine.retained import Retained, relative_distance
from tunesmith.evaluate import forgetting
from tunesmith.families.predictive.context import PredictiveRun
from tunesmith.families.predictive.predictor import Model
from tunesmith.models.lengths import USUAL
from tunesmith.models.pooled import Pooled

_PROBE_ROWS = 2_000
"""Most rows of a retained task that are fitted or chosen on."""


def _features(run: PredictiveRun, rows: EncodedItems, positions: np.ndarray, columns: int | None = None) -> np.ndarray:
    """What a head reads from the body as it is now, float32 [len(positions), hidden]; of a progressive network
    from the column of a run that left that many, or from the newest before this run."""
    with run.plan.method.reading(run.bundle, columns):
        return run.features(rows, positions)


def _logits(head: nn.Linear, features: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return head(torch.from_numpy(features).to(head.weight.device)).cpu().numpy()


class TaskProbe(ABC):
    """An earlier task's first metric, on its own rows."""

    is_task = True
    apart = False
    how = ""
    head: nn.Linear

    def __init__(self, run: PredictiveRun, name: str, task: PredictiveTask, data: PreparedData, rows: EncodedItems):
        self.run, self.name, self.task, self.data, self.rows = run, name, task, data, rows
        self.seed = run.plan.spec.seed

    def split(self, choosing: bool) -> np.ndarray:
        splits = self.data.splits
        return batching.sample(splits["validation"], _PROBE_ROWS, self.seed) if choosing else splits["test"]

    @abstractmethod
    def look(self, choosing: bool) -> Measured:
        """What the model as it is now answers on the rows of the split."""

    def compare(self, before: Measured, after: Measured) -> Words:
        metric = self.task.metrics[0]
        probe = f"{metric} on {len(before)} rows of {self.name}, {self.how}"
        return forgetting.lost_metric(before, after, metric, name=self.name, probe=probe, seed=self.seed)

    def retained(self) -> Retained:
        objective = HeadObjective(
            self.rows, self.data.splits["train"], self.task.loss, batching.ROWS, batching.TOKENS, self.seed, self.head,
            self.task.target.draw,
        )  # fmt: skip
        return Retained(self.name, objective, objective.sampled_nll, self.head, self.task.target.change)

    def _measured(self, positions: np.ndarray, logits: np.ndarray, thresholds: np.ndarray | None = None) -> Measured:
        task, rows = self.task, self.data.rows.select(positions)
        truth = task.truth_of(self.data.targets(positions), rows)
        return task.measure(task.decode(logits, self.rows.counts(positions), rows), truth, thresholds)


def _head(model: Model, task: PredictiveTask) -> nn.Linear:
    """The saved head, its answers on the scale of the task's targets."""
    head = copy.deepcopy(model.bundle.model.head).requires_grad_(False)
    factor, offset = task.target.units(task.targets)
    with torch.no_grad():
        head.weight.mul_(factor)
        if head.bias is not None:
            head.bias.mul_(factor).add_(offset)
    return head


class HeadProbe(TaskProbe):
    """The head of the earlier run on the body as it is now."""

    how = "by its own head"

    def __init__(
        self, run: PredictiveRun, name: str, task: PredictiveTask, data: PreparedData, rows: EncodedItems,
        earlier: Model, columns: int,
    ):  # fmt: skip
        super().__init__(run, name, task, data, rows)
        self.head, self.thresholds, self.columns = _head(earlier, task).to(run.device), earlier.thresholds, columns

    def look(self, choosing: bool) -> Measured:
        some = self.split(choosing)
        features = _features(self.run, self.rows, some, self.columns)
        return self._measured(some, _logits(self.head, features), self.thresholds)


class ApartProbe(TaskProbe):
    """The earlier run's own model: its adapter and head beside a base that this run leaves as it is."""

    apart = True
    how = "by its own adapter"

    def __init__(
        self, run: PredictiveRun, name: str, task: PredictiveTask, data: PreparedData, rows: EncodedItems, model: Model
    ):
        super().__init__(run, name, task, data, rows)
        self.model = model

    def look(self, choosing: bool) -> Measured:
        some, model, kept = self.split(choosing), self.model.bundle.model.to(self.run.device), self.task.kept
        with answering(model, "fp32"):  # once only; its layers may round more than those it was trained with
            logits = run_rows(
                lambda batch: kept(model(batch)), self.rows, some, on=self.run.device, check=self.run.stop.check
            )
        factor, offset = self.task.target.units(self.task.targets)
        return self._measured(some, logits * factor + offset, self.model.thresholds)


class LinearProbe(TaskProbe):
    """A linear solution on features of the body as it is now: what can still be read from them.

    The solution on the base's features is the head that callbacks hold.
    """

    how = "by a linear probe"

    def look(self, choosing: bool) -> Measured:
        train, held, some = (
            batching.sample(self.data.splits["train"], _PROBE_ROWS, self.seed),
            self.split(True),
            self.split(choosing),
        )
        known = _features(self.run, self.rows, held)
        found = self._solve(train, held, known)
        if not hasattr(self, "head"):
            self.head = _linear(found, self.run.device)
        # at a half, few labels of many are ever given
        cuts = self.task.target.tune(self._measured(held, found.logits(known)))
        return self._measured(some, found.logits(_features(self.run, self.rows, some)), cuts)

    def _solve(self, train: np.ndarray, held: np.ndarray, known: np.ndarray) -> LinearSolution:
        targets, learned = cast(np.ndarray, self.rows.targets), self.rows.places(train)
        outputs = len(self.task.label_names) if self.task.label_names else 1
        assert self.task.probe_loss is not None
        return solve(
            _features(self.run, self.rows, train), targets[learned], known, targets[self.rows.places(held)],
            loss=self.task.probe_loss, outputs=outputs,
            row_weights=self.task.row_weights(targets[learned]), check=self.run.stop.check,
        )  # fmt: skip


def _linear(found: LinearSolution, device: torch.device) -> nn.Linear:
    outputs, hidden = found.weight.shape
    head = nn.Linear(hidden, outputs).requires_grad_(False)
    head.weight.copy_(found.weight)
    head.bias.copy_(found.bias)
    return head.to(device)


class DriftProbe:
    """How far the features of texts moved. Every second one is for holding features and for choosing, the others
    are measured."""

    apart = False

    def __init__(self, run: PredictiveRun, name: str, texts: list[str], cache: str, general: int | None = None):
        """`general`: so many of the texts, from the first, are the bundled ones; None where they were retained."""
        self.run, self.name, self.is_task, self.general = run, name, general is None, general or 0
        limit = int(min(run.bundle.max_length, USUAL))
        modality = run.data.modality
        self.rows = modality.encode(
            modality.of_texts(texts), run.bundle, limit, run.folder.cache / cache, run.stop.check
        )

    def look(self, choosing: bool) -> tuple[np.ndarray, int]:
        """Features, and how many of them are of general sentences."""
        some = np.arange(0 if choosing else 1, len(self.rows), 2)
        return _features(self.run, self.rows, some), len(self.rows.places(some[some < self.general]))

    def compare(self, before: tuple[np.ndarray, int], after: tuple[np.ndarray, int]) -> Words:
        found = forgetting.drift(before[0], after[0], before[1], self.run.plan.spec.seed)
        return forgetting.of_texts(found, self.name, len(before[0])) if self.is_task else found

    def retained(self) -> Retained:
        """Features that are to stay what they are."""
        held = np.arange(0, len(self.rows) if self.is_task else self.general, 2)
        features = np.zeros((self.rows.answer_count, self.run.bundle.model.width), dtype=np.float32)
        features[self.rows.places(held)] = _features(self.run, self.rows, held)
        objective = FeatureObjective(
            self.rows, held, lambda now, _: now, batching.ROWS, batching.TOKENS, self.run.plan.spec.seed, features,
        )  # fmt: skip
        return Retained("general sentences" if self.general else self.name, objective, objective.sampled_nll)


@dataclass
class HeadObjective(RowObjective):
    """An earlier task's rows through its own head, which stays as it is."""

    head: nn.Linear
    draw: Callable[[Tensor, torch.Generator], Tensor]

    def loss(self, model: Pooled, items: np.ndarray, device: torch.device) -> Tensor:
        return super().loss(lambda batch: self.head(model.features(batch)), items, device)

    def sampled_nll(self, model: Pooled, items: np.ndarray, device: torch.device, chance: torch.Generator) -> Tensor:
        """The loss of targets drawn from what the model answers (for numbers, with deviation 1)."""
        logits = self.head(_now(self.rows, self.positions[items], model, device))
        drawn = self.draw(logits.detach(), chance)
        return self.row_loss(logits, drawn).sum()


@dataclass
class FeatureObjective(RowObjective):
    """Texts whose features are to stay what they were."""

    before: np.ndarray
    """By answer, float32 [answers, hidden]."""

    def loss(self, model: Pooled, items: np.ndarray, device: torch.device) -> Tensor:
        before = torch.from_numpy(self.before[self.rows.places(self.positions[items])]).to(device)
        return relative_distance(before, _now(self.rows, self.positions[items], model, device))

    def sampled_nll(self, model: Pooled, items: np.ndarray, device: torch.device, chance: torch.Generator) -> Tensor:
        """For features with noise of deviation 1, up to a constant."""
        now = _now(self.rows, self.positions[items], model, device)
        return (now * torch.randn(now.shape, generator=chance, device=device)).sum()


def _now(rows: EncodedItems, positions: np.ndarray, model: Pooled, device: torch.device) -> Tensor:
    batch = {name: tensor.to(device) for name, tensor in rows.collate(positions).items()}
    features: Tensor = model.features(batch)
    return features.float()
