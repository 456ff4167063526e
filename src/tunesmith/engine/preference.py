"""Learning from judgements: DPO on pairs, KTO on single answers, both against a reference model.

What the reference says of every answer never changes, so it is computed once, before training.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from tunesmith.engine.inference import to_device
from tunesmith.engine.likelihood import Likelihoods
from tunesmith.engine.objective import EqualItems
from tunesmith.engine.sequences import SequenceRows
from tunesmith.models.language import LanguageModel

PairLoss = Literal["sigmoid", "ipo"]


def dpo_loss(chosen: Tensor, rejected: Tensor, *, beta: float, kind: PairLoss, lengths: Tensor) -> Tensor:
    """One loss per pair, [pairs], of how much more likely each answer became than under the reference.

    `chosen`, `rejected` [pairs]: log-ratios of the policy to the reference, summed over tokens;
    `lengths` [2, pairs]: learned tokens of both. 'sigmoid': Rafailov et al. 2023, equation 7. 'ipo':
    Azar et al. 2023, equation 17, on means over tokens, as its authors computed it.
    """
    if kind == "sigmoid":
        return -functional.logsigmoid(beta * (chosen - rejected))
    return (chosen / lengths[0] - rejected / lengths[1] - 1 / (2 * beta)) ** 2


def kto_loss(ratios: Tensor, good: Tensor, mismatched: Tensor, *, beta: float) -> Tensor:
    """One loss per answer, [n] (Ethayarajh et al. 2024, equation 7).

    `ratios` [n]: log-ratios to the reference; `good` bool [n]; `mismatched` [n]: log-ratios of
    answers to other prompts, whose mean, never below zero, estimates how far the policy has moved.
    """
    moved = mismatched.mean().clamp(min=0).detach()
    return 1 - torch.sigmoid(beta * torch.where(good, ratios - moved, moved - ratios))


@dataclass
class _JudgedObjective(EqualItems):
    """Item i is made of the sequences 2i and 2i + 1 of `rows`."""

    rows: SequenceRows
    items: np.ndarray
    reference: Likelihoods
    """Of every sequence of `rows`."""
    batch_rows: int
    batch_tokens: int | None
    seed: int
    beta: float

    def __post_init__(self) -> None:
        lengths = self.rows.lengths
        self.lengths = lengths[2 * self.items] + lengths[2 * self.items + 1]
        self.row_ids = self.rows.row_ids[2 * self.items]

    def _ratios(self, model: LanguageModel, positions: np.ndarray, device: torch.device) -> Tensor:
        """Log-ratios of sequences to the reference, float32 [len(positions)]."""
        batch = to_device(self.rows.collate(positions), device)
        losses, _ = model(batch)
        summed = torch.zeros(len(positions), device=device).index_add(0, batch["owners"], -losses)
        return summed + torch.as_tensor(self.reference.loss[positions], dtype=torch.float32, device=device)


@dataclass
class PairObjective(_JudgedObjective):
    """Even sequences are chosen, odd ones rejected."""

    kind: PairLoss = "sigmoid"

    def loss(self, model: LanguageModel, items: np.ndarray, device: torch.device) -> Tensor:
        first = 2 * self.items[items]
        chosen, rejected = self._ratios(model, np.concatenate([first, first + 1]), device).chunk(2)
        counts = torch.as_tensor(np.stack([self.reference.tokens[first], self.reference.tokens[first + 1]]))
        lengths = counts.to(device, torch.float32).clamp(min=1)
        return dpo_loss(chosen, rejected, beta=self.beta, kind=self.kind, lengths=lengths).sum()


@dataclass
class FeedbackObjective(_JudgedObjective):
    """Even sequences are answers judged `good` or not [items of all rows], odd ones the same prompts
    with the answer of another row."""

    good: np.ndarray | None = None
    compares: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        assert self.good is not None
        wanted = self.good[self.items]
        # both judgements weigh the same in all, however many there are of each (the paper's section 4.2)
        most = max(int(wanted.sum()), int((~wanted).sum()))
        self._weights = most / np.where(wanted, max(1, wanted.sum()), max(1, (~wanted).sum()))

    def loss(self, model: LanguageModel, items: np.ndarray, device: torch.device) -> Tensor:
        assert self.good is not None
        first = 2 * self.items[items]
        ratios = self._ratios(model, first, device)
        with torch.no_grad():
            mismatched = self._ratios(model, first + 1, device)
        good = torch.as_tensor(self.good[self.items[items]], device=device)
        weights = torch.as_tensor(self._weights[items], dtype=torch.float32, device=device)
        return (weights * kto_loss(ratios, good, mismatched, beta=self.beta)).sum()
