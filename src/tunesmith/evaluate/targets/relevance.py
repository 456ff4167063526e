"""How much two texts belong together, by the vectors of both or by the score of a pair."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from datasets import Dataset

from tunesmith.core.events import Decided, Emit
from tunesmith.core.measured import Measured
from tunesmith.data.pairs import keys
from tunesmith.engine.protocols import Target
from tunesmith.engine.similarity import unit
from tunesmith.evaluate import ranking
from tunesmith.evaluate.bm25 import BM25
from tunesmith.evaluate.measured import compute
from tunesmith.evaluate.ranking import RANKED, Ranked
from tunesmith.evaluate.scored import Scored


@dataclass(frozen=True)
class Corpus:
    """Documents that can be found beside those of the rows: their texts, and their vectors where there are any."""

    words: Sequence[str]
    vectors: np.ndarray | None = None


@dataclass(frozen=True)
class Saved:
    """What a file of predictions holds."""

    columns: Mapping[str, Any]


class Relevance(Target):
    """Predictions are vectors float32 [n, 2 or 3, size] of the texts of each row, or scores float64 [n]."""

    said: ClassVar[str] = "how much two texts belong together"
    score: ClassVar[str] = "spearman"
    constant: ClassVar[str] = "random"
    price: ClassVar[str | None] = None
    has_probabilities: ClassVar[bool] = False
    one_answer: ClassVar[bool] = False

    def __init__(
        self, kind: str, label_names: list[str] | None, *, ranks: bool = False, corpus: Corpus | None = None,
        sizes: Sequence[int] = (),
    ):  # fmt: skip
        super().__init__(kind, label_names)
        self.ranks, self.corpus, self.sizes = ranks, corpus, sizes
        if ranks:
            self.score = RANKED[0]  # type: ignore[misc]

    def truth(self, values: Sequence[Any]) -> np.ndarray:
        """float64 [n, 4]: relevance and keys (`data.pairs`)."""
        return np.asarray([list(value) for value in values], dtype=np.float64).reshape(-1, 4)

    def measure(self, predictions: Any, truth: np.ndarray, thresholds: np.ndarray | None = None) -> Measured:
        if isinstance(predictions, Saved):
            return self._of_columns(predictions.columns, truth)
        if np.ndim(predictions) < 3:
            return Scored(truth[:, 0], np.asarray(predictions, dtype=np.float64).reshape(-1))
        found = self._of_vectors(predictions, truth)
        sizes = {size: compute(self._of_vectors(predictions[..., :size], truth, size)) for size in self.sizes}
        return replace(found, sizes=sizes) if sizes else found

    def _of_vectors(self, vectors: np.ndarray, truth: np.ndarray, size: int | None = None) -> Ranked | Scored:
        if not self.ranks:
            left, right = unit(vectors[:, 0]), unit(vectors[:, 1])
            return Scored(truth[:, 0], (left.astype(np.float64) * right).sum(1))
        known, place = documents_of(truth)
        found = np.concatenate([vectors[:, side] for side in range(1, vectors.shape[1])])[place]
        if self.corpus is not None and self.corpus.vectors is not None:
            known, found = _with_corpus(known, found, self.corpus, size)
        queries = ranking.asked(truth, known)
        asked, found = unit(vectors[queries.first, 0]), unit(found)
        return ranking.ranked(queries, truth, known, lambda part: asked[part] @ found.T)

    def _of_columns(self, columns: Mapping[str, Any], truth: np.ndarray) -> Measured:
        if not self.ranks:
            return Scored(truth[:, 0], np.asarray(columns["predicted"], dtype=np.float64))
        sums = {name: np.asarray([list(one) for one in columns[name]], dtype=np.float64).reshape(-1, 2)
                for name in RANKED}  # fmt: skip
        return Ranked(sums, ranks=np.asarray(columns["predicted"], dtype=np.float64))

    def from_columns(self, columns: Mapping[str, Any]) -> Saved:
        return Saved(columns)

    def answers(
        self, predictions: Any, thresholds: np.ndarray | None, threshold: float | None = None,
        rows: Dataset | None = None,
    ) -> list[dict[str, Any]]:  # fmt: skip
        """{"score"}: the cosine of the two texts, or what a reranker gives the pair."""
        if np.ndim(predictions) < 3:
            values = np.asarray(predictions).reshape(-1)
        else:
            values = (unit(predictions[:, 0]) * unit(predictions[:, 1])).sum(1)
        return [{"score": float(str(np.float32(value)))} for value in values]

    def baselines(
        self, rows: tuple[Dataset, Dataset], truths: tuple[Any, Any], cheap: str | None,
        features: Callable[[np.ndarray, Emit], tuple[Any, Any]], *, seed: int, emit: Emit,
    ) -> dict[str, Measured]:  # fmt: skip
        """Documents in random order; and in that of BM25, of pairs with a score by what it gives them."""
        truth, test = truths[1], rows[1]
        chance = np.random.default_rng(seed)
        if not self.ranks:
            found: dict[str, Measured] = {"random": Scored(truth[:, 0], chance.random(len(truth)))}
            if cheap is not None:
                found["bm25"] = Scored(truth[:, 0], bm25_of_pairs(test["text"][:], test["text_pair"][:]))
            return found
        known, texts = self.documents(test, truth)
        queries = ranking.asked(truth, known)
        count = len(known)
        found = {"random": ranking.ranked(
            queries, truth, known, lambda part: chance.random((part.stop - part.start, count), dtype=np.float32)
        )}  # fmt: skip
        if cheap is not None:
            asked = [test["text"][:][at] for at in queries.first]
            index = BM25(texts)
            found["bm25"] = ranking.ranked(queries, truth, known, lambda part: index.scores(asked[part]))
            emit(Decided("bm25", f"{len(asked)} queries, {count} documents", "no stop words, no stems"))
        return found

    def documents(self, rows: Dataset, truth: np.ndarray) -> tuple[np.ndarray, list[str]]:
        """All that can be found for the queries of some rows: keys float64 [m], and texts, in the order of
        `Ranked.best`."""
        known, place = documents_of(truth)
        words = [*rows["text_pair"][:], *(rows["text_negative"][:] if "text_negative" in rows.column_names else [])]
        texts = [words[at] for at in place]
        if self.corpus is None:
            return known, texts
        names = keys(self.corpus.words)
        new = np.flatnonzero(~np.isin(names, known))
        return np.concatenate([known, names[new]]), [*texts, *(self.corpus.words[at] for at in new.tolist())]


def documents_of(truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(keys of the different documents of rows float64 [m], where each stands first among those of all rows, behind
    them the negatives of all rows)."""
    every = np.concatenate([truth[:, 2], truth[:, 3]])
    known, first = np.unique(every, return_index=True)
    real = known != 0
    return known[real], first[real]


def bm25_of_pairs(queries: Sequence[str], documents: Sequence[str]) -> np.ndarray:
    """BM25 of each pair by that of the query with itself: float64 [n], the same for long and for short texts."""
    index = BM25([*documents, *queries])
    at = np.arange(len(queries))
    given, own = index.pairs(queries, at), index.pairs(queries, at + len(documents))
    return np.divide(given, own, out=np.zeros(len(at)), where=own > 0).astype(np.float64)


def _with_corpus(
    known: np.ndarray, vectors: np.ndarray, corpus: Corpus, size: int | None
) -> tuple[np.ndarray, np.ndarray]:
    assert corpus.vectors is not None
    names = keys(corpus.words)
    new = ~np.isin(names, known)
    return np.concatenate([known, names[new]]), np.concatenate([vectors, corpus.vectors[new][:, :size]])
