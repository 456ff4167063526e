"""How much a document belongs to a query, by the score of the pair; documents of a query in its order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from datasets import Dataset

from tunesmith.core.events import Decided, Emit
from tunesmith.core.measured import Measured
from tunesmith.engine.candidates import Lists
from tunesmith.engine.text_vectors import TextVectors
from tunesmith.evaluate import ranking
from tunesmith.evaluate.bm25 import BM25
from tunesmith.evaluate.ranking import Ranked
from tunesmith.evaluate.scored import Scored
from tunesmith.evaluate.targets.relevance import Relevance, Saved, bm25_of_pairs


@dataclass(frozen=True)
class ScoredLists:
    """Scores float64 [answers] of the documents of each row, its own first; `counts` int64 [rows]."""

    scores: np.ndarray
    counts: np.ndarray

    @property
    def own(self) -> np.ndarray:
        return self.scores[np.cumsum(self.counts) - self.counts]


class Reranked(Relevance):
    """Predictions are `ScoredLists`."""

    score: ClassVar[str] = "spearman"

    def __init__(
        self, kind: str, label_names: list[str] | None, *, ranks: bool = False, lists: Lists | None = None,
        known: TextVectors | None = None,
    ):  # fmt: skip
        super().__init__(kind, label_names, ranks=ranks)
        self._lists, self._known = lists, known

    def decode(self, scores: np.ndarray, counts: np.ndarray | None) -> ScoredLists:
        return ScoredLists(scores, np.ones(len(scores), dtype=np.int64) if counts is None else counts)

    def measure(self, predictions: Any, truth: np.ndarray, thresholds: np.ndarray | None = None) -> Measured:
        if isinstance(predictions, Saved):
            return self._of_columns(predictions.columns, truth)
        if not self.ranks:
            return Scored(truth[:, 0], predictions.own)
        return _ranked(predictions, truth)

    def answers(
        self, predictions: Any, thresholds: np.ndarray | None, threshold: float | None = None,
        rows: Dataset | None = None,
    ) -> list[dict[str, Any]]:  # fmt: skip
        return [{"score": float(str(np.float32(value)))} for value in predictions.own]

    def baselines(
        self, rows: tuple[Dataset, Dataset], truths: tuple[Any, Any], cheap: str | None,
        features: Callable[[np.ndarray, Emit], tuple[Any, Any]], *, seed: int, emit: Emit,
    ) -> dict[str, Measured]:  # fmt: skip
        """The same documents in random order, in that of BM25, and in that of the vectors of the base."""
        truth, test = truths[1], rows[1]
        queries, documents = test["text"][:], test["text_pair"][:]
        found = self._lists.of_row if self._lists is not None else [np.zeros(0, dtype=np.int64)] * len(truth)
        texts = list(self._lists.texts) if self._lists is not None else []
        counts = np.array([1 + len(its) for its in found], dtype=np.int64)
        asked = [query for query, count in zip(queries, counts, strict=True) for _ in range(count)]
        beside = [text for own, its in zip(documents, found, strict=True) for text in (own, *(texts[at] for at in its))]
        chance = np.random.default_rng(seed)
        given = {"random": ScoredLists(chance.random(int(counts.sum())), counts)}
        if self._known is not None:
            given["base"] = ScoredLists(self._known.cosines(asked, beside), counts)
        if cheap is not None and not self.ranks:
            given[cheap] = ScoredLists(bm25_of_pairs(queries, documents), counts)
        elif cheap is not None:
            place = {text: at for at, text in enumerate(dict.fromkeys([*texts, *documents]))}
            which = np.array([place[text] for text in beside])
            given[cheap] = ScoredLists(BM25(list(place)).pairs(asked, which).astype(np.float64), counts)
            emit(
                Decided(cheap, f"{int(counts.sum())} pairs", "the documents of the test lists; no stop words, no stems")
            )
        return {name: self.measure(one, truth) for name, one in given.items()}


def _ranked(predictions: ScoredLists, truth: np.ndarray) -> Ranked:
    """The documents of each query, of all of its rows, in one list. Equal scores count against what is relevant."""
    starts = np.cumsum(predictions.counts) - predictions.counts
    rows_of: dict[float, list[int]] = {}
    for row, query in enumerate(truth[:, 1].tolist()):
        rows_of.setdefault(query, []).append(row)
    ranks_of_rows = np.zeros(len(truth))
    known = [rows for rows in rows_of.values() if any(truth[row, 0] > 0 for row in rows)]
    ranks, gains = [], []
    for rows in known:
        own = predictions.scores[starts[rows]]
        more = np.concatenate(
            [predictions.scores[starts[row] + 1 : starts[row] + predictions.counts[row]] for row in rows]
        )
        every, relevant = np.concatenate([own, more]), np.flatnonzero(truth[rows, 0] > 0)
        wrong = np.ones(len(every), dtype=bool)
        wrong[relevant] = False
        mine = own[relevant]
        order = np.argsort(np.argsort(-mine, kind="stable"), kind="stable")
        its = np.array([1 + int((every[wrong] >= one).sum()) for one in mine]) + order
        ranks.append(its)
        gains.append(truth[rows, 0][relevant])
        ranks_of_rows[np.array(rows)[relevant]] = its
    first = np.array([rows[0] for rows in known], dtype=np.int64)
    asked = ranking.Asked(first, [], gains, [], len(truth))
    sums = ranking.measure(asked, ranks)
    return Ranked(sums, ranks=ranks_of_rows, documents=len(predictions.scores))
