"""How well documents are ordered for queries, and how well scores of pairs follow those that people gave.

A query is judged once, whatever the number of its rows: what it is worth stands at its first row, and the others count
nothing, so that resampling rows resamples queries.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tunesmith.engine.relevance import RANKED
from tunesmith.evaluate.measured import RowStatistics
from tunesmith.evaluate.scored import KIND

DEPTH = 100
"""How far down a list is looked at."""
_BLOCK = 8_000_000
"""Scores in memory at once."""


@dataclass(frozen=True, eq=False)
class Asked:
    """Queries and what is relevant to them.

    first: int64 [q], the row at which each query stands first. relevant: of each query the positions of its documents
    that are relevant, int64. gains: how relevant each is, float64. own: of each query the positions of documents that
    are the query itself, which do not count.
    """

    first: np.ndarray
    relevant: list[np.ndarray]
    gains: list[np.ndarray]
    own: list[np.ndarray]
    rows: int


@dataclass(frozen=True, eq=False)
class Ranked(RowStatistics):
    """Statistics [n, 2] of each metric: its value and 1 at the first row of a query, nothing at the others.

    ranks: the rank (from 1) of the document of each row, float64 [n], 0 of one that is not relevant. best: of the first
    row of a query the documents that came first, [] of others. sizes: metrics of shorter vectors.
    """

    kind: str = KIND
    ranks: np.ndarray = field(default_factory=lambda: np.zeros(0))
    best: Sequence[Sequence[int]] = ()
    sizes: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
    documents: int = 0

    def take(self, rows: np.ndarray) -> Ranked:
        sums = {name: some[rows] for name, some in self.sums.items()}
        return Ranked(sums, self.kind, self.ranks[rows], (), {}, self.documents)

    def same_rows(self, other: object) -> bool:
        return (
            isinstance(other, Ranked) and len(self) == len(other)
            and all(np.array_equal(self.sums[name][:, 1], other.sums[name][:, 1]) for name in self.sums)
        )  # fmt: skip

    def columns(self) -> dict[str, list[Any]]:
        return {"predicted": self.ranks.astype(int).tolist(), **super().columns()}

    def counted(self) -> tuple[list[str], list[str]]:
        """At which place the document of each row comes for its query, and at which it should."""
        known = self.ranks.astype(int).tolist()
        wanted = ["its document at place 1" if rank else "no document" for rank in known]
        return [f"its document at place {rank}" if rank else "no document" for rank in known], wanted

    @property
    def queries(self) -> int:
        return int(next(iter(self.sums.values()))[:, 1].sum())


def asked(truth: np.ndarray, documents: np.ndarray, least: float = 0.0) -> Asked:
    """The queries of rows. `truth` float64 [n, 4] (`data.pairs`): relevance, keys of query, document, negative.
    `documents`: the keys of all that can be found, float64 [m], each once. A document is relevant above `least`."""
    place = {key: at for at, key in enumerate(documents.tolist())}
    groups: dict[float, dict[int, float]] = {}
    firsts: dict[float, int] = {}
    for row, (relevance, query, document, _) in enumerate(truth.tolist()):
        firsts.setdefault(query, row)
        found = groups.setdefault(query, {})
        if relevance > least and document in place:
            at = place[document]
            found[at] = max(found.get(at, 0.0), relevance)
    known = [query for query in groups if groups[query]]
    relevant = [np.fromiter(groups[query], np.int64) for query in known]
    gains = [np.fromiter(groups[query].values(), np.float64) for query in known]
    own = [np.array([place[query]] if query in place and place[query] not in groups[query] else [], dtype=np.int64)
           for query in known]  # fmt: skip
    return Asked(np.array([firsts[query] for query in known], dtype=np.int64), relevant, gains, own, len(truth))


def rank(of: Asked, scores: Callable[[slice], np.ndarray], documents: int) -> tuple[list[np.ndarray], list[list[int]]]:
    """Of each query the ranks (from 1) of what is relevant, and the documents that come first, `DEPTH` at most.

    `scores(part)`: float32 [queries of the part, documents]; parts are so small that no large matrix is in memory.
    Equal scores are in the order of the documents.
    """
    ranks: list[np.ndarray] = []
    best: list[list[int]] = []
    step = max(1, _BLOCK // max(1, documents))
    for start in range(0, len(of.first), step):
        part = slice(start, min(start + step, len(of.first)))
        block = scores(part)
        for at, values in zip(range(part.start, part.stop), block, strict=True):
            if len(of.own[at]):
                values = values.copy()
                values[of.own[at]] = -np.inf
            mine = values[of.relevant[at]]
            ranks.append(np.array([
                1 + int((values > one).sum()) + int((values[:document] == one).sum())
                for one, document in zip(mine, of.relevant[at], strict=True)
            ], dtype=np.int64))  # fmt: skip
            count = min(DEPTH, documents)
            top = np.argpartition(-values, count - 1)[:count] if count < documents else np.arange(documents)
            best.append(top[np.lexsort((top, -values[top]))].tolist())
    return ranks, best


def measure(of: Asked, ranks: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """Statistics float64 [rows, 2] of `RANKED`, from the ranks of what is relevant to each query.

    NDCG with gains as they are (Järvelin & Kekäläinen 2002); MRR is the reciprocal rank of the first relevant one;
    recall@k the share of what is relevant among the first k.
    """
    sums = {name: np.zeros((of.rows, 2)) for name in RANKED}
    discount = 1 / np.log2(np.arange(2, 12))
    for first, its, gains in zip(of.first, ranks, of.gains, strict=True):
        order = np.sort(its)
        near = its <= 10
        ideal = float((np.sort(gains)[::-1][:10] * discount[: min(10, len(gains))]).sum())
        deep = order[order <= 100]
        values = {
            "ndcg@10": float((gains[near] * discount[its[near] - 1]).sum()) / ideal,
            "mrr": 1 / float(order[0]),
            "map@100": float((np.arange(1, len(deep) + 1) / deep).sum()) / min(100, len(order)),
            **{f"recall@{k}": float((order <= k).mean()) for k in (1, 10, 100)},
        }
        for name, value in values.items():
            sums[name][first] = value, 1.0
    return sums


def ranked(of: Asked, truth: np.ndarray, keys: np.ndarray, scores: Callable[[slice], np.ndarray]) -> Ranked:
    """All of it. `keys`: of the documents, float64 [m]."""
    ranks, best = rank(of, scores, len(keys))
    return judged(of, truth, keys, ranks, best)


def judged(
    of: Asked, truth: np.ndarray, keys: np.ndarray, ranks: Sequence[np.ndarray], best: Sequence[Sequence[int]]
) -> Ranked:
    """What ranks of relevant documents are worth."""
    place = {key: at for at, key in enumerate(keys.tolist())}
    by_query = {
        float(truth[first, 1]): dict(zip(relevant.tolist(), its.tolist(), strict=True))
        for first, relevant, its in zip(of.first, of.relevant, ranks, strict=True)
    }
    of_row = np.array([by_query.get(query, {}).get(place.get(document, -1), 0) for _, query, document, _ in
                       truth.tolist()], dtype=np.float64)  # fmt: skip
    shown: list[Sequence[int]] = [[] for _ in range(of.rows)]
    for first, documents in zip(of.first, best, strict=True):
        shown[int(first)] = documents
    return Ranked(measure(of, ranks), KIND, of_row, shown, {}, len(keys))
