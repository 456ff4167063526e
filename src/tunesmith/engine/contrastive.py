"""An objective that teaches the body which rows belong together, beside the loss of each row.

Every row of a batch is compared with every other one (supervised contrastive loss: Khosla et al. 2020,
equation 2), so b rows give b * (b - 1) comparisons for b passes; SetFit (Tunstall et al. 2022) passes both
rows of each of its pairs. The loss of the head is added to it, as in Gunel et al. 2021, section 3. Labels
whose names say what they mean are rows of their class, too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from tunesmith.engine.inference import evaluating, run_rows
from tunesmith.engine.objective import RowObjective
from tunesmith.engine.tokens import EncodedRows
from tunesmith.models.text import TextModel
from tunesmith.models.types import Tokenizer

_CHUNK = 16
"""Rows that go through the network together on a processor. The rows of a batch are chosen by class and
differ in length; together, half of what is computed would be padding."""
_ROWS_ASKED = 500
"""Rows that are compared with the names of their labels, to see whether the names mean something."""


@dataclass
class Comparison:
    """How rows are compared."""

    rows_per_class: int
    """Rows of one class that stand together in a batch."""
    temperature: float
    weight: float
    """What the comparisons count beside the loss of the head."""


class ContrastiveObjective:
    """`plain`, whose targets are classes (int64 [n]) or sets of labels (float32 [n, labels]), with comparisons.

    Items from `len(plain.positions)` on are the rows of `names`.
    """

    compares = True

    def __init__(self, plain: RowObjective, names: EncodedRows | None, comparison: Comparison):
        self.plain, self.names, self.comparison = plain, names, comparison
        assert plain.rows.targets is not None
        self._targets = plain.rows.targets[plain.positions]
        self.lengths, self.row_ids = plain.lengths, plain.row_ids
        if names is not None and names.targets is not None:
            self._targets = np.concatenate([self._targets, names.targets])
            self.lengths = np.concatenate([self.lengths, names.lengths])
            self.row_ids = np.concatenate([self.row_ids, np.full(len(names), -1)])

    def plan(self, epoch: int) -> list[np.ndarray]:
        """Batches of groups of one class (or of one set of labels); every item once."""
        self.plain.epoch = epoch
        random = np.random.default_rng([self.plain.seed, epoch])
        order = random.permutation(len(self._targets))
        _, kinds = np.unique(self._targets, axis=0, return_inverse=True)
        order = order[np.argsort(kinds[order], kind="stable")]  # classes together, shuffled within
        ends = np.flatnonzero(np.diff(kinds[order])) + 1
        groups = [
            group for members in np.split(order, ends)
            for group in np.array_split(members, -(-len(members) // self.comparison.rows_per_class))
        ]  # fmt: skip
        return self._fill([groups[number] for number in random.permutation(len(groups))])

    def _fill(self, groups: list[np.ndarray]) -> list[np.ndarray]:
        """Groups one after the other into about equal batches, of as many rows as the plain objective's."""
        rows, most = self.plain.batch_rows, self.plain.batch_tokens
        if most is not None:
            rows = max(1, min(rows, most // int(self.lengths.max())))
        count = -(-len(self.lengths) // rows)
        ends = np.cumsum([len(group) for group in groups])
        batch_of = (ends - 1) * count // len(self.lengths)
        return [
            np.concatenate([groups[number] for number in np.flatnonzero(batch_of == batch)])
            for batch in np.unique(batch_of)
        ]

    def tokens(self, items: np.ndarray) -> int:
        return sum(len(chunk) * int(self.lengths[items[chunk]].max()) for chunk in self._chunks(items))

    def weight(self, items: np.ndarray) -> float:
        return float(len(items))

    def loss(self, model: TextModel, items: np.ndarray, device: torch.device) -> Tensor:
        features = self._features(model, items, device)
        targets = torch.from_numpy(self._targets[items]).to(device)
        losses = self.plain.row_loss(model({"features": features}).float(), targets)
        compared = contrast(features, alike(targets), self.comparison.temperature)
        return (losses + self.comparison.weight * compared).sum()

    def _features(self, model: TextModel, items: np.ndarray, device: torch.device) -> Tensor:
        """What the head reads, float32 [items, hidden]."""
        chunks, parts = self._chunks(items), []
        for chunk in chunks:
            batch = self._collate(items[chunk])
            parts.append(model.features({name: tensor.to(device) for name, tensor in batch.items()}))
        back = torch.from_numpy(np.argsort(np.concatenate(chunks)))
        return torch.cat(parts)[back.to(device)]

    def _chunks(self, items: np.ndarray) -> list[np.ndarray]:
        """Places in `items` that are computed together: of similar length, names apart."""
        is_name = items >= len(self.plain.positions)
        chunks = []
        for places in (np.flatnonzero(~is_name), np.flatnonzero(is_name)):
            if len(places):
                ordered = places[np.argsort(self.lengths[items[places]], kind="stable")]
                chunks += np.array_split(ordered, -(-len(ordered) // _CHUNK))
        return chunks

    def _collate(self, items: np.ndarray) -> dict[str, Tensor]:
        count = len(self.plain.positions)
        if self.names is not None and items[0] >= count:
            return self.names.collate(items - count)
        rows, places = self.plain.rows, self.plain.positions[items]
        batch = rows.training_batch(places, self.plain.seed, self.plain.epoch)
        return {name: values for name, values in batch.items() if name != "targets"}


def alike(targets: Tensor) -> Tensor:
    """How much two rows belong together, float32 [n, n] from 0 to 1, 0 on the diagonal.

    `targets` are classes int64 [n] (same or not), or sets of labels as 0 and 1, float32 [n, labels] (labels in
    common by labels of either: Jaccard).
    """
    if targets.ndim == 1:
        found = (targets[:, None] == targets[None, :]).float()
    else:
        common, counts = targets @ targets.T, targets.sum(1)
        found = common / (counts[:, None] + counts[None, :] - common).clamp(min=1)
    return found.fill_diagonal_(0)


def contrast(features: Tensor, weights: Tensor, temperature: float) -> Tensor:
    """One loss per row, float32 [n]; 0 for a row that is like no other one.

    `features` [n, hidden] are compared by cosine / `temperature`; `weights` [n, n] from `alike`. The loss is
    the cross-entropy between softmax(similarities to the others) and the weights, scaled to sum to one.
    """
    normal = functional.normalize(features.float(), dim=1)
    diagonal = torch.eye(len(features), dtype=torch.bool, device=features.device)
    # the least number and not minus infinity: a row alone would have gradients that are no numbers
    similar = (normal @ normal.T / temperature).masked_fill(diagonal, torch.finfo(torch.float32).min)
    shares = weights / weights.sum(1, keepdim=True).clamp(min=1e-6)
    return -(shares * similar.log_softmax(1)).sum(1)


def encode_names(names: Sequence[str], tokenizer: Tokenizer, rows: EncodedRows) -> EncodedRows:
    """The names of all labels as rows with targets like those of `rows`: 'card_arrival' as 'card arrival'.

    Names longer than the longest of `rows` are cut.
    """
    texts = [label_words(name) for name in names]
    ids = tokenizer(texts, truncation=True, max_length=int(rows.lengths.max()))["input_ids"]
    assert rows.targets is not None
    each = np.arange(len(names)) if rows.targets.ndim == 1 else np.eye(len(names))
    return replace(
        rows, ids=np.concatenate([np.asarray(one, dtype=np.int32) for one in ids]), types=None,
        offsets=np.concatenate([[0], np.cumsum([len(one) for one in ids])]).astype(np.int64),
        cut=np.zeros(0, dtype=np.int64), targets=each.astype(rows.targets.dtype), row_ids=None,
        hidden=None, features=None,
    )  # fmt: skip


def label_words(name: str) -> str:
    """A label's name as words: 'lostCard', 'lost_card' and 'lost-card' are 'lost card' in lower case."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return " ".join(re.sub(r"[_\-./]+", " ", words).lower().split()) or name


def names_mean(
    model: TextModel, objective: RowObjective, names: EncodedRows, device: torch.device
) -> tuple[float, float]:
    """Share of training rows whose nearest name is one of their labels, and what a guess would have.

    Nearest by the cosine of the features, before training.
    """
    assert objective.rows.targets is not None
    asked = np.random.default_rng(objective.seed).permutation(objective.positions)[:_ROWS_ASKED]
    with evaluating(model):
        rows = torch.from_numpy(run_rows(model.features, objective.rows, asked, on=device))
        named = torch.from_numpy(run_rows(model.features, names, np.arange(len(names)), on=device))
    nearest = (functional.normalize(rows, dim=1) @ functional.normalize(named, dim=1).T).argmax(1).numpy()
    targets = objective.rows.targets[asked]
    if targets.ndim == 1:
        return float((nearest == targets).mean()), 1 / len(names)
    return float(targets[np.arange(len(asked)), nearest].mean()), float(targets.mean())
