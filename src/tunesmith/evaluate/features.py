"""TF-IDF features of texts or pairs of texts, for the baselines. Fitted on training texts only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse as sparse

from tunesmith.core.events import Decided, Emit, ignore

Texts = Sequence[str] | Sequence[tuple[str, str]]

MAX_CHARACTERS = 6_000_000
"""Character n-grams are left out above this many characters of training text; words alone are quick."""

LONGEST = 4_000
"""Characters of one text that count."""


class TfidfFeatures:
    """Word 1-2-grams and character 4-grams, sublinear TF-IDF; pairs add what the two texts share.

    A pair (a, b) becomes [a, b, |a - b|, a * b, cosine, share of common words, length ratio].
    `of_training` float64 [n, features] are the training texts themselves, counted once while fitting.
    Raises ValueError where the texts hold nothing to count.
    """

    def __init__(self, texts: Texts, emit: Emit = ignore):
        flat = _flat(texts)
        fitted = [_fitted(arguments, flat) for arguments in self._plan(flat, emit)]
        self._vectorizers = [vectorizer for vectorizer, _ in fitted]
        vectors = sparse.hstack([counted for _, counted in fitted]).tocsr()
        self.of_training = vectors if _single(texts) else _related(vectors[0::2], vectors[1::2], texts)

    def _plan(self, texts: Sequence[str], emit: Emit) -> list[dict[str, Any]]:
        rare = 1 if len(texts) < 1000 else 2
        characters = sum(map(len, texts))
        spaces = sum(text.count(" ") for text in texts)
        if spaces < 0.04 * characters:  # languages written without spaces, or single words
            return [{"analyzer": "char", "ngram_range": (1, 3), "min_df": rare}]
        # single letters and digits count as words: "I", "2" carry meaning in short messages
        words = {"ngram_range": (1, 2), "min_df": rare, "token_pattern": r"(?u)\b\w+\b"}
        if characters > MAX_CHARACTERS:
            why = f"the training texts hold {characters:,} characters; character n-grams would be slow"
            emit(Decided("baseline_features", "words", why))
            return [words]
        return [words, {"analyzer": "char_wb", "ngram_range": (4, 4), "min_df": rare + 1}]

    def transform(self, texts: Texts) -> sparse.csr_matrix:
        """float64 [n, features]."""
        flat = _flat(texts)
        vectors = sparse.hstack([vectorizer.transform(flat) for vectorizer in self._vectorizers]).tocsr()
        return vectors if _single(texts) else _related(vectors[0::2], vectors[1::2], texts)


def _fitted(arguments: dict[str, Any], texts: Sequence[str]) -> tuple[Any, sparse.csr_matrix]:
    """(vectorizer, its features of these texts)."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    common = {"sublinear_tf": True, "strip_accents": "unicode", "dtype": np.float64}
    vectorizer = TfidfVectorizer(**common, **arguments)
    try:
        return vectorizer, vectorizer.fit_transform(texts)
    except ValueError:  # nothing occurs often enough: count everything
        vectorizer = TfidfVectorizer(**common, **{**arguments, "min_df": 1})
        return vectorizer, vectorizer.fit_transform(texts)


def _single(texts: Texts) -> bool:
    return not len(texts) or isinstance(texts[0], str)


def _flat(texts: Texts) -> list[str]:
    """Texts one after the other, the two of a pair side by side."""
    if _single(texts):
        return [str(text)[:LONGEST] for text in texts]
    return [text[:LONGEST] for pair in texts for text in pair]


def _related(first: sparse.csr_matrix, second: sparse.csr_matrix, texts: Texts) -> sparse.csr_matrix:
    shared = first.multiply(second)
    parts = [first, second, abs(first - second), shared, _relation(texts, shared)]
    return sparse.hstack(parts).tocsr()


def _relation(texts: Texts, shared: sparse.csr_matrix) -> sparse.csr_matrix:
    """[n, 3]: cosine of the TF-IDF vectors, share of common words, ratio of lengths; each in [0, 1]."""
    rows = np.zeros((len(texts), 3))
    rows[:, 0] = np.asarray(shared.sum(axis=1)).ravel() / 2  # two blocks of unit length
    for row, (first, second) in enumerate(texts):
        left, right = set(first.lower().split()), set(second.lower().split())
        rows[row, 1] = len(left & right) / max(len(left | right), 1)
        rows[row, 2] = min(len(first), len(second)) / max(len(first), len(second), 1)
    return sparse.csr_matrix(rows)
