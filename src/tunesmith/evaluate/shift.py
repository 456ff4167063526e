"""Whether test rows look like training rows: can a classifier tell them apart?

Lopez-Paz & Oquab (2017), "Revisiting classifier two-sample tests", section 3; Rabanser, Günnemann &
Lipton (2019), "Failing loudly", section 3.2. Area under the ROC curve instead of accuracy, so that the
shares of the two do not matter; its interval after Hanley & McNeil (1982).
"""

from __future__ import annotations

import numpy as np

from tunesmith.evaluate.linear import Blocks
from tunesmith.evaluate.types import Interval

MOST_ROWS = 2_000
"""Rows of either side that are looked at."""

FEWEST_ROWS = 40
PENALTY = 0.1


def discriminate(train: np.ndarray, test: np.ndarray, seed: int = 0) -> tuple[Interval, np.ndarray] | None:
    """(area under the ROC curve with its 95 % interval, test rows most unlike the training rows first).

    train float32 [n, hidden], test float32 [m, hidden]. Each row is judged by a model fitted without it.
    None where either side has fewer than FEWEST_ROWS rows.
    """
    if min(len(train), len(test)) < FEWEST_ROWS:
        return None
    rng = np.random.default_rng(seed)
    kept = [np.sort(rng.permutation(len(side))[:MOST_ROWS]) for side in (train, test)]
    features = np.concatenate([np.asarray(train[kept[0]]), np.asarray(test[kept[1]])])
    is_test = np.r_[np.zeros(len(kept[0])), np.ones(len(kept[1]))]
    scores = Blocks(features, is_test[:, None], is_test, seed).out_of_fold(PENALTY)[:, 0]
    ours = scores[is_test == 1]
    return area(scores[is_test == 0], ours), kept[1][np.argsort(-ours, kind="stable")]


def area(low: np.ndarray, high: np.ndarray) -> Interval:
    """How often a score of `high` [m] exceeds one of `low` [n], ties half, with its 95 % interval."""
    from scipy.stats import rankdata

    n, m = len(low), len(high)
    ranks = rankdata(np.r_[low, high])[n:]
    value = float((ranks.sum() - m * (m + 1) / 2) / (n * m))
    first, second = value / (2 - value), 2 * value**2 / (1 + value)
    variance = value * (1 - value) + (m - 1) * (first - value**2) + (n - 1) * (second - value**2)
    reach = 1.96 * float(np.sqrt(max(variance, 0.0) / (n * m)))
    return {"value": value, "low": max(0.0, value - reach), "high": min(1.0, value + reach)}
