"""Where the words of a text are that nobody has told apart. The rules are ours and stay: a model is asked with the rule
that it was trained with.

- `words`: a word with what stands within it (well-known, don't, U.S, 3.5, 10/12), an address, an @name or #tag, and
  every other sign alone;
- `signs`: letters and digits that stand together, and every other sign alone.

Writing without spaces (Chinese, Japanese, Thai, ...) is told apart into single letters by both.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

Splitting = Literal["", "words", "signs"]
"""'': cells hold lists of words, or words between spaces."""
Places = list[tuple[int, int]]
"""First character of each word, and the one behind its last."""

_ALONE = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_LETTERS = rf"(?:(?![{_ALONE}])\w)+"
_RULES = {
    "signs": re.compile(rf"{_LETTERS}|\S"),
    "words": re.compile(rf"(?:https?://|www\.)[^\s<>\"')\]]+|[@#]\w+|{_LETTERS}(?:[-'’./]{_LETTERS})*|\S"),
}
_INNER = re.compile(r"\w[-'’./]\w")
_SPACES = re.compile(r"\S+")
_SOME = 0.002
"""Share of words with signs within them, from which on that is how a text is told apart."""


def places_of(text: str, splitting: Splitting) -> Places:
    """The words of a text by one of the rules; '' is the rule `words`."""
    return [match.span() for match in _RULES[splitting or "words"].finditer(text)]


def between_spaces(text: str) -> Places:
    return [match.span() for match in _SPACES.finditer(text)]


def rule_of(rows: Iterable[Iterable[str]]) -> Splitting:
    """The rule that tells texts apart most like these rows of words are."""
    words = [word for row in rows for word in row if len(word) > 2]
    within = sum(bool(_INNER.search(word)) for word in words)
    return "signs" if words and within < _SOME * len(words) else "words"
