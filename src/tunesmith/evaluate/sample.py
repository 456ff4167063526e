"""Sums that many metrics share, taken over many weightings of the same rows at once.

A bootstrap resample of n rows is nothing but n integer weights, so a metric written for weights
gives its value on a thousand resamples with a few matrix products (Efron & Tibshirani 1993).
`View` holds what depends on the predictions only; `Sample` adds weights and the sums under them. Neither
knows the name of a metric.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import scipy.sparse as sparse

BINS = 15
"""Equal-width bins of the expected calibration error (Guo et al. 2017)."""

KEPT_RANKINGS = 20_000_000
"""Sorted orders are kept between chunks of resamples up to this many scores (8 bytes each)."""


class View:
    """Per-row facts about one `Outcome`, whose parts these are, computed once. n rows, k labels."""

    def __init__(self, kind: str, truth: np.ndarray, scores: np.ndarray, predicted: np.ndarray, labels: list[str]):
        self.kind, self.truth, self.scores = kind, truth, scores
        self.predicted, self.labels = predicted, labels
        self.rows = len(truth)
        self._rankings: dict[int, Ranking] = {}

    @cached_property
    def hit(self) -> np.ndarray:
        """Row is right in full: bool [n]."""
        equal = self.predicted == self.truth
        return equal if self.kind == "label" else equal.all(axis=1)

    @cached_property
    def truth_matrix(self) -> sparse.csr_array:
        """[k, n] with 1 where the row has the label."""
        return self._indicator(self.truth)

    @cached_property
    def predicted_matrix(self) -> sparse.csr_array:
        return self._indicator(self.predicted)

    @cached_property
    def hit_matrix(self) -> sparse.csr_array:
        return self.truth_matrix.multiply(self.predicted_matrix).tocsr()

    def _indicator(self, values: np.ndarray) -> sparse.csr_array:
        if self.kind == "labels":
            return sparse.csr_array(values.T.astype(np.float64))
        ones = np.ones(self.rows)
        shape = (self.scores.shape[1], self.rows)
        return sparse.csr_array((ones, (values, np.arange(self.rows))), shape=shape)

    @cached_property
    def row_log_loss(self) -> np.ndarray:
        """Negative log likelihood in nats [n]; for "labels" the mean over the k decisions."""
        tiny = np.finfo(np.float64).eps
        clipped = np.clip(self.scores, tiny, 1 - tiny)
        if self.kind == "label":
            return -np.log(clipped[np.arange(self.rows), self.truth])
        return -np.where(self.truth == 1, np.log(clipped), np.log1p(-clipped)).mean(axis=1)

    @cached_property
    def decisions(self) -> tuple[np.ndarray, np.ndarray]:
        """(confidence, came true), float [m]: the top class of a row, or every label of every row."""
        if self.kind == "label":
            return self.scores.max(axis=1), self.hit.astype(np.float64)
        return self.scores.ravel(), self.truth.ravel().astype(np.float64)

    @cached_property
    def decision_bins(self) -> np.ndarray:
        """Calibration bin of each decision, 0..BINS-1; a bin holds (low, high], the first also 0."""
        return np.clip(np.ceil(self.decisions[0] * BINS).astype(int) - 1, 0, BINS - 1)

    @cached_property
    def calibration_gaps(self) -> sparse.csr_array:
        """[BINS, n]: sum over a row's decisions in a bin of (came true - confidence)."""
        confidence, true = self.decisions
        rows = np.repeat(np.arange(self.rows), len(confidence) // max(self.rows, 1))
        entries = (true - confidence, (self.decision_bins, rows))
        return sparse.csr_array(entries, shape=(BINS, self.rows))

    def ranked(self, label: int) -> Ranking:
        if label not in self._rankings:
            ranking = Ranking(self.scores[:, label], self._has(label))
            if self.scores.size > KEPT_RANKINGS:
                return ranking
            self._rankings[label] = ranking
        return self._rankings[label]

    def _has(self, label: int) -> np.ndarray:
        return self.truth == label if self.kind == "label" else self.truth[:, label] == 1


class Ranking:
    """Rows sorted by falling score, with where each positive row's group of equal scores starts and ends."""

    def __init__(self, scores: np.ndarray, positive: np.ndarray):
        self.order = np.argsort(-scores, kind="stable")
        ordered = scores[self.order]
        new = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
        group = np.cumsum(np.r_[True, ordered[1:] != ordered[:-1]]) - 1
        at = np.flatnonzero(positive[self.order])
        ends = np.r_[new[1:], len(scores)]
        self.positives = self.order[at]
        self.start, self.end = new[group[at]], ends[group[at]]
        groups = group[at]
        self.firsts = np.flatnonzero(np.r_[True, groups[1:] != groups[:-1]]) if len(at) else at

    def areas(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(area under ROC, average precision), each [r], for weights [n, r]; NaN where undefined."""
        columns = weights.shape[1]
        above = np.zeros((len(self.order) + 1, columns), dtype=weights.dtype)
        np.cumsum(weights[self.order], axis=0, out=above[1:])
        total = above[-1].astype(np.float64)
        mine = weights[self.positives].astype(np.float64)
        positive = mine.sum(axis=0)
        if not len(mine):
            return np.full(columns, np.nan), np.full(columns, np.nan)
        start, end = above[self.start].astype(np.float64), above[self.end].astype(np.float64)
        # every positive row beats the rows below it and half of its equals; pairs of positives count P²/2
        wins = (mine * (total - 0.5 * (start + end))).sum(axis=0) - 0.5 * positive**2
        pairs = positive * (total - positive)
        precision = self._precision_at_groups(mine, end)
        with np.errstate(divide="ignore", invalid="ignore"):
            area = np.where(pairs > 0, wins / pairs, np.nan)
            average = np.where(positive > 0, precision / positive, np.nan)
        return area, average

    def _precision_at_groups(self, mine: np.ndarray, end: np.ndarray) -> np.ndarray:
        """Sum over groups of equal scores of (positive weight in it) x (precision down to it), [r]."""
        in_group = np.add.reduceat(mine, self.firsts, axis=0)
        found = np.cumsum(in_group, axis=0)
        seen = np.maximum(end[self.firsts], 1.0)
        return (in_group * found / seen).sum(axis=0)


class Sample:
    """An outcome under r weightings of its rows: weights float64 [n, r]. Sums are computed when asked for."""

    def __init__(self, view: View, weights: np.ndarray):
        self.view = view
        self.weights = weights
        self.total = weights.sum(axis=0)

    def mean(self, row_values: np.ndarray) -> np.ndarray:
        """Weighted mean of a per-row value [n] -> [r]."""
        return np.asarray(row_values, dtype=np.float64) @ self.weights / self.total

    @cached_property
    def hits(self) -> np.ndarray:
        """True positives [k, r]."""
        return self.view.hit_matrix @ self.weights

    @cached_property
    def support(self) -> np.ndarray:
        """Rows that have the label [k, r]."""
        return self.view.truth_matrix @ self.weights

    @cached_property
    def given(self) -> np.ndarray:
        """Rows that were given the label [k, r]."""
        return self.view.predicted_matrix @ self.weights

    @cached_property
    def areas(self) -> tuple[np.ndarray, np.ndarray]:
        """(ROC-AUC, average precision) [r]: of the second class where there are two, else mean of labels."""
        labels = range(self.view.scores.shape[1])
        if self.view.kind == "label" and len(labels) == 2:
            labels = range(1, 2)
        exact = np.float32 if self.view.rows < 2**23 else np.float64
        light = self.weights.astype(exact)
        each = [self.view.ranked(label).areas(light) for label in labels]
        return _mean_of_defined([area for area, _ in each]), _mean_of_defined([ap for _, ap in each])


def _mean_of_defined(values: list[np.ndarray]) -> np.ndarray:
    stacked = np.stack(values)
    known = np.isfinite(stacked)
    with np.errstate(invalid="ignore"):
        return np.where(known, stacked, 0.0).sum(axis=0) / known.sum(axis=0)
