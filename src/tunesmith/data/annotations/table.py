"""Tables with a box in each row: the rows of a picture become one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tunesmith.core.errors import Problem
from tunesmith.data.annotations import rows
from tunesmith.data.annotations.rows import OBJECTS, Row
from tunesmith.data.nothing import says_nothing
from tunesmith.data.part import Part
from tunesmith.data.picture_sizes import size_of
from tunesmith.data.pictures import is_picture
from tunesmith.data.profile import simple
from tunesmith.data.target_kinds.boxes import LABELS, corners_of
from tunesmith.data.values import to_label

_LOOKED_AT = 200
_FIX = "Write a picture, a label and four numbers into each row; the numbers stay empty where nothing is on a picture."
_OWN_SIZE = (("width", "height"), ("image_width", "image_height"), ("img_width", "img_height"))


def gathered(part: Part) -> Part:
    """A part with a row a picture, its boxes in the column 'objects'; as it is where its rows are no boxes. Raises
    DataError with every row that holds no box."""
    table = part.table
    made = corners_of(table.column_names)
    image = next((name for name in table.column_names if _names_pictures(table.column(name))), None)
    label = next((name for word in LABELS for name in table.column_names if simple(name) == word), None)
    if made is None or image is None or label is None or label in made[1]:
        return part
    corners, names = made
    cells = table.to_pylist()
    shares = _are_shares(cells, names)
    found: dict[str, Row] = {}
    first: dict[str, int] = {}
    problems: list[Problem] = []
    for number, cell in enumerate(cells):
        key = str(cell[image])
        path = Path(part.folder) / Path(key).expanduser()
        row = found.setdefault(key, Row(path, Path(part.name)))
        first.setdefault(key, number)
        if all(_is_empty(cell[name]) for name in (*names, label)):
            continue  # nothing is on it
        try:
            numbers = corners(cell)
            name = to_label(cell[label])
            if name is None or not np.isfinite(numbers).all():
                raise ValueError
        except (TypeError, ValueError):
            told = f"no box: {', '.join(str(cell[name])[:20] for name in (label, *names))}"
            problems.append(part.problem(number, told))
            continue
        if shares and (size := size_of(str(path))) is not None:
            numbers = [share * (size.width, size.height)[at % 2] for at, share in enumerate(numbers)]
        row.boxes.append(rows.box(name, numbers))
    own = next((pair for pair in _OWN_SIZE if set(pair) <= set(table.column_names) - set(names)), None)
    for key, row in found.items():
        said = None if own is None or shares else _said(cells[first[key]], own)
        if (wrong := rows.fitted(row, said)) is not None:
            problems.append(part.problem(first[key], wrong.message))
    rows.refuse(problems, _FIX)
    at = np.fromiter(first.values(), dtype=np.int64)
    kept = table.take(pa.array(at)).drop_columns([*names, label])
    objects = pa.array([row.boxes for row in found.values()], OBJECTS)
    return replace(
        part, table=kept.append_column("objects", objects), lines=None if part.lines is None else part.lines[at],
        row_files=None if part.row_files is None else [part.row_files[place] for place in at],
    )  # fmt: skip


def _names_pictures(column: pa.ChunkedArray) -> bool:
    if not pa.types.is_string(column.type):
        return False
    cells = [str(cell) for cell in column.slice(0, _LOOKED_AT).to_pylist() if cell]
    return bool(cells) and all(map(is_picture, cells))


def _are_shares(cells: list[dict[str, Any]], names: tuple[str, ...]) -> bool:
    """Whether all numbers lie from 0 to 1."""
    try:
        numbers = [float(cell[name]) for cell in cells for name in names if not _is_empty(cell[name])]
    except (TypeError, ValueError):
        return False
    return bool(numbers) and max(numbers) <= 1.0 and any(number % 1 for number in numbers)


def _is_empty(cell: object) -> bool:
    return cell is None or cell != cell or (isinstance(cell, str) and (not cell.strip() or says_nothing(cell)))


def _said(cell: dict[str, Any], names: tuple[str, str]) -> tuple[int, int] | None:
    try:
        return int(float(cell[names[0]])), int(float(cell[names[1]]))
    except (TypeError, ValueError):
        return None
