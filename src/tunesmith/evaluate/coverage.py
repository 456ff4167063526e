"""What a threshold buys: rows answered against answers that are right, and the curves behind it (ROC, PR)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tunesmith.evaluate.types import Outcome

STEPS = 101
"""Thresholds 0.00, 0.01 ... 1.00."""

MOST_POINTS = 200
FEWEST_ROWS = 10
MOST_LABELS = 50
FEWEST_POSITIVE = 3


@dataclass(frozen=True)
class Coverage:
    """thresholds float64 [STEPS]; given int64 [STEPS]: answers given at or above each; right int64 [STEPS]: of them
    those that are right; wanted: rows ("label"), or labels that the rows have ("labels")."""

    thresholds: np.ndarray
    given: np.ndarray
    right: np.ndarray
    wanted: int


def coverage(outcome: Outcome) -> Coverage | None:
    """Counts at every threshold. "label": the likeliest class of a row is given when its probability reaches the
    threshold; "labels": one threshold for all labels. None for numbers."""
    if outcome.kind == "number" or not len(outcome):
        return None
    confidence, true = outcome.view().decisions
    thresholds = np.linspace(0, 1, STEPS)
    order = np.argsort(confidence, kind="stable")
    first = np.searchsorted(confidence[order], thresholds - 1e-9, side="left")
    right = np.r_[np.cumsum(true[order][::-1])[::-1], 0.0]
    wanted = len(outcome) if outcome.kind == "label" else int(outcome.truth.sum())
    return Coverage(thresholds, len(confidence) - first, right[first].astype(np.int64), wanted)


@dataclass(frozen=True)
class Curve:
    """One label, or all together (name ""): points of ROC and precision-recall, at most MOST_POINTS of each."""

    name: str
    area: float
    average_precision: float
    false_alarms: np.ndarray
    found: np.ndarray
    recall: np.ndarray
    precision: np.ndarray


def curves(outcome: Outcome) -> list[Curve]:
    """Of two classes the rarer one; of more all together, and the labels that are told apart worst."""
    if outcome.kind == "number" or len(outcome) < FEWEST_ROWS:
        return []
    has = np.eye(len(outcome.labels), dtype=bool)[outcome.truth] if outcome.kind == "label" else outcome.truth == 1
    counts = has.sum(axis=0)
    usable = np.flatnonzero((counts >= FEWEST_POSITIVE) & (counts < len(outcome)))
    if len(outcome.labels) == 2 and outcome.kind == "label":
        rarer = int(counts.argmin())
        return [_curve(outcome.labels[rarer], has[:, rarer], outcome.scores[:, rarer])] if rarer in usable else []
    if not len(usable):
        return []
    single = [_curve(outcome.labels[at], has[:, at], outcome.scores[:, at]) for at in usable]
    worst = sorted(single, key=lambda curve: curve.average_precision)[:MOST_LABELS]
    return [_curve("", has.ravel(), outcome.scores.ravel()), *worst]


def _curve(name: str, positive: np.ndarray, scores: np.ndarray) -> Curve:
    from sklearn.metrics import auc, average_precision_score, precision_recall_curve, roc_curve

    alarms, found, _ = roc_curve(positive, scores)
    precision, recall, _ = precision_recall_curve(positive, scores)
    average = float(average_precision_score(positive, scores))
    roc, pr = _thin(len(alarms)), _thin(len(recall))
    return Curve(name, float(auc(alarms, found)), average, alarms[roc], found[roc], recall[pr], precision[pr])


def _thin(points: int) -> np.ndarray:
    return np.unique(np.linspace(0, points - 1, min(points, MOST_POINTS)).astype(int))
