"""How likely a language model finds sequences: summed by row, for metrics, references and training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tunesmith.engine.batching import by_length, plan_epoch, plan_mixed
from tunesmith.engine.hardware import release_memory
from tunesmith.engine.inference import TIDY_BATCHES, evaluating, in_memory, to_device
from tunesmith.engine.sequences import SequenceRows
from tunesmith.models.language import LanguageModel


@dataclass(frozen=True)
class Likelihoods:
    """Of each sequence, float64 [n]: negative log-probability of its learned tokens together, their
    number, and how many of them were the likeliest."""

    loss: np.ndarray
    tokens: np.ndarray
    right: np.ndarray


def likelihoods(
    model: LanguageModel,
    rows: SequenceRows,
    positions: np.ndarray,
    *,
    on: torch.device,
    tokens_at_once: int,
    check: Callable[[], None] = lambda: None,
) -> Likelihoods:
    """Without training. Batches of similar length, halved when memory runs out."""
    found = np.zeros((3, len(positions)))

    def fill(some: np.ndarray) -> None:
        check()
        batch = to_device(rows.collate(positions[some]), on)
        losses, right = model(batch)
        owners = batch["owners"].cpu().numpy()
        for line, values in enumerate((losses, torch.ones_like(losses), right)):
            found[line, some] = np.bincount(owners, values.double().cpu().numpy(), minlength=len(some))

    with evaluating(model):
        for number, some in enumerate(by_length(rows.lengths[positions], tokens=tokens_at_once)):
            if number % TIDY_BATCHES == 0:
                release_memory()
            in_memory(fill, some)
    return Likelihoods(*found)


@dataclass
class TokenObjective:
    """Every learned token counts alike, whichever row, batch or device it is in; with `by_item` every row does."""

    rows: SequenceRows
    positions: np.ndarray
    batch_rows: int
    batch_tokens: int | None
    seed: int
    packed: bool = False
    by_item: bool = False

    def __post_init__(self) -> None:
        self.lengths = self.rows.lengths[self.positions]
        self.row_ids = self.rows.row_ids[self.positions]
        self._learned = self.rows.learned_counts[self.positions]

    def plan(self, epoch: int) -> list[np.ndarray]:
        make = plan_mixed if self.packed else plan_epoch
        return make(self.lengths, seed=self.seed, epoch=epoch, rows=self.batch_rows, tokens=self.batch_tokens)

    def tokens(self, items: np.ndarray) -> int:
        return int(self.lengths[items].sum()) if self.packed else len(items) * int(self.lengths[items].max())

    def weight(self, items: np.ndarray) -> float:
        return float(len(items)) if self.by_item else max(1.0, float(self._learned[items].sum()))

    def loss(self, model: LanguageModel, items: np.ndarray, device: torch.device) -> Tensor:
        batch = self.batch(items, device)
        losses, _ = model(batch)
        return self.total(losses, items, batch)

    def batch(self, items: np.ndarray, device: torch.device) -> dict[str, Tensor]:
        """What `LanguageModel` reads of these items."""
        return to_device(self.rows.collate(self.positions[items], packed=self.packed), device)

    def total(self, losses: Tensor, items: np.ndarray, batch: dict[str, Tensor]) -> Tensor:
        """The sum that stands for the items, of one loss per learned token of `batch`, float32 [n]."""
        if self.by_item:
            counts = torch.as_tensor(self._learned[items], dtype=torch.float32, device=losses.device)
            losses = losses / counts.clamp(min=1)[batch["owners"]]
        return losses.sum()
