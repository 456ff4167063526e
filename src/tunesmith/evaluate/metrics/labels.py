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


def _precision(hits: np.ndarray, given: np.ndarray, support: np.ndarray) -> np.ndarray:
    return _ratio(hits, given)


def _recall(hits: np.ndarray, given: np.ndarray, support: np.ndarray) -> np.ndarray:
    return _ratio(hits, support)


def _f1(hits: np.ndarray, given: np.ndarray, support: np.ndarray) -> np.ndarray:
    return _ratio(2 * hits, given + support)


def _macro(score: Callable[..., np.ndarray]) -> Function:
    """Mean over labels; single-label: over the classes that occur as truth or as prediction."""

    def function(sample: Sample) -> np.ndarray:
        each = score(sample.hits, sample.given, sample.support)
        if sample.view.kind == "labels":
            return each.mean(axis=0)
        occurs = sample.given + sample.support > 0
        return (each * occurs).sum(axis=0) / occurs.sum(axis=0)

    return function


def _micro(score: Callable[..., np.ndarray]) -> Function:
    """Counts of all labels added up first."""
    return lambda sample: score(sample.hits.sum(axis=0), sample.given.sum(axis=0), sample.support.sum(axis=0))


def _weighted(score: Callable[..., np.ndarray]) -> Function:
    """Mean over labels, each as heavy as the rows that have it."""

    def function(sample: Sample) -> np.ndarray:
        each = score(sample.hits, sample.given, sample.support)
        return _ratio((each * sample.support).sum(axis=0), sample.support.sum(axis=0))

    return function


def _per_row(score: Callable[..., np.ndarray]) -> Function:
    """Computed inside each row, then the mean over rows."""

    def function(sample: Sample) -> np.ndarray:
        truth, given = sample.view.truth == 1, sample.view.predicted == 1
        rows = score((truth & given).sum(axis=1), given.sum(axis=1), truth.sum(axis=1))
        return sample.mean(rows)

    return function


def _accuracy(sample: Sample) -> np.ndarray:
    return sample.mean(sample.view.hit)


def _hamming(sample: Sample) -> np.ndarray:
    return sample.mean((sample.view.predicted != sample.view.truth).mean(axis=1))


def _mcc(sample: Sample) -> np.ndarray:
    """Matthews correlation for any number of classes (Gorodkin 2004); 0 where one side is constant."""
    covariance = sample.hits.sum(axis=0) * sample.total - (sample.given * sample.support).sum(axis=0)
    given = sample.total**2 - (sample.given**2).sum(axis=0)
    support = sample.total**2 - (sample.support**2).sum(axis=0)
    spread = np.sqrt(given * support)
    return np.divide(covariance, spread, out=np.zeros_like(spread), where=spread > 0)


def _log_loss(sample: Sample) -> np.ndarray:
    return sample.mean(sample.view.row_log_loss)


def _ece(sample: Sample) -> np.ndarray:
    """Expected calibration error, 15 equal-width bins (Guo et al. 2017, arXiv 1706.04599).

    "label": confidence of the top class against its correctness; "labels": every probability of
    every row against whether the row has the label.
    """
    view = sample.view
    decisions = sample.total * (len(view.decisions[0]) // max(view.rows, 1))
    return np.abs(view.calibration_gaps @ sample.weights).sum(axis=0) / decisions


def _roc_auc(sample: Sample) -> np.ndarray:
    return sample.areas[0]


def _pr_auc(sample: Sample) -> np.ndarray:
    return sample.areas[1]


LABEL = ("label",)
LABELS = ("labels",)
BOTH = ("label", "labels")

TABLE: dict[str, Metric] = {
    "accuracy": Metric(_accuracy, True, LABEL, SHARE, hub="accuracy"),
    "subset_accuracy": Metric(_accuracy, True, LABELS, SHARE, title="subset accuracy"),
    "f1_macro": Metric(_macro(_f1), True, BOTH, SHARE, hub="f1"),
    "f1_micro": Metric(_micro(_f1), True, BOTH, SHARE, hub="f1"),
    "f1_weighted": Metric(_weighted(_f1), True, BOTH, SHARE),
    "f1_samples": Metric(_per_row(_f1), True, LABELS, SHARE),
    "precision_macro": Metric(_macro(_precision), True, BOTH, SHARE),
    "precision_micro": Metric(_micro(_precision), True, BOTH, SHARE),
    "precision_weighted": Metric(_weighted(_precision), True, BOTH, SHARE),
    "precision_samples": Metric(_per_row(_precision), True, LABELS, SHARE),
    "recall_macro": Metric(_macro(_recall), True, BOTH, SHARE),
    "recall_micro": Metric(_micro(_recall), True, BOTH, SHARE),
    "recall_weighted": Metric(_weighted(_recall), True, BOTH, SHARE),
    "recall_samples": Metric(_per_row(_recall), True, LABELS, SHARE),
    "hamming_loss": Metric(_hamming, False, LABELS, SHARE, title="Hamming loss"),
    "mcc": Metric(_mcc, True, LABEL, CORRELATION, title="Matthews correlation", hub="matthews_correlation"),
    "roc_auc": Metric(_roc_auc, True, BOTH, SHARE, costly=True, title="ROC-AUC", hub="roc_auc"),
    "pr_auc": Metric(_pr_auc, True, BOTH, SHARE, costly=True, title="PR-AUC"),
    "log_loss": Metric(_log_loss, False, BOTH, ERROR, title="log loss"),
    "ece": Metric(_ece, False, BOTH, SHARE, title="calibration error"),
}
