"""What rows of queries and documents say: whether documents are to be found, or pairs to be scored."""

from __future__ import annotations

import numpy as np

RANKED = ("ndcg@10", "mrr", "map@100", "recall@1", "recall@10", "recall@100")
SCORED = ("spearman", "pearson")
_GRADES = 6
"""Most grades of relevance, such as 0 to 4."""


def judged_by(truth: np.ndarray) -> tuple[bool, str]:
    """(whether documents are to be found, why). `truth` float64 [n, 4] (`data.pairs`)."""
    scores = truth[:, 0]
    different = np.unique(scores)
    if len(different) < 2:
        return True, "every row is a query and a document that belongs to it"
    _, counts = np.unique(truth[:, 1], return_counts=True)
    several = len(truth) / max(1, len(counts))
    whole = bool((different == np.round(different)).all()) and len(different) <= _GRADES
    if whole and several >= 2 and different.min() >= 0:
        return True, f"{several:.1f} documents a query, with grades {different.min():g} to {different.max():g}"
    return False, f"{len(different)} different scores, {several:.1f} pairs for each first text"


def known_documents(truth: np.ndarray) -> dict[float, np.ndarray]:
    """Query -> keys of the documents that are relevant to it, of rows `truth`."""
    found: dict[float, list[float]] = {}
    for relevance, query, document, _ in truth.tolist():
        if relevance > 0:
            found.setdefault(query, []).append(document)
    return {query: np.array(documents) for query, documents in found.items()}
