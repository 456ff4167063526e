"""Objectives learned together: items of one beside those of others, in the same steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tunesmith.engine.objective import EqualItems, Objective, compares, spare
from tunesmith.models.model import Model


@dataclass
class MixedObjective:
    """`new`, with `rate` items of the `retained` objectives added for each of its items.

    Items are numbered through: first the new ones, then those of each retained objective. Retained rows lie in
    other files, so their `row_ids` are -1.
    """

    new: Objective
    retained: Sequence[Objective]
    rate: float
    seed: int

    def __post_init__(self) -> None:
        self.objectives = [self.new, *self.retained]
        self.starts = np.cumsum([0, *(len(objective.lengths) for objective in self.objectives)])
        self.lengths = np.concatenate([objective.lengths for objective in self.objectives])
        unknown = np.full(int(self.starts[-1] - self.starts[1]), -1, dtype=np.int64)
        self.row_ids = np.concatenate([self.new.row_ids, unknown])

    def plan(self, epoch: int) -> list[np.ndarray]:
        """The batches of `new`, each grown by retained items; none comes again before all others came."""
        for objective in self.retained:
            if isinstance(objective, EqualItems):  # what is drawn anew for each epoch, such as a changed picture
                objective.epoch = epoch
        drawn = self._drawn(np.random.default_rng((self.seed, epoch)))
        batches, owed = [], 0.0
        for batch in self.new.plan(epoch):
            owed += self.rate * len(batch)
            count = int(owed)
            owed -= count
            batches.append(np.concatenate([batch, np.fromiter(drawn, dtype=np.int64, count=count)]))
        return batches

    def _drawn(self, chance: np.random.Generator) -> Iterator[int]:
        while True:
            yield from chance.permutation(np.arange(self.starts[1], self.starts[-1])).tolist()

    def _parts(self, items: np.ndarray) -> Iterator[tuple[Objective, np.ndarray]]:
        owners = np.searchsorted(self.starts, items, side="right") - 1
        for owner in np.unique(owners):
            yield self.objectives[owner], items[owners == owner] - self.starts[owner]

    @property
    def compares(self) -> bool:
        return any(map(compares, self.objectives))

    def spare(self, model: Model) -> bool:
        return any(spare(one, model) for one in self.objectives)

    def tokens(self, items: np.ndarray) -> int:
        return sum(objective.tokens(part) for objective, part in self._parts(items))

    def weight(self, items: np.ndarray) -> float:
        return sum(objective.weight(part) for objective, part in self._parts(items))

    def loss(self, model: Model, items: np.ndarray, device: torch.device) -> Tensor:
        losses = [objective.loss(model, part, device) for objective, part in self._parts(items)]
        return torch.stack(losses).sum()
