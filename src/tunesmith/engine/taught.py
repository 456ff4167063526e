"""Rows that are learned after something else: in the first epochs a network learns what another one, or an earlier
state of itself, says of rows that it is given for that (distillation: Hinton et al. 2015)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Self

import numpy as np
import torch
from torch import Tensor

from tunesmith.engine.objective import RowObjective


@dataclass
class TaughtObjective(RowObjective):
    """`taught`: what each of the first epochs learns in place of the rows. Its items are numbered behind the rows."""

    taught: Sequence[RowObjective] = field(kw_only=True)

    @classmethod
    def of(cls, plain: RowObjective, taught: Sequence[RowObjective]) -> Self:
        """The same rows and batches as `plain`, after what is taught."""
        return cls(**{one.name: getattr(plain, one.name) for one in fields(RowObjective)}, taught=taught)

    def __post_init__(self) -> None:
        super().__post_init__()
        lengths = [self.lengths, *(one.lengths for one in self.taught)]
        self._starts = np.cumsum([0, *map(len, lengths)])
        self.lengths = np.concatenate(lengths)
        self.row_ids = np.concatenate([self.row_ids, *(one.row_ids for one in self.taught)])

    def plan(self, epoch: int) -> list[np.ndarray]:
        if epoch >= len(self.taught):
            rows = len(self.positions)
            self.epoch, every = epoch, self.lengths
            self.lengths = every[:rows]
            try:
                return super().plan(epoch)
            finally:
                self.lengths = every
        return [batch + self._starts[epoch + 1] for batch in self.taught[epoch].plan(epoch)]

    def _of(self, items: np.ndarray) -> tuple[RowObjective, np.ndarray] | None:
        """What these items are taught by, and which they are there; None of rows."""
        place = int(np.searchsorted(self._starts, items[0], side="right")) - 1
        return None if place == 0 else (self.taught[place - 1], items - self._starts[place])

    def weight(self, items: np.ndarray) -> float:
        found = self._of(items)
        return super().weight(items) if found is None else found[0].weight(found[1])

    def loss(self, model: torch.nn.Module, items: np.ndarray, device: torch.device) -> Tensor:
        found = self._of(items)
        return super().loss(model, items, device) if found is None else found[0].loss(model, found[1], device)
