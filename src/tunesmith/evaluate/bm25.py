"""BM25 (Robertson & Zaragoza 2009, in the form of Lucene): which documents share the rare words of a query. Words are
what stands between spaces and signs, in lower case; none is left out and none is stemmed, so that it is the same for
every language. Knows no model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sparse

K1, B = 1.5, 0.75
_QUERIES = 256


class BM25:
    """An index of documents. Their scores are a product of sparse matrices: seconds for 100,000 documents."""

    def __init__(self, documents: Sequence[str]):
        from sklearn.feature_extraction.text import CountVectorizer

        self._words = CountVectorizer(token_pattern=r"(?u)\b\w+\b", dtype=np.float32)
        try:
            counts = self._words.fit_transform(documents).tocsr()
        except ValueError:  # not one word in all of them
            self._weights = None
            self.size = len(documents)
            return
        self.size = counts.shape[0]
        lengths = np.asarray(counts.sum(axis=1)).ravel()
        found_in = np.bincount(counts.indices, minlength=counts.shape[1])
        rarity = np.log1p((self.size - found_in + 0.5) / (found_in + 0.5)).astype(np.float32)
        rows = np.repeat(np.arange(self.size), np.diff(counts.indptr))
        norm = K1 * (1 - B + B * lengths[rows] / max(float(lengths.mean()), 1e-9))
        counts.data = rarity[counts.indices] * counts.data / (counts.data + norm)
        self._weights = counts.T.tocsr()

    def scores(self, queries: Sequence[str]) -> np.ndarray:
        """float32 [queries, documents]; for few queries at once."""
        if self._weights is None:
            return np.zeros((len(queries), self.size), dtype=np.float32)
        asked = self._words.transform(queries)
        return np.asarray((asked @ self._weights).todense(), dtype=np.float32)

    def best(self, queries: Sequence[str], count: int) -> np.ndarray:
        """The documents with the highest scores for each query, best first, int64 [queries, count]; -1 where no further
        one shares a word with it."""
        count = min(count, self.size)
        found = np.full((len(queries), count), -1, dtype=np.int64)
        if self._weights is None:
            return found
        for start in range(0, len(queries), _QUERIES):
            part: sparse.csr_matrix = (self._words.transform(queries[start : start + _QUERIES]) @ self._weights).tocsr()
            for row in range(part.shape[0]):
                place = slice(part.indptr[row], part.indptr[row + 1])
                documents, values = part.indices[place], part.data[place]
                order = np.lexsort((documents, -values))[:count]
                found[start + row, : len(order)] = documents[order]
        return found

    def pairs(self, queries: Sequence[str], documents: np.ndarray) -> np.ndarray:
        """The score of one document, by its position, for each query: float32 [queries]."""
        if self._weights is None:
            return np.zeros(len(queries), dtype=np.float32)
        asked = self._words.transform(queries)
        picked = self._weights.T.tocsr()[documents]
        return np.asarray(asked.multiply(picked).sum(axis=1), dtype=np.float32).ravel()
