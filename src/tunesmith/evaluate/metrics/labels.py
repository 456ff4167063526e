"""Metrics of one label a row, and of several: functions of `Sample`. Point values equal scikit-learn's."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tunesmith.evaluate.metrics.metric import CORRELATION, ERROR, SHARE, Metric
from tunesmith.evaluate.sample import Sample

Function = Callable[[Sample], np.ndarray]


def _ratio(over: np.ndarray, under: np.ndarray) -> np.ndarray:
    """over / under, and 0 where nothing is there to divide by (scikit-learn's zero_division=0)."""
    return np.divide(over, under, out=np.zeros(np.shape(over)), where=np.asarray(under) > 0)


Score = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""Of right, given and wanted labels."""


def _macro(score: Score) -> Function:
    """Mean over labels; single-label: over the classes that occur as truth or as prediction."""

    def function(sample: Sample) -> np.ndarray:
        each = score(sample.hits, sample.given, sample.support)
        if sample.view.kind == "labels":
            return each.mean(axis=0)
        occurs = sample.given + sample.support > 0
        return (each * occurs).sum(axis=0) / occurs.sum(axis=0)

    return function


def _micro(score: Score) -> Function:
    """Counts of all labels added up first."""
    return lambda sample: score(sample.hits.sum(axis=0), sample.given.sum(axis=0), sample.support.sum(axis=0))


def _weighted(score: Score) -> Function:
    """Mean over labels, each as heavy as the rows that have it."""

    def function(sample: Sample) -> np.ndarray:
        each = score(sample.hits, sample.given, sample.support)
        return _ratio((each * sample.support).sum(axis=0), sample.support.sum(axis=0))

    return function


def _per_row(score: Score) -> Function:
    """Computed inside each row, then the mean over rows."""

    def function(sample: Sample) -> np.ndarray:
        truth, given = sample.view.truth == 1, sample.view.predicted == 1
        rows = score((truth & given).sum(axis=1), given.sum(axis=1), truth.sum(axis=1))
        return sample.mean(rows)

    return function


def _mcc(sample: Sample) -> np.ndarray:
    """Matthews correlation for any number of classes (Gorodkin 2004); 0 where one side is constant."""
    covariance = sample.hits.sum(axis=0) * sample.total - (sample.given * sample.support).sum(axis=0)
    given = sample.total**2 - (sample.given**2).sum(axis=0)
    support = sample.total**2 - (sample.support**2).sum(axis=0)
    spread = np.sqrt(given * support)
    return np.divide(covariance, spread, out=np.zeros_like(spread), where=spread > 0)


def _ece(sample: Sample) -> np.ndarray:
    """Expected calibration error, 15 equal-width bins (Guo et al. 2017, arXiv 1706.04599).

    "label": confidence of the top class against its correctness; "labels": every probability of
    every row against whether the row has the label.
    """
    view = sample.view
    decisions = sample.total * (len(view.decisions[0]) // max(view.rows, 1))
    return np.abs(view.calibration_gaps @ sample.weights).sum(axis=0) / decisions


LABEL = ("label",)
LABELS = ("labels",)
BOTH = ("label", "labels")

_SCORES: dict[str, Score] = {
    "f1": lambda hits, given, support: _ratio(2 * hits, given + support),
    "precision": lambda hits, given, support: _ratio(hits, given),
    "recall": lambda hits, given, support: _ratio(hits, support),
}
_AVERAGES = {
    "macro": (_macro, BOTH),
    "micro": (_micro, BOTH),
    "weighted": (_weighted, BOTH),
    "samples": (_per_row, LABELS),
}
_HUB = {"f1_macro": "f1", "f1_micro": "f1"}

TABLE: dict[str, Metric] = {
    "accuracy": Metric(lambda sample: sample.mean(sample.view.hit), True, LABEL, SHARE, hub="accuracy"),
    "subset_accuracy": Metric(
        lambda sample: sample.mean(sample.view.hit), True, LABELS, SHARE, title="subset accuracy"
    ),
    **{
        f"{name}_{average}": Metric(averaged(score), True, kinds, SHARE, hub=_HUB.get(f"{name}_{average}", ""))
        for name, score in _SCORES.items() for average, (averaged, kinds) in _AVERAGES.items()
    },
    "hamming_loss": Metric(
        lambda sample: sample.mean((sample.view.predicted != sample.view.truth).mean(axis=1)), False, LABELS, SHARE,
        title="Hamming loss",
    ),
    "mcc": Metric(_mcc, True, LABEL, CORRELATION, title="Matthews correlation", hub="matthews_correlation"),
    "roc_auc": Metric(lambda sample: sample.areas[0], True, BOTH, SHARE, costly=True, title="ROC-AUC", hub="roc_auc"),
    "pr_auc": Metric(lambda sample: sample.areas[1], True, BOTH, SHARE, costly=True, title="PR-AUC"),
    "log_loss": Metric(lambda sample: sample.mean(sample.view.row_log_loss), False, BOTH, ERROR, title="log loss"),
    "ece": Metric(_ece, False, BOTH, SHARE, title="calibration error"),
}  # fmt: skip
