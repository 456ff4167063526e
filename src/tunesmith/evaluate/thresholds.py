"""From which probability on a label is given, where a row may have any number of them.

The best F1 of each label by itself is no good aim: frequent labels are given nearly always then, and few
validation rows move the others at random. So all labels begin at one threshold, and one moves away from it only
where the mean of F1 (micro) and F1 (macro) over all labels gains.
"""

from __future__ import annotations

import numpy as np

from tunesmith.evaluate.types import Outcome

SHARED = np.linspace(0.05, 0.95, 91)
"""What is tried as the threshold of all labels."""
ROUNDS = 5
"""How often every label may move; nearly always none does after three."""


def tune_thresholds(outcome_on_validation: Outcome, *, least: int = 5) -> np.ndarray | None:
    """Per label, its threshold float64 [k], tuned on these rows; None where rows have no more than one label.

    It lies half-way between the last score taken in and the next one. Labels with fewer than `least` rows have
    the threshold of all; it is 0.5 where all labels together have no more.
    """
    if outcome_on_validation.kind != "labels":
        return None
    truth, scores = outcome_on_validation.truth, outcome_on_validation.scores
    if truth.sum() < least:
        return np.full(truth.shape[1], 0.5)
    search = _Search(truth, scores)
    thresholds = np.full(truth.shape[1], search.shared())
    free = [label for label in range(truth.shape[1]) if least <= truth[:, label].sum() < len(truth)]
    search.start(thresholds)
    for _ in range(ROUNDS):
        moved = [label for label in free if search.move(label)]
        for label in moved:
            thresholds[label] = search.threshold(label)
        if not moved:
            break
    return thresholds


class _Search:
    """How many rows of each label are taken in, best first, and what that is worth."""

    def __init__(self, truth: np.ndarray, scores: np.ndarray):
        rows, self._labels = truth.shape
        order = np.argsort(-scores, axis=0, kind="stable")
        self._scores = np.take_along_axis(scores, order, axis=0)
        hits = np.cumsum(np.take_along_axis(truth, order, axis=0), axis=0, dtype=np.float64)
        self._hits = np.vstack([np.zeros(self._labels), hits])  # [taken, label]
        self._taken = np.arange(rows + 1.0)
        self._support = self._hits[-1]
        ties = self._scores[1:] == self._scores[:-1]  # equal scores come in together
        edge = np.zeros((1, self._labels), dtype=bool)
        self._apart = ~np.vstack([edge, ties, edge])
        self._given = np.zeros(self._labels, dtype=np.int64)

    def shared(self) -> float:
        """The one threshold with the best F1 (micro); of equals the one in the middle."""
        found = np.empty(len(SHARED))
        for place, threshold in enumerate(SHARED):
            self.start(np.full(self._labels, threshold))
            hits = self._hits[self._given, np.arange(self._labels)].sum()
            found[place] = 2 * hits / (self._given.sum() + self._support.sum())
        best = np.flatnonzero(found == found.max())
        return float(SHARED[best[len(best) // 2]])

    def start(self, thresholds: np.ndarray) -> None:
        self._given = (self._scores >= thresholds).sum(axis=0)

    def move(self, label: int) -> bool:
        """Whether another number of rows of this label is better for all labels together; if so, it is taken."""
        others = np.arange(self._labels) != label
        hits = self._hits[self._given[others], np.flatnonzero(others)].sum() + self._hits[:, label]
        given = self._given[others].sum() + self._taken
        micro = 2 * hits / (given + self._support.sum())
        macro = 2 * self._hits[:, label] / np.maximum(self._taken + self._support[label], 1) / self._labels
        worth = np.where(self._apart[:, label], micro + macro, -1.0)
        best, now = int(np.argmax(worth)), self._given[label]
        if worth[best] <= worth[now] + 1e-12:
            return False
        self._given[label] = best
        return True

    def threshold(self, label: int) -> float:
        """Half-way between the last score that is taken in and the next one."""
        scores, given = self._scores[:, label], self._given[label]
        last = scores[given - 1] if given else 1.0
        following = scores[given] if given < len(scores) else 0.0
        return float((last + following) / 2)
