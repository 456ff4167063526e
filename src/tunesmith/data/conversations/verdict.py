"""Whether a column says which answers are good, by its name and its words. Knows no files and no formats.

A file of answers with a verdict beside them teaches the opposite of what is meant where the verdict is left out: bad
answers become examples to follow. So a column that judges is either read, or named.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tunesmith.data.conversations.messages import decoded
from tunesmith.data.nothing import may_be_nothing, says_nothing
from tunesmith.data.numbers import is_plain

_PLAIN_GOOD = frozenset({
    "1", "evet", "ja", "oui", "si", "sim", "sí", "t", "tak", "true", "verdadeiro", "verdadero", "vero", "vrai",
    "on", "wahr", "y", "yes", "да", "はい", "对", "是",
})  # fmt: skip
"""Yes, true: they judge under a name that asks."""
_PLAIN_BAD = frozenset({
    "0", "f", "off", "falsch", "false", "falso", "faux", "n", "nao", "nein", "nie", "no", "non", "não", "нет", "いいえ",
    "不", "否",
})  # fmt: skip
_GOOD = frozenset({
    "+", "+1", "accept", "accepted", "approve", "approved", "best", "better", "bien", "boa", "bom", "bon", "bonne",
    "buena", "bueno", "buono", "chosen", "correct", "correcta", "correcte", "correcto", "correto", "corretto",
    "desirable", "desired", "dobry", "excellent", "goed", "good", "great", "gut", "helpful", "keep", "korrekt",
    "like", "liked", "pass", "passed", "pos", "positive", "preferred", "richtig", "right", "satisfied",
    "thumb up", "thumbs up", "thumbsup", "up", "upvote", "upvoted", "win", "winner", "winning", "верно",
    "правильно", "хороший", "хорошо", "☑", "✅", "✓", "✔", "❤", "⬆", "⭕", "好", "正しい", "正确", "良い", "👍",
    "agree", "ok", "okay", "safe", "💯", "🔼", "😀", "😃", "😊", "🙂", "🟢",
})  # fmt: skip
"""Words and signs for a good answer."""
_BAD = frozenset({
    "-", "-1", "bad", "cattivo", "declined", "disapproved", "discard", "dislike", "disliked", "dispreferred",
    "dissatisfied", "down", "downvote", "downvoted", "fail", "failed", "incorrect", "incorrecta", "incorrecte",
    "incorrecto", "incorreto", "inkorrekt", "lose", "loser", "losing", "mal", "mala", "malo", "mau", "mauvais",
    "mauvaise", "neg", "negative", "not good", "not helpful", "not ok", "poor", "reject", "rejected", "ruim",
    "sbagliato", "schlecht", "slecht", "terrible", "thumb down", "thumbs down", "thumbsdown", "undesirable",
    "undesired", "unhelpful", "worse", "worst", "wrong", "zły", "неверно", "неправильно", "плохо", "плохой", "☹",
    "✖", "✗", "✘", "❌", "⬇", "坏", "差", "悪い", "错误", "間違い", "👎", "💔", "🔴", "🔽", "😞", "😠", "😡",
    "denied", "disagree", "disapprove", "loss", "nok", "unsafe", "🙁",
})  # fmt: skip
_TELLING = (_GOOD | _BAD) - {
    "positive", "pos", "negative", "neg", "up", "down", "right", "+", "-", "win", "keep", "mal", "mala", "bien", "best",
    "great", "poor", "ok", "okay", "safe", "unsafe", "agree", "disagree", "loss", "🟢", "🔴",
}  # fmt: skip
"""Words that judge whatever their column is called; of the others some name a sentiment or a state."""
_NAMES = frozenset({
    "accept", "acceptable", "accepted", "annotation", "approval", "approved", "avaliacao", "avaliação", "beoordeling",
    "bewertung", "bon", "bonne", "bueno", "calificacion", "calificación", "chosen", "correct", "correcte",
    "correctness", "correcto", "correto", "desirable", "etichetta", "etiqueta", "etiquette", "eval",
    "evaluation", "feedback", "giudizio", "gold", "good", "grade", "gut", "helpful", "helpfulness", "judge",
    "judgement", "judgements", "judgment", "korrekt", "kto label", "kto tag", "label", "labels", "like", "liked",
    "nota", "note", "ocena", "overall", "pass", "passed", "points", "preference", "preferred", "punkte",
    "punteggio", "puntuacion", "puntuación", "quality", "rate", "rated", "rating", "ratings", "reaction",
    "reward", "rewards", "richtig", "right", "satisfaction", "satisfied", "score", "scores", "selected", "star",
    "stars", "sterne", "tag good", "thumb", "thumb up", "thumbs", "thumbs up", "upvoted", "upvotes", "urteil",
    "safe", "truthful", "factual", "faithful", "grounded", "harmless", "relevant", "hilfreich", "útil",
    "utile", "полезно",
        "valid", "valoracion", "valoración", "valutazione", "verdict", "vote", "votes", "voto", "wertung", "winner",
    "won", "étiquette", "évaluation", "метка", "оценка", "рейтинг", "ラベル", "分数", "好评", "得分", "是否正确",
    "标签", "正解", "評価", "评价", "评分", "评级",
})  # fmt: skip
"""Columns that judge."""
_AGAINST = frozenset({
    "abusive", "bad", "declined", "disliked", "dispreferred", "downvoted", "falsch", "incorrect", "malo", "mauvais",
    "flagged", "hallucinated", "hallucination", "inappropriate",
    "toxic", "toxicity", "harmful", "unsafe", "offensive", "refused", "refusal",
    "rejected", "ruim", "schlecht", "thumb down", "thumbs down", "undesirable", "unhelpful", "wrong", "плохо",
})  # fmt: skip
"""Columns in which true means a bad answer."""
_SCALES = frozenset({
    "correctness", "grade", "helpfulness", "nota", "note", "overall", "points", "punkte", "quality", "rate",
    "rating", "ratings", "score", "scores", "star", "stars", "sterne",
})  # fmt: skip
"""Columns of numbers, in which 1 alone is more likely the lowest than the highest."""
_VAGUE = frozenset({
    "bon", "eval", "gold", "like", "nota", "note", "points", "rate", "right", "selected", "valid",
})  # fmt: skip
"""Columns that judge only where numbers or verdicts stand under their name."""
_NOISE = re.compile(r"^(is|was|has|human|user|the|ist|est|es|llm|gpt|model|answer|response|output|completion|reply|"
                    r"final|mean|average|avg) | (label|flag|score|value|rating|binary|bool|by \w+|\d+)$")  # fmt: skip
_SIDES = r"(answers?|responses?|outputs?|completions?|messages?|conversations?|texts?|reply|replies|turns?|samples?)"
_WORSE = re.compile(rf"(rejected|reject|dispreferred|non preferred|unpreferred|losing|loser|worse|bad|negative)"
                    rf"( {_SIDES})?|"
                    rf"(negative|wrong|incorrect|unchosen) {_SIDES}|"
                    rf"{_SIDES} (rejected|reject|dispreferred|losing|loser|worse|bad|negative|wrong)")  # fmt: skip
_BETTER = re.compile(rf"(chosen|choose|preferred|winning|winner|better|good|accepted)( {_SIDES})?|"
                     rf"(positive|correct|right) {_SIDES}|{_SIDES} positive|"
                     rf"{_SIDES} (chosen|preferred|winning|winner|better|good|accepted)")  # fmt: skip
_SKIN = re.compile("[\U0001f3fb-\U0001f3ff\ufe0e\ufe0f\u200d]")
_SHOWN, _WORDS = 5, 6


@dataclass(frozen=True)
class Verdict:
    """How the verdicts of a file are read.

    column: the file's, or `column.key` within an object. against: true means that the answer is bad. lowest: the
    number that means a bad answer, 0 or -1.
    """

    column: str
    against: bool = False
    lowest: int = 0

    def read(self, cell: object) -> bool | None:
        """Whether the answer is good; None for a cell that says neither."""
        if _number(cell) in (0, -1) and _number(cell) != self.lowest:
            return None
        found = says(cell)
        return None if found is None else found != self.against


@dataclass(frozen=True)
class Unread:
    """A column that seems to judge, and can not be read as good or bad. shown: some of its values; where there is a
    `fix`, what is wrong, in words."""

    column: str
    shown: str
    fix: str = ""


def says(cell: object) -> bool | None:
    """True for a cell that says good, False for bad, None for neither: true/false, yes/no, 1/0, 1/-1, good/bad, ..."""
    if isinstance(cell, bool):
        return cell
    number = _number(cell)
    if number is not None:
        return {1.0: True, 0.0: False, -1.0: False}.get(number)
    word = _word(cell)
    return True if word in _PLAIN_GOOD | _GOOD else False if word in _PLAIN_BAD | _BAD else None


def find(names: Iterable[str], rows: Sequence[Mapping[str, object]], used: Iterable[str]) -> Verdict | Unread | None:
    """What judges the answers of these rows, beside the columns `used`: of those that can be read the one that judges
    most rows, else the first that can not be read, else None."""
    unread = None
    read: list[tuple[int, Verdict]] = []
    for column in _paths(names, rows, set(used)):
        cells = [cell for row in rows if _there(cell := cell_of(row, column))]
        found = _judge(column, cells) if cells else None
        if isinstance(found, Verdict):
            read.append((len(cells), found))
        else:
            unread = unread or found
    return max(read, key=lambda one: one[0])[1] if read else unread


def cell_of(row: Mapping[str, object], column: str) -> object:
    """The cell of a column, or of `column.key`, one object within another; None where there is none."""
    if column in row or "." not in column:
        return row.get(column)
    name, _, inner = column.partition(".")
    within = _object(row.get(name))
    return cell_of(within, inner) if isinstance(within, Mapping) else None


def sides(names: Iterable[str]) -> tuple[str | None, str | None]:
    """The columns of the better and of the worse answer, by their names; None for one that is not there."""
    words = {name: plain_name(name) for name in names}
    better = [name for name in words if _BETTER.fullmatch(words[name])]
    worse = [name for name in words if _WORSE.fullmatch(words[name])]
    return min(better, key=len, default=None), min(worse, key=len, default=None)


def plain_name(name: str) -> str:
    """A column's name in lower-case words: 'isGood' and 'is_good' are 'is good'."""
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", str(name))
    return " ".join(re.split(r"[\s_\-./?:]+", unicodedata.normalize("NFC", name).casefold())).strip()


def _paths(names: Iterable[str], rows: Sequence[Mapping[str, object]], used: set[str]) -> list[str]:
    """The columns that may judge, and the keys of objects in them."""
    found: list[str] = []
    for name in names:
        if name in used:
            continue
        inner = [cell for row in rows if isinstance(cell := _object(row.get(name)), Mapping)]
        keys = dict.fromkeys(key for cell in inner for key in cell)
        found += [f"{name}.{path}" for path in _paths(keys, inner, set())] if inner else [name]
    return found


def _object(cell: object) -> object:
    """What a cell holds; of a list with one object in it, that object."""
    value = decoded(cell)
    return value[0] if isinstance(value, list) and len(value) == 1 and isinstance(value[0], Mapping) else value


def _judge(column: str, cells: list[object]) -> Verdict | Unread | None:
    name = plain_name(column.rpartition(".")[2])
    core = _NOISE.sub("", _NOISE.sub("", name))
    against = bool({name, core} & _AGAINST)
    named = against or bool({name, core} & _NAMES)
    said = [says(cell) for cell in cells]
    numbers = {number for cell in cells if (number := _number(cell)) is not None}
    if not named:
        telling = all(_word(cell) in _GOOD | _BAD for cell in cells) and any(_word(cell) in _TELLING for cell in cells)
        return Verdict(column) if telling and len(set(said)) == 2 else None
    clear = numbers <= {0, 1} or numbers <= {-1, 1}
    if numbers and {name, core} & _SCALES and len(numbers) == 1 and not any(isinstance(cell, bool) for cell in cells):
        clear = False
    worded = sum(one is not None for one, cell in zip(said, cells, strict=True) if _number(cell) is None)
    if 2 * worded > len(said):  # a number among words is a fault of its row
        return Verdict(column, against)
    if clear and 2 * sum(one is not None for one in said) > len(said):
        return Verdict(column, against, -1 if -1 in numbers else 0)
    if all(isinstance(cell, str) and len(cell.split()) > _WORDS for cell in cells):
        return None  # remarks, and no verdict
    if any(isinstance(cell, (list, Mapping)) for cell in cells):
        return None
    if not numbers and {name, core} & _VAGUE:
        return None
    values = list(dict.fromkeys(str(cell)[:30] for cell in cells))
    return Unread(column, ", ".join([*values[:_SHOWN], *(["..."] if len(values) > _SHOWN else [])]))


def _there(cell: object) -> bool:
    """Whether a cell says anything at all. A minus alone is a verdict."""
    if isinstance(cell, str):
        return cell.strip() == "-" or not (says_nothing(cell) or may_be_nothing(cell))
    return cell is not None and cell != []


def _number(cell: object) -> float | None:
    if isinstance(cell, bool) or not isinstance(cell, (int, float, str)):
        return None
    if isinstance(cell, str):
        cell = cell.strip().replace("\u2212", "-")
        if not is_plain(cell):
            return None
        try:
            return float(cell.replace(",", "."))
        except ValueError:
            return None
    return float(cell)


def _word(cell: object) -> str:
    if not isinstance(cell, str):
        return ""
    word = _SKIN.sub("", unicodedata.normalize("NFKC", cell)).strip().casefold()
    word = word.strip("\"'()[].!:;,") or word
    return " ".join(re.split(r"[\s_]+|(?<=\w)-(?=\w)", word))
