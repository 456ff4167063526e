"""The TABLE of metrics, their values on an outcome, and bootstrap intervals.

    compute(outcome)                    # {"accuracy": 0.94, "f1_macro": 0.93, ...}
    compute(outcome, ["accuracy"])      # only these
    with_intervals(outcome)             # {"accuracy": {"value": 0.94, "low": 0.93, "high": 0.95}, ...}

To add a metric: one function `Sample -> float [r]` and one line in TABLE; intervals, comparison,
report, `metrics.json` and the conformance tests follow. Point values equal scikit-learn's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tunesmith.core.errors import OptionError, did_you_mean
from tunesmith.data import scales
from tunesmith.evaluate.bootstrap import MANY, RANKING_RESAMPLES, interval, weightings
from tunesmith.evaluate.sample import Sample, View
from tunesmith.evaluate.types import Interval, Kind, Outcome

Function = Callable[[Sample], np.ndarray]

FIRST: dict[str, str] = {"label": "accuracy", "labels": "f1_micro", "number": "rmse"}
"""The metric that sums up a run, for each kind of outcome."""


@dataclass(frozen=True)
class Metric:
    """`function` gives [r] values, NaN where undefined. `range` is of the best possible implementation."""

    function: Function
    higher_is_better: bool
    kinds: tuple[Kind, ...]
    range: tuple[float, float]
    costly: bool = False
    """Sorting metrics: fewer resamples, and an interval from their standard deviation."""


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


def _rmse(sample: Sample) -> np.ndarray:
    return np.sqrt(sample.mean((sample.view.scores - sample.view.truth) ** 2))


def _mae(sample: Sample) -> np.ndarray:
    return sample.mean(np.abs(sample.view.scores - sample.view.truth))


def _within_one(sample: Sample) -> np.ndarray:
    """Share of the rows that are at most one from the truth, of ratings on a scale ('within one star'); numbers are
    rounded to its steps. Undefined (NaN) for labels and numbers that are no ratings."""
    view = sample.view
    if view.kind == "label":
        values = scales.values_of(view.outcome.names)
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


_LABEL: tuple[Kind, ...] = ("label",)
_LABELS: tuple[Kind, ...] = ("labels",)
_BOTH: tuple[Kind, ...] = ("label", "labels")
_NUMBER: tuple[Kind, ...] = ("number",)
_SHARE = (0.0, 1.0)
_CORRELATION = (-1.0, 1.0)
_ERROR = (0.0, float("inf"))

TABLE: dict[str, Metric] = {
    "accuracy": Metric(_accuracy, True, _LABEL, _SHARE),
    "subset_accuracy": Metric(_accuracy, True, _LABELS, _SHARE),
    "f1_macro": Metric(_macro(_f1), True, _BOTH, _SHARE),
    "f1_micro": Metric(_micro(_f1), True, _BOTH, _SHARE),
    "f1_weighted": Metric(_weighted(_f1), True, _BOTH, _SHARE),
    "f1_samples": Metric(_per_row(_f1), True, _LABELS, _SHARE),
    "precision_macro": Metric(_macro(_precision), True, _BOTH, _SHARE),
    "precision_micro": Metric(_micro(_precision), True, _BOTH, _SHARE),
    "precision_weighted": Metric(_weighted(_precision), True, _BOTH, _SHARE),
    "precision_samples": Metric(_per_row(_precision), True, _LABELS, _SHARE),
    "recall_macro": Metric(_macro(_recall), True, _BOTH, _SHARE),
    "recall_micro": Metric(_micro(_recall), True, _BOTH, _SHARE),
    "recall_weighted": Metric(_weighted(_recall), True, _BOTH, _SHARE),
    "recall_samples": Metric(_per_row(_recall), True, _LABELS, _SHARE),
    "hamming_loss": Metric(_hamming, False, _LABELS, _SHARE),
    "mcc": Metric(_mcc, True, _LABEL, _CORRELATION),
    "roc_auc": Metric(_roc_auc, True, _BOTH, _SHARE, costly=True),
    "pr_auc": Metric(_pr_auc, True, _BOTH, _SHARE, costly=True),
    "log_loss": Metric(_log_loss, False, _BOTH, _ERROR),
    "ece": Metric(_ece, False, _BOTH, _SHARE),
    "rmse": Metric(_rmse, False, _NUMBER, _ERROR),
    "mae": Metric(_mae, False, _NUMBER, _ERROR),
    "r2": Metric(_r2, True, _NUMBER, (-float("inf"), 1.0)),
    "within_one": Metric(_within_one, True, ("label", "number"), _SHARE),
    "pearson": Metric(_pearson, True, _NUMBER, _CORRELATION, costly=True),
    "spearman": Metric(_spearman, True, _NUMBER, _CORRELATION, costly=True),
}
"""name -> Metric. The order is the order of tables in the report."""


def names_for(kind: Kind) -> list[str]:
    """Every metric that fits this kind of outcome, in the order of TABLE."""
    return [name for name, metric in TABLE.items() if kind in metric.kinds]


def get(name: str, kind: Kind | None = None) -> Metric:
    """The metric of that name. Raises OptionError for an unknown one, or one that does not fit `kind`."""
    fitting = TABLE if kind is None else names_for(kind)
    if name not in fitting:
        of_kind = "" if kind is None else f" for outcomes of kind {kind!r}"
        raise OptionError(f"There is no metric called {name!r}{of_kind}.", did_you_mean(name, fitting))
    return TABLE[name]


def higher_is_better(name: str) -> bool:
    return get(name).higher_is_better


def compute(outcome: Outcome, names: Sequence[str] | None = None) -> dict[str, float]:
    """Values on all rows. Undefined ones (AUC with one class present, r2 of constants) are left out."""
    chosen = _chosen(outcome, names)
    if not len(outcome):
        return {}
    sample = Sample(View(outcome), np.ones((len(outcome), 1)))
    values = {name: float(metric.function(sample)[0]) for name, metric in chosen.items()}
    return {name: value for name, value in values.items() if np.isfinite(value)}


def resampled(outcome: Outcome, names: Sequence[str], *, resamples: int, seed: int) -> dict[str, np.ndarray]:
    """Each metric on bootstrap resamples of the rows: float [resamples] (fewer for costly metrics).

    The draws depend on `seed` and the number of rows only, so two outcomes on the same rows are
    resampled alike, which is what makes their comparison paired.
    """
    view = View(outcome)
    parts: dict[str, list[np.ndarray]] = {name: [] for name in names}
    fewer = min(resamples, max(50, min(RANKING_RESAMPLES, MANY // max(outcome.scores.size, 1))))
    done = 0
    for weights in weightings(len(outcome), resamples, seed):
        left = max(0, fewer - done)
        sample = Sample(view, weights)
        light = sample if left >= weights.shape[1] else Sample(view, weights[:, :left])
        for name in names:
            if not TABLE[name].costly:
                parts[name].append(TABLE[name].function(sample))
            elif left:
                parts[name].append(TABLE[name].function(light))
        done += weights.shape[1]
    return {name: np.concatenate(values) for name, values in parts.items()}


def with_intervals(
    outcome: Outcome,
    names: Sequence[str] | None = None,
    *,
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, Interval]:
    """Values with their bootstrap intervals (see `bootstrap.interval` for how the bounds are found)."""
    values = compute(outcome, names)
    draws = resampled(outcome, list(values), resamples=resamples, seed=seed) if values else {}
    found: dict[str, Interval] = {}
    for name, value in values.items():
        metric = TABLE[name]
        low, high = interval(value, draws[name], level, rows=len(outcome), limits=metric.range, smooth=metric.costly)
        found[name] = {"value": value, "low": low, "high": high}
    return found


def _chosen(outcome: Outcome, names: Sequence[str] | None) -> dict[str, Metric]:
    wanted = names_for(outcome.kind) if names is None else names
    return {name: get(name, outcome.kind) for name in wanted}
