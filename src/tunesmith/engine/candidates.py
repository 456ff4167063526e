"""Queries with lists of documents, each pair of them read as one: a document of the data first, then candidates that
were found for the query."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from torch import Tensor

from tunesmith.engine.encoded import EncodedItems
from tunesmith.engine.tokens import EncodedRows


@dataclass(kw_only=True)
class EncodedLists(EncodedItems):
    """`pairs`: queries and documents as tokens, those of a row one after another (`answers` says how many), its own
    document first. `documents`: keys of the documents of all pairs, float64 [m]."""

    unit: ClassVar[str] = "tokens"
    pairs: EncodedRows
    documents: np.ndarray
    turned: bool = False
    """Whether `pairs` holds each pair once more behind all of them, its sides the other way round: then rows, which
    have no candidates, are learned in both orders, by turns."""

    def __len__(self) -> int:
        assert self.answers is not None
        return len(self.answers)

    @property
    def lengths(self) -> np.ndarray:
        return np.add.reduceat(self.pairs.lengths[: len(self.documents)], self._starts)

    @property
    def whole_lengths(self) -> np.ndarray:
        """Of the longest pair of each row."""
        return np.maximum.reduceat(self.pairs.whole_lengths[: len(self.documents)], self._starts)

    @property
    def longest(self) -> int:
        return int(self.pairs.lengths.max(initial=0))

    @property
    def content(self) -> tuple[np.ndarray, ...]:
        assert self.answers is not None
        return (*self.pairs.content, self.answers)

    @property
    def compared(self) -> bool:
        """Rows of one query have one list, as far as they stand in one batch."""
        if self.targets is None:
            return False
        queries = self.targets[self._starts, 1]
        return len(np.unique(queries)) < len(queries)

    def own(self, positions: np.ndarray) -> np.ndarray:
        assert self.answers is not None
        counts = self.answers[positions]
        return np.cumsum(counts) - counts

    @property
    def _starts(self) -> np.ndarray:
        assert self.answers is not None
        return np.cumsum(self.answers) - self.answers

    def inputs(self, positions: np.ndarray) -> dict[str, Tensor]:
        return self.pairs.inputs(self.places(positions))

    def training_batch(self, positions: np.ndarray, seed: int, epoch: int) -> dict[str, Tensor]:
        if not self.turned or self.features is not None:
            return super().training_batch(positions, seed, epoch)
        first = np.random.default_rng(seed).random(len(self)) < 0.5
        places = self.places(positions) + len(self.documents) * (first[positions] ^ bool(epoch % 2))
        return {**self.pairs.inputs(places), "targets": self.batch_targets(positions)}

    def with_targets(self, targets: np.ndarray, row_ids: np.ndarray) -> Self:
        """`targets` float64 [n, 4] of the rows (`data.pairs`): candidates have the query of their row, a document of
        their own, and relevance 0."""
        assert self.answers is not None
        every = np.repeat(targets, self.answers, axis=0)
        first = np.cumsum(self.answers) - self.answers
        candidate = np.ones(len(every), dtype=bool)
        candidate[first] = False
        every[candidate, 0] = 0.0
        every[:, 2] = self.documents
        every[:, 3] = 0.0
        return super().with_targets(every, row_ids)


@dataclass(frozen=True)
class Lists:
    """Candidates of some rows: of each the places of its documents among `texts`; [] of rows that have none."""

    texts: Sequence[str]
    keys: np.ndarray
    of_row: Sequence[np.ndarray]


def find_lists(
    queries: Sequence[str], truth: np.ndarray, documents: tuple[Sequence[str], np.ndarray],
    best: Callable[[Sequence[str], int], np.ndarray], count: int, *, every: bool,
) -> Lists:  # fmt: skip
    """The `count` documents that are found first for each query and are not known to be relevant to it.

    truth: float64 [n, 4] of the rows. documents: the texts that can be found, and their keys float64 [m], each once.
    best: from queries and a number to places of documents, best first, -1 behind the last. `every`: for each row; else
    for the first of each query.
    """
    texts, keys = documents
    relevant: dict[float, set[float]] = {}
    for row in truth.tolist():
        relevant.setdefault(row[1], {row[1]}).add(row[2])
    first: dict[float, int] = {}
    for row, query in enumerate(truth[:, 1].tolist()):
        first.setdefault(query, row)
    asked = list(first.values())
    most = max((len(some) for some in relevant.values()), default=0)
    found = best([queries[row] for row in asked], count + most) if asked else np.zeros((0, 0), dtype=np.int64)
    nothing = np.zeros(0, dtype=np.int64)
    by_query: dict[float, np.ndarray] = {}
    for row, places in zip(asked, found, strict=True):
        query = float(truth[row, 1])
        places = places[places >= 0]
        by_query[query] = places[[key not in relevant[query] for key in keys[places].tolist()]][:count]
    rows = [
        by_query[query] if every or first[query] == row else nothing for row, query in enumerate(truth[:, 1].tolist())
    ]
    return Lists(texts, keys, rows)
