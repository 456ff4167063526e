"""Whether a table has a header, on which row it stands, and which rows repeat it. Knows rows of cells, no files."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tunesmith.core.errors import DataError, Problem
from tunesmith.data.numbers import is_plain as is_number

_TITLE_ROWS = 20
_NAME_CHARACTERS = 40

# Words that are names of columns far more often than cells.
_HEADER_WORDS = frozenset((
    "id", "idx", "index", "text", "texts", "sentence", "sentence1", "sentence2", "sentence_1",
    "sentence_2", "text1", "text2", "text_a", "text_b", "premise", "hypothesis", "question",
    "question1", "question2", "answer", "query", "message", "body", "title", "subject", "description",
    "review", "comment", "content", "tweet", "utterance", "document", "abstract", "summary", "label",
    "labels", "category", "categories", "class", "target", "intent", "sentiment", "score", "rating",
    "stars", "emotion", "emotions", "topic", "tags", "date", "time", "timestamp", "created_at", "user",
    "user_id", "author", "url", "source", "split", "name", "type",
    "nachricht", "inhalt", "betreff", "titel", "kommentar", "bewertung", "beschreibung", "kategorie", "klasse", "thema",
    "frage", "antwort", "datum", "kunde", "sterne", "stimmung", "preis", "price", "nr", "nr.",
    "texte", "avis", "commentaire", "titre", "sujet", "catégorie", "categorie", "étiquette", "classe", "sentence_text",
    "texto", "mensaje", "comentario", "asunto", "categoría", "categoria", "etiqueta", "clase", "testo", "messaggio",
    "mensagem", "classificação", "etykieta", "tekst", "kategoria", "omschrijving",
    "текст", "отзыв", "сообщение", "категория", "метка", "класс", "оценка",
    "文本", "内容", "标签", "类别", "评论", "テキスト", "本文", "ラベル", "カテゴリ", "評価", "텍스트", "라벨", "내용",
))  # fmt: skip


@dataclass(frozen=True)
class Header:
    """Whether the first row holds names, and why we think so."""

    present: bool
    why: str


Rows = Sequence[tuple[int, Sequence[str]]]
"""Rows with the line on which each begins."""


@dataclass(frozen=True)
class Layout:
    """Where the names of a table stand, and what they are.

    names: one a column; header: whether a row holds them, which is the one on line `first` (else the first row of
    data); cells: that row as it stands. unnamed: columns without a name, which are dropped where they hold nothing.
    titles: the rows above, and above: the lines on which they begin.
    """

    names: list[str]
    header: bool
    why: str
    first: int
    cells: tuple[str, ...] = ()
    unnamed: tuple[str, ...] = ()
    titles: tuple[str, ...] = ()
    above: tuple[int, ...] = ()


def find_layout(
    rows: Rows, source: str, *, expected: Sequence[str] = (), header: bool | None = None, header_row: int | None = None
) -> Layout:
    """The layout of a table from its first rows that hold anything.

    expected: names that would prove a header; header: whether there is one, where that is known; header_row: its line,
    as the user says (0: none). Raises DataError for two columns of one name and for a line that is not there.
    """
    if not rows:
        return Layout([], True, "", 1)
    if header_row == 0:
        header = False
    above = 0
    if header_row:
        above = _place_of(rows, header_row, source)
        found = Header(True, f"line {header_row}, as asked for")
    elif header is not None:
        above = title_rows(rows, expected) if header else 0
        found = Header(header, "as asked for" if header_row == 0 else "as in the training file")
    else:
        above = title_rows(rows, expected)
        found = find_header(_alike([row for _, row in rows[above:]]), expected)
    line, row = rows[above]
    titles = tuple(" ".join(filter(None, map(str.strip, cells))) for _, cells in rows[:above])
    cells = tuple(_name(cell) for cell in row)
    if not found.present:
        return Layout(default_names(len(row)), False, found.why, line)
    names = [cell or name for cell, name in zip(cells, default_names(len(row)), strict=True)]
    refuse_duplicates(names, source)
    unnamed = tuple(name for cell, name in zip(cells, names, strict=True) if not cell)
    return Layout(names, True, found.why, line, cells, unnamed, titles, tuple(start for start, _ in rows[:above]))


def _name(cell: str) -> str:
    """A column's name without what nobody sees at its ends: blanks, marks of order and direction, joiners."""
    unseen = {sign for sign in (*cell[:4], *cell[-4:]) if sign.isspace() or unicodedata.category(sign) in ("Cf", "Cc")}
    return cell.strip("".join(unseen)) if unseen else cell


def _place_of(rows: Rows, line: int, source: str) -> int:
    for place, (start, _) in enumerate(rows):
        if start == line:
            return place
    message = f"no row begins on line {line}, where --header-row says that the names stand"
    fix = f"The first rows begin on the lines {', '.join(str(start) for start, _ in rows[:8])}."
    raise DataError(Problem(message, source, line=line), fix)


def _alike(rows: Sequence[Sequence[str]]) -> list[Sequence[str]]:
    """The rows that have as many cells as the first."""
    return [row for row in rows if len(row) == len(rows[0])]


def title_rows(rows: Rows, expected: Sequence[str]) -> int:
    """How many of the first rows are a title above the header: narrower than the table, or with hardly a cell filled,
    and then a row of names."""
    width = Counter(len(row) for _, row in rows).most_common(1)[0][0]
    if width < 2:
        return 0
    first = [[cell.strip() for cell in row] for _, row in rows[: _TITLE_ROWS + 1]]
    filled = (n for n, row in enumerate(first) if len(row) == width and sum(map(bool, row)) >= max(2, 0.6 * width))
    place = next(filled, 0)
    if place == 0:  # a title of several cells, where the names below it prove it
        whole = (n for n, row in enumerate(first) if len(row) == width and all(row) and _names_any(row, expected))
        place = next(whole, 0)
        if not all(len(row) <= width and not all(map(str.strip, row)) for _, row in rows[:place]):
            return 0
    elif not all(_is_title(row, width) for _, row in rows[:place]):
        return 0
    if not place:
        return 0
    names = [cell.strip() for cell in rows[place][1]]
    wide = [cell.strip() for _, row in rows[:place] if len(row) == width for cell in row if cell.strip()]
    if _names_any(wide, expected):
        return 0  # a header with columns that have no name
    below = _alike([row for _, row in rows[place:]])
    if not find_header(below, expected).present:
        return 0
    proved = _names_any(names, expected)
    above = [" ".join(cell for cell in row if cell.strip()) for _, row in rows[:place]]
    if any(is_usual_name(text) or len(text.split()) < 2 for text in above if text):
        return place if wide and proved else 0  # the header of one column of sentences
    return place if proved or (not wide and _are_names(names, below[1:])) else 0


def _names_any(cells: Iterable[str], expected: Sequence[str]) -> bool:
    """Whether one of the cells is a usual name, or one that is expected."""
    return any(is_usual_name(cell) or cell in expected for cell in cells)


def _is_title(row: Sequence[str], width: int) -> bool:
    filled = sum(bool(cell.strip()) for cell in row)
    return len(row) < width or (len(row) == width and filled <= max(1, width // 2 - (width % 2 == 0)))


def _are_names(names: Sequence[str], below: Sequence[Sequence[str]]) -> bool:
    """Whether these cells are short and different, and none stands in its column again."""
    short = all(name and len(name) <= _NAME_CHARACTERS and name[-1] not in ".!?…" for name in names)
    columns = list(zip(*below, strict=False))
    again = any(name == cell.strip() for name, cells in zip(names, columns, strict=False) for cell in cells)
    numeric = any(is_number(name) for name in names)
    return short and not again and not numeric and len(set(names)) == len(names)


def is_usual_name(cell: str) -> bool:
    return cell.strip().lower().replace(" ", "_") in _HEADER_WORDS


def find_header(rows: Sequence[Sequence[str]], expected: Iterable[str] = ()) -> Header:
    """Whether the first of these rows is a header. `expected` are names the user gave.

    A header is the norm: the answer is 'no' only on evidence.
    """
    first = [cell.strip() for cell in rows[0]]
    named = [name for name in expected if name in first]
    if named:
        return Header(True, f"the first row holds {named[0]!r}")
    rest = list(zip(*rows[1:], strict=False))
    for position, cells in enumerate(rest):
        filled = [cell for cell in cells if cell.strip()]
        numeric = sum(is_number(cell) for cell in filled)
        if filled and is_number(first[position]) and numeric > 0.5 * len(filled):
            return Header(False, f"the first row holds the number {first[position]!r} among numbers")
    known = [cell for cell in first if is_usual_name(cell)]
    if known:
        return Header(True, f"the first row holds {known[0]!r}, a usual column name")
    for position, cells in enumerate(rest):
        times = sum(cell.strip() == first[position] for cell in cells)
        if first[position] and times >= 2 and len(set(cells)) <= 0.5 * len(cells):
            return Header(False, f"{first[position]!r} of the first row comes {times} times more below it")
    for cell in first:
        words = cell.split()
        if len(words) >= 4 and (cell[-1] in ".!?…" or len(words) >= 8):
            return Header(False, f"the first row holds a whole sentence: {cell[:60]!r}")
    return Header(True, "nothing in the first row looks like data")


def repeats(layout: Layout) -> tuple[str, ...]:
    """The cells of the header as rows are compared with them: without case."""
    return tuple(cell.lower() for cell in layout.cells)


def may_be_data(layout: Layout, columns: Sequence[tuple[int, int]]) -> str | None:
    """The name of a column that proves that a row like the header is data: its name is one of its values.

    columns: for each how many other rows hold its name, and how many rows there are. Where there is but one column, a
    usual name proves a header.
    """
    if len(layout.names) == 1:
        return None if is_usual_name(layout.names[0]) else layout.names[0]
    for name, (times, rows) in zip(layout.names, columns, strict=False):
        if times >= max(2, 0.01 * rows):
            return name
    return None


def refuse_duplicates(names: Sequence[str], source: str) -> None:
    """Raises DataError if two columns have one name."""
    times = Counter(names)
    doubles = sorted(name for name, number in times.items() if number > 1)
    if doubles:
        problems = [Problem(f"{times[name]} columns have this name", source, column=name) for name in doubles]
        raise DataError(problems, fix="Rename or remove the double columns.")


def default_names(width: int) -> list[str]:
    """The column names of a file without a header: column_1, column_2, ..."""
    return [f"column_{position}" for position in range(1, width + 1)]
