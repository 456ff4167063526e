"""Texts on which a language model's next words stay what they were (distillation from itself: Li & Hoiem 2016).

Of each position the most probable words before training are kept, and what is left for all others together. The
Kullback-Leibler divergence of these few probabilities is at most that of all of them, and close to it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from tunesmith.engine.inference import evaluating
from tunesmith.engine.likelihood import TokenObjective
from tunesmith.models.language import LanguageModel

WORDS = 32
"""Most probable words of each position whose probabilities are kept."""
_TOKENS = 200_000
"""Most tokens that are held: some 50 MB."""
_REST = 1e-6
"""Least probability of all other words together, so that its logarithm is finite in float32."""


@dataclass
class SelfDistillation:
    """The tokens of `texts`; what is learned is how far their probabilities are from `words` and `logs`."""

    texts: TokenObjective
    starts: np.ndarray
    """Place in `words` of the first token of each item, int64 [items]."""
    words: np.ndarray
    """int32 [tokens, k]"""
    logs: np.ndarray
    """Their log-probabilities before training, float32 [tokens, k]."""
    strength: float

    def __post_init__(self) -> None:
        self.lengths, self.row_ids = self.texts.lengths, self.texts.row_ids

    def plan(self, epoch: int) -> list[np.ndarray]:
        return self.texts.plan(epoch)

    def tokens(self, items: np.ndarray) -> int:
        return self.texts.tokens(items)

    def weight(self, items: np.ndarray) -> float:
        return self.texts.weight(items)

    def loss(self, model: LanguageModel, items: np.ndarray, device: torch.device) -> Tensor:
        batch = self.texts.batch(items, device)
        owners = batch["owners"].cpu().numpy()
        first = np.searchsorted(owners, owners)  # sequences lie one after the other
        places = self.starts[items][owners] + np.arange(len(owners)) - first
        words = torch.from_numpy(self.words[places].astype(np.int64)).to(device)
        before = torch.from_numpy(self.logs[places]).to(device)
        now = model.log_probs_of(batch, words)
        return self.strength * self.texts.total(divergence(before, now), items, batch)


def self_distillation(
    model: LanguageModel, texts: TokenObjective, strength: float, device: torch.device
) -> SelfDistillation:
    """`texts`, or as many of them as are affordable, with the probabilities that `model` gives their words now."""
    some = texts.positions[: max(1, int(np.searchsorted(np.cumsum(texts.lengths), _TOKENS, side="right")))]
    texts = replace(texts, positions=some)
    words, logs, counts = [], [], []
    with evaluating(model):
        for item in range(len(some)):
            best, logs_of_best = model.top_k(texts.batch(np.array([item]), device), WORDS)
            words.append(best.to("cpu", torch.int32).numpy())
            logs.append(logs_of_best.cpu().numpy())
            counts.append(len(best))
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.int64)
    return SelfDistillation(texts, starts, np.concatenate(words), np.concatenate(logs), strength)


def divergence(before: Tensor, now: Tensor) -> Tensor:
    """KL(before || now) in nats, float32 [n], of log-probabilities [n, k] of the same k words and of the rest."""
    kept = (before.exp() * (before - now)).sum(-1)
    rest_before, rest_now = ((1 - logs.exp().sum(-1)).clamp_min(_REST) for logs in (before, now))
    return kept + rest_before * (rest_before.log() - rest_now.log())
