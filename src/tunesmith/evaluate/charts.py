"""Figures as plain plotly JSON: {"data": [...], "layout": {...}}. Colours come from the page's theme.

Texts from the data pass through `plain`, because plotly reads a little HTML in every label.
"""

from __future__ import annotations

import html
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tunesmith.core.text import shortened
from tunesmith.evaluate.fit import Curves
from tunesmith.evaluate.metrics import TABLE
from tunesmith.evaluate.sample import BINS
from tunesmith.evaluate.types import Outcome
from tunesmith.evaluate.words import metric as named

Figure = dict[str, Any]

BLUE, ORANGE, GREY = "#3b82f6", "#f08c2e", "#94a3b8"
MOST_CLASSES = 25
MOST_POINTS = 3000
_FLAT = 0.02
"""A curve that changes by less than this share of itself is flat."""
UNLIKELY = 0.05
"""Of several labels nearly all are unlikely for a row: below this they are one group of the calibration chart."""

FEWEST_IN_GROUP = 20
"""Decisions in a group of the calibration chart."""


def plain(text: str, longest: int = 28) -> str:
    """A label for a chart: no markup, cut with an ellipsis."""
    return html.escape(shortened(text, longest, "…"), quote=False)


def _rounded(values: Sequence[float] | np.ndarray) -> list[float]:
    return [float(f"{value:.5g}") for value in values]


def loss_curves(curves: Curves, apart: bool = False) -> Figure | None:
    """Training loss (each step pale, running mean strong) and validation loss; None where no step was taken.

    `apart`: the two are different losses, so that the validation's has an axis of its own, on the right.
    """
    train, validation = _curve(curves, "train", "loss"), _curve(curves, "validation", "loss")
    if not train[0] and len(validation[0]) < 2:
        return None
    data: list[dict[str, Any]] = []
    if train[0]:
        keep = np.unique(np.linspace(0, len(train[0]) - 1, min(len(train[0]), MOST_POINTS)).astype(int))
        steps, losses = np.asarray(train[0])[keep], np.asarray(train[1])
        smooth = _running_mean(losses, reach=max(len(losses) // 80, 1))
        data.append(line(steps, losses[keep], "training, each step", BLUE, width=1, opacity=0.3))
        data.append(line(steps, smooth[keep], "training, mean", BLUE, width=2))
    if validation[0]:
        on = {"yaxis": "y2"} if apart and train[0] else {}
        data.append({**line(*validation, "validation", ORANGE, width=2), "mode": "lines+markers", **on})
    layout = _with_kept(axes("step", "loss", zero=True), curves)
    if apart and train[0]:
        layout["yaxis"]["title"]["text"] = "training loss"
        layout["yaxis2"] = {
            "title": {"text": "validation loss"}, "overlaying": "y", "side": "right", "rangemode": "tozero",
            "showgrid": False,
        }  # fmt: skip
    return {"data": data, "layout": layout}


def _with_kept(layout: Figure, curves: Curves) -> Figure:
    """A dashed line at the step whose weights were kept."""
    steps = [int(point["step"]) for point in curves.get("validation", ())]
    kept = [int(point["step"]) for point in curves.get("validation", ()) if point.get("best")]
    if not kept:
        return layout
    left = kept[-1] < max(steps) / 2  # words beyond the axis would begin it below 0
    mark = {"x": kept[-1], "xref": "x", "yref": "paper"}
    rule = {"type": "line", "x0": kept[-1], "x1": kept[-1], "xref": "x", "yref": "paper", "y0": 0, "y1": 1,
            "line": {"color": GREY, "width": 1.5, "dash": "dash"}}  # fmt: skip
    note = {**mark, "y": 0.02, "text": f"kept: step {kept[-1]:,}", "showarrow": False, "yanchor": "bottom",
            "xanchor": "left" if left else "right", "xshift": 4 if left else -4}  # fmt: skip
    return {**layout, "shapes": [rule], "annotations": [note]}


def _running_mean(values: np.ndarray, reach: int) -> np.ndarray:
    """Mean over `reach` values to both sides, fewer at the ends."""
    sums, at = np.cumsum(np.r_[0.0, values]), np.arange(len(values))
    first, last = np.maximum(at - reach, 0), np.minimum(at + reach + 1, len(values))
    return (sums[last] - sums[first]) / (last - first)


def metric_curve(curves: Curves, first: str) -> Figure | None:
    """The first metric on the validation rows, by step; None with fewer than two points."""
    steps, values = _curve(curves, "validation", first)
    if len(steps) < 2:
        return None
    drawn = {**line(steps, values, "validation", ORANGE, width=2), "mode": "lines+markers"}
    layout = _with_kept(axes("step", named(first)), curves)
    if max(values) - min(values) < _FLAT * max(map(abs, values)):  # of next to no change no mountain is made
        layout["yaxis"] |= within([value * share for value in values for share in (1 - _FLAT, 1 + _FLAT)], first)
    return {"data": [drawn], "layout": {**layout, "showlegend": False}}


def _curve(curves: Curves, side: str, key: str) -> tuple[list[int], list[float]]:
    points = [point for point in curves.get(side, ()) if np.isfinite(point.get(key) or np.nan)]
    return [int(point.get("step", 0)) for point in points], [float(point[key]) for point in points]


def line(
    x: Sequence[float] | np.ndarray, y: Sequence[float] | np.ndarray, name: str, colour: str, **style: float
) -> Figure:
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


def axes(x: str, y: str, zero: bool = False) -> Figure:
    """Layout with two titles and the legend above; `zero`: the vertical axis begins at 0."""
    vertical = {"title": {"text": y}, **({"rangemode": "tozero"} if zero else {})}
    return {
        "xaxis": {"title": {"text": x}},
        "yaxis": vertical,
        "legend": {"orientation": "h", "yanchor": "bottom", "y": 1.02},
    }


def within(values: Sequence[float | None], metric: str) -> Figure:
    """The part of an axis that shows all values and, of a metric that ends at 0 and 1, nothing beyond."""
    known = [value for value in values if value is not None and np.isfinite(value)]
    if not known:
        return {}
    low, high = min(known), max(known)
    room = max(0.08 * (high - low), 0.02 * max(abs(low), abs(high)), 1e-6)
    ends = (low - room, high + room)
    if metric not in _UNBOUNDED and low >= -1 and high <= 1:
        edge = 0.02 * (high - low + 2 * room)  # a dot on the edge is whole
        ends = (max(ends[0], -edge) if low >= 0 else ends[0], min(ends[1], 1 + edge))
    return {"range": [float(end) for end in ends]}


_UNBOUNDED = ("loss", "log_loss", "rmse", "mae", "reward_margin", "kl_to_base", "length_ratio")


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
        "customdata": [
            [
                [plain(truth, 60), plain(given, 60), int(row), int(column)]
                for given, column in zip(names, shown, strict=True)
            ]
            for truth, row in zip(names, shown, strict=True)
        ],
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
    """Share that came true over mean probability, in groups of equally many decisions, with 95 % intervals.

    Intervals are Wilson's score intervals of a share (Brown, Cai & DasGupta 2001).
    """
    confidence, true = outcome.view().decisions
    order = np.argsort(confidence, kind="stable")
    low = np.searchsorted(confidence[order], UNLIKELY) if outcome.kind == "labels" else 0
    rest = order[low:]
    groups = np.array_split(rest, int(np.clip(len(rest) // FEWEST_IN_GROUP, 1, BINS)))
    groups = [group for group in (order[:low], *groups) if len(group)]
    given = np.array([confidence[group].mean() for group in groups])
    came = np.array([true[group].mean() for group in groups])
    ends = [proportion_interval(int(true[group].sum()), len(group)) for group in groups]
    points = {
        **line(given, came, "model", BLUE, width=2),
        "mode": "lines+markers",
        "error_y": {
            "type": "data", "symmetric": False, "thickness": 1.2, "width": 3,
            "array": _rounded([high - value for (_, high), value in zip(ends, came, strict=True)]),
            "arrayminus": _rounded([value - low for (low, _), value in zip(ends, came, strict=True)]),
        },
        "customdata": [len(group) for group in groups],
        "hovertemplate": "probability %{x:.3f}<br>came true %{y:.3f}<br>%{customdata} decisions<extra></extra>",
    }  # fmt: skip
    diagonal = {**line([0, 1], [0, 1], "perfect", GREY, width=1), "hoverinfo": "skip"}
    diagonal["line"]["dash"] = "dash"
    layout = {
        "xaxis": {"title": {"text": "probability given"}, "range": [0, 1.02]},
        "yaxis": {"title": {"text": "share that came true"}, "range": [0, 1.02]},
        "showlegend": False,
        "height": 400,
    }
    return {"data": [diagonal, points], "layout": layout}


def proportion_interval(hits: int, rows: int) -> tuple[float, float]:
    """Wilson's 95 % interval of hits / rows."""
    from scipy.stats import binomtest

    found = binomtest(hits, rows).proportion_ci(0.95, method="wilson")
    return float(found.low), float(found.high)


def bars(names: Sequence[str], counts: Sequence[float], x: str, y: str = "rows") -> Figure:
    """One bar a name, side by side."""
    data = {"type": "bar", "x": [plain(name) for name in names], "y": [float(count) for count in counts],
            "marker": {"color": BLUE}}  # fmt: skip
    layout = {**axes(x, y), "showlegend": False, "height": 260}
    layout["xaxis"]["type"] = "category"
    return {"data": [data], "layout": layout}


def histogram(edges: Sequence[float], counts: Sequence[int], x: str) -> Figure:
    """Rows by a number: counts [n] between edges [n + 1]."""
    widths = np.diff(edges)
    usual = float(np.median(widths))
    tail = len(widths) > 1 and widths[-1] > 3 * usual  # "and more": drawn as wide as the others
    drawn = np.r_[widths[:-1], usual] if tail else widths
    left = np.r_[edges[:-1]]
    ends = [[f"{low:,.4g}", f"{high:,.4g}"] for low, high in itertools.pairwise(edges)]
    data = {"type": "bar", "x": _rounded(left + drawn / 2), "y": list(counts), "width": _rounded(drawn),
            "marker": {"color": BLUE}, "customdata": ends,
            "hovertemplate": "%{customdata[0]} to %{customdata[1]}<br>%{y:,} rows<extra></extra>"}  # fmt: skip
    if tail:
        x = f"{x} (the last bar: {edges[-2]:,.4g} to {edges[-1]:,.4g})"
    return {"data": [data], "layout": {**axes(x, "rows"), "showlegend": False, "bargap": 0.04, "height": 260}}


def predicted_over_true(outcome: Outcome) -> Figure:
    """Scatter of at most 3,000 test rows, with the diagonal."""
    keep = _some(len(outcome))
    truth, given = outcome.truth[keep], outcome.scores[keep]
    ends = [float(min(truth.min(), given.min())), float(max(truth.max(), given.max()))]
    return {
        "data": [_dots(truth, given), {**line(ends, ends, "perfect", GREY, width=1), "hoverinfo": "skip"}],
        "layout": {**axes("true value", "predicted value"), "showlegend": False},
    }


def residuals(outcome: Outcome) -> Figure:
    """Error (predicted minus true) over the predicted value, at most 3,000 test rows."""
    keep = _some(len(outcome))
    given, error = outcome.scores[keep], (outcome.scores - outcome.truth)[keep]
    zero = line([float(given.min()), float(given.max())], [0, 0], "no error", GREY, width=1)
    layout = {**axes("predicted value", "predicted − true"), "showlegend": False}  # noqa: RUF001 - a minus
    return {"data": [_dots(given, error), {**zero, "hoverinfo": "skip"}], "layout": layout}


def _dots(x: np.ndarray, y: np.ndarray) -> Figure:
    marker = {"size": 5, "color": BLUE, "opacity": 0.45}
    return {"type": "scatter", "mode": "markers", "x": _rounded(x), "y": _rounded(y), "marker": marker}


def _some(rows: int) -> np.ndarray:
    return np.sort(np.random.default_rng(0).permutation(rows)[:MOST_POINTS])


def unit_range(name: str) -> bool:
    """The metric lives between 0 and 1, so bars may start at 0 and end at 1."""
    return name in TABLE and TABLE[name].range == (0.0, 1.0)
