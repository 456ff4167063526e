"""What the loop trains on: items that can be counted, batched and turned into a loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, Protocol, Self

import numpy as np
import torch
from torch import Tensor

from tunesmith.engine.batching import again, plan_epoch, resampled
from tunesmith.engine.encoded import EncodedItems


class Objective(Protocol):
    """The training items of a run, numbered from 0."""

    lengths: np.ndarray
    """Tokens of each item, int64 [n]."""
    row_ids: np.ndarray
    """Where each item came from, int64 [n]."""

    def plan(self, epoch: int) -> list[np.ndarray]:
        """The batches of one epoch, as items; the same for the same epoch."""

    def tokens(self, items: np.ndarray) -> int:
        """Tokens that computing these items together takes, padding included."""

    def weight(self, items: np.ndarray) -> float:
        """What the losses of these items are divided by to give a mean: rows, or learned tokens."""

    def loss(self, model: Any, items: np.ndarray, device: torch.device) -> Tensor:
        """The sum of the items' losses, a float32 scalar."""


def compares(objective: Objective) -> bool:
    """Whether the loss of an item depends on the others that it is computed with, so that parts of a batch do not add
    up to it. Objectives of other packages that do not say so do not."""
    return bool(getattr(objective, "compares", False))


def of_parts(objective: Objective) -> str:
    """What it means that a batch is computed in parts whose gradients are added up."""
    if not compares(objective):
        return "gradients are added up, the result is the same"
    return (
        "rows are compared within each part alone, so the result is not that of whole batches; a smaller batch_size "
        "would give the same one wherever it is computed"
    )


def spare(objective: Objective, model: Any) -> bool:
    """Make a batch need less memory from now on, with the same result; whether it could."""
    able = getattr(objective, "spare", None)
    return able is not None and bool(able(model))


class EqualItems:
    """The part of an objective whose items count alike and are batched by length."""

    lengths: np.ndarray
    batch_rows: int
    batch_tokens: int | None
    seed: int
    same_batches: bool = False
    """Every epoch has the batches of the first one, in another order."""
    epoch: int = 0
    """The one that was planned last."""
    chances: np.ndarray | None = None
    """How often an item is to come beside the others, float64 [n]; None: each once an epoch."""

    def plan(self, epoch: int) -> list[np.ndarray]:
        self.epoch = epoch
        drawn = 0 if self.same_batches else epoch
        items = None if self.chances is None else resampled(self.chances, seed=self.seed, epoch=drawn)
        lengths = self.lengths if items is None else self.lengths[items]
        batches = plan_epoch(lengths, seed=self.seed, epoch=drawn, rows=self.batch_rows, tokens=self.batch_tokens)
        if items is not None:
            batches = [items[batch] for batch in batches]
        return again(batches, seed=self.seed, epoch=epoch) if self.same_batches else batches

    def tokens(self, items: np.ndarray) -> int:
        return len(items) * int(self.lengths[items].max())

    def weight(self, items: np.ndarray) -> float:
        return float(len(items))


@dataclass
class RowObjective(EqualItems):
    """One loss per answer, every answer counting alike."""

    rows: EncodedItems
    positions: np.ndarray
    """Positions in `rows` of the training rows, int64."""
    row_loss: Callable[[Tensor, Tensor], Tensor]
    """Outputs [answers, ...] and targets to one loss per answer [answers]."""
    batch_rows: int
    batch_tokens: int | None
    seed: int
    same_batches: bool = field(default=False, kw_only=True)
    epoch: int = field(default=0, kw_only=True)
    chances: np.ndarray | None = field(default=None, kw_only=True)
    epochs: int = field(default=1, kw_only=True)
    """How many of them there will be."""

    def __post_init__(self) -> None:
        self.lengths = self.rows.training_lengths[self.positions]
        ids = self.rows.row_ids
        self.row_ids = self.positions if ids is None else ids[self.positions]

    @property
    def compares(self) -> bool:
        return self.rows.compared

    def weight(self, items: np.ndarray) -> float:
        counts = self.rows.counts(self.positions[items])
        return super().weight(items) if counts is None else float(counts.sum())

    def batch(self, items: np.ndarray, device: torch.device) -> dict[str, Tensor]:
        """What a step of training reads of these items."""
        drawn = self.rows.training_batch(self.positions[items], self.seed, self.epoch)
        return {name: values.to(device) for name, values in drawn.items()}

    def loss(self, model: Any, items: np.ndarray, device: torch.device) -> Tensor:
        batch = self.batch(items, device)
        targets, partners = batch.pop("targets"), batch.pop("partners", None)
        if partners is None:
            return self.row_loss(model(batch).float(), targets).sum()
        shares = batch.pop("shares")  # each row is in part another one of the batch
        outputs = model(batch).float()
        own, other = self.row_loss(outputs, targets), self.row_loss(outputs, targets[partners])
        return (shares * own + (1 - shares) * other).sum()

    def sampled_nll(self, model: Any, items: np.ndarray, device: torch.device, chance: torch.Generator) -> Tensor:
        """As `engine.retained.Retained` has it: here the loss of the true targets, as none are drawn."""
        return self.loss(model, items, device)


@dataclass
class SetObjective(RowObjective):
    """Learned as the authors of a network have it that answers with a set, whose loss is of a whole batch."""

    as_sets: Callable[[Tensor], tuple[Any, ...]]
    """Targets of a batch as the network's own loss is given them."""

    @property
    def compares(self) -> bool:
        """What is found counts by how much there is to find in the whole batch."""
        return True

    @classmethod
    def of(cls, plain: RowObjective, as_sets: Callable[[Tensor], tuple[Any, ...]]) -> Self:
        """The same items and batches as `plain`."""
        return cls(**{one.name: getattr(plain, one.name) for one in fields(plain)}, as_sets=as_sets)

    def loss(self, model: Any, items: np.ndarray, device: torch.device) -> Tensor:
        batch = self.batch(items, device)
        loss: Tensor = model.own_loss(batch, *self.as_sets(batch.pop("targets")))
        return loss * len(items)
