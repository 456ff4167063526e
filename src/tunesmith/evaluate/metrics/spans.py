"""Metrics of spans of words: functions of the sums of row statistics. A span is right when its words and type are."""

from __future__ import annotations

import numpy as np

from tunesmith.evaluate.metrics.metric import ERROR, SHARE, Metric


def _ratio(over: np.ndarray, under: np.ndarray) -> np.ndarray:
    """0 where there is nothing to divide by, as conlleval has it."""
    return np.divide(over, under, out=np.zeros(len(over)), where=under > 0)


def _share(sums: np.ndarray) -> np.ndarray:
    return _ratio(sums[:, 0], sums[:, 1])


def _f1(sums: np.ndarray) -> np.ndarray:
    """Statistics: spans right, given and wanted."""
    return _ratio(2 * sums[:, 0], sums[:, 1] + sums[:, 2])


def _f1_macro(sums: np.ndarray) -> np.ndarray:
    """The mean over types. Statistics: right, given and wanted of each type, one after another."""
    right, given, wanted = (sums[:, start::3] for start in range(3))
    both = given + wanted
    each = np.divide(2 * right, both, out=np.zeros_like(right), where=both > 0)
    return _ratio(each.sum(axis=1), (both > 0).sum(axis=1).astype(float))


SPANS = ("spans",)

TABLE: dict[str, Metric] = {
    "span_f1": Metric(_f1, True, SPANS, SHARE, title="F1 of spans", hub="f1"),
    "span_precision": Metric(_share, True, SPANS, SHARE, title="precision of spans", hub="precision"),
    "span_recall": Metric(_share, True, SPANS, SHARE, title="recall of spans", hub="recall"),
    "span_f1_macro": Metric(_f1_macro, True, SPANS, SHARE, title="F1 of spans, mean of types"),
    "word_accuracy": Metric(_share, True, SPANS, SHARE, title="accuracy of words", hub="accuracy"),
    "word_log_loss": Metric(_share, False, SPANS, ERROR, title="log loss of words"),
}
