"""What is given to `predict`, told apart once: one item, several, or a table.

Nothing is iterated by accident: what could be meant in two ways, or holds something else than texts, is refused
with the call that says what is meant. It knows no model, only the names of the columns that one reads.
"""

from __future__ import annotations

import dataclasses
import io
import math
import os
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import datasets

from tunesmith.core.errors import DataError, Problem, did_you_mean
from tunesmith.core.events import Emit, Event, Warned, ignore
from tunesmith.core.files import scratch
from tunesmith.data import archive, joined, tables
from tunesmith.data.conversations.inputs import open_parts
from tunesmith.data.modality import DataModality
from tunesmith.data.nothing import nothing_in_text
from tunesmith.data.prepare import read_rows
from tunesmith.data.sources import missing_file
from tunesmith.data.target_kind import kind_named
from tunesmith.data.targets import parse_targets
from tunesmith.data.texts import TextData
from tunesmith.data.types import Columns

if TYPE_CHECKING:
    import numpy as np
    import pandas


@dataclass(frozen=True)
class Given:
    """`items` in their order; `frame`, the DataFrame that they stand in, if any; `one`: a single answer is wanted."""

    items: list[Any]
    frame: Any = None
    one: bool = False
    places: list[tuple[str, int]] | None = None
    """(file, line) of each item that was read from one."""


@dataclass(frozen=True)
class FileRows:
    """Rows of a file that is answered: as they are written again, and what the model is asked of each."""

    rows: list[dict[str, Any]]
    asked: list[Any]
    places: list[tuple[str, int]] | None = None
    """(file, line) of each, where that is known."""


def identify(
    data: Any, columns: Columns | None = None, emit: Emit = ignore, modality: DataModality | None = None
) -> Given:
    """Tell what `data` is; `columns` are those that the model reads, None for one that writes; `modality`: of its
    inputs, texts where it is None.

    The items of a table are its rows as dicts. Raises DataError for everything that is no text, list of texts,
    row, table or file.
    """
    names = () if columns is None else columns.inputs
    beside = () if columns is None else columns.features
    data = joined.fill_columns(data, names)
    modality = modality or TextData()
    if modality.is_input(data):
        return Given([data], one=True)
    if is_file(data, modality):
        path = Path(data).expanduser()
        return _read_any(path, emit) if columns is None else _table(_read(path, columns, emit, modality), names, beside)
    if isinstance(data, str | os.PathLike):
        return Given([os.fspath(data)], one=True)
    if hasattr(data, "iloc"):
        return _of_pandas(data, names, beside)
    if isinstance(data, Mapping):
        return _of_mapping(data, names, beside)
    if hasattr(data, "column_names") and hasattr(data, "features"):
        return _table(data.to_pandas(), names, beside)
    if hasattr(data, "ndim") and hasattr(data, "tolist"):
        return Given(list(data)) if modality.are_inputs(data) else _of_array(data, len(names) == 2)
    if isinstance(data, Sequence | Iterator) and not isinstance(data, bytes | bytearray | memoryview | io.IOBase):
        return _of_sequence(data, names)
    raise _refused(data)


def texts_of(items: Sequence[object], columns: Columns) -> dict[str, list[str]]:
    """{'text': [...]} or, for pairs, {'text': [...], 'text_pair': [...]} of items of `given`.

    Raises DataError naming every row that is no text (or pair of texts).
    """
    names, problems = columns.inputs, []
    rows: list[Sequence[object]] = []
    missing = dict.fromkeys(name for item in items if isinstance(item, Mapping) for name in names if name not in item)
    if missing:
        raise _no_column(list(missing), [str(name) for name in next(i for i in items if isinstance(i, Mapping))])
    for number, item in enumerate(items, 1):
        cells = _cells(item, names)
        if cells is None:
            wanted = "a text" if len(names) == 1 else "a pair of texts"
            problems.append(Problem(f"expected {wanted}, got {shown(item)}", row=number))
            continue
        column = names if isinstance(item, Mapping) else [None] * len(names)
        wrong = [(name, cell) for name, cell in zip(column, cells, strict=True) if not isinstance(cell, str)]
        problems += [Problem(f"expected a text, got {shown(cell)}", row=number, column=name) for name, cell in wrong]
        rows.append(cells)
    if problems:
        raise DataError(problems, _how_to_mend(items, names))
    if halves := tables.half_characters([dict(enumerate(row)) for row in rows]):
        raise DataError([Problem(tables.HALF, row=number + 1) for number, _ in halves], tables.HALF_FIX)
    roles = ("text", "text_pair")[: len(names)]
    return {role: [str(row[at]) for row in rows] for at, role in enumerate(roles)}


def features_of(items: Sequence[object], columns: Columns) -> list[dict[str, str | None]]:
    """The columns beside the texts in items of `given`, as they are written. Raises DataError naming the rows that do
    not have them."""
    problems: list[Problem] = []
    rows: list[dict[str, str | None]] = []
    for number, item in enumerate(items, 1):
        missing = [name for name in columns.features if not isinstance(item, Mapping) or name not in item]
        problems += [Problem("the model reads this column, and the row does not have it", row=number, column=name)
                     for name in missing]  # fmt: skip
        if not missing and isinstance(item, Mapping):
            rows.append({name: None if is_missing(item[name]) else str(item[name]) for name in columns.features})
    if problems:
        names = {columns.inputs[0]: "...", **dict.fromkeys(columns.features, "...")}
        raise DataError(problems, f"Give rows with these columns beside the text, such as {names}, None where empty.")
    return rows


def blanks(*columns: Sequence[str]) -> list[int]:
    """Positions of rows that hold nothing to read, or a word for nothing, in one of their columns of text."""
    return [at for at, texts in enumerate(zip(*columns, strict=True)) if any(map(nothing_in_text, texts))]


def warn_of_blanks(empty: Sequence[int], emit: Emit) -> None:
    """Say which rows (positions from 0) were answered with nothing to go by."""
    if empty:
        first = ", ".join(str(at + 1) for at in empty[:10]) + (", ..." if len(empty) > 10 else "")
        rows = f"{len(empty):,} rows have" if len(empty) > 1 else "a row has"
        emit(Warned("blank", f"{rows} no text (row {first}): the answer is what the model says of nothing"))


def is_missing(value: object) -> bool:
    """None, NaN, NaT or pandas' NA."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, float) and math.isnan(value)


def targets_of(found: Given, target: Any, columns: Columns, labels: Sequence[str] | None) -> list[Any]:
    """The right answers to the items: those of `target`, or of their table's target columns.

    Several labels may be lists of names, or rows of 0 and 1 in the order of `labels`. Raises DataError.
    """
    if target is None:
        if found.frame is None:
            fix = f"Give the right answers too, or a table with the column {', '.join(map(repr, columns.target))}."
            raise DataError(Problem("there is nothing to compare the answers with"), fix)
        known = [name for name in columns.target if name in found.frame.columns]
        wanted = found.frame if kind_named(columns.kind) is not None else found.frame[known]
        return parse_targets(
            _as_read(datasets.Dataset.from_pandas(wanted, preserve_index=False), columns), columns, labels
        )
    cells = target.to_numpy().tolist() if hasattr(target, "iloc") else list(target)
    cells = [cell.tolist() if hasattr(cell, "tolist") else cell for cell in cells]
    if len(cells) != len(found.items) or isinstance(target, str | bytes | AbstractSet | Mapping):
        raise DataError(Problem(f"got {len(found.items)} rows, and {len(cells)} right answers"), "Give one a row.")
    if columns.kind == "labels" and len(columns.target) > 1:  # as one column of lists
        columns = dataclasses.replace(columns, target=columns.target[:1])
    if columns.kind == "labels" and all(isinstance(cell, list | tuple | set) for cell in cells):
        names = list(labels or [])
        if all(len(cell) == len(names) and all(one in (0, 1) for one in cell) for cell in cells):
            cells = [[name for name, on in zip(names, cell, strict=True) if on] for cell in cells]
        else:
            cells = list(map(sorted, cells))
    given = _as_read(datasets.Dataset.from_dict({columns.target[0]: cells}), columns)
    return parse_targets(given, columns, labels)


def _as_read(rows: datasets.Dataset, columns: Columns) -> datasets.Dataset:
    """With the columns that together are one target as one."""
    kind = kind_named(columns.kind)
    if kind is None:
        return rows
    return datasets.Dataset(kind.gather(tables.flatten(rows.data.table), columns.target, sure=True))


# --- What it is ---------------------------------------------------------------------------------


def is_file(data: object, modality: DataModality) -> bool:
    """A path, or a string that names a data file and is no input itself: one that exists, or can be nothing else.

    Raises DataError for a path to nothing.
    """
    if isinstance(data, os.PathLike):
        path = Path(data).expanduser()
        if not path.exists():
            raise missing_file(path)
        return path.is_dir() or path.suffix.lower() not in modality.suffixes - tables.SUFFIXES
    if not isinstance(data, str) or len(data) > 1_000 or "\n" in data or "\0" in data:
        return False
    path = Path(data).expanduser()
    if modality.suffixes - tables.SUFFIXES and path.is_dir():
        return True
    if tables.data_suffix(path.name) not in tables.SUFFIXES | archive.SUFFIXES:
        return False
    try:
        if path.is_file():
            return True
    except OSError:  # longer than a name may be
        return False
    if any(letter.isspace() for letter in data):
        return False
    error = missing_file(path)
    raise DataError(error.problems, f"{error.fix} If this is the text itself, give it in a list: [{data!r}].")


def _read(path: Path, columns: Columns, emit: Emit, modality: DataModality) -> pandas.DataFrame:
    """The file as a DataFrame; an empty cell is an empty text, as `predict --data` has it."""
    with scratch() as folder:
        rows = read_rows(str(path), emit=emit, cache_dir=folder, columns=columns, modality=modality)
        frame = rows.to_pandas()
    for name in columns.inputs:
        frame[name] = ["" if is_missing(cell) else str(cell) for cell in frame[name]]
    return frame


def _read_any(path: Path, emit: Emit) -> Given:
    """The rows of a file of any format, for a model that writes."""
    import pandas

    with scratch() as folder:
        parts = open_parts(str(path), folder, emit)
        rows = [(one.name, line, row) for inputs in parts.values() for one in inputs for line, row in one.rows]
    frame = pandas.DataFrame([dict(row) if isinstance(row, Mapping) else {} for _, _, row in rows])
    return Given([row for _, _, row in rows], frame, places=[(file, line) for file, line, _ in rows])


def _table(frame: pandas.DataFrame, names: Sequence[str], beside: Sequence[str] = ()) -> Given:
    """Rows of a DataFrame, of its columns `names` and `beside`, or of all."""
    wanted = [*names, *beside] or list(frame.columns)
    missing = [name for name in wanted if name not in frame.columns]
    if missing:
        raise _no_column(missing, [str(name) for name in frame.columns])
    doubled = [name for name in wanted if (frame.columns == name).sum() > 1]
    if doubled:
        problem = Problem("the DataFrame has more than one column of this name", column=str(doubled[0]))
        raise DataError(problem, "Rename or drop the others.")
    columns = [_plain(frame[name]) for name in wanted]
    if not names:
        columns = [[None if is_missing(cell) else cell for cell in column] for column in columns]
    return Given([dict(zip(wanted, row, strict=True)) for row in zip(*columns, strict=True)], frame)


def _of_sequence(data: Sequence[object] | Iterator[object], names: Sequence[str]) -> Given:
    if len(names) == 2 and isinstance(data, tuple) and len(data) == 2 and all(isinstance(one, str) for one in data):
        return Given([data], one=True)
    items = list(data)
    if not names and items and all(isinstance(one, Mapping) and "role" in one for one in items):
        return Given([items], one=True)  # the messages of one conversation
    return Given(items)


def _of_pandas(data: pandas.DataFrame | pandas.Series, names: Sequence[str], beside: Sequence[str] = ()) -> Given:
    if hasattr(data, "columns"):
        return _table(data, names, beside)
    if names and all(name in data.index for name in names):  # a row of a DataFrame, such as df.iloc[0]
        return Given([{str(name): data[name] for name in data.index}], one=True)
    if len(names) == 2:
        fix = f"Give a DataFrame with the columns {names[0]!r} and {names[1]!r}."
        raise DataError(Problem("got one Series, and the model reads pairs of texts"), fix)
    name = data.name if data.name is not None else (names[0] if names else "prompt")
    return Given(_plain(data), data.to_frame(name))


def _of_mapping(data: Mapping[Any, Any], names: Sequence[str], beside: Sequence[str] = ()) -> Given:
    if not names or any(isinstance(data.get(name), str) for name in names):
        return Given([data], one=True)
    if any(hasattr(value, "column_names") or hasattr(value, "columns") for value in data.values()):
        parts = ", ".join(repr(str(part)) for part in data)
        raise DataError(Problem(f"got several tables ({parts})"), "Give one of them, such as data['test'].")
    missing = [name for name in names if name not in data]
    if missing:
        raise _no_column(missing, [str(name) for name in data])
    names = [*names, *(name for name in beside if name in data)]
    columns = [_plain(data[name]) if hasattr(data[name], "tolist") else data[name] for name in names]
    if all(isinstance(column, list | tuple) for column in columns):
        lengths = {name: len(column) for name, column in zip(names, columns, strict=True)}
        if len(set(lengths.values())) > 1:
            raise DataError(Problem(f"the columns differ in length: {lengths}"), "Give each of them as many texts.")
        return Given([dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)])
    return Given([data], one=True)


def _of_array(data: np.ndarray, pairs: bool) -> Given:
    if data.ndim == 0:
        return Given([data.item()], one=True)
    if data.ndim == 1 or (data.ndim == 2 and pairs and data.shape[1] == 2):
        return Given(list(data.tolist()))
    wanted = "shape (n,) or, for pairs of texts, (n, 2)" if pairs else "shape (n,)"
    fix = " A single column of texts is `data.ravel()`." if data.ndim == 2 and data.shape[1] == 1 else ""
    problem = Problem(f"got an array of shape {tuple(data.shape)}; expected one text an entry, {wanted}")
    raise DataError(problem, f"Give the column of texts, such as `data[:, 0]`.{fix}")


def _plain(column: pandas.Series | np.ndarray) -> list[object]:
    """Cells of a Series or array as Python's own values."""
    return [cell.tolist() if hasattr(cell, "ndim") and hasattr(cell, "tolist") else cell for cell in column.tolist()]


# --- What is refused ----------------------------------------------------------------------------


def _refused(data: object) -> DataError:
    kind = type(data).__name__
    if isinstance(data, bytes | bytearray | memoryview):
        return DataError(Problem(f"got {kind}, and no text"), 'Decode it: `data.decode("utf-8")`.')
    if isinstance(data, AbstractSet):
        return DataError(Problem(f"got a {kind}, which has no order to give answers in"), "Give `sorted(data)`.")
    if isinstance(data, io.IOBase) or hasattr(data, "read"):
        return DataError(Problem("got an open file"), "Give its path: `Path(file.name)`, or its rows in a list.")
    if hasattr(data, "to_pandas"):
        return DataError(Problem(f"got a {type(data).__module__.partition('.')[0]} {kind}"), "Give `data.to_pandas()`.")
    fix = "Give a text, a list of texts, a DataFrame with the columns of the training data, or the path of a file."
    if hasattr(data, "__iter__"):
        fix = f"If it holds texts, give `list(data)`. {fix}"
    return DataError(Problem(f"can not predict from {shown(data)}"), fix)


def _no_column(missing: Sequence[str], known: Sequence[str]) -> DataError:
    near = did_you_mean(missing[0], known)
    rename = f"{{{known[0] if len(known) == 1 else '...'!r}: {missing[0]!r}}}"
    fix = f"{near} Name it as in training: `data.rename(columns={rename})`, or give the texts alone: `data[...]`."
    message = "the model reads this column, and the data does not have it"
    return DataError([Problem(message, column=name) for name in missing], fix)


def _cells(item: Any, names: Sequence[str]) -> Sequence[object] | None:
    """What stands for the columns `names` in one item, or None where it is of another shape."""
    if isinstance(item, Mapping):
        return [item[name] for name in names]
    if len(names) == 1:
        return [item] if isinstance(item, str) else None
    if isinstance(item, str | bytes | AbstractSet) or not hasattr(item, "__len__") or len(item) != len(names):
        return None
    return list(item)


def _how_to_mend(items: Sequence[object], names: Sequence[str]) -> str:
    if len(names) == 2 and all(isinstance(item, str) for item in items):
        pair = "(" + ", ".join(f"{str(item)[:30]!r}" for item in items[:2]) + ")" if len(items) == 2 else '("a", "b")'
        return f"The model reads two texts together: give a list of pairs, such as [{pair}]."
    cells = [cell for item in items for cell in (_cells(item, names) or [item])]
    if any(is_missing(cell) for cell in cells):
        return f"Leave such rows out, `df.dropna(subset={list(names)!r})`, or fill them with a text: `fillna('')`."
    if any(isinstance(cell, bytes) for cell in cells):
        return 'Decode it: `text.decode("utf-8")`.'
    if any(isinstance(cell, int | float) for cell in cells):
        return "If the numbers are meant as texts, give them as such: `str(value)`, `column.astype(str)`."
    return "Give one text a row." if len(names) == 1 else "Give one pair of texts a row."


def shown(value: object) -> str:
    """The beginning of a value and its type, for a message."""
    return f"nothing ({value})" if is_missing(value) else f"{value!r:.80} ({type(value).__name__})"


def as_warning(event: Event) -> None:
    """An `Emit` for callers from Python: what they should know is a warning that points at their own line."""
    if not isinstance(event, Warned):
        return
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("tunesmith."):
        level, frame = level + 1, frame.f_back
    warnings.warn(f"{event.what}: {event.message}", UserWarning, stacklevel=level)
