"""Figures as plain plotly JSON: {"data": [...], "layout": {...}}. Colours come from the page's theme.

Texts from the data pass through `plain`, because plotly reads a little HTML in every label.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tunesmith.evaluate.metrics import TABLE
from tunesmith.evaluate.sample import BINS, View
from tunesmith.evaluate.types import Outcome
from tunesmith.evaluate.words import metric as named

Figure = dict[str, Any]

BLUE, ORANGE, GREY = "#3b82f6", "#f08c2e", "#94a3b8"
MOST_CLASSES = 25
MOST_POINTS = 3000


def plain(text: str, longest: int = 28) -> str:
    """A label for a chart: no markup, cut with an ellipsis."""
    short = text if len(text) <= longest else text[: longest - 1] + "…"
    return html.escape(short, quote=False)


def _rounded(values: Sequence[float] | np.ndarray) -> list[float]:
    return [float(f"{value:.5g}") for value in values]


def loss_curves(curves: Mapping[str, Sequence[Mapping[str, Any]]]) -> Figure | None:
    """Training loss (each step pale, running mean strong) and validation loss; None where no step was taken."""
    train, validation = _curve(curves, "train", "loss"), _curve(curves, "validation", "loss")
    if not train[0] and len(validation[0]) < 2:
        return None
    data = []
    if train[0]:
        keep = np.unique(np.linspace(0, len(train[0]) - 1, min(len(train[0]), MOST_POINTS)).astype(int))
        steps, losses = np.asarray(train[0])[keep], np.asarray(train[1])
        smooth = _running_mean(losses, reach=max(len(losses) // 80, 1))
        data.append(_line(steps, losses[keep], "training, each step", BLUE, width=1, opacity=0.3))
        data.append(_line(steps, smooth[keep], "training, mean", BLUE, width=2))
    if validation[0]:
        data.append({**_line(*validation, "validation", ORANGE, width=2), "mode": "lines+markers"})
    return {"data": data, "layout": _axes("step", "loss", zero=True)}


def _running_mean(values: np.ndarray, reach: int) -> np.ndarray:
    """Mean over `reach` values to both sides, fewer at the ends."""
    sums, at = np.cumsum(np.r_[0.0, values]), np.arange(len(values))
    first, last = np.maximum(at - reach, 0), np.minimum(at + reach + 1, len(values))
    return (sums[last] - sums[first]) / (last - first)


def metric_curve(curves: Mapping[str, Sequence[Mapping[str, Any]]], first: str) -> Figure | None:
    """The first metric on the validation rows, by step; None with fewer than two points."""
    steps, values = _curve(curves, "validation", first)
    if len(steps) < 2:
        return None
    line = {**_line(steps, values, "validation", ORANGE, width=2), "mode": "lines+markers"}
    return {"data": [line], "layout": {**_axes("step", named(first)), "showlegend": False}}


def _curve(curves: Mapping[str, Sequence[Mapping[str, Any]]], side: str, key: str) -> tuple[list[int], list[float]]:
    points = [point for point in curves.get(side, ()) if np.isfinite(point.get(key) or np.nan)]
    return [int(point.get("step", 0)) for point in points], [float(point[key]) for point in points]


def _line(
    x: Sequence[float] | np.ndarray, y: Sequence[float] | np.ndarray, name: str, colour: str, **style: float
) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": _rounded(x),
        "y": _rounded(y),
        "opacity": style.get("opacity", 1),
        "line": {"color": colour, "width": style["width"]},
        "marker": {"size": 7},
    }


def _axes(x: str, y: str, zero: bool = False) -> dict[str, Any]:
    vertical = {"title": {"text": y}, **({"rangemode": "tozero"} if zero else {})}
    return {
        "xaxis": {"title": {"text": x}},
        "yaxis": vertical,
        "legend": {"orientation": "h", "yanchor": "bottom", "y": 1.02},
    }


def confusion(table: Mapping[str, Any]) -> Figure | None:
    """Heat map of the share of each true class; above 25 classes the 25 with most mistakes."""
    if table.get("matrix") is None:
        return None
    counts = np.asarray(table["matrix"])
    wrong = counts.sum(axis=0) + counts.sum(axis=1) - 2 * np.diag(counts)
    shown = np.arange(len(counts))
    if len(counts) > MOST_CLASSES:
        shown = np.sort(np.argsort(-wrong, kind="stable")[:MOST_CLASSES])
    part = counts[np.ix_(shown, shown)]
    shares = part / np.maximum(counts[shown].sum(axis=1, keepdims=True), 1)
    names = [str(table["labels"][at]) for at in shown]
    heat = {
        "type": "heatmap",
        "z": [_rounded(row) for row in shares],
        "text": [[str(count) if count else "" for count in row] for row in part],
        "texttemplate": "%{text}",
        "customdata": [[[plain(truth, 60), plain(given, 60)] for given in names] for truth in names],
        "hovertemplate": "truth: %{customdata[0]}<br>predicted: %{customdata[1]}<br>"
        "%{text} rows, %{z:.0%} of the truth<extra></extra>",
        "zmin": 0,
        "zmax": 1,
        "xgap": 1,
        "ygap": 1,
        "showscale": False,
    }
    ticks = {
        "tickmode": "array",
        "tickvals": list(range(len(names))),
        "ticktext": [plain(name) for name in names],
    }
    layout = {
        "xaxis": {**ticks, "tickangle": -45, "showgrid": False},
        "yaxis": {**ticks, "autorange": "reversed", "showgrid": False},
        "height": 180 + 26 * max(len(names), 6),
    }
    return {"data": [heat], "layout": layout}


def reliability(outcome: Outcome) -> Figure:
    """Share that came true over mean probability in 15 bins, above how many decisions each bin holds."""
    view = View(outcome)
    confidence, true = view.decisions
    counts = np.bincount(view.decision_bins, minlength=BINS)
    used = counts > 0
    given, came = (np.bincount(view.decision_bins, values, BINS)[used] for values in (confidence, true))
    edges = (np.arange(BINS) + 0.5) / BINS
    diagonal = {**_line([0, 1], [0, 1], "perfect", GREY, width=1), "hoverinfo": "skip"}
    points = {
        **_line(given / counts[used], came / counts[used], "model", BLUE, width=2),
        "mode": "lines+markers",
        "customdata": counts[used].tolist(),
        "hovertemplate": "probability %{x:.3f}<br>came true %{y:.3f}<br>%{customdata} rows<extra></extra>",
    }
    bars = {
        "type": "bar",
        "x": _rounded(edges),
        "y": counts.tolist(),
        "yaxis": "y2",
        "marker": {"color": GREY},
        "name": "decisions",
        "hovertemplate": "%{y} decisions<extra></extra>",
    }
    layout = {
        "xaxis": {"title": {"text": "probability given"}, "range": [0, 1.02], "anchor": "y2"},
        "yaxis": {"title": {"text": "share that came true"}, "range": [0, 1.02], "domain": [0.32, 1]},
        "yaxis2": {"title": {"text": "rows"}, "domain": [0, 0.22]},
        "showlegend": False,
        "bargap": 0.05,
        "height": 420,
    }
    return {"data": [diagonal, points, bars], "layout": layout}


def predicted_over_true(outcome: Outcome) -> Figure:
    """Scatter of at most 3,000 test rows, with the diagonal."""
    keep = _some(len(outcome))
    truth, given = outcome.truth[keep], outcome.scores[keep]
    ends = [float(min(truth.min(), given.min())), float(max(truth.max(), given.max()))]
    return {
        "data": [_dots(truth, given), {**_line(ends, ends, "perfect", GREY, width=1), "hoverinfo": "skip"}],
        "layout": {**_axes("true value", "predicted value"), "showlegend": False},
    }


def residuals(outcome: Outcome) -> Figure:
    """Error (predicted minus true) over the predicted value, at most 3,000 test rows."""
    keep = _some(len(outcome))
    given, error = outcome.scores[keep], (outcome.scores - outcome.truth)[keep]
    zero = _line([float(given.min()), float(given.max())], [0, 0], "no error", GREY, width=1)
    layout = {**_axes("predicted value", "predicted − true"), "showlegend": False}  # noqa: RUF001 - a minus
    return {"data": [_dots(given, error), {**zero, "hoverinfo": "skip"}], "layout": layout}


def _dots(x: np.ndarray, y: np.ndarray) -> dict[str, Any]:
    marker = {"size": 5, "color": BLUE, "opacity": 0.45}
    return {"type": "scatter", "mode": "markers", "x": _rounded(x), "y": _rounded(y), "marker": marker}


def _some(rows: int) -> np.ndarray:
    return np.sort(np.random.default_rng(0).permutation(rows)[:MOST_POINTS])


def unit_range(name: str) -> bool:
    """The metric lives between 0 and 1, so bars may start at 0 and end at 1."""
    return name in TABLE and TABLE[name].range == (0.0, 1.0)
