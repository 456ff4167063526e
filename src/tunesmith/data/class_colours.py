"""Classes that are named by colours: as files of labelling tools have them, and as people write a colour."""

from __future__ import annotations

import csv
import re
from pathlib import Path

_COLOURED = re.compile(r"(\d{1,3})[ ,\t]+(\d{1,3})[ ,\t]+(\d{1,3})[ ,\t]+(\S.*)")
_CVAT = re.compile(r"([^:#][^:]*):(\d{1,3}),(\d{1,3}),(\d{1,3}):.*")


def colour_name(value: int) -> str:
    """'#ff8000'."""
    return f"#{value:06x}"


def colour_value(name: str) -> int | None:
    """The number of a colour that is written as '#ff8000', '255,128,0' or '255 128 0'; None for no colour."""
    text = name.strip().lower()
    if re.fullmatch(r"#[0-9a-f]{6}", text):
        return int(text[1:], 16)
    parts = text.strip("()[]").replace(",", " ").split()
    if len(parts) == 3 and all(part.isdigit() and int(part) < 256 for part in parts):
        return int(parts[0]) << 16 | int(parts[1]) << 8 | int(parts[2])
    return None


def in_one_way(pairs: dict[str, str]) -> dict[str, str]:
    """colour -> name with colours as '#ff8000', of pairs in either direction; others stay as they are."""
    keys, values = ([colour_value(one) for one in some] for some in (pairs.keys(), pairs.values()))
    if pairs and None not in values and None in keys:
        pairs, keys = {value: key for key, value in pairs.items()}, values
    if not pairs or None in keys:
        return pairs
    return {colour_name(key): name for key, name in zip(keys, pairs.values(), strict=True) if key is not None}


def in_colours(path: Path) -> dict[str, str]:
    """'#ff0000' -> name, or number -> name, of a file of lines with a colour or a number each: `name,r,g,b` and
    `Pixel Value,Class` with a header, `r g b name`, CVAT's `name:r,g,b::`. {} for any other."""
    lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    if path.suffix.lower() == ".csv":
        return _of_table(lines)
    for pattern, colour, name in ((_COLOURED, (1, 2, 3), 4), (_CVAT, (2, 3, 4), 1)):
        found = [pattern.fullmatch(line) for line in lines]
        if lines and all(found):
            pairs = [(match, match[name].strip()) for match in found if match]
            return {_hex(*(int(match[part]) for part in colour)): told for match, told in pairs}
    return {}


def _of_table(lines: list[str]) -> dict[str, str]:
    rows = [
        {key.strip().lower(): (cell or "").strip() for key, cell in row.items() if key} for row in csv.DictReader(lines)
    ]
    if rows and {"r", "g", "b", "name"} <= set(rows[0]):
        return {_hex(*(int(row[part]) for part in "rgb")): row["name"] for row in rows}
    if rows and {"pixel value", "class"} <= set(rows[0]):
        return {row["pixel value"]: row["class"] for row in rows}
    return {}


def _hex(red: int, green: int, blue: int) -> str:
    return colour_name(red << 16 | green << 8 | blue)
