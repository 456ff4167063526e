"""A few test rows with what the model says of them, to be shown when a run ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict

import numpy as np

from tunesmith.core.measured import Counted, Measured
from tunesmith.core.text import shortened
from tunesmith.evaluate.types import Outcome

SHOWN = 3
_LETTERS = 200


class Example(TypedDict):
    """`probability`: of what was predicted; None of numbers and of several labels."""

    text: str
    predicted: Any
    truth: Any
    probability: float | None


def of_rows(test: Measured, truth: Sequence[object], texts: Sequence[str], seed: int = 0) -> list[Example]:
    """Test rows at random, of which no two are given the same answer as long as there are others."""
    order = np.random.default_rng(seed).permutation(len(test))
    given = test.columns()["predicted"]
    if isinstance(test, Counted):
        given, truth = test.counted()
    first: dict[str, int] = {}
    for row in order.tolist():
        first.setdefault(str(given[row]), row)
    chosen = [*first.values(), *(row for row in order.tolist() if row not in first.values())][:SHOWN]
    sure = test.scores.max(1) if isinstance(test, Outcome) and test.kind == "label" else None
    return [
        {"text": _short(texts[row]), "predicted": given[row], "truth": truth[row],
         "probability": None if sure is None else float(sure[row])}
        for row in chosen
    ]  # fmt: skip


def of_texts(asked: Sequence[str], given: Sequence[str], wanted: Sequence[str]) -> list[Example]:
    """The first questions with the answers that were written."""
    rows = list(zip(asked, given, wanted, strict=True))[:SHOWN]
    return [
        {"text": _short(question), "predicted": _short(answer), "truth": _short(best), "probability": None}
        for question, answer, best in rows
    ]


def _short(text: str) -> str:
    return shortened(" ".join(text.split()), _LETTERS)
