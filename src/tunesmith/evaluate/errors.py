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
    truth, scores, predicted = outcome.truth, outcome.scores, outcome.predicted()
    wrong, off = predicted != truth, np.abs(scores - truth) if outcome.kind != "label" else scores
    if outcome.kind == "labels":
        off = np.where(wrong, off, 0.0)
        wrong = wrong.any(axis=1)
    distance = off if off.ndim == 1 else off.max(axis=1)
    rows = np.flatnonzero(wrong)
    rows = rows[np.argsort(-distance[rows], kind="stable")[:most]]

    def weight(row: int) -> str:
        if outcome.kind == "number":
            return f"off by {number(float(scores[row] - truth[row]), signed=True)}"
        label = int(off[row].argmax())
        if outcome.kind == "labels":
            return f"{outcome.labels[label]}: probability {number(scores[row, label])}"
        return f"probability {number(scores[row, label])}, of the truth {number(scores[row, truth[row]])}"

    named = zip(rows.tolist(), outcome.named(truth[rows]), outcome.named(predicted[rows]), strict=True)
    return [{"row": row, "truth": said(right), "predicted": said(its), "weight": weight(row)}
            for row, right, its in named]  # fmt: skip


def examples_of(outcome: Outcome, most: int, seed: int) -> tuple[list[Mistake], list[Mistake]]:
    """`most` of the worst mistakes, and as many rows that were answered rightly, drawn (of numbers: the nearest)."""
    wrong = worst(outcome, most)
    off = outcome.predicted() != outcome.truth
    off = off.any(axis=1) if off.ndim == 2 else off
    if outcome.kind == "number":
        rows = np.argsort(np.abs(outcome.scores - outcome.truth), kind="stable")[:most]
        rows = rows[~np.isin(rows, [one["row"] for one in wrong])]
    else:
        rows = np.random.default_rng(seed).permutation(np.flatnonzero(~off))[:most]
    named = zip(
        rows.tolist(), outcome.named(outcome.truth[rows]), outcome.named(outcome.predicted()[rows]), strict=True
    )
    right: list[Mistake] = [
        {"row": row, "truth": said(its), "predicted": said(answer), "weight": ""} for row, its, answer in named
    ]
    return wrong, right


def said(value: str | list[str] | float) -> str:
    """An answer as people read it."""
    if isinstance(value, list):
        return ", ".join(value) or "(none)"
    return value if isinstance(value, str) else number(value)


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
