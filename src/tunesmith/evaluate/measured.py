"""What was measured of some rows, of any kind: values, bootstrap intervals, and how two compare on the same rows.

    compute(measured)                      # {"accuracy": 0.94, "f1_macro": 0.93, ...}
    with_intervals(measured, ["rougeL"])   # {"rougeL": {"value": 0.44, "low": 0.41, "high": 0.47}}
    paired_difference(ours, theirs, "loss")

All of it works on `Measured` alone. Predictions beside the truth are an `Outcome`; what adds up over rows are
`RowStatistics`. Comparisons resample both sides on the same draws of rows, so what is hard for both cancels out
(Efron & Tibshirani 1993; Koehn 2004 for its use on model comparison).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np

from tunesmith.core.measured import LabelRow, Measured
from tunesmith.evaluate import boxes
from tunesmith.evaluate.bootstrap import MANY, RANKING_RESAMPLES, interval, interval_of_difference, weightings
from tunesmith.evaluate.metrics import TABLE, higher_is_better, unknown
from tunesmith.evaluate.scored import Scored
from tunesmith.evaluate.types import Interval, Outcome


class Difference(TypedDict):
    """How much better ours is; positive is better, also for errors such as rmse."""

    difference: float
    low: float
    high: float


@dataclass(frozen=True)
class RowStatistics:
    """Metrics made of sums over rows: no row is looked at twice, however often it is drawn.

    sums: metric -> float64 [n, d], the d statistics that the metric is made of, for each of the n rows.
    """

    sums: Mapping[str, np.ndarray]
    kind: str = "text"

    @property
    def size(self) -> int:
        return len(self)

    def __len__(self) -> int:
        return len(next(iter(self.sums.values()), ()))

    def names(self) -> list[str]:
        return list(self.sums)

    def values(self, names: Sequence[str], weights: np.ndarray | None = None) -> dict[str, np.ndarray]:
        some = {name: self.sums[name] for name in names}
        return {
            name: TABLE[name].function(rows.sum(axis=0)[None] if weights is None else weights.T @ rows)
            for name, rows in some.items()
        }

    def take(self, rows: np.ndarray) -> RowStatistics:
        return RowStatistics({name: some[rows] for name, some in self.sums.items()}, self.kind)

    def same_rows(self, other: object) -> bool:
        return isinstance(other, RowStatistics) and len(self) == len(other)

    def arrays(self) -> Mapping[str, np.ndarray]:
        return self.sums

    def columns(self) -> dict[str, list[Any]]:
        """What a table of predictions holds of each row."""
        return {name: some.tolist() for name, some in self.sums.items()}

    def per_class(self) -> list[LabelRow]:
        return []


def from_arrays(arrays: Mapping[str, np.ndarray], kind: str, label_names: list[str] | None) -> Measured:
    """What `arrays` gave: an outcome of that kind, or sums."""
    if kind == "boxes":
        return boxes.from_arrays(arrays, label_names)
    if "truth" in arrays:
        return Outcome(kind, arrays["truth"], arrays["scores"], label_names, arrays.get("thresholds"))
    if "pair_truth" in arrays:
        return Scored(arrays["pair_truth"], arrays["pair_scores"])
    sums = dict(arrays)
    return RowStatistics(sums, TABLE[next(iter(sums))].kinds[0])


def compute(measured: Measured, names: Sequence[str] | None = None) -> dict[str, float]:
    """Values on all rows. Undefined ones (AUC with one class present, r2 of constants) are left out.

    Raises OptionError for metrics that are not measured of these rows.
    """
    chosen = measured.names() if names is None else _known(measured, names)
    if not len(measured):
        return {}
    values = {name: float(value[0]) for name, value in measured.values(chosen).items()}
    return {name: values[name] for name in chosen if np.isfinite(values[name])}


def value_of(measured: Measured, metric: str) -> float | None:
    """One value; None where it is undefined, or not measured of these rows."""
    return compute(measured, [metric]).get(metric) if metric in measured.names() else None


def _known(measured: Measured, names: Sequence[str]) -> list[str]:
    fitting = measured.names()
    for name in names:
        if name not in fitting:
            raise unknown(name, fitting, measured.kind)
    return list(names)


def resample(measured: Measured, names: Sequence[str], *, resamples: int, seed: int) -> dict[str, np.ndarray]:
    """Each metric on bootstrap resamples of the rows: float64 [resamples] (fewer for costly metrics).

    The draws depend on `seed` and the number of rows only, so two on the same rows are resampled alike, which is what
    makes their comparison paired.
    """
    costly = [name for name in names if TABLE[name].costly]
    quick = [name for name in names if name not in costly]
    fewer = min(resamples, max(50, min(RANKING_RESAMPLES, MANY // max(measured.size, 1))))
    parts: dict[str, list[np.ndarray]] = {name: [] for name in names}
    done = 0
    for weights in weightings(len(measured), resamples, seed):
        found = measured.values(quick, weights)
        if costly and done < fewer:
            found |= measured.values(costly, weights[:, : fewer - done])
        for name, values in found.items():
            parts[name].append(values)
        done += weights.shape[1]
    return {name: np.concatenate(values) for name, values in parts.items()}


def with_intervals(
    measured: Measured,
    names: Sequence[str] | None = None,
    *,
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, Interval]:
    """Values with their bootstrap intervals (see `bootstrap.interval` for how the bounds are found)."""
    values = compute(measured, names)
    draws = resample(measured, list(values), resamples=resamples, seed=seed) if values else {}
    found: dict[str, Interval] = {}
    for name, value in values.items():
        metric = TABLE[name]
        low, high = interval(value, draws[name], level, rows=len(measured), limits=metric.range, smooth=metric.costly)
        found[name] = {"value": value, "low": low, "high": high}
    return found


def paired_difference(
    ours: Measured,
    theirs: Measured,
    metric: str,
    *,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Difference:
    """Difference in `metric` on the same rows, with its interval; positive means ours is better.

    Raises ValueError when the two are not about the same rows, or where the metric is undefined for one of them;
    OptionError for a metric that is not measured of them, or best in the middle.
    """
    if not ours.same_rows(theirs):
        raise ValueError("A paired comparison needs both on the same rows with the same truth.")
    values = [compute(one, [metric]).get(metric) for one in (ours, theirs)]
    if values[0] is None or values[1] is None:
        raise ValueError(f"The metric {metric!r} is undefined on these rows.")
    sign = 1.0 if higher_is_better(metric) else -1.0
    draws = [resample(one, [metric], resamples=resamples, seed=seed)[metric] for one in (ours, theirs)]
    difference = sign * (values[0] - values[1])
    few = len(draws[0]) < resamples
    low, high = interval_of_difference(difference, sign * (draws[0] - draws[1]), level, rows=len(ours), smooth=few)
    return {"difference": difference, "low": low, "high": high}
