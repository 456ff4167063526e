"""Two answers side by side, and a column that says which of them is better. Knows no files and no formats.

As people are asked: `response_a`, `response_b`, `preference` (Chatbot Arena), `response_0`, `response_1`,
`better_response_id` (PKU-SafeRLHF), `human_ref_A`, `human_ref_B`, `labels` (SHP), `answer_0`, `score_0` (WebGPT),
`response_1`, `preference_strength` (HelpSteer2), and in pairs made from votes `response_j`, `response_k`, of which the
first is the better one (StackExchange).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tunesmith.data.conversations.messages import decoded, is_messages
from tunesmith.data.conversations.verdict import Unread, plain_name
from tunesmith.data.nothing import says_nothing

Row = Mapping[str, Any]
Side = Literal[0, 1]

_STEM = (
    r"(?:model |assistant |human |ai |candidate )?(?:response|answer|output|completion|reply|generation|candidate|"
    r"conversation|summary|assistant|human ref|chat|continuation|messages)s?"
)
_ENDS = (("a", "b"), ("0", "1"), ("1", "2"), ("left", "right"), ("first", "second"), ("one", "two"))
_SORTED = (("j", "k"), ("w", "l"), ("win", "lose"))
"""Ends of names of which the first is the better answer."""
_CHOICE = re.compile(
    r"(human |overall |final |user |annotator |majority |gpt4? |llm |expert )?"
    r"(preferences?|preferred|choices?|winner|winning|better|best|chosen|selected|vote|verdict|labels?|judge?ment|"
    r"annotation|pick|decision|result|answer)( ?(response|answer|output|model|side|id|idx|index|label|text))*"
)
_SURE = re.compile(r"(human |overall |user )?(winner|winning|preferred|preference|better|best)")
"""Names of a column that says which answer is better, whatever stands in it."""
_STRENGTH = re.compile(r"(overall |human )?preference (strength|score)")
_TIE = re.compile(
    r"(tied?|draw|equal|even|same|both|neither|none|no preference|unsure|unclear|similar|undecided|=|==|a ?=+ ?b|"
    r"b ?=+ ?a|1 ?=+ ?2|c)( ?\(?(both ?bad|both ?good|both|bad|good)\)?)?|bothbad|both ?good|(both|neither)\b.*"
)
_PREFIX = re.compile(
    r"^(the |chose |chosen |prefer(red)? )?(model|response|answer|output|assistant|option|completion|candidate|"
    r"conversation|reply|summary|text|side|human ref|no|nr|#)?[ :]*"
)
_MORE = re.compile(r"(a|b|1|2) ?(>+|<+) ?(a|b|1|2)")


@dataclass(frozen=True)
class Choice:
    """How a row says which of `answers` (two columns) is better.

    how: 'word' (by the cell of `columns[0]`, `words` to sides, None for a tie), 'sorted' (the first always is), 'flags'
    (columns of 0 and 1: the first, the second), 'scores' (the higher of two numbers), 'strength' (a number below 0 for
    the first, above it for the second), 'named' (`columns[0]` holds what `columns[1]` or `columns[2]` does: a model).
    """

    answers: tuple[str, str]
    how: Literal["word", "sorted", "flags", "scores", "strength", "named"]
    columns: tuple[str, ...] = ()
    words: tuple[tuple[str, int], ...] = ()

    def read(self, row: Row) -> Side | None:
        """The better answer, None for a tie. Raises ValueError for a cell that does not say."""
        if self.how == "sorted":
            return 0
        cells = [row.get(name) for name in self.columns]
        if any(cell is None or (isinstance(cell, str) and not cell.strip()) for cell in cells):
            raise ValueError("is empty")
        if self.how == "word":
            found = _known(_plain(cells[0]), dict(self.words))
            if found is None:
                raise ValueError(f"{str(cells[0])[:40]!r} names neither of the two answers, and no tie")
            return None if found == _TIED else 0 if found == 0 else 1
        if self.how == "named":
            return _named_side(cells)
        numbers = [_number(cell) for cell in cells]
        if self.how == "strength":
            numbers = [0.0, numbers[0]]
        return None if numbers[0] == numbers[1] else 0 if numbers[0] > numbers[1] else 1


def find(names: Iterable[str], rows: Sequence[Row]) -> Choice | Unread | None:
    """How these rows choose between two answers; Unread where a column seems to and can mean either; None where
    there are no two answers, or nothing that chooses."""
    plain = {plain_name(name): name for name in reversed(list(names))}
    for answers, ends in _sides(plain):
        if ends in _SORTED:
            return Choice(answers, "sorted")
        if found := _chosen(answers, ends, plain, rows):
            return found
    return None


def _sides(plain: Mapping[str, str]) -> Iterator[tuple[tuple[str, str], tuple[str, str]]]:
    for ends in (*_ENDS, *_SORTED):
        for first in plain:
            if not re.fullmatch(rf"{_STEM} ?{ends[0]}|[a-z]* ?y {ends[0]}|y {ends[0]}", first):
                continue
            second = plain.get(first[: -len(ends[0])] + ends[1])
            if second is not None:
                yield (plain[first], second), ends


def _chosen(
    answers: tuple[str, str], ends: tuple[str, str], plain: Mapping[str, str], rows: Sequence[Row]
) -> Choice | Unread | None:
    others = {word: name for word, name in plain.items() if name not in answers}
    unread: Unread | None = None
    for word in sorted((w for w in others if _CHOICE.fullmatch(w)), key=lambda w: ("label" in w, len(w))):
        cells = [cell for row in rows if (cell := row.get(others[word])) is not None and str(cell).strip()]
        if not cells or len({str(cell) for cell in cells}) > 12:
            continue
        found = _words_of({_plain(cell) for cell in cells}, ends, answers)
        if isinstance(found, Unread):
            unread = unread or Unread(others[word], found.shown)
        elif found is not None:
            return Choice(answers, "word", (others[word],), tuple(sorted(found.items())))
        elif named := _named(others[word], ends, plain, rows):
            return Choice(answers, "named", named)
        elif _SURE.match(word):
            shown = ", ".join(repr(cell[:30]) for cell in dict.fromkeys(map(str, cells[:3])))
            unread = unread or Unread(others[word], f"words that name neither of the two, such as {shown}")
    if unread:
        return unread
    flags = [others.get(f"winner {stem}{end}") for stem in ("model ", "response ", "") for end in ends]
    for first, second in zip(flags[::2], flags[1::2], strict=True):
        if first is not None and second is not None:
            return Choice(answers, "flags", (first, second))
    for word in others:
        if _STRENGTH.fullmatch(word) and _numbers(rows, others[word]):
            return Choice(answers, "strength", (others[word],))
    for stem in ("score", "rating", "reward", "rank score", "overall score", "quality"):
        pair = tuple(
            name for end in ends if (name := others.get(f"{stem} {end}") or others.get(f"{stem}{end}")) is not None
        )
        if len(pair) == 2 and all(_numbers(rows, name) for name in pair):
            return Choice(answers, "scores", pair)
    return None


def _named(name: str, ends: tuple[str, str], plain: Mapping[str, str], rows: Sequence[Row]) -> tuple[str, ...] | None:
    """The columns of the better one and of both, where each row names one of its two models."""
    for stem in ("model", "model name", "assistant", "system"):
        sides = [plain.get(f"{stem} {end}") or plain.get(f"{stem}{end}") for end in ends]
        if sides[0] is None or sides[1] is None:
            continue
        held = [[row.get(column) for column in (name, sides[0], sides[1])] for row in rows]
        if all(str(won) in map(str, both) or _TIE.fullmatch(_plain(won)) for won, *both in held if won is not None):
            return name, sides[0], sides[1]
    return None


def _named_side(cells: Sequence[object]) -> Side | None:
    won, first, second = map(str, cells)
    if _TIE.fullmatch(_plain(won)) or first == second:
        return None
    if won not in (first, second):
        raise ValueError(f"{won[:40]!r} names neither of the two models, and no tie")
    return 0 if won == first else 1


def _words_of(cells: set[str], ends: tuple[str, str], answers: tuple[str, str]) -> dict[str, int] | Unread | None:
    """The side that each word stands for, beside those that are read whatever the names; None where they are no
    choice."""
    told = {cell for cell in cells if not _TIE.fullmatch(cell)}
    if not told:
        return None
    numbers = {cell for cell in told if cell in ("0", "1", "2")}
    words: dict[str, int] = {}
    if numbers:
        if ends == ("0", "1"):
            words = {"0": 0, "1": 1}
        elif "2" in numbers or (ends == ("1", "2") and "0" not in numbers):
            words = {"1": 0, "2": 1, "0": _TIED}
        elif all(plain_name(name).startswith("human ref") for name in answers):
            words = {"1": 0, "0": 1}  # SHP: 1 where the first is preferred
        elif numbers == {"0", "1"}:
            return Unread("", "0 and 1, which can mean either of the two")
        else:
            return None  # one number alone says nothing
    return words if all(_known(cell, words) is not None for cell in told) else None


_TIED = 2


def _plain(cell: object) -> str:
    if isinstance(cell, bool):
        return str(int(cell))
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    return " ".join(re.split(r"[\s_\-.]+", str(cell).casefold().strip(" []().'\""))).strip()


def _known(cell: str, words: Mapping[str, int]) -> int | None:
    """0 or 1, `_TIED`, or None for a word that says nothing of that."""
    if cell in words:
        return words[cell]
    if more := _MORE.fullmatch(cell):
        bigger = more[1] if ">" in more[2] else more[3]
        return 0 if bigger in ("a", "1") else 1
    if _TIE.fullmatch(cell):
        return _TIED
    rest = _PREFIX.sub("", cell).removesuffix(" is better").removesuffix(" wins").strip()
    if rest in words:
        return words[rest]
    for at in (0, 1):
        if rest in {ends[at] for ends in _ENDS if not ends[at].isdigit()}:
            return at
    return {"1": 0, "2": 1}.get(rest) if not words and rest != cell else None


def _number(cell: Any) -> float:
    try:
        return float(cell)
    except (TypeError, ValueError):
        raise ValueError(f"{str(cell)[:40]!r} is no number") from None


def _numbers(rows: Sequence[Row], name: str) -> bool:
    cells = [cell for row in rows if (cell := row.get(name)) is not None and not says_nothing(str(cell))]
    try:
        return bool(cells) and all(_number(cell) == _number(cell) for cell in cells)
    except ValueError:
        return False


_LISTS = frozenset({
    "responses", "answers", "completions", "candidates", "generations", "outputs", "replies", "summaries", "choices",
    "options", "samples", "all responses", "correct answers", "incorrect answers", "continuations",
})  # fmt: skip
_TEXTS = ("response", "answer", "text", "content", "completion", "output", "generation", "message", "summary")
_SCORES = ("overall score", "fine grained score", "score", "rating", "reward", "rank", "ranking", "quality")
_LIST_SCORES = ("scores", "ratings", "rewards", "ranks", "ranking", "rank", "score")
_FIX = "Write a row for each pair of answers, with the columns prompt, chosen (the better one) and rejected (the worse)"


def find_unread(names: Iterable[str], rows: Sequence[Row], asked: str) -> Unread | None:
    """What can not be read of preference data with these columns: several answers in one cell, or two without a word on
    which is better, so that its refusal names the way out; None for anything else. asked: the column of prompts, ''
    where there is none."""
    plain = {plain_name(name): name for name in names}
    for word, name in plain.items():
        cells = [cell for row in rows if (cell := decoded(row.get(name))) is not None]
        if word in _LISTS and cells and all(_is_answers(cell) for cell in cells):
            return _listed(name, cells, plain)
    sides = next(_sides(plain), None) if asked else None
    if sides is None:
        return None
    (left, right), _ = sides
    told = f"{left!r} and {right!r} are two answers to one prompt, and no column says which is the better"
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
