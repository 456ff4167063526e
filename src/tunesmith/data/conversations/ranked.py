"""Preference data that is not read: several answers in one cell, or two without a word on which is better. Recognised,
so that its refusal names the layout and the way out. Knows no files and no formats."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tunesmith.data.conversations import paired
from tunesmith.data.conversations.messages import decoded, is_messages
from tunesmith.data.conversations.verdict import Unread, plain_name

Row = Mapping[str, Any]

_LISTS = frozenset({
    "responses", "answers", "completions", "candidates", "generations", "outputs", "replies", "summaries", "choices",
    "options", "samples", "all responses", "correct answers", "incorrect answers", "continuations",
})  # fmt: skip
_TEXTS = ("response", "answer", "text", "content", "completion", "output", "generation", "message", "summary")
_SCORES = ("overall score", "fine grained score", "score", "rating", "reward", "rank", "ranking", "quality")
_LIST_SCORES = ("scores", "ratings", "rewards", "ranks", "ranking", "rank", "score")
_FIX = "Write a row for each pair of answers, with the columns prompt, chosen (the better one) and rejected (the worse)"


def find(names: Iterable[str], rows: Sequence[Row], asked: str) -> Unread | None:
    """What can not be read of preference data with these columns; None for anything else. asked: the column of prompts,
    '' where there is none."""
    plain = {plain_name(name): name for name in names}
    for word, name in plain.items():
        cells = [cell for row in rows if (cell := decoded(row.get(name))) is not None]
        if word in _LISTS and cells and all(_is_answers(cell) for cell in cells):
            return _listed(name, cells, plain)
    answers = paired.two_answers(plain) if asked else None
    if answers is None:
        return None
    told = f"{answers[0]!r} and {answers[1]!r} are two answers to one prompt, and no column says which is the better"
    return Unread("", told, "Add a column winner with a, b or tie; or call them chosen and rejected, the better first.")


def _is_answers(cell: object) -> bool:
    if not isinstance(cell, list) or len(cell) < 2 or is_messages(cell):
        return False
    return all(isinstance(one, str) or (isinstance(one, Mapping) and _text_key(one)) for one in cell)


def _text_key(one: Row) -> str:
    return next((str(key) for key in one if plain_name(key) in _TEXTS), "")


def _listed(name: str, cells: list[Any], plain: Mapping[str, str]) -> Unread:
    first = cells[0][0]
    if isinstance(first, Mapping):
        score = next((key for word in _SCORES for key in first if plain_name(key) == word), "")
        held = f"objects with {_text_key(first)!r}" + (f" and {score!r}" if score else "")
    else:
        score = next((plain[word] for word in _LIST_SCORES if word in plain), "")
        held = "texts" + (f", scored by {score!r}" if score else "")
    by = f", as {score!r} tells" if score else ""
    told = f"each row holds several answers ({held}), as in UltraFeedback and Nectar; pairs of answers are read"
    return Unread(name, told, f"{_FIX}{by}.")
