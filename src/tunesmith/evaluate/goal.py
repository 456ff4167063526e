"""A target of the user, such as accuracy>=0.95, for answers of any kind."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tunesmith.core import renamed
from tunesmith.core.errors import OptionError
from tunesmith.core.spec import RunSpec
from tunesmith.evaluate import words
from tunesmith.evaluate.metrics import get, higher_is_better, names_for
from tunesmith.evaluate.types import Interval

_FORM = re.compile(r"\s*([\w@]+)\s*([<>]?=|[<>])\s*([-+.\deE]+)\s*")


@dataclass(frozen=True)
class Goal:
    """`metric` at least, or of an error at most, `value`."""

    metric: str
    value: float

    def reached(self, value: float) -> bool:
        return value >= self.value if higher_is_better(self.metric) else value <= self.value

    def for_certain(self, found: Interval) -> bool | None:
        """Whether the whole interval reaches it (True) or misses it (False); None where it holds the target."""
        ends = self.reached(found["low"]), self.reached(found["high"])
        return ends[0] if ends[0] == ends[1] else None

    def __str__(self) -> str:
        return f"{words.metric(self.metric)} {words.number(self.value)}"


def parse_goal(text: str, flag: str, kind: str = "label") -> Goal:
    """Goal('accuracy', 0.95) from 'accuracy>=0.95'; 'f1' of outcomes of labels is f1_macro. Raises OptionError, which
    names `flag`."""
    found = _FORM.fullmatch(text)
    try:
        if found is None:
            raise ValueError
        value = float(found[3])
    except ValueError:
        raise OptionError(
            f"{flag} {text}: expected a metric and its target.", "Example: accuracy>=0.95, or rmse<=0.4"
        ) from None
    name = renamed.metric(found[1])
    if name == "f1" and name not in names_for(kind):
        name = "f1_macro"
    right = ">" if higher_is_better(name) else "<"
    if found[2][0] in "<>" and found[2][0] != right:
        raise OptionError(f"{flag} {text}: of {name}, {'more' if right == '>' else 'less'} is better.",
                          f"Write {name}{right}={found[3]}")  # fmt: skip
    low, high = get(name).range
    if not low <= value <= high:
        raise OptionError(f"{flag} {text}: {name} lies between {low:g} and {high:g}.")
    return Goal(name, value)


def goal_of(spec: RunSpec, kind: str) -> Goal | None:
    """The goal of a run, as it was typed."""
    return None if spec.goal is None else parse_goal(spec.goal, "--goal", kind)
