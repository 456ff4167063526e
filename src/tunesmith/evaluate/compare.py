"""Is this model better than the best of others on the same rows? The verdict by paired bootstrap, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypedDict

from tunesmith.core.measured import Measured
from tunesmith.evaluate import words
from tunesmith.evaluate.measured import Difference, paired_difference, value_of
from tunesmith.evaluate.metrics import higher_is_better

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


def verdict(
    ours: Measured, baselines: Mapping[str, Measured], metric: str, *, resamples: int = 2000, seed: int = 0
) -> Verdict:
    """Better, not proven or worse than the best baseline: decided by whether the interval holds zero."""
    value = value_of(ours, metric)
    known = {name: its for name, one in baselines.items() if (its := value_of(one, metric)) is not None}
    if value is None or not known:
        return undecided(metric, "it is undefined" if value is None else "no baseline has a value for it")
    against = (max if higher_is_better(metric) else min)(known, key=lambda name: known[name])
    found = paired_difference(ours, baselines[against], metric, resamples=resamples, seed=seed)
    outcome = outcome_of(found)
    sentence = _sentence(outcome, metric, against, (value, known[against]), found, len(ours))
    return {"outcome": outcome, "against": against, "metric": metric, **found, "sentence": sentence}


def outcome_of(found: Difference) -> Outcomes:
    """Proven where the interval does not hold zero."""
    return "better" if found["low"] > 0 else "worse" if found["high"] < 0 else "not proven"


def _sentence(
    outcome: str, metric: str, against: str, values: tuple[float, float], found: Difference, rows: int
) -> str:
    numbers = (
        f"{words.metric(metric)} {words.number(values[0])} against {words.number(values[1])} of the best "
        f"baseline, {words.baseline(against)}, on the same {rows:,} test rows"
    )
    span = f"95 % interval {words.number(found['low'], True)} to {words.number(found['high'], True)}"
    gain = words.number(found["difference"], True)
    what = "gain" if outcome == "better" else "difference"
    chance = "may be chance" if outcome == "not proven" else "is more than chance explains"
    return f"{outcome.capitalize()}: {numbers}. The {what} of {gain} ({span}) {chance}."


def undecided(metric: str, why: str) -> Verdict:
    sentence = f"Not proven: {words.metric(metric)} can not be compared, because {why}."
    return {"outcome": "not proven", "against": None, "metric": metric, "difference": None, "low": None, "high": None,
            "sentence": sentence}  # fmt: skip
