"""Is it good? What a model gets right on the test rows, in words and counts, and a level for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tunesmith.core.measured import Measured
from tunesmith.evaluate import words
from tunesmith.evaluate.goal import Goal
from tunesmith.evaluate.measured import value_of
from tunesmith.evaluate.metrics import higher_is_better
from tunesmith.evaluate.tables import LabelRow, per_class
from tunesmith.evaluate.types import Interval, Outcome
from tunesmith.evaluate.verdict import Good, Level, answer

GOOD, FAIR = 0.75, 0.4
"""Of what a constant answer gets wrong, the share that the model gets right, from which it is good, and fair: the
scale of Fleiss (1981, section 13.1) for agreement beyond chance."""
UNEVEN = 3
"""Labels are uneven where the commonest has more than this many times the rows of the rarest."""
LOST = 0.5
"""A label of which less than this share of its rows is found, for certain, keeps a model from being called good."""
SEEN = 5
"""Test rows of a label from which on it is called the weakest."""


def judge(
    outcome: Measured, test: Mapping[str, Interval], constant: Measured | None, first: str, *, goal: Goal | None = None
) -> Good:
    """`test`: the metrics of `outcome`, the test rows. `constant`: the best constant answer on the same rows."""
    metric = goal.metric if goal and goal.metric in test else _fitting(outcome, constant, first)
    if metric not in test:
        metric = first
    found = test.get(metric)
    table = per_class(outcome)
    told = TOLD[outcome.kind](outcome, table, constant) if outcome.kind in TOLD else ""
    if "within_one" in test:
        near = round(test["within_one"]["value"] * len(outcome))
        rounded = ", rounded to the steps of the scale," if outcome.kind == "number" else ""
        told += f" {near:,} of {len(outcome):,} ratings{rounded} are at most 1 off."
    if found is None:
        said = f"{told} {words.metric(metric).capitalize()} is undefined on these rows."
        return answer("fair", said, metric, None, None)
    if goal and goal.metric == metric:
        level, why = _by_goal(found, goal)
    else:
        level, why = _by_scale(found, metric, constant, table)
    said = " ".join(part for part in (told, _measured(metric, found, first, len(outcome)), why) if part)
    return answer(level, said, metric, found, goal)


def _fitting(outcome: Measured, constant: Measured | None, first: str) -> str:
    """The metric that fits the balance of the labels."""
    if not isinstance(outcome, Outcome) or outcome.kind != "label" or first != "accuracy":
        return first
    if isinstance(constant, Outcome) and len(constant):
        shares = constant.scores[0]
        rows = shares[shares > 0]
    else:
        rows = np.unique(outcome.truth, return_counts=True)[1].astype(float)
    return "f1_macro" if len(rows) > 1 and rows.max() > UNEVEN * rows.min() else first


def _by_goal(found: Interval, goal: Goal) -> tuple[Level, str]:
    sure, reached = goal.for_certain(found), goal.reached(found["value"])
    if sure:
        return "good", f"The target ({goal}) is reached."
    if sure is False:
        return "poor", f"The target ({goal}) is missed."
    if reached:
        return "fair", f"The target ({goal}) is reached, but on so few test rows that may be luck."
    return "fair", f"The target ({goal}) is missed, by little enough that it may be bad luck."


def _by_scale(found: Interval, metric: str, constant: Measured | None, table: Sequence[LabelRow]) -> tuple[Level, str]:
    at = None if constant is None else value_of(constant, metric)
    skill = {end: skill_of(found[end], at, metric) for end in ("value", "low", "high")}
    least = min(skill.values())
    if least <= 0:
        return "poor", "It is not proven to know more than one that always gives the same answer."
    lost = _lost(table)
    if skill["value"] >= GOOD and least >= FAIR and not lost:
        return "good", ""
    if lost:
        return ("fair" if skill["value"] >= FAIR else "poor"), f"Most rows of {words.listed(lost)} are not found."
    if skill["value"] >= FAIR:
        return "fair", "" if skill["value"] < GOOD else "On so few test rows that may be luck."
    return "poor", ""


def skill_of(value: float, constant: float | None, metric: str) -> float:
    """Of what a constant answer gets wrong, the share that is right: 1 is perfect, 0 as good as the constant. Of a
    root mean squared error, the share of the variance that is explained."""
    if metric == "rmse":
        return 1 - (value / constant) ** 2 if constant else float(value == 0)
    if not higher_is_better(metric):
        return 1 - value / constant if constant else float(value == 0)
    least = min(constant or 0.0, 1.0)
    return (value - least) / (1 - least) if least < 1 else float(value >= 1)


def _lost(table: Sequence[LabelRow]) -> list[str]:
    """Labels of which most rows are missed for certain (Clopper-Pearson at 95 %)."""
    from scipy.special import betaincinv

    names = []
    for row in table:
        missed = row["support"] - round(row["recall"] * row["support"])
        if missed and row["support"] >= SEEN:
            found = row["support"] - missed
            if betaincinv(found + 1, missed, 0.975) < LOST:
                names.append(repr(row["label"]))
    return names


# words


def _of_one(outcome: Outcome, table: Sequence[LabelRow], constant: Outcome | None) -> str:
    right = int((outcome.predicted() == outcome.truth).sum())
    rows = len(outcome)
    told = f"{right:,} of {rows:,} test rows are right ({_share(right, rows)})."
    if len(table) == 2:
        return f"{told} {_of_two(table)}"
    return f"{told} {_weakest(table)}".strip()


def _of_two(table: Sequence[LabelRow]) -> str:
    """The rarer label is what is looked for."""
    rare, common = sorted(table, key=lambda row: row["support"])
    if not rare["support"]:
        return f"No test row is {rare['label']!r}."
    found = round(rare["recall"] * rare["support"])
    wrongly = rare["predicted"] - found
    is_ = "is" if found == 1 else "are"
    others = f"{common['support']:,} rows of {common['label']!r}"
    if not wrongly:
        lost = f"none of the {others} is mistaken for it"
    elif wrongly == 1:
        lost = f"1 of the {others} is mistaken for it"
    else:
        rate = common["support"] / wrongly
        lost = f"{wrongly:,} of the {others} are mistaken for it (1 in {rate:.0f})"
    return f"Of {rare['support']:,} rows of {rare['label']!r} {found:,} {is_} found; {lost}."


def _weakest(table: Sequence[LabelRow]) -> str:
    known = [row for row in table if row["support"] >= SEEN]
    if not known:
        return ""
    weakest = min(known, key=lambda row: row["recall"])
    found = round(weakest["recall"] * weakest["support"])
    if found == weakest["support"]:
        return f"Every label with at least {SEEN} test rows is found in all of them."
    return f"The weakest label is {weakest['label']!r}: {found:,} of its {weakest['support']:,} rows are found."


def _of_several(outcome: Outcome, table: Sequence[LabelRow], constant: Outcome | None) -> str:
    given, truth = outcome.predicted(), outcome.truth
    hits, all_given, wanted = int((given & truth).sum()), int(given.sum()), int(truth.sum())
    whole = int((given == truth).all(axis=1).sum())
    return (
        f"Of {wanted:,} labels that the {len(outcome):,} test rows have, {hits:,} are found ({_share(hits, wanted)}); "
        f"of {all_given:,} that were given, {all_given - hits:,} are wrong. All labels are right in {whole:,} rows. "
        f"{_weakest(table)}"
    ).strip()


def _of_numbers(outcome: Outcome, table: Sequence[LabelRow], constant: Outcome | None) -> str:
    errors = np.abs(outcome.scores - outcome.truth)
    told = f"On average it is off by {words.number(float(errors.mean()))}"
    if constant is not None:
        others = float(np.abs(constant.scores - outcome.truth).mean())
        told += f" (always answering the mean: {words.number(others)})"
    most = float(np.quantile(errors, 0.9))
    return f"{told}; 9 in 10 of the {len(outcome):,} test rows are off by at most {words.number(most)}."


TOLD: dict[str, Callable[[Any, Sequence[LabelRow], Any], str]] = {
    "label": _of_one,
    "labels": _of_several,
    "number": _of_numbers,
}
"""What is said in counts, of what was measured, its table by label and the constant answer, for each kind that has such
words."""


def _measured(metric: str, found: Interval, first: str, rows: int) -> str:
    span = f"{words.number(found['low'])} to {words.number(found['high'])}"
    why = ""
    if metric == "f1_macro" and first == "accuracy":
        why = ", in which rare labels count as much as common ones,"
    name, value = words.metric(metric), words.number(found["value"])
    return f"{name[:1].upper()}{name[1:]}{why} is {value}; other rows like these would give {span}."


def _share(part: int, of: int) -> str:
    share = 100 * part / max(of, 1)
    return f"{share:.1f} %" if 99 <= share < 100 or 0 < share <= 1 else f"{share:.0f} %"
