"""Metrics of a number a row: functions of `Sample`. Point values equal scikit-learn's and SciPy's."""

from __future__ import annotations

import numpy as np

from tunesmith.data import scales
from tunesmith.evaluate.metrics.metric import CORRELATION, ERROR, SHARE, Metric
from tunesmith.evaluate.sample import Sample


def _rmse(sample: Sample) -> np.ndarray:
    return np.sqrt(sample.mean((sample.view.scores - sample.view.truth) ** 2))


def _mae(sample: Sample) -> np.ndarray:
    return sample.mean(np.abs(sample.view.scores - sample.view.truth))


def _within_one(sample: Sample) -> np.ndarray:
    """Share of the rows that are at most one from the truth, of ratings on a scale ('within one star'); numbers are
    rounded to its steps. Undefined (NaN) for labels and numbers that are no ratings."""
    view = sample.view
    if view.kind == "label":
        values = scales.values_of(view.labels)
        scale = None if values is None else scales.scale_of(values)
        if values is None or scale is None:
            return np.full(sample.weights.shape[1], np.nan)
        truth, given = values[view.truth], values[view.predicted]
    else:
        scale = scales.scale_of(view.truth) if view.rows else None
        if scale is None:
            return np.full(sample.weights.shape[1], np.nan)
        truth, given = view.truth, np.round(view.scores / scale.step) * scale.step
    return sample.mean(np.abs(given - truth) <= 1)


def _r2(sample: Sample) -> np.ndarray:
    centred = sample.view.truth - sample.view.truth.mean()
    spread = sample.mean(centred**2) - sample.mean(centred) ** 2
    left = sample.mean((sample.view.scores - sample.view.truth) ** 2)
    return _defined_ratio(spread - left, spread, scale=float(np.mean(centred**2)))


def _pearson(sample: Sample) -> np.ndarray:
    view, columns = sample.view, np.ones((1, sample.weights.shape[1]))
    if np.ptp(view.truth) == 0 or np.ptp(view.scores) == 0:
        return np.full(columns.shape[1], np.nan)
    # centred first, so that values far from zero keep their digits
    centred = [(values - values.mean())[:, None] * columns for values in (view.truth, view.scores)]
    return _correlation(sample, *centred)


def _spearman(sample: Sample) -> np.ndarray:
    return _correlation(sample, _ranks(sample.view.truth, sample), _ranks(sample.view.scores, sample))


def _ranks(values: np.ndarray, sample: Sample) -> np.ndarray:
    """Middle ranks [n, r], a row of weight w counting as w equal rows."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    new = np.r_[True, ordered[1:] != ordered[:-1]]
    starts = np.flatnonzero(new)
    group = np.cumsum(new) - 1
    above = np.zeros((len(values) + 1, sample.weights.shape[1]))
    np.cumsum(sample.weights[order], axis=0, out=above[1:])
    middle = (above[starts] + above[np.r_[starts[1:], len(values)]] + 1) / 2
    ranks = np.empty_like(sample.weights)
    ranks[order] = middle[group]
    return ranks


def _correlation(sample: Sample, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Weighted Pearson correlation of two [n, r] arrays."""
    weights = sample.weights / sample.total
    scale = float(np.abs(left).max() * np.abs(right).max())  # before centring, which leaves rounding of a constant
    left = left - (left * weights).sum(axis=0)
    right = right - (right * weights).sum(axis=0)
    spread = np.sqrt((left**2 * weights).sum(axis=0) * (right**2 * weights).sum(axis=0))
    return _defined_ratio((left * right * weights).sum(axis=0), spread, scale)


def _defined_ratio(over: np.ndarray, under: np.ndarray, scale: float) -> np.ndarray:
    """over / under, NaN where `under` is zero but for rounding at this scale."""
    known = under > 1e-12 * max(scale, 1e-300)
    return np.divide(over, under, out=np.full(np.shape(over), np.nan), where=known)


NUMBER = ("number",)

TABLE: dict[str, Metric] = {
    "rmse": Metric(_rmse, False, NUMBER, ERROR, title="RMSE", hub="rmse"),
    "mae": Metric(_mae, False, NUMBER, ERROR, title="MAE", hub="mae"),
    "r2": Metric(_r2, True, NUMBER, (-float("inf"), 1.0), title="R²", hub="r_squared"),
    "within_one": Metric(_within_one, True, ("label", "number"), SHARE, title="within one"),
    "pearson": Metric(
        _pearson, True, (*NUMBER, "relevance"), CORRELATION, costly=True, title="Pearson correlation", hub="pearsonr"
    ),
    "spearman": Metric(
        _spearman, True, (*NUMBER, "relevance"), CORRELATION, costly=True, title="Spearman correlation", hub="spearmanr"
    ),
}
