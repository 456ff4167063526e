"""Bootstrap draws and the intervals made from them. It knows weights and values, not metrics.

Sources: Efron (1987), "Better bootstrap confidence intervals"; Efron & Tibshirani (1993), chapters
13 and 14; Hesterberg (2015), "What teachers should know about the bootstrap", for few rows; Clopper &
Pearson (1934) for what all rows have in common.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

RANKING_RESAMPLES = 200
"""Resamples of metrics that must sort rows: enough for a standard deviation (its error is about 5 %)."""

MANY = 50_000_000
"""Ranking metrics take fewer resamples (at least 50) when rows x labels x resamples would exceed this."""

CHUNK = 1_000_000
"""Weights held at once; keeps a chunk in the processor's cache and memory flat for any number of rows."""


def weightings(rows: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Weights float64 [rows, c] of `resamples` bootstrap resamples, in chunks of c columns."""
    generator = np.random.default_rng(seed)
    chunk = max(1, min(resamples, CHUNK // max(rows, 1)))
    for start in range(0, resamples, chunk):
        columns = min(chunk, resamples - start)
        drawn = generator.integers(0, rows, size=(rows, columns))
        flat = drawn * columns + np.arange(columns)
        counts = np.bincount(flat.ravel(), minlength=rows * columns)
        yield counts.reshape(rows, columns).astype(np.float64)


def interval(
    value: float,
    draws: np.ndarray,
    level: float,
    *,
    rows: int,
    limits: tuple[float, float] = (-np.inf, np.inf),
    smooth: bool = False,
) -> tuple[float, float]:
    """(low, high) around `value` at `level`; always low <= value <= high.

    Bias-corrected percentiles (Efron 1987, without acceleration): resampling makes some metrics
    larger or smaller on average (calibration error grows), and the correction moves the percentiles
    back. `smooth` takes value +- their standard deviations, for few draws. A value at one of its `limits`
    in every draw (no error at all) gets the Clopper-Pearson bound for `rows` rows, as a share of the way
    to the other limit.
    """
    known = draws[np.isfinite(draws)]
    if not len(known):
        return value, value
    if np.ptp(known) == 0 and value in limits and np.isfinite(limits).all():
        doubt = (limits[1] - limits[0]) * (1 - _shared_by_all(rows, level))
        return (value - doubt, value) if value == limits[1] else (value, value + doubt)
    if smooth:
        reach = _deviations(level, rows) * float(known.std(ddof=1)) if len(known) > 1 else 0.0
        low, high = value - reach, value + reach
    else:
        low, high = _bias_corrected(value, known, _deviations(level, rows))
    low, high = max(low, limits[0]), min(high, limits[1])
    return min(low, value), max(high, value)


def interval_of_difference(
    value: float, draws: np.ndarray, level: float, *, rows: int, smooth: bool = False
) -> tuple[float, float]:
    """(low, high) around a difference on the same `rows` rows; 0 lies between them below six rows (at 95 %).

    Rows that all differ alike leave a bootstrap nothing to vary: three of three are as sure to it as three thousand.
    All that they prove is how many rows differ in this direction, and the others may differ as far in the
    opposite one: the bound nearer to 0 is then no nearer to `value` than that leaves it. It reaches 0 where
    the sign test does, and fewer rows than that test needs decide nothing, however they vary.
    """
    low, high = interval(value, draws, level, rows=rows, smooth=smooth)
    left = 2 * _shared_by_all(rows, level) - 1
    known = draws[np.isfinite(draws)]
    if left > 0 and len(known) and np.ptp(known) > 0:
        return low, high
    return (min(low, value * left), high) if value > 0 else (low, max(high, value * left))


def _shared_by_all(rows: int, level: float) -> float:
    """The least share of all rows there are that has what all of `rows` rows have (Clopper & Pearson)."""
    return float(((1 - level) / 2) ** (1 / max(rows, 1)))


def _bias_corrected(value: float, draws: np.ndarray, z: float) -> tuple[float, float]:
    from scipy.special import ndtr, ndtri

    below = float((draws < value).mean() + 0.5 * (draws == value).mean())
    # with few draws on one side the correction is all noise: keep it within two standard deviations
    shift = float(np.clip(ndtri(below), -2.0, 2.0))
    low, high = np.quantile(draws, ndtr([2 * shift - z, 2 * shift + z]))
    return float(low), float(high)


def _deviations(level: float, rows: int) -> float:
    """How many standard deviations of the draws an interval reaches: Student's quantile, and a little more, as
    draws from few rows vary less than the rows do ("expanded percentiles", Hesterberg 2015)."""
    from scipy.special import stdtrit

    rows = max(rows, 2)
    return float(stdtrit(rows - 1, (1 + level) / 2)) * (rows / (rows - 1)) ** 0.5
