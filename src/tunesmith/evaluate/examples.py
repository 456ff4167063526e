"""A few test rows with what the model says of them, to be shown when a run ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict

import numpy as np

from tunesmith.evaluate.types import Outcome

SHOWN = 3
_LETTERS = 200


class Example(TypedDict):
    """`probability`: of what was predicted; None of numbers and of several labels."""

    text: str
    predicted: Any
    truth: Any
    probability: float | None


def of_rows(outcome: Outcome, texts: Sequence[str], seed: int = 0) -> list[Example]:
    """Test rows at random, of which no two are given the same answer as long as there are others."""
    order = np.random.default_rng(seed).permutation(len(outcome))
    given = outcome.predicted()
    first: dict[str, int] = {}
    for row in order.tolist():
        first.setdefault(str(given[row]), row)
    chosen = [*first.values(), *(row for row in order.tolist() if row not in first.values())][:SHOWN]
    said, truth = outcome.named(given[chosen]), outcome.named(outcome.truth[chosen])
    return [
        {"text": _short(texts[row]), "predicted": its, "truth": right,
         "probability": float(outcome.scores[row].max()) if outcome.kind == "label" else None}
        for row, its, right in zip(chosen, said, truth, strict=True)
    ]  # fmt: skip


def of_texts(asked: Sequence[str], given: Sequence[str], wanted: Sequence[str]) -> list[Example]:
    """The first questions with the answers that were written."""
    rows = list(zip(asked, given, wanted, strict=True))[:SHOWN]
    return [
        {"text": _short(question), "predicted": _short(answer), "truth": _short(best), "probability": None}
        for question, answer, best in rows
    ]


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LETTERS else f"{line[: _LETTERS - 3]}..."
