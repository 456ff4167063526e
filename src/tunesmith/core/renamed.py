"""Names of the version before: taken for one version more, and said."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from tunesmith.core.errors import OptionError

OPTIONS = {"thaw": "unfreeze", "kept_share": "frozen_share"}
ATTRIBUTES = {"lesson": "objective", "resting": "frozen_prefix"}
"""Of plugins."""
METRICS = {
    "span_f1": "f1", "span_precision": "precision", "span_recall": "recall", "span_f1_macro": "entity_f1_macro",
}  # fmt: skip


class RenamedWarning(FutureWarning):
    """Somebody still uses the name of the version before."""


def say(old: str, new: str) -> None:
    warnings.warn(f"{old} is called {new} now; the old name goes on working for one version.", RenamedWarning, 3)


def metric(name: str) -> str:
    """The name that a metric has now."""
    if name not in METRICS:
        return name
    say(name, METRICS[name])
    return METRICS[name]


def words_before(words: Mapping[str, Any]) -> dict[str, Any]:
    """All options of a run by the names that the version before wrote, so that its checkpoints are known."""
    if not words.keys() >= set(OPTIONS.values()):  # `full` had one of these names already
        return dict(words)
    old = {new: old for old, new in OPTIONS.items()}
    return {old.get(name, name): value for name, value in words.items()}


def given_words(words: Mapping[str, Any]) -> dict[str, Any]:
    """The options that are given (None is not), by the names that they have now.

    Raises OptionError where an option is given by both of its names.
    """
    given = {name: value for name, value in words.items() if value is not None}
    for old, new in OPTIONS.items():
        if old in given:
            if new in given:
                raise OptionError(f"{old!r} is the old name of {new!r}, and both are given.", f"Give {new!r} alone.")
            say(old, new)
            given[new] = given.pop(old)
    return given
