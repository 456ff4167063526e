"""Is a model that writes good? Judged first by what it writes, then by how likely the wanted answers are to it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tunesmith.evaluate import words
from tunesmith.evaluate.goal import Goal
from tunesmith.evaluate.measured import Difference
from tunesmith.evaluate.metrics import higher_is_better
from tunesmith.evaluate.types import Interval
from tunesmith.evaluate.verdict import Good, Level, answer

MOST = 0.5
"""Share of the answers above which a fault is one of the model, and not of some answers."""
SOME = 0.1
"""Share of the answers above which a fault keeps the model from being called good."""
_LOOP = 3
"""Times that one stretch of words follows on itself from which an answer is said to repeat itself."""
_STRETCH = 8
"""Words of the longest stretch that is looked for."""


@dataclass(frozen=True)
class Written:
    """Counts over the answers to the test questions."""

    answers: int
    unended: int
    empty: int
    repeated: int


def count(texts: Sequence[str], stopped: Sequence[bool], wanted: Sequence[Sequence[str]]) -> Written:
    """Of answers beside the wanted ones, of which some may be empty or repeat themselves, too."""
    return Written(
        answers=len(texts),
        unended=sum(not one for one in stopped),
        empty=sum(not text.strip() and all(map(str.strip, some)) for text, some in zip(texts, wanted, strict=True)),
        repeated=sum(
            repeats_itself(text) and not any(map(repeats_itself, some))
            for text, some in zip(texts, wanted, strict=True)
        ),
    )


def repeats_itself(text: str) -> bool:
    """Whether the same stretch of words stands there three times in a row (one word four times), or one word makes up
    most of a long text. Texts without spaces are read by letters."""
    parts = text.split()
    if len(parts) < 2:
        parts = list("".join(parts))
    for size in range(1, _STRETCH + 1):
        times = _LOOP + (size == 1)  # "very very very" may be meant
        for start in range(len(parts) - times * size + 1):
            first = parts[start : start + size]
            if all(parts[start + n * size : start + (n + 1) * size] == first for n in range(1, times)):
                return True
    longest = Counter(parts).most_common(1)[0][1] if parts else 0
    return len(parts) >= 20 and longest > len(parts) / 2


def gates(written: Written | None, text: Difference | None) -> list[str]:
    """What forbids to call the model good whatever its losses, in words; `text`: the text metric against the base."""
    found = []
    if written is not None and written.answers:
        many = written.answers
        if written.unended > MOST * many:
            found.append(f"{_of(written.unended, many)} do not end by themselves")
        if written.empty > SOME * many:
            found.append(f"{_of(written.empty, many)} are empty")
        if written.repeated > SOME * many:
            found.append(f"{_of(written.repeated, many)} repeat themselves")
    if text is not None and text["high"] < 0:
        found.append("what it writes is less like the wanted answers than what the base model writes")
    return found


def judge(
    written: Written | None,
    found: Sequence[str],
    test: Mapping[str, Interval],
    text: tuple[str, Difference | None] | None,
    against_base: Difference | None,
    first: str,
    *,
    goal: Goal | None = None,
) -> Good:
    """`found`: what `gates` found. `text`: the metric of written answers, and the difference to the base where it wrote
    some too. `against_base`: the difference in `first`, which no answer has to be written for."""
    metric = text[0] if text else first
    if goal is not None and goal.metric in test:
        metric = goal.metric
    value = test.get(metric)
    level, why = _level(written, found, text[1] if text else None, against_base)
    if goal is not None and value is not None and goal.metric == metric and not found:
        level, why = _by_goal(value, goal)
    told = [_told(written), _like(metric, test, text), why, _likely(first, test, against_base)]
    return answer(level, " ".join(part for part in told if part), metric, value, goal)


def _level(
    written: Written | None, found: Sequence[str], text: Difference | None, base: Difference | None
) -> tuple[Level, str]:
    if found:
        return "poor", f"Not good yet: {words.listed(found)}."
    decided = text or base
    if decided is None:
        return "fair", ""
    if decided["high"] < 0:
        return "poor", "The base model as it is was better."
    if decided["low"] <= 0:
        return "fair", "It is not proven to be better than the base model as it is."
    if written is not None and written.unended > SOME * written.answers:
        return "fair", "Some answers do not end by themselves."
    return "good", ""


def _by_goal(value: Interval, goal: Goal) -> tuple[Level, str]:
    if goal.reached(value["value"]):
        return "good", f"The target ({goal}) is reached."
    return "poor", f"The target ({goal}) is missed."


def _told(written: Written | None) -> str:
    if written is None or not written.answers:
        return ""
    parts = [
        _counted(written.answers - written.unended, written.answers, "ends by itself", "end by themselves"),
        _counted(written.empty, written.answers, "is empty", "are empty"),
        _counted(written.repeated, written.answers, "repeats itself", "repeat themselves"),
    ]
    return f"It answered {written.answers:,} test questions: {words.listed(parts)}."


def _like(metric: str, test: Mapping[str, Interval], text: tuple[str, Difference | None] | None) -> str:
    if text is None or text[0] not in test:
        return ""
    name, difference = text
    told = f"Its answers are like the wanted ones to {words.number(test[name]['value'])} ({words.metric(name)})"
    if difference is None:
        return f"{told}."
    base = test[name]["value"] - difference["difference"]
    return f"{told}; those of the base model as it is to {words.number(base)}."


def _likely(first: str, test: Mapping[str, Interval], against_base: Difference | None) -> str:
    """Losses come second: they say how likely the wanted answers are, not what is written."""
    if against_base is None or first not in test:
        return ""
    ours = test[first]["value"]
    theirs = ours - against_base["difference"] * (1 if higher_is_better(first) else -1)
    if first == "loss":
        more = "likelier" if against_base["low"] > 0 else "no likelier, for certain,"
        losses = f"loss {words.number(ours)} against {words.number(theirs)}"
        return f"The wanted answers are {more} to it than to the base ({losses})."
    name = words.metric(first)
    return f"{name[:1].upper()}{name[1:]} is {words.number(ours)}; the base has {words.number(theirs)}."


def _counted(part: int, many: int, one: str, more: str) -> str:
    if part == many and many > 1:
        return f"all {more}"
    return f"{part or 'none'} {one}" if part < 2 else f"{part:,} {more}"


def _of(part: int, many: int) -> str:
    return f"{part:,} of {many:,} answers"
