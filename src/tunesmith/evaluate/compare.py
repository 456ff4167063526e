"""Is this model better than that one on the same rows? Paired bootstrap and the verdict in words.

Both models are resampled on the same draws of rows, so what is hard for both cancels out
(Efron & Tibshirani 1993; Koehn 2004 for its use on model comparison).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypedDict

import numpy as np

from tunesmith.evaluate import words
from tunesmith.evaluate.bootstrap import interval_of_difference
from tunesmith.evaluate.metrics import compute, get, higher_is_better, resampled
from tunesmith.evaluate.types import Outcome


class Difference(TypedDict):
    """How much better ours is; positive is better, also for errors such as rmse."""

    difference: float
    low: float
    high: float


Outcomes = Literal["better", "not proven", "worse"]


class Verdict(TypedDict):
    """The comparison with the best baseline."""

    outcome: Outcomes
    against: str | None
    metric: str
    difference: float | None
    low: float | None
    high: float | None
    sentence: str


def paired_bootstrap(
    ours: Outcome,
    theirs: Outcome,
    metric: str,
    *,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Difference:
    """Difference in `metric` on the same rows, with its interval; positive means ours is better.

    Raises ValueError when the two outcomes are not about the same rows, or where the metric is
    undefined for one of them.
    """
    if ours.kind != theirs.kind or not np.array_equal(ours.truth, theirs.truth):
        raise ValueError("A paired comparison needs both outcomes on the same rows with the same truth.")
    get(metric, ours.kind)
    values = [compute(outcome, [metric]).get(metric) for outcome in (ours, theirs)]
    if values[0] is None or values[1] is None:
        raise ValueError(f"The metric {metric!r} is undefined on these rows.")
    sign = 1.0 if higher_is_better(metric) else -1.0
    draws = [resampled(outcome, [metric], resamples=resamples, seed=seed)[metric] for outcome in (ours, theirs)]
    difference = sign * (values[0] - values[1])
    few = len(draws[0]) < resamples
    low, high = interval_of_difference(difference, sign * (draws[0] - draws[1]), level, rows=len(ours), smooth=few)
    return {"difference": difference, "low": low, "high": high}


def best_baseline(baselines: Mapping[str, Outcome], metric: str) -> str | None:
    """Name of the baseline with the best value; the first of equals; None where none has a value."""
    values = {name: compute(outcome, [metric]).get(metric) for name, outcome in baselines.items()}
    known = {name: value for name, value in values.items() if value is not None}
    if not known:
        return None
    return (max if higher_is_better(metric) else min)(known, key=lambda name: known[name])


def verdict(
    ours: Outcome, baselines: Mapping[str, Outcome], metric: str, *, resamples: int = 2000, seed: int = 0
) -> Verdict:
    """Better, not proven or worse than the best baseline: decided by whether the interval holds zero."""
    against = best_baseline(baselines, metric)
    value = compute(ours, [metric]).get(metric)
    if against is None or value is None:
        return undecided(metric, "it is undefined" if value is None else "no baseline has a value for it")
    found = paired_bootstrap(ours, baselines[against], metric, resamples=resamples, seed=seed)
    if found["low"] > 0:
        outcome: Outcomes = "better"
    else:
        outcome = "worse" if found["high"] < 0 else "not proven"
    theirs = compute(baselines[against], [metric])[metric]
    return {
        "outcome": outcome,
        "against": against,
        "metric": metric,
        "difference": found["difference"],
        "low": found["low"],
        "high": found["high"],
        "sentence": sentence_of(outcome, metric, against, (value, theirs), found, len(ours)),
    }


def sentence_of(
    outcome: str, metric: str, against: str, values: tuple[float, float], found: Difference, rows: int
) -> str:
    numbers = (
        f"{words.metric(metric)} {words.number(values[0])} against {words.number(values[1])} of the best "
        f"baseline, {words.baseline(against)}, on the same {rows:,} test rows"
    )
    span = f"95 % interval {words.number(found['low'], True)} to {words.number(found['high'], True)}"
    gain = words.number(found["difference"], True)
    if outcome == "better":
        return f"Better: {numbers}. The gain of {gain} ({span}) is more than chance explains."
    if outcome == "worse":
        return f"Worse: {numbers}. The difference of {gain} ({span}) is more than chance explains."
    return f"Not proven: {numbers}. The difference of {gain} ({span}) may be chance."


def undecided(metric: str, why: str) -> Verdict:
    return {
        "outcome": "not proven",
        "against": None,
        "metric": metric,
        "difference": None,
        "low": None,
        "high": None,
        "sentence": f"Not proven: {words.metric(metric)} can not be compared, because {why}.",
    }
