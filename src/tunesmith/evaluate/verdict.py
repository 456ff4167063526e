"""The verdict of a run: is it good, and is it worth more than something simpler? In levels and in words.

Both answers have a level, good, fair or poor (green, amber, red), and so has the whole; the rules are those of
docs/metrics.md. What is the same for every kind of answer stands here; `good.py` and `good_text.py` judge answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NotRequired, TypedDict

from tunesmith.core.measured import Measured
from tunesmith.evaluate import words
from tunesmith.evaluate.compare import Outcomes, outcome_of
from tunesmith.evaluate.compare import Verdict as Core
from tunesmith.evaluate.compare import verdict as against_the_best
from tunesmith.evaluate.goal import Goal
from tunesmith.evaluate.measured import Difference, paired_difference, value_of
from tunesmith.evaluate.metrics import higher_is_better
from tunesmith.evaluate.types import Interval

Level = Literal["good", "fair", "poor"]

CONTENDERS = ("majority", "mean", "tfidf_logistic_regression", "tfidf_ridge", "linear_probe", "random", "bm25", "base",
              "few_shot", "lead", "copy_source")  # fmt: skip
"""The simpler ways that every model is compared with, the cheapest first."""


class Good(TypedDict):
    """Is it good?"""

    level: Level
    words: str
    metric: str
    value: float | None
    low: float | None
    high: float | None
    target: float | None


def answer(level: Level, said: str, metric: str, found: Interval | None, goal: Goal | None) -> Good:
    """`found`: the value of `metric` on the test rows, None where it is undefined."""
    value, low, high = (found["value"], found["low"], found["high"]) if found else (None, None, None)
    target = goal.value if goal is not None and goal.metric == metric else None
    return {"level": level, "words": said, "metric": metric, "value": value, "low": low, "high": high, "target": target}


class Contender(TypedDict):
    """One simpler way. `difference` is how much better the model is, also of errors; `same`: it is the model itself."""

    name: str
    value: float
    difference: float
    low: float
    high: float
    outcome: Outcomes
    same: bool


class Worth(TypedDict):
    """Is it worth more than something simpler?"""

    level: Level
    words: str
    simplest: bool
    contenders: list[Contender]


class NextStep(TypedDict):
    """What to do now; `command` can be typed as it stands, None where the step is no command."""

    words: str
    command: str | None


class Verdict(Core):
    level: Level
    title: str
    good: Good
    worth: Worth
    next_step: NotRequired[NextStep]


_LEVELS: Mapping[tuple[Level, Level], Level] = {
    ("good", "good"): "good", ("good", "fair"): "good", ("good", "poor"): "fair",
    ("fair", "good"): "fair", ("fair", "fair"): "fair", ("fair", "poor"): "poor",
    ("poor", "good"): "fair", ("poor", "fair"): "poor", ("poor", "poor"): "poor",
}  # fmt: skip
"""(is it good, is it worth more) -> the whole."""

_FIRST: Mapping[Level, str] = {"good": "Good", "fair": "Usable with care", "poor": "Not good yet"}
_SECOND: Mapping[Level, str] = {
    "good": "better than anything simpler",
    "fair": "not proven to be better than something simpler",
    "poor": "something simpler is better",
}


def of_rows(
    ours: Measured, baselines: Mapping[str, Measured], metric: str, good: Good, *, simplest: str | None, seed: int = 0
) -> Verdict:
    """The verdict by one metric. `simplest`: the baseline that the model itself is, if one.

    The keys of `compare.verdict` are about the best of the other baselines.
    """
    rivals = {name: one for name, one in baselines.items() if name != simplest}
    core = against_the_best(ours, rivals, metric, seed=seed)
    return whole(core, good, worth(ours, baselines, metric, simplest=simplest, known=core, seed=seed))


def whole(core: Core, good: Good, worth: Worth) -> Verdict:
    """Both answers put together."""
    second = _SECOND[worth["level"]]
    if worth["simplest"] and worth["level"] == "good":
        second = f"better than {words.baseline(core['against'])}" if core["against"] else second
    joined = "and" if (good["level"] == "good") == (worth["level"] == "good") else "but"
    title = f"{_FIRST[good['level']]}, {joined} {second}"
    level = _LEVELS[good["level"], worth["level"]]
    sentence = f"{title}. {good['words']} {worth['words']}"
    return {
        "level": level, "title": title, "good": good, "worth": worth, "outcome": core["outcome"],
        "against": core["against"], "metric": core["metric"], "difference": core["difference"], "low": core["low"],
        "high": core["high"], "sentence": sentence,
    }  # fmt: skip


def worth(
    ours: Measured, baselines: Mapping[str, Measured], metric: str, *, simplest: str | None = None,
    known: Core | None = None, seed: int = 0,
) -> Worth:  # fmt: skip
    """How the model compares with simpler ways, by name, on the same rows. `simplest`: the one that the model itself
    is, if one. `known`: what `compare.verdict` found of the best of them, so that it is not compared again."""
    value = value_of(ours, metric)
    values = {name: its for name, one in baselines.items() if (its := value_of(one, metric)) is not None}
    if value is None or not values:
        told = f"Nothing simpler could be compared: {words.metric(metric)} has no value for it."
        return {"level": "fair", "words": told, "simplest": simplest is not None, "contenders": []}

    def pair(name: str) -> Difference:
        if known is not None and name == known["against"]:
            return {"difference": known["difference"] or 0.0, "low": known["low"] or 0.0, "high": known["high"] or 0.0}
        return paired_difference(ours, baselines[name], metric, seed=seed)

    order = sorted(values, key=lambda name: CONTENDERS.index(name) if name in CONTENDERS else len(CONTENDERS))
    found: list[Contender] = []
    for name in order:
        apart = pair(name)
        found.append(
            {"name": name, "value": values[name], **apart, "outcome": outcome_of(apart), "same": name == simplest}
        )
    rivals = [one for one in found if not one["same"]]
    level: Level = "fair"
    if rivals and all(one["outcome"] == "better" for one in rivals):
        level = "good"
    elif any(one["outcome"] == "worse" for one in rivals):
        level = "poor"
    told = ""
    if simplest:
        named = words.baseline(simplest)
        told = f"This is the simple way itself ({named}): {words.metric(metric)} {words.number(value)}. "
    told += _compared(value, rivals, metric, higher_is_better(metric))
    return {"level": level, "words": told.strip(), "simplest": simplest is not None, "contenders": found}


def _compared(value: float, rivals: Sequence[Contender], metric: str, higher: bool) -> str:
    """The hardest to beat with its numbers, the others by name."""
    if not rivals:
        return ""
    hardest = (max if higher else min)(rivals, key=lambda one: one["value"])
    how = {"better": "better", "worse": "worse", "not proven": "not proven to be better"}[hardest["outcome"]]
    span = f"95 % interval {words.number(hardest['low'], True)} to {words.number(hardest['high'], True)}"
    told = (
        f"It is {how} than {words.baseline(hardest['name'])}: {words.metric(metric)} {words.number(value)} against "
        f"{words.number(hardest['value'])}, a difference of {words.number(hardest['difference'], True)} ({span})"
        f"{', which chance alone may explain' if hardest['outcome'] == 'not proven' else ''}."
    )
    forms = {
        "better": " It is better than {}.",
        "not proven": " Not proven to be better than {} either.",
        "worse": " It is worse than {} too.",
    }
    for outcome, form in forms.items():
        others = [f"{words.baseline(one['name'])} ({words.number(one['value'])})" for one in rivals
                  if one is not hardest and one["outcome"] == outcome]  # fmt: skip
        if others:
            told += form.format(words.listed(others))
    return told


def of_document(found: Mapping[str, Any]) -> tuple[str, str, str]:
    """(level, title, sentence) of the part 'verdict' of a metrics.json, of earlier versions too."""
    if "level" in found:
        return found["level"], found["title"], found["sentence"]
    level = {"better": "good", "worse": "poor"}.get(found["outcome"], "fair")
    return level, found["sentence"].partition(":")[0], found["sentence"]
