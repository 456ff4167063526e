"""The learning curve of the cheap linear model: what more rows would bring.

Errors on left-out rows of models fitted on random parts of the training rows follow a power law
a + b n^-c over a wide range (Hestness et al. 2017, arXiv 1712.00409; Viering & Loog 2022, section 4.1).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tunesmith.data.types import Kind
from tunesmith.evaluate.linear import BLOCKS, Blocks

REPEATS = 8
HELD_OUT = 4
"""Blocks that a repeat is measured on."""

SIZES = (2, 3, 4, 6, 8, 12)
"""Blocks that it is fitted on; the smaller parts lie within the larger ones."""

FEWEST_ROWS = 80
EXPONENTS = np.linspace(0.1, 1.5, 29)
RESAMPLES = 400


@dataclass(frozen=True)
class Forecast:
    """Errors of the linear model: now, with all rows; `gain` is what `more` rows are expected to take off, `low`
    its lower bound (97.5 %). For a label: shares of rows; for a number: RMSE."""

    rows: int
    more: int
    now: float
    gain: float
    low: float


def measure_errors(blocks: Blocks, kind: Kind, penalty: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(rows int64 [sizes], errors float64 [repeats, sizes]) of models fitted on parts of the rows."""
    rng = np.random.default_rng(seed)
    errors = np.empty((REPEATS, len(SIZES)))
    for repeat in range(REPEATS):
        order = rng.permutation(BLOCKS)
        held = np.flatnonzero(np.isin(blocks.of, order[:HELD_OUT]))
        for at, size in enumerate(SIZES):
            scores = blocks.x[held] @ blocks.fit(order[HELD_OUT : HELD_OUT + size], penalty)
            errors[repeat, at] = _error(scores, blocks.targets[held], kind)
    return np.round(np.array(SIZES) * len(blocks.of) / BLOCKS).astype(np.int64), errors


def _error(scores: np.ndarray, targets: np.ndarray, kind: Kind) -> float:
    if kind == "label":
        return float((scores.argmax(axis=1) != targets.argmax(axis=1)).mean())
    return float(np.sqrt(np.square(scores - targets).mean()))


def forecast(sizes: np.ndarray, errors: np.ndarray, rows: int, more: int, seed: int = 0) -> Forecast:
    """What `more` rows beyond `rows` would bring, by power laws through the errors [repeats, sizes].

    The bound is that of the repeats drawn anew, each draw with an exponent of its own, so that it holds
    the doubt about the shape of the curve as well as that about its points. Repeats share rows, so their
    spread understates the doubt: it is widened after Nadeau & Bengio (2003), section 3, by what the rows
    that were held out and fitted on have in common. The points are widened, not the gains: those have a floor at
    nothing, and few rows would never be proven to be too few. There is no upper bound: errors of a linear model fall
    faster in the middle of the curve than its first part shows, and most real gains exceed the forecast.
    """
    rng = np.random.default_rng(seed)
    mean = errors.mean(axis=0)
    wider = np.sqrt(1 + REPEATS * HELD_OUT / (BLOCKS - HELD_OUT))
    drawn = errors[rng.integers(0, len(errors), (RESAMPLES, len(errors)))].mean(axis=1)
    ends = np.array([rows, rows + more], dtype=float)
    now, later = _extrapolated(sizes, mean[None], ends)[0]
    gains = -np.diff(_extrapolated(sizes, mean + wider * (drawn - mean), ends), axis=1)[:, 0]
    return Forecast(rows, more, float(now), float(now - later), float(np.quantile(gains, 0.025)))


def _extrapolated(sizes: np.ndarray, errors: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """float64 [curves, ends]: each curve [curves, sizes] by weighted least squares with a, b >= 0."""
    weights = sizes / sizes.max()  # errors of larger parts are steadier, and nearer to where we look
    best = np.full(len(errors), np.inf)
    found = np.zeros((len(errors), len(ends)))
    for exponent in EXPONENTS:
        falling = (sizes / sizes.max()) ** -exponent
        mean, means = np.average(falling, weights=weights), np.average(errors, axis=1, weights=weights)
        spread = np.average((falling - mean) ** 2, weights=weights)
        b = np.average((falling - mean) * (errors - means[:, None]), axis=1, weights=weights) / spread
        through_zero = errors @ (weights * falling) / (weights @ falling**2)
        b = np.clip(b, 0.0, None)
        a = means - b * mean
        b, a = np.where(a < 0, through_zero, b), np.maximum(a, 0.0)
        misses = np.square(a[:, None] + b[:, None] * falling - errors) @ weights
        better = misses < best
        there = a[:, None] + b[:, None] * (ends / sizes.max()) ** -exponent
        found, best = np.where(better[:, None], there, found), np.minimum(misses, best)
    return found
