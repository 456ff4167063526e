"""Target cells as labels, lists of labels or numbers, the same way for training and for other data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import datasets
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tunesmith.core.errors import DataError, Problem, did_you_mean
from tunesmith.data.types import Columns
from tunesmith.data.values import commas_mislead, to_label, to_labels, to_number, whole

BATCH = 20_000
_ON = {"1", "true", "yes"}
_OFF = {"0", "false", "no"}
ARROW_TYPES = {"label": pa.string(), "labels": pa.list_(pa.string()), "number": pa.float64()}


@dataclass(frozen=True)
class TargetReader:
    """Reads the target of a batch. `whole_labels`: labels written as '1.0' mean '1'. `refuse_commas`: numbers
    with commas could mean two things."""

    columns: Columns
    whole_labels: bool = False
    refuse_commas: bool = False

    @classmethod
    def of(cls, columns: Columns, tables: Sequence[pa.Table]) -> TargetReader:
        """The reader for these tables, by how all their targets are written."""
        return cls(columns, _labels_are_whole(columns, tables), _commas_mislead(columns, tables))

    def read(self, table: pa.Table) -> tuple[pa.Array, list[tuple[int, str, str]]]:
        """Targets of the rows (null where missing), and faults as (row from 0, column, message).

        The array is string, list<string> or float64, by the kind of the columns.
        """
        if len(self.columns.target) > 1:
            return self._read_signs(table)
        name = self.columns.target[0]
        array, faults = _convert(table.column(name), self._function(), ARROW_TYPES[self.columns.kind])
        return array, [(row, name, message) for row, message in faults]

    def _function(self) -> Callable[[Any], Any]:
        if self.columns.kind == "number":
            return self._number
        if self.columns.kind == "labels":
            return self._labels
        return self._label

    def _number(self, cell: Any) -> float | None:
        if self.refuse_commas and isinstance(cell, str) and "," in cell:
            whole_number, decimal = cell.replace(",", ""), cell.replace(",", ".", 1)
            raise ValueError(f"{cell.strip()[:60]!r} could mean {whole_number.strip()} or {decimal.strip()}"[:200])
        try:
            return to_number(cell)
        except (ValueError, TypeError):
            raise ValueError(f"{str(cell)[:60]!r} is not a number") from None

    def _label(self, cell: Any) -> str | None:
        label = to_label(cell)
        return whole(label) if label is not None and self.whole_labels else label

    def _labels(self, cell: Any) -> list[str] | None:
        return to_labels(cell, self.columns.label_separator)

    def _read_signs(self, table: pa.Table) -> tuple[pa.Array, list[tuple[int, str, str]]]:
        faults: list[tuple[int, str, str]] = []
        rows: list[list[str] | None] = [[] for _ in range(table.num_rows)]
        for name in self.columns.target:
            for number, cell in enumerate(table.column(name).to_pylist()):
                sign = (to_label(cell) or "").lower()
                found = rows[number]
                if sign in _ON and found is not None:
                    found.append(name)
                elif not sign:
                    rows[number] = None
                elif sign not in _OFF and sign not in _ON:
                    faults.append((number, name, f"{sign[:60]!r} is neither 0 nor 1"))
        return pa.array([None if row is None else sorted(row) for row in rows], ARROW_TYPES["labels"]), faults


def _labels_are_whole(columns: Columns, tables: Sequence[pa.Table]) -> bool:
    """Whether all labels are whole numbers and some are written as '1.0', so that '1.0' means '1'."""
    if columns.kind != "label":
        return False
    seen = set(filter(None, map(to_label, _different_cells(columns, tables))))
    return any("." in label for label in seen) and all(whole(label).lstrip("+-").isdigit() for label in seen)


def _commas_mislead(columns: Columns, tables: Sequence[pa.Table]) -> bool:
    if columns.kind != "number":
        return False
    return commas_mislead(cell for cell in _different_cells(columns, tables) if isinstance(cell, str))


def _different_cells(columns: Columns, tables: Sequence[pa.Table]) -> Iterator[Any]:
    for table in tables:
        if columns.target[0] in table.column_names:
            yield from pc.unique(table.column(columns.target[0])).to_pylist()


def parse_targets(
    dataset: datasets.Dataset, columns: Columns, label_names: Sequence[str] | None, source: str | None = None
) -> list[Any]:
    """The target of each row of `read_rows`' dataset: str, list[str] or float.

    Raises DataError with the rows if target columns or cells are missing, a number holds words, or a
    label is not among `label_names` (None: any label goes).
    """
    missing = [name for name in columns.target if name not in dataset.column_names]
    if missing:
        raise DataError(
            [Problem("the target column is not in this data", source, column=name) for name in missing],
            fix=f"{did_you_mean(missing[0], dataset.column_names)}",
        )
    known = set(label_names or ())
    reader = TargetReader(columns, refuse_commas=_commas_mislead(columns, [dataset.data.table]))
    targets: list[Any] = []
    problems: list[Problem] = []
    for start, table in _batches(dataset.data.table, dataset._indices, columns.target):
        array, faults = reader.read(table)
        problems += [Problem(message, source, row=start + row + 1, column=name) for row, name, message in faults]
        faulty = {row for row, _, _ in faults}
        for row, target in enumerate(array.to_pylist()):
            if target is None and row not in faulty:
                problems.append(Problem("the target is missing", source, start + row + 1, columns.target[0]))
            targets.append(_as_known(target, known))
    if label_names is not None and columns.kind != "number":
        problems += _unknown(targets, known, columns, source)
    if problems:
        raise DataError(problems, fix="Mend or remove these rows.")
    return targets


def _unknown(targets: list[Any], known: set[str], columns: Columns, source: str | None) -> list[Problem]:
    first: dict[str, int] = {}
    for row, target in enumerate(targets):
        for label in target if isinstance(target, list) else [target]:
            if label is not None and label not in known:
                first.setdefault(label, row)
    message = "the model does not know the label {!r}. {}"
    return [
        Problem(message.format(label, did_you_mean(label, known)), source, row + 1, columns.target[0])
        for label, row in first.items()
    ]


def _as_known(target: Any, known: set[str]) -> Any:
    """'1.0' as '1' where only '1' is known, and the other way round."""
    if not isinstance(target, str) or not known or target in known:
        return target
    return next((name for name in (whole(target), f"{target}.0") if name in known), target)


def _batches(table: pa.Table, indices: Any, names: Sequence[str]) -> Iterator[tuple[int, pa.Table]]:
    chosen = table.select(list(names))
    if indices is not None:
        chosen = chosen.take(indices.table.column(0).combine_chunks())
    for start in range(0, chosen.num_rows, BATCH):
        yield start, chosen.slice(start, BATCH)


def _convert(
    column: pa.ChunkedArray, function: Callable[[Any], Any], kind: pa.DataType
) -> tuple[pa.Array, list[tuple[int, str]]]:
    """Apply the function to each distinct cell; cells that raise ValueError become faults (and null)."""
    array = column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], column.type)
    if pa.types.is_nested(array.type) or pa.types.is_null(array.type):
        cells, codes = array.to_pylist(), np.arange(len(array))
    else:
        encoded = array.dictionary_encode(null_encoding="encode")
        cells, codes = encoded.dictionary.to_pylist(), np.asarray(encoded.indices)
    found: list[Any] = []
    bad: dict[int, str] = {}
    for code, cell in enumerate(cells):
        try:
            found.append(function(cell))
        except (ValueError, TypeError) as error:
            found.append(None)
            bad[code] = str(error)
    values = pa.array(found, type=kind).take(pa.array(codes))
    rows: npt.NDArray[np.int64] = np.flatnonzero(np.isin(codes, list(bad))) if bad else np.zeros(0, np.int64)
    return values, [(int(row), bad[int(codes[row])]) for row in rows]
