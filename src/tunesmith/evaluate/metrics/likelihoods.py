"""Metrics of token probabilities and of preferences: functions of the sums of row statistics."""

from __future__ import annotations

import numpy as np

from tunesmith.evaluate.metrics.metric import ERROR, SHARE, Metric
from tunesmith.evaluate.metrics.texts import TEXT, ratio


def _perplexity(sums: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return np.exp(ratio(sums))


TABLE: dict[str, Metric] = {
    "loss": Metric(ratio, False, TEXT, ERROR),
    "perplexity": Metric(_perplexity, False, TEXT, (1.0, float("inf"))),
    "token_accuracy": Metric(ratio, True, TEXT, SHARE, title="token accuracy"),
    "reward_margin": Metric(ratio, True, TEXT, (-float("inf"), float("inf")), title="reward margin"),
    "preference_accuracy": Metric(ratio, True, TEXT, SHARE, title="preference accuracy"),
    "kl_to_base": Metric(ratio, None, TEXT, ERROR, title="KL to the base"),
}
