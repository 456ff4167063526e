"""Counts by class: the per-class table and the confusion matrix, as plain Python values."""

from __future__ import annotations

from typing import Any

import numpy as np

from tunesmith.core.measured import LabelRow, Measured
from tunesmith.evaluate.types import Outcome

LARGEST_MATRIX = 500
"""Above this many classes the matrix is left out (None) and only the most confused pairs are listed."""

CONFUSED_PAIRS = 50


def per_class(measured: Measured | None) -> list[LabelRow]:
    """Precision, recall, F1, support and number of predictions of each label; [] of what has none."""
    return [] if measured is None else measured.per_class()


def confusion(outcome: Measured | None) -> dict[str, Any] | None:
    """Counts by truth (rows) and prediction (columns), and the most frequent mistakes; None but of one label a row."""
    if not isinstance(outcome, Outcome) or outcome.kind != "label":
        return None
    names = outcome.labels
    pairs, counts = np.unique(np.stack([outcome.truth, outcome.predicted()]), axis=1, return_counts=True)
    matrix = None
    if len(names) <= LARGEST_MATRIX:
        full = np.zeros((len(names), len(names)), dtype=int)
        full[pairs[0], pairs[1]] = counts
        matrix = full.tolist()
    wrong = pairs[0] != pairs[1]
    truth, predicted, missed = pairs[0][wrong], pairs[1][wrong], counts[wrong]
    worst = np.argsort(-missed, kind="stable")[:CONFUSED_PAIRS]
    confused = [
        {"truth": names[truth[at]], "predicted": names[predicted[at]], "count": int(missed[at])} for at in worst
    ]
    return {"labels": names, "matrix": matrix, "most_confused": confused}
