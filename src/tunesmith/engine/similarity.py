"""Losses over vectors of texts, and hard negatives: what texts that belong together have to be like, and others not.

Outputs are float32 [rows, 2 or 3, size], a vector of the query, of its document and perhaps of a negative; targets
float64 [rows, 4], the relevance and the keys of the three texts (`data.pairs`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from tunesmith.engine.objective import RowObjective
from tunesmith.engine.pairs import EncodedPairs

_LEAST = torch.finfo(torch.float32).min
_BLOCK = 8_000_000
"""Similarities in memory at once."""
_SAME = 0.9999
"""The cosine of a text with itself, but for rounding."""
SizedLoss = Callable[[Tensor], Tensor]


def cosines(left: Tensor, right: Tensor) -> Tensor:
    """Of the vectors of each row, float32 [rows]."""
    return functional.cosine_similarity(left.float(), right.float(), dim=-1)


def of_sizes(outputs: Tensor, sizes: Sequence[int], loss: SizedLoss) -> Tensor:
    """The mean of a loss over vectors cut to these sizes (Matryoshka: Kusupati et al. 2022); whole where there are
    none."""
    found = [loss(outputs[..., :size]) for size in sizes] or [loss(outputs)]
    return torch.stack(found).mean(0)


def in_batch(
    outputs: Tensor, targets: Tensor, scale: float, known: Mapping[float, np.ndarray] | None = None,
    more: tuple[Tensor, Tensor] | None = None,
) -> Tensor:  # fmt: skip
    """One loss per row, float32 [rows]: each query has to find its document among all documents of the batch (InfoNCE,
    MultipleNegativesRankingLoss: Henderson et al. 2017). Cosines are multiplied by `scale`.

    A document is no negative of a query that it is relevant to (`known`: query -> keys of its documents, float64; of
    the batch alone where it is None), nor of itself. `more`: negatives for all rows, vectors [m, size] and keys [m].
    Rows with relevance 0 or less count nothing, and their documents are negatives.
    """
    relevance, query, document, negative = targets.unbind(1)
    vectors, keys = [outputs[:, 1]], [document]
    if outputs.shape[1] > 2 and bool((has := negative != 0).any()):
        vectors, keys = [*vectors, outputs[has, 2]], [*keys, negative[has]]
    if more is not None:
        vectors, keys = [*vectors, more[0]], [*keys, more[1]]
    candidates, key = torch.cat(vectors), torch.cat(keys)
    similar = scale * (functional.normalize(outputs[:, 0], dim=-1) @ functional.normalize(candidates, dim=-1).T)
    false = (key[None] == document[:, None]) | (key[None] == query[:, None])
    rows = len(outputs)
    false[:, :rows] |= (query[None] == query[:, None]) & (relevance > 0)[None]
    if known is not None:
        names = key.cpu().numpy()
        for row, one in enumerate(query.tolist()):
            its = known.get(one)
            if its is not None and len(its) > 1:
                false[row] |= torch.from_numpy(np.isin(names, its)).to(false.device)
    false[torch.arange(rows), torch.arange(rows)] = False
    losses = -similar.masked_fill(false, _LEAST).log_softmax(1).diagonal()
    return torch.where(relevance > 0, losses, torch.zeros_like(losses))


def triplet(outputs: Tensor, targets: Tensor, margin: float) -> Tensor:
    """max(0, margin + cosine with the negative - cosine with the document), float32 [rows]; rows without a negative
    take the most alike document of the others of the batch."""
    query = functional.normalize(outputs[:, 0], dim=-1)
    mine = cosines(outputs[:, 0], outputs[:, 1])
    similar = query @ functional.normalize(outputs[:, 1], dim=-1).T
    same = (targets[None, :, 2] == targets[:, None, 2]) | (targets[None, :, 1] == targets[:, None, 1])
    other = similar.masked_fill(same, -1.0).max(1).values
    if outputs.shape[1] > 2:
        own = cosines(outputs[:, 0], outputs[:, 2])
        other = torch.where(targets[:, 3] != 0, own, other)
    losses = functional.relu(margin + other - mine)
    return torch.where(targets[:, 0] > 0, losses, torch.zeros_like(losses))


def cosent(outputs: Tensor, targets: Tensor, scale: float, *, by_row: bool) -> Tensor:
    """CoSENT (Su 2022): of two pairs the one with the higher score has the higher cosine. `by_row`: one loss per row,
    over the pairs that it should be above; else the loss of all of them, for every row the same."""
    similar = scale * cosines(outputs[:, 0], outputs[:, 1])
    above = targets[:, None, 0] > targets[None, :, 0]
    apart = (similar[None, :] - similar[:, None]).masked_fill(~above, _LEAST)
    nothing = torch.zeros(len(similar), 1, device=similar.device)
    if by_row:
        return torch.cat([nothing, apart], 1).logsumexp(1)
    return torch.cat([nothing[0], apart.flatten()]).logsumexp(0).expand(len(similar))


def squared(outputs: Tensor, targets: Tensor, scale: tuple[float, float]) -> Tensor:
    """(cosine - score)², float32 [rows], of scores brought from `scale` to 0 to 1."""
    wanted = (targets[:, 0] - scale[0]) / (scale[1] - scale[0])
    return (cosines(outputs[:, 0], outputs[:, 1]) - wanted.float()).square()


@dataclass
class PairObjective(RowObjective):
    """Rows that are learned together: `batch_loss` gives one loss per row of a whole batch."""

    batch_loss: Callable[..., Tensor] = field(kw_only=True)
    """(outputs, targets, known, more) to losses."""
    known: Mapping[float, np.ndarray] = field(default_factory=dict, kw_only=True)
    """Query -> keys of its documents."""
    negatives: Sequence[np.ndarray] = field(default=(), kw_only=True)
    """Texts that are hard negatives of each item, int64."""
    drawn: int = field(default=0, kw_only=True)
    """How many of them stand beside a row in a step."""
    keys: np.ndarray = field(default_factory=lambda: np.zeros(0), kw_only=True)
    """Of the texts, float64."""

    @property
    def compares(self) -> bool:
        return True

    def spare(self, model: Any) -> bool:
        """States are computed again in the backward pass (GradCache: Gao et al. 2021)."""
        could = not model.recomputes
        model.recomputes = True
        return could

    def tokens(self, items: np.ndarray) -> int:
        """One: a batch is never divided, as its rows are compared with each other; the network divides it by itself."""
        return 1

    def loss(self, model: Any, items: np.ndarray, device: torch.device) -> Tensor:
        rows = self.rows
        assert isinstance(rows, EncodedPairs)
        positions = self.positions[items]
        more = self._drawn(items)
        width = rows.sides.shape[1]
        sides = np.concatenate([rows.sides[positions].ravel(), more]).reshape(1, -1)
        batch = {name: values.to(device) for name, values in rows.of_texts(sides).items()}
        vectors = model(batch)[0].float()
        count = len(items) * width
        outputs = vectors[:count].reshape(len(items), width, -1)
        targets = rows.batch_targets(positions).to(device)
        others = (vectors[count:], torch.from_numpy(self.keys[more]).to(device)) if len(more) else None
        return self.batch_loss(outputs, targets, self.known, others).sum()

    def sampled_nll(self, model: Any, items: np.ndarray, device: torch.device, chance: torch.Generator) -> Tensor:
        """For vectors with noise of deviation 1, up to a constant: a row alone has nothing to be told apart from."""
        assert isinstance(self.rows, EncodedPairs)
        sides = self.rows.sides[self.positions[items]].reshape(1, -1)
        batch = {name: values.to(device) for name, values in self.rows.of_texts(sides).items()}
        vectors: Tensor = model(batch)[0].float()
        return (vectors * torch.randn(vectors.shape, generator=chance, device=device)).sum()

    def _drawn(self, items: np.ndarray) -> np.ndarray:
        """Hard negatives of these items, of each others in every epoch."""
        if not self.drawn:
            return np.zeros(0, dtype=np.int64)
        found = []
        for item in items:
            its = self.negatives[int(item)]
            if len(its):
                chance = np.random.default_rng([self.seed, self.epoch, int(item)])
                found.append(chance.permutation(its)[: self.drawn])
        return np.unique(np.concatenate(found)) if found else np.zeros(0, dtype=np.int64)


def hard_negatives(
    vectors: tuple[np.ndarray, np.ndarray], own: np.ndarray, false: Callable[[int], np.ndarray], count: int,
    margin: float,
) -> list[np.ndarray]:  # fmt: skip
    """Of each query the documents that are most alike, and not too much so: positions, int64 [at most count].

    vectors: float32 [q, size] of queries and [m, size] of documents, of unit length. own: int64 [q], the document of
    each query. false: from a query to the documents that are relevant to it, or itself. What is more alike than the
    query's own document by its cosine times (1 - margin) may well be an unmarked relevant one, and is left out
    (positive-aware mining: Moreira et al. 2024).
    """
    queries, documents = vectors
    found: list[np.ndarray] = []
    step = max(1, _BLOCK // max(1, len(documents)))
    for start in range(0, len(queries), step):
        block = queries[start : start + step] @ documents.T
        for row, similar in enumerate(block, start):
            most = float(similar[own[row]])
            similar[false(row)] = -np.inf
            similar[similar > most - margin * abs(most)] = -np.inf
            best = np.argpartition(-similar, min(count, len(similar) - 1))[:count]
            best = best[np.isfinite(similar[best])]
            found.append(best[np.lexsort((best, -similar[best]))])
    return found


def neighbours(vectors: np.ndarray, others: np.ndarray, count: int) -> np.ndarray:
    """Of each vector float32 [n, size] the `others` [m, size], of unit length all, that are most alike and not the
    same: positions int64 [n, at most count], in no order."""
    count = min(count, len(others))
    found = np.empty((len(vectors), count), dtype=np.int64)
    step = max(1, _BLOCK // max(1, len(others)))
    for start in range(0, len(vectors), step):
        similar = vectors[start : start + step] @ others.T
        similar[similar > _SAME] = -1.0
        found[start : start + step] = np.argpartition(-similar, count - 1)[:, :count]
    return found


def unit(vectors: np.ndarray) -> np.ndarray:
    """The same of length 1, zeros as they are."""
    found: np.ndarray = vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
    return found
