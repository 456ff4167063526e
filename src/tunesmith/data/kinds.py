"""What kind of target the cells of a column are: a label, several labels, or a number; and what the cells mean."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from tunesmith.core.errors import DataError, Problem
from tunesmith.core.events import Decided, Emit, Warned
from tunesmith.data import scales, vectors
from tunesmith.data.label_names import of_labels
from tunesmith.data.nothing import may_be_nothing, says_nothing
from tunesmith.data.numbers import style_of
from tunesmith.data.profile import Profile, simple
from tunesmith.data.target_kind import kind_named
from tunesmith.data.types import Columns, Kind, ValueOptions
from tunesmith.data.values import is_tagged, looks_listed, parse_list, to_label, to_labels, whole

_FEW = 20
MOSTLY = 0.8
"""Share of the cells that are numbers, from which on a column is one of numbers."""
_STRAYS, _STRAY_SHARE = 2, 0.05  # few words among numbers are faults, and not classes
_DECIMAL_COMMA = re.compile(r"[-+]?\d+,\d+$")
_LISTED = {"tags", "labels", "genres", "topics", "emotions", "intents", "keywords", "hashtags", "themen", "etiquetas"}
"""Names of columns that hold several labels."""
_SPAN = re.compile(r"[\[({]+\s*(\d+\s*,\s*\d+\s*,\s*[\"'][^\d\"']|[\"']?(start|start_offset|begin)[\"']?\s*:\s*\d)")
_NUMBER_NAMES = re.compile(
    "(similarity_)?score|rating|price|stars|grade|value|similarity|note|bewertung|preis|prix|precio|nota|punkte|cijfer|"
    "ocena|prezzo|voto|amount|betrag"
)


def natural_kind(profile: Profile, separator: str | None = None) -> tuple[Kind, str | None, str]:
    """Kind of target that the cells look like, separator of labels in one cell, and why.

    `separator` as in `ValueOptions.label_separator`.
    """
    if profile.kind == "list":
        return "labels", None, "every cell is a list"
    if profile.kind == "string":
        if separator == "off":
            return "label", None, f"{profile.distinct} different values, each one label as asked for"
        if separator and any(separator in cell for cell in profile.counts):
            return "labels", separator, f"labels between {separator!r}, as asked for"
        found = _lists_in_cells(profile)
        if found:
            return found
    numbers, strays = len(profile.numbers), profile.strays
    if not numbers or strays > max(_STRAYS, _STRAY_SHARE * len(profile.cells)) or profile.numeric < MOSTLY:
        return "label", None, f"{profile.distinct} different values"
    repeated = numbers <= max(2, 0.5 * len(profile.cells))
    if profile.whole and numbers <= _FEW and repeated:
        which = f"whole numbers with only {numbers}" if not strays else f"{profile.distinct}"
        return "label", None, f"{which} different values"
    beside = f"; {strays} cells of {len(profile.cells)} are none" if strays else ""
    return "number", None, f"numbers with {numbers} different values{beside}"


def _lists_in_cells(profile: Profile) -> tuple[Kind, str | None, str] | None:
    cells = [cell for cell in profile.counts if not says_nothing(cell)]
    listed = [cell for cell in cells if looks_listed(cell)]
    if all(map(is_tagged, listed)) and not any(is_tagged(cell, several=True) for cell in listed):
        listed = []  # <spam> and <ham> are one label each
    if listed and len(listed) > 0.9 * len(cells) and all(_is_list(cell) for cell in listed[:200]):
        return "labels", None, "every cell is written as a list"
    written = all(map(vectors.vector, cells)) and not profile.numbers
    if len(cells) > 1 and (written or vectors.are_bits(cells)):
        return "labels", None, "every cell is a vector of 0 and 1"
    if profile.characters > 200:
        return None
    for separator in ("|", ";", ",", "\n"):
        if _separates(profile, separator) and not (separator == "," and _levels(profile, separator)):
            example = next(cell for cell in cells if separator in cell)
            return "labels", separator, f"cells such as {example!r} list labels that also stand elsewhere"
    return None


def _levels(profile: Profile, separator: str) -> bool:
    """Whether the parts are levels of one name, 'Clothing, Men': all cells have as many, none in two places."""
    split = [[part.strip() for part in cell.split(separator)] for cell in profile.counts]
    if len({len(parts) for parts in split}) != 1 or len(split) < 3:
        return False
    places = [set(place) for place in zip(*split, strict=True)]
    words = any(re.search(r"[^\W\d]", part) for place in places for part in place)
    return words and sum(map(len, places)) == len(set().union(*places))


def repeats(profile: Profile) -> bool:
    """Whether the labels inside the lists come again: at most half of them are different."""
    parts: list[str] = []
    for cell in profile.cells:
        listed = cell if isinstance(cell, list) else parse_list(cell) if _is_list(cell) else re.split("[|;,\n]", cell)
        parts += [str(part).strip() for part in listed]
    return len(set(parts)) <= max(2, 0.5 * len(parts))


def _is_list(cell: str) -> bool:
    with suppress(ValueError):
        parse_list(cell)
        return looks_listed(cell)
    return False


def _separates(profile: Profile, separator: str) -> bool:
    """Whether cells are lists: most parts of the cells with the separator stand in several other cells."""
    with_separator = {cell: n for cell, n in profile.counts.items() if separator in cell}
    if sum(with_separator.values()) < max(2, 0.002 * len(profile.cells)):
        return False
    if separator == "," and len(profile.numbers) == profile.distinct:
        decimals = [cell for cell in with_separator if _DECIMAL_COMMA.match(cell)]
        everywhere = sum(with_separator.values()) >= 0.95 * len(profile.cells)
        if len(decimals) < len(with_separator) or everywhere:  # '1,234,567', '1.234,5' and '4,5' throughout
            return False
    homes: defaultdict[str, set[str]] = defaultdict(set)
    for cell in profile.counts:
        for part in cell.split(separator):
            homes[part.strip()].add(cell)
    parts = Counter(part.strip() for cell in with_separator for part in cell.split(separator) if part.strip())
    shared = sum(len(homes[part]) >= 2 for part in parts)
    short = max((len(part) for part in parts), default=0) <= 60
    if not parts or not short or len(homes) > 0.5 * len(profile.cells):
        return False
    return shared >= 0.5 * len(parts) or (separator in "|;" and _in_any_place(profile, separator))


def _in_any_place(profile: Profile, separator: str) -> bool:
    """Whether a part stands at different places of its cells, as labels do and levels of a path do not: 'shop' in
    'food|shop' and 'shop|paper', which says enough where a file has too few rows for most parts to come again."""
    places: defaultdict[str, set[int]] = defaultdict(set)
    for cell in profile.counts:
        for place, part in enumerate(cell.split(separator)):
            places[part.strip()].add(place)
    return any(part and len(found) > 1 for part, found in places.items())


def pairs_or_decimals(
    profile: Profile, decimal: str | None, kinds: Sequence[Kind], source: str, why: str
) -> tuple[Kind, str | None, str]:
    """What '2,27' means: two labels, or a number with a decimal comma. Raises DataError where it can be both."""
    with_comma = [cell for cell in profile.counts if "," in cell]
    if not all(_DECIMAL_COMMA.match(cell) for cell in with_comma):
        return "labels", ",", why
    number: tuple[Kind, str | None, str] = ("number", None, "numbers with a decimal comma")
    if decimal == "," or "labels" not in kinds:
        return number
    if decimal == "." or "number" not in kinds:
        return "labels", ",", why
    fractions = {cell.split(",")[1] for cell in with_comma}
    number_name = _NUMBER_NAMES.fullmatch(simple(profile.name))
    if profile.target_rank and not number_name:
        return "labels", ",", why
    halves_and_quarters = fractions <= {"0", "5", "25", "75", "50", "00"}
    if halves_and_quarters or (number_name and max(map(len, fractions)) <= 2):
        return number
    if all(len(cell.split(",")[1]) > 1 for cell in with_comma) and len(fractions) <= 2:
        return "labels", ",", why  # one label that stands beside several others
    cell = with_comma[0]
    left, right = cell.split(",")
    message = f"cells such as {cell!r} could mean the number {left}.{right} or the two labels {left!r} and {right!r}"
    fix = "Say which: --set label_separator=, for labels, --set decimal=, for numbers."
    raise DataError(Problem(message, source, column=profile.name), fix)


def meaning(
    columns: Columns,
    known: Mapping[str, Profile],
    asked: tuple[ValueOptions, str | None],
    source: str,
    reasons: dict[str, tuple[str, str]],
) -> Columns:
    """The columns with what their cells mean: names of positions, decimal sign, spellings that are one."""
    values, decimal = asked
    columns = replace(
        columns, merge_labels=values.merge_labels, missing=tuple(values.missing),
        repeated_answers=values.repeated_answers,
    )  # fmt: skip
    if values.label_names is not None and (columns.kind == "number" or len(columns.target) > 1):
        what = "numbers to be read" if columns.kind == "number" else "a column for each label"
        problem = Problem(f"label_names names labels, and the target is {what}", source, column=columns.target[0])
        fix = " or learn the numbers as labels: --task text-classification." if columns.kind == "number" else "."
        raise DataError(problem, fix=f"Leave label_names out, or name another --target{',' * (len(fix) > 1)}{fix}")
    if len(columns.target) > 1:
        return columns
    profile = known[columns.target[0]]
    if columns.kind == "number":
        style = style_of(profile.counts, decimal) if profile.kind == "string" else profile.style
        if said := style.said():
            kind, why = reasons["target kind"]
            reasons["target kind"] = (kind, why if why.endswith(said) else f"{why}, written with {said}")
        return replace(columns, decimal=style.decimal if profile.kind == "string" and style.sure else None)
    if (other := kind_named(columns.kind)) is not None and not other.labelled:
        return columns
    if columns.kind != "spans":
        _refuse_spans(profile, source)
    positions = None
    if columns.kind == "labels" and values.label_separator is None:
        positions = vectors.width(profile.cells, source, profile.name)
    if positions is not None:
        names, why = vectors.names_of(positions, values.label_names, profile.name)
        reasons["target kind"] = ("labels", f"vectors of 0 and 1 with {positions} positions")
        reasons["label names"] = (", ".join(names), why)
        return replace(columns, positions=names, label_separator=None)
    if values.label_names is None:
        if (other := kind_named(columns.kind)) is not None:
            columns, found = other.meaning(columns, profile)
            reasons |= {"label names": (_named(columns.names), found)} if found else {}
        return columns
    given, how = of_labels(
        values.label_names, _labels(profile, columns), source, profile.name, every=kind_named(columns.kind) is None
    )  # fmt: skip
    reasons["label names"] = (_named(given.items()), how)
    return replace(columns, names=tuple(given.items()))


def _named(names: Iterable[tuple[str, str]]) -> str:
    return ", ".join(f"{label} is {name}" for label, name in names)


def _labels(profile: Profile, columns: Columns) -> set[str]:
    """The labels that the cells hold, as far as they can be read."""
    if (other := kind_named(columns.kind)) is not None:
        return other.labels(profile)
    found: set[str] = set()
    for cell in profile.cells:
        try:
            labels = to_labels(cell, columns.label_separator) if columns.kind == "labels" else [to_label(cell)]
        except ValueError:  # told with its row when all is read
            continue
        found |= {whole(label) for label in labels or () if label and not says_nothing(label)}
    return found - set(columns.missing)


def _refuse_spans(profile: Profile, source: str) -> None:
    """Raises DataError for cells that name places in the text, [[0, 5, 'LOC']]: no labels of the whole."""
    parts = [part for cell in profile.cells[:200] for part in (cell if isinstance(cell, list) else [cell])]
    if parts and sum(bool(_SPAN.match(str(part).strip())) for part in parts) > 0.5 * len(parts):
        shown = str(profile.cells[0])[:60]
        message = f"cells such as {shown} label words inside of the text (spans), which this task does not learn"
        fix = "Give labels that say something of a text as a whole, or learn the spans: --task token-classification."
        raise DataError(Problem(message, source, column=profile.name), fix)


def tell_rating(profile: Profile, columns: Columns, emit: Emit) -> None:
    """Say it where the target is a rating: what its order is good for."""
    named = scales.NAMES.fullmatch(simple(profile.name)) is not None
    names = [cell for cell in profile.counts if not (says_nothing(cell) or may_be_nothing(cell))]
    found = scales.scale_of_labels(names)
    if columns.kind != "label" or found is None or not (named or (found.low, found.high) == (1, 5)):
        return
    why = "learned as classes, whose order does not count; within_one is the share at most one off. "
    emit(Decided("rating", str(found), f"{why}To learn them as numbers on the scale: --task text-regression"))


def tell_other_reading(profile: Profile, columns: Columns, values: ValueOptions, emit: Emit) -> None:
    """Say it where the cells of the target could be read in another way."""
    if profile.kind != "string" or values.label_separator is not None:
        return
    separator = columns.label_separator
    if columns.kind == "labels" and separator == "," and simple(profile.name) not in _LISTED:
        cell = next((cell for cell in profile.counts if ", " in cell and re.search(r"[^\W\d]", cell)), None)
        if cell is not None:
            parts = ", ".join(repr(part.strip()) for part in cell.split(","))
            message = f"cells such as {cell!r} are read as several labels: {parts}"
            emit(Warned("labels with a comma", f"{message}. If each is one category: --set label_separator=off"))
    if columns.kind == "label" and profile.characters <= 100:
        for other in (" > ", "/", "|", ";", "::", " - ", "+", ",", "&", " and "):
            cell = next((cell for cell in profile.counts if other in cell.strip(other)), None)
            if cell is not None and (other in "|;" or _separates(profile, other)):
                why = f"cells such as {cell!r} are each one label; to read several: --set label_separator={other!r}"
                emit(Decided("several labels", "no", why))
                return
