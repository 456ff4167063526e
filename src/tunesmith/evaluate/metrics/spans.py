"""Metrics of entities: functions of the sums of row statistics. One is right when its words and its type are."""

from __future__ import annotations

import numpy as np

from tunesmith.evaluate.metrics.metric import ERROR, SHARE, Metric


def _ratio(over: np.ndarray, under: np.ndarray, absent: float = 0.0) -> np.ndarray:
    """0 where there is nothing to divide by, as conlleval has it."""
    return np.divide(over, under, out=np.full(len(over), absent), where=under > 0)


def _share(sums: np.ndarray) -> np.ndarray:
    return _ratio(sums[:, 0], sums[:, 1])


def _f1(sums: np.ndarray) -> np.ndarray:
    """Statistics: entities right, given and wanted. Of answers to questions: their F1, 1 and 1, of which it is the
    mean."""
    return _ratio(2 * sums[:, 0], sums[:, 1] + sums[:, 2])


def _f1_macro(sums: np.ndarray) -> np.ndarray:
    """The mean over types. Statistics: right, given and wanted of each type, one after another."""
    right, given, wanted = (sums[:, start::3] for start in range(3))
    both = given + wanted
    each = np.divide(2 * right, both, out=np.zeros_like(right), where=both > 0)
    return _ratio(each.sum(axis=1), (both > 0).sum(axis=1).astype(float))


def _of_some_f1(sums: np.ndarray) -> np.ndarray:
    """The same of some entities; undefined where no row has one."""
    return np.where(sums[:, 2] > 0, _f1(sums), np.nan)


def _of_some_share(sums: np.ndarray) -> np.ndarray:
    return _ratio(sums[:, 0], sums[:, 1], np.nan)


SPANS = ("spans",)

TABLE: dict[str, Metric] = {
    "f1": Metric(_f1, True, (*SPANS, "answers"), SHARE, title="F1", hub="f1"),
    "precision": Metric(_share, True, SPANS, SHARE, title="entity precision", hub="precision"),
    "recall": Metric(_share, True, SPANS, SHARE, title="entity recall", hub="recall"),
    "entity_f1_macro": Metric(_f1_macro, True, SPANS, SHARE, title="entity F1, mean of types"),
    "partial_f1": Metric(_f1, True, SPANS, SHARE, title="entity F1, half for a partial match"),
    "unseen_f1": Metric(_of_some_f1, True, SPANS, SHARE, title="F1 of unseen entities"),
    "unseen_recall": Metric(_of_some_share, True, SPANS, SHARE, title="recall of unseen entities"),
    "seen_recall": Metric(_of_some_share, True, SPANS, SHARE, title="recall of entities seen in training"),
    "word_accuracy": Metric(_share, True, SPANS, SHARE, title="accuracy of words", hub="accuracy"),
    "word_log_loss": Metric(_share, False, SPANS, ERROR, title="log loss of words"),
}
