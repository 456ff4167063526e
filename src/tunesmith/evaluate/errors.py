"""Where a model goes wrong: its worst mistakes, and its first metric on slices of the rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict

import numpy as np

from tunesmith.core.measured import Measured
from tunesmith.evaluate.measured import with_intervals
from tunesmith.evaluate.types import Outcome
from tunesmith.evaluate.words import number

SHOWN = 30
SLICES = 5

SURE = 0.9
"""Probability of another label from which a row may be called mislabelled."""


class Mistake(TypedDict):
    """A test row by its position, and in words what it is, what was said of it, and how wrong that is."""

    row: int
    truth: str
    predicted: str
    weight: str


def worst(outcome: Outcome, most: int = SHOWN) -> list[Mistake]:
    """The `most` worst mistakes.

    "label": wrong with the highest probability; "labels": the one decision furthest off; "number":
    the largest error.
    """
    if outcome.kind == "label":
        return _wrong_class(outcome, most)
    return _wrong_labels(outcome, most) if outcome.kind == "labels" else _wrong_number(outcome, most)


def _wrong_class(outcome: Outcome, most: int) -> list[Mistake]:
    predicted, names = outcome.predicted(), outcome.labels
    wrong = np.flatnonzero(predicted != outcome.truth)
    certainty = outcome.scores[wrong, predicted[wrong]]
    return [
        {
            "row": int(row),
            "truth": names[outcome.truth[row]],
            "predicted": names[predicted[row]],
            "weight": f"probability {number(outcome.scores[row, predicted[row]])}, "
            f"of the truth {number(outcome.scores[row, outcome.truth[row]])}",
        }
        for row in wrong[np.argsort(-certainty, kind="stable")[:most]]
    ]


def _wrong_labels(outcome: Outcome, most: int) -> list[Mistake]:
    predicted, names = outcome.predicted(), outcome.labels
    mistaken = predicted != outcome.truth
    distance = np.where(mistaken, np.abs(outcome.scores - outcome.truth), 0.0)
    wrong = np.flatnonzero(mistaken.any(axis=1))
    order = wrong[np.argsort(-distance[wrong].max(axis=1), kind="stable")[:most]] if len(wrong) else wrong
    found: list[Mistake] = []
    for row in order:
        label = int(distance[row].argmax())
        truth, given = (", ".join(names[one] for one in np.flatnonzero(some[row])) or "(none)"
                        for some in (outcome.truth, predicted))  # fmt: skip
        weight = f"{names[label]}: probability {number(outcome.scores[row, label])}"
        found.append({"row": int(row), "truth": truth, "predicted": given, "weight": weight})
    return found


def _wrong_number(outcome: Outcome, most: int) -> list[Mistake]:
    error = outcome.scores - outcome.truth
    return [
        {
            "row": int(row),
            "truth": number(float(outcome.truth[row])),
            "predicted": number(float(outcome.scores[row])),
            "weight": f"off by {number(float(error[row]), signed=True)}",
        }
        for row in np.argsort(-np.abs(error), kind="stable")[:most]
        if error[row] != 0
    ]


def suspects(outcome: Measured, compared: Sequence[Measured]) -> frozenset[int]:
    """Positions of rows whose label is perhaps wrong: the model is sure of another label, and those `compared`, two
    models at least that work in other ways, give that same label too.

    A vote against the label by a committee (Brodley & Friedl 1999, "Identifying mislabeled training data", consensus
    filter), of models that were not trained on these rows.
    """
    others = [one for one in compared if isinstance(one, Outcome)]
    if not isinstance(outcome, Outcome) or outcome.kind != "label" or len(others) < 2 or not len(outcome):
        return frozenset()
    predicted = outcome.predicted()
    sure = outcome.scores[np.arange(len(outcome)), predicted] >= SURE
    against = (predicted != outcome.truth) & sure
    for other in others:
        against &= other.predicted() == predicted
    return frozenset(int(row) for row in np.flatnonzero(against))


def slices(
    outcome: Outcome, size_name: str | None, sizes: np.ndarray | None, metric: str
) -> list[tuple[str, list[dict[str, Any]]]]:
    """[(title, [{"slice", "rows", "value", "low", "high"}])]: by `sizes` [rows], where there are any; numbers also by
    truth."""
    found = []
    if size_name is not None and sizes is not None and len(sizes) == len(outcome) and len(outcome):
        found.append((size_name, _by_value(outcome, sizes, metric, whole=True)))
    if outcome.kind == "number" and len(outcome):
        found.append(("true value", _by_value(outcome, outcome.truth, metric, whole=False)))
    return [(title, rows) for title, rows in found if rows]


def _by_value(outcome: Outcome, values: np.ndarray, metric: str, whole: bool) -> list[dict[str, Any]]:
    """Slices of about equal numbers of rows, by quantiles of `values`."""
    inner = np.unique(np.quantile(values, np.linspace(0, 1, SLICES + 1)[1:-1], method="lower"))
    group = np.searchsorted(inner, values, side="left")
    rows = []
    for slice_ in np.unique(group):
        mask = group == slice_
        found = with_intervals(outcome.take(mask), [metric], resamples=500).get(metric)
        if found is None:
            continue
        low, high = float(values[mask].min()), float(values[mask].max())
        ends = (f"{low:,.0f}", f"{high:,.0f}") if whole else (number(low), number(high))
        name = ends[0] if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}"
        rows.append({"slice": name, "rows": int(mask.sum()), **found})
    return rows
