"""Several columns read as one text: `--text title+body` is each row's title, a line break, and its body."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from tunesmith.data.part import is_frame

SIGN = "+"


def parts_of(name: str, known: Iterable[object]) -> list[str]:
    """The columns that `name` joins; [] where it is a column itself, or a part of it is none."""
    columns = [str(column) for column in known]
    parts = [part.strip() for part in name.split(SIGN)]
    return parts if name not in columns and len(parts) > 1 and set(parts) <= set(columns) else []


def names_in(names: Iterable[str]) -> tuple[str, ...]:
    """The names, and behind each that may be joined its parts: what a file may hold."""
    return tuple(part for name in names for part in (name, *(name.split(SIGN) if SIGN in name else ())))


def text(cells: Iterable[object]) -> str | None:
    """The cells that hold something, a line each; None where none does."""
    filled = [str(cell).strip() for cell in cells if cell is not None and cell == cell and str(cell).strip()]
    return "\n".join(filled) or None


def add_columns(table: pa.Table, names: Sequence[str]) -> pa.Table:
    """The table with a column more for each name that joins others."""
    for name in names:
        if parts := parts_of(name, table.column_names):
            columns = [table.column(part).to_pylist() for part in parts]
            table = table.append_column(name, pa.array(map(text, zip(*columns, strict=True)), pa.string()))
    return table


def fill_columns(data: Any, names: Sequence[str]) -> Any:
    """A DataFrame, row, columns or list of rows with the joined texts that a model reads; anything else as it is."""
    wanted = [name for name in names if SIGN in name]
    if not wanted:
        return data
    if is_frame(data):
        found = {name: parts for name in wanted if (parts := parts_of(name, data.columns))}
        texts = {name: list(map(text, zip(*map(data.get, parts), strict=True))) for name, parts in found.items()}
        return data.assign(**texts)
    if isinstance(data, Mapping):
        return {**data, **_of_mapping(data, wanted)}
    if isinstance(data, list | tuple) and any(isinstance(row, Mapping) for row in data):
        return [{**row, **_of_mapping(row, wanted)} if isinstance(row, Mapping) else row for row in data]
    return data


def _of_mapping(row: Mapping[object, object], names: Sequence[str]) -> dict[str, object]:
    found: dict[str, Any] = {}
    for name in names:
        cells = [row[part] for part in parts_of(name, row)]
        if cells and all(isinstance(cell, list | tuple) for cell in cells):
            found[name] = [text(line) for line in zip(*cells, strict=False)]
        elif cells:
            found[name] = text(cells)
    return found
