"""Names for labels that stand in the data as numbers: as they were given, and which label each belongs to."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tunesmith.core.errors import DataError, OptionError, Problem
from tunesmith.data.class_colours import in_colours, in_one_way
from tunesmith.data.jsonkeys import DECODER

Given = str | Sequence[Any] | Mapping[Any, Any]
_PAIR = re.compile(r"\s*(-?\d+)(?:\s*[:=;,\t]\s*|\s+)(\S.*?)\s*")
"""A line, or a part between commas, that begins with the number of the label: '3: food', '3,food', '3 food'."""
_SHORT_PAIR = re.compile(r"\s*(-?\d+)\s*[:=]\s*(\S.*?)\s*")
_LARGEST_FILE = 10_000_000


def given_names(given: Given) -> list[str] | dict[str, str]:
    """Names in the order of their labels, or label -> name.

    Read are lists, mappings in either direction (transformers' id2label and label2id), names with commas between them,
    `0: food, 1: shop`, and files: a name a line, a number and a name a line, or JSON with such a list or mapping (a
    config.json that has id2label too). Raises OptionError.
    """
    if isinstance(given, Mapping):
        return _mapping(given)
    if not isinstance(given, str):
        return [str(name).strip() for name in given]
    path = Path(given).expanduser()
    if not path.is_file():
        return _pairs(given.split(","), _SHORT_PAIR) or [part.strip() for part in given.split(",")]
    if path.stat().st_size > _LARGEST_FILE:
        raise OptionError(f"label_names: {path} has more than {_LARGEST_FILE:,} bytes; expected a name a line.")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise OptionError(f"label_names: {path} is not UTF-8.", "Save it as UTF-8, a name a line.") from None
    if path.suffix.lower() == ".json":
        return _of_json(text, path)
    if coloured := in_colours(path):
        return coloured
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return _pairs(lines, _PAIR) or lines


def _of_json(text: str, path: Path) -> list[str] | dict[str, str]:
    try:
        found = DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        raise OptionError(f"label_names: {path} can not be read as JSON ({error}).") from None
    if isinstance(found, dict):
        found = next((found[key] for key in ("id2label", "label2id", "names") if key in found), found)
    if not isinstance(found, dict | list):
        raise OptionError(f"label_names: {path} holds neither a list of names nor numbers with names.")
    return given_names(found)


def _pairs(parts: Sequence[str], pattern: re.Pattern[str]) -> dict[str, str]:
    """Number -> name where every part is such a pair, and no number comes twice; else {}."""
    found = [pattern.fullmatch(part) for part in parts]
    pairs = {match[1]: match[2] for match in found if match}
    return pairs if len(pairs) == len(parts) else {}


def _mapping(given: Mapping[object, object]) -> dict[str, str]:
    """label -> name; label2id is turned round."""
    pairs = in_one_way({str(key).strip(): str(value).strip() for key, value in given.items()})
    numbers = [value for value in pairs.values() if re.fullmatch(r"-?\d+", value)]
    turned = len(numbers) == len(pairs) and not any(re.fullmatch(r"-?\d+", key) for key in pairs)
    if turned and len(set(numbers)) < len(numbers):
        raise OptionError("label_names gives one number to several names.")
    return {value: key for key, value in pairs.items()} if turned else pairs


def in_order(given: Given, positions: int) -> list[str]:
    """Names of the positions of 0/1 vectors, from 0 on. Raises OptionError."""
    names = given_names(given)
    if isinstance(names, dict):
        names = [names.get(str(place), "") for place in range(max(positions, len(names)))]
    if len(names) != positions or len(set(names)) != positions or not all(names):
        given_count, shown = len(set(filter(None, names))), ", ".join(names)[:200]
        needed = f"the vectors have {positions} positions, and each needs a name of its own."
        raise OptionError(f"label_names gives {given_count} names ({shown}); {needed}")
    return names


def of_labels(
    given: Given, labels: Iterable[str], source: str, column: str, *, every: bool = True
) -> tuple[dict[str, str], str]:  # fmt: skip
    """(label -> name, how the names were told apart) for the labels of a column.

    A list names the labels 0, 1, 2, ...; or 1, 2, 3, ... where the last of these is a label and 0 is none. Raises
    DataError for a list where the labels are words, for labels without a name (where `every` must have one), and for a
    name that comes twice.
    """
    known, names = set(labels), given_names(given)
    how = "as given by label_names"
    if isinstance(names, list):
        if words := sorted(label for label in known if not re.fullmatch(r"-?\d+", label)):
            told = f"label_names is a list, which names the labels 0, 1, 2, ...; this column has {words[0][:60]!r}"
            fix = "Say which label has which name: --set label_names={old: new}."
            raise DataError(Problem(told, source, column=column), fix)
        first = 1 if "0" not in known and str(len(names)) in known else 0
        how += f", the first is that of {first}"
        names = {str(number): name for number, name in enumerate(names, first)}
    if every and (missing := sorted(known - set(names) - set(names.values()), key=lambda label: (len(label), label))):
        told = f"label_names has no name for {', '.join(map(repr, missing[:10]))}{' ...' * (len(missing) > 10)}"
        told += f" (it names {', '.join(list(names)[:10])}{' ...' * (len(names) > 10)})"
        raise DataError(Problem(told, source, column=column), fix="Name every label that stands in the column.")
    used = [name for label, name in names.items() if label in known]
    if twice := sorted({name for name in used if used.count(name) > 1 or not name}):
        told = f"label_names gives several labels the name {twice[0]!r}"
        raise DataError(Problem(told, source, column=column), fix="Give each label a name of its own.")
    return names, how
