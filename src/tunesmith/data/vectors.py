"""Labels as 0/1 vectors: in [0, 1, 0] position 2 is on. Read from lists and from every way they are printed."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from tunesmith.core.errors import DataError, Problem
from tunesmith.data.label_names import Given, in_order

_ON = {"1", "1.0", "1.", "true", "yes", "y", "t"}
_OFF = {"0", "0.0", "0.", "false", "no", "n", "f", "none", "null", "nan", ""}
_MINUS = {"-1", "-1.0", "-1."}
"""Off, beside 1; beside 0 and 1 it says that nobody knows."""
_WRITTEN = re.compile(r"(?:array|tensor)?\(?\s*([\[({]?)\s*([^\[\](){}]*?)\s*([\])}]?)\s*(?:,\s*dtype=\w+)?\)?")
_BITS = re.compile("[01]{3,}")
_FIX = "Write 1 for each label that a text has and 0 for the others"
_LIST_LIKE = re.compile(r"[\s,;|]+")


def vector(cell: object) -> list[bool] | None:
    """The positions of a cell as on or off; None if the cell is no vector of 0 and 1. [] is a vector of none."""
    if isinstance(cell, str):
        if _BITS.fullmatch(cell.strip()):
            return [sign == "1" for sign in cell.strip()]
        match = _WRITTEN.fullmatch(cell.strip())
        if match is None or not (match[1] or match[2]):
            return None
        parts: Sequence[Any] = [part for part in _LIST_LIKE.split(match[2]) if part]
        if not match[1] and (len(parts) < 2 or ("," in match[2] and len(parts) < 3)):
            return None  # '0,1' may be a number
    elif isinstance(cell, Sequence):
        parts = cell
    else:
        return None
    words = [str(part).strip("\"' ").lower() for part in parts]
    off = _OFF if _MINUS.isdisjoint(words) else _MINUS
    known = all(word in _ON or word in off for word in words)
    return [word in _ON for word in words] if known else None


def are_bits(cells: Sequence[str]) -> bool:
    """Whether the cells are vectors without a sign between: '010', '110', ... of one length, three and more, of which
    some begin with 0 and two positions or more differ."""
    words = [cell.strip() for cell in cells]
    if not all(map(_BITS.fullmatch, words)) or len({len(word) for word in words}) != 1:
        return False
    return any(word[0] == "0" for word in words) and sum(len(set(signs)) > 1 for signs in zip(*words, strict=True)) > 1


def width(cells: Iterable[object], source: str, column: str) -> int | None:
    """How many positions the vectors of a column have; None where it holds no vectors.

    Numbers of labels ([0], [1], [0, 1]) differ in length and never name one twice; vectors do. Raises DataError for
    vectors of different lengths, half and half, and for shares ([0.2, 0.8]).
    """
    found = [cell for cell in cells if cell is not None]
    bits = [cell for cell in found if isinstance(cell, str) and _BITS.fullmatch(cell.strip())]
    if bits and not are_bits(bits):
        return None
    _refuse_unknown(found, source, column)
    read = [vector(cell) for cell in found]
    vectors = [one for one in read if one]
    if len(vectors) < len(found) - sum(one == [] for one in read) or not vectors:
        _refuse_shares(found, source, column)
        return None
    lengths = Counter(map(len, vectors))
    usual, times = lengths.most_common(1)[0]
    twice = any(len(set(one)) < len(one) for one in vectors)
    orders = len({tuple(one) for one in vectors}) > 1 and len(lengths) == 1
    if usual < 2 or not (twice or orders):
        return None
    if times < 0.6 * len(vectors):
        told = ", ".join(f"{number} of {length}" for length, number in lengths.most_common(4))
        problem = Problem(f"lists of 0 and 1 of different lengths: {told} positions", source, column=column)
        raise DataError(problem, fix="A 0/1 vector has a position for every label; a list of label numbers no repeats.")
    return usual


def _refuse_unknown(cells: Sequence[object], source: str, column: str) -> None:
    """Raises DataError for vectors of -1, 0 and 1: -1 beside 0 says that nobody knows."""
    lists = _equal_lists(cells)
    if {value for one in lists for value in one} == {-1.0, 0.0, 1.0}:
        shown = next(cell for cell, one in zip(cells, lists, strict=True) if -1.0 in one)
        problem = Problem(f"cells such as {shown!s:.60} hold -1 beside 0 and 1", source, column=column)
        raise DataError(problem, f"{_FIX}, or leave out these rows.")


def _refuse_shares(cells: Sequence[object], source: str, column: str) -> None:
    lists = _equal_lists(cells)
    values = [value for one in lists for value in one]
    if all(value % 1 == 0 for value in values):
        if 2 * sum(len(set(one)) < len(one) for one in lists) > len(lists):  # numbers of labels come once in a cell
            shown = next(cell for cell, one in zip(cells, lists, strict=True) if not {*one} <= {0, 1})
            message = f"cells such as {shown!s:.60} hold a number for each label, not only 0 and 1"
            raise DataError(Problem(message, source, column=column), f"{_FIX}.")
    elif all(0 <= value <= 1 for value in values):
        problem = Problem(f"cells such as {cells[0]!s:.60} hold a share for each label", source, column=column)
        raise DataError(problem, fix="Write the label with the largest share, or 0 and 1 for each label.")


def _equal_lists(cells: Sequence[object]) -> list[list[float]]:
    """The cells as lists of numbers where all are, of one length of two and more; else []."""
    lists = [numbers for cell in cells if len(numbers := _numbers(cell) or []) > 1]
    return lists if len(lists) == len(cells) and len(set(map(len, lists))) == 1 else []


def _numbers(cell: object) -> list[float] | None:
    if isinstance(cell, str):
        match = _WRITTEN.fullmatch(cell.strip())
        if match is None or not match[1]:
            return None
        cell = [part for part in _LIST_LIKE.split(match[2]) if part]
    if not isinstance(cell, Sequence):
        return None
    try:
        return [float(part) for part in cell]
    except (TypeError, ValueError):
        return None


def names_of(positions: int, given: Given | None, column: str) -> tuple[tuple[str, ...], str]:
    """A name for each position, and where it comes from: what is given (see `label_names`), a header
    that lists as many, else label_0, label_1, ...

    Raises OptionError for another number of names, or names that come twice.
    """
    if given is not None:
        return tuple(in_order(given, positions)), "names as given by label_names"
    named = [part.strip() for part in re.split(r"[,;|/]", re.sub(r"^[^\[(]*[\[(]|[\])]\s*$", "", column))]
    if len(named) == positions and all(named) and len(set(named)) == positions:
        return tuple(named), "names from the header"
    why = "they have no names: give them with --set label_names=a,b,c or a file with one a line"
    return tuple(f"label_{place}" for place in range(positions)), why
