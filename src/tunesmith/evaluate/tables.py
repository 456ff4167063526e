"""Counts by class: the per-class table and the confusion matrix, as plain Python values."""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict

import numpy as np

from tunesmith.core.measured import Measured
from tunesmith.evaluate.sample import Sample
from tunesmith.evaluate.types import Outcome

LARGEST_MATRIX = 500
"""Above this many classes the matrix is left out (None) and only the most confused pairs are listed."""

CONFUSED_PAIRS = 50


class LabelRow(TypedDict):
    """A label of the test rows: `support` have it, `predicted` were given it, from the probability `threshold` on."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int
    predicted: int
    threshold: NotRequired[float]


def per_class(outcome: Measured | None) -> list[LabelRow]:
    """Precision, recall, F1, support and number of predictions of each label; [] of what has none."""
    if not isinstance(outcome, Outcome) or outcome.kind == "number":
        return []
    sample = Sample(outcome.view(), np.ones((len(outcome), 1)))
    rows: list[LabelRow] = []
    columns = (sample.hits, sample.given, sample.support)
    for index, name in enumerate(outcome.labels):
        hits, given, support = (float(column[index, 0]) for column in columns)
        row: LabelRow = {
            "label": name,
            "precision": hits / given if given else 0.0,
            "recall": hits / support if support else 0.0,
            "f1": 2 * hits / (given + support) if given + support else 0.0,
            "support": int(support),
            "predicted": int(given),
        }
        if outcome.kind == "labels":
            row["threshold"] = 0.5 if outcome.thresholds is None else float(outcome.thresholds[index])
        rows.append(row)
    return rows


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
