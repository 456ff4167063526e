"""Target cells as labels, lists of labels or numbers, the same way for training and for other data."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import datasets
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tunesmith.core.errors import DataError, Problem, did_you_mean
from tunesmith.core.events import Emit, Warned
from tunesmith.data.nothing import labels_of_nothing, may_be_nothing, says_nothing
from tunesmith.data.numbers import NumberStyle, style_of
from tunesmith.data.spelling import merge_spellings, nearest, shown
from tunesmith.data.target_kind import kind_named
from tunesmith.data.types import Columns, ValueOptions
from tunesmith.data.values import sort_labels, to_label, to_labels, whole
from tunesmith.data.vectors import vector

BATCH = 20_000
LARGEST = 1e30
"""Targets beyond it, whose mean and spread no computation holds, are no measurements."""
ARROW_TYPES = {"label": pa.string(), "labels": pa.list_(pa.string()), "number": pa.float64()}
ON = frozenset({"1", "1.0", "true", "t", "yes", "y", "x", "on", "✓", "✔", "ja", "j", "oui", "o", "sí", "si", "s", "sim",
                "tak", "да", "wahr", "vrai", "はい", "是"})  # fmt: skip
OFF = frozenset({"0", "0.0", "false", "f", "no", "n", "off", "nein", "non", "não", "nao", "nie", "nee", "нет", "falsch",
                 "faux", "いいえ", "否", "-"})  # fmt: skip
"""What a cell of a column that stands for one label may hold."""


@dataclass(frozen=True)
class TargetReader:
    """Reads the target of a batch.

    whole_labels: labels written as '1.0' mean '1'. style: how numbers are written. nothing: labels that mean that
    there is none. spellings: rarer spelling of a label -> the usual one. keep_nothing: words for nothing in texts
    stay. drop_unreadable: rows whose input can not be read are dropped. marked: columns where an empty cell means no.
    """

    columns: Columns
    whole_labels: bool = False
    style: NumberStyle = field(default_factory=NumberStyle)
    nothing: frozenset[str] = frozenset()
    spellings: Mapping[str, str] = field(default_factory=dict)
    keep_nothing: bool = False
    drop_unreadable: bool = False
    marked: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls,
        columns: Columns,
        tables: Sequence[pa.Table],
        values: ValueOptions | None = None,
        decimal: str | None = None,
    ) -> TargetReader:
        """The reader for these tables, by how all their targets are written."""
        values = values or ValueOptions()
        keep = values.nothing == "keep"
        if len(columns.target) > 1:
            return cls(columns, keep_nothing=keep, marked=_marked(columns, tables))
        if kind_named(columns.kind) is not None:
            return cls(columns, keep_nothing=keep)
        plain = cls(replace(columns, names=()), keep_nothing=keep)
        if columns.kind == "number":
            cells = _cells(tables, columns.target[0])
            style = style_of(cells, decimal)
            return replace(plain, style=style if style.sure else style_of(cells, columns.decimal))
        counts = _labels(plain, tables)
        # '1.0' means '1' where all labels are whole numbers
        seen = [label for label in counts if not says_nothing(label)]
        numbered = all(whole(label).lstrip("+-").isdigit() for label in seen) and any("." in label for label in seen)
        plain = replace(plain, whole_labels=columns.kind == "label" and numbered)
        if plain.whole_labels:
            counts = _labels(plain, tables)
        nothing = frozenset(() if keep else labels_of_nothing(counts)) | (set(columns.missing) & set(counts))
        left = {label: rows for label, rows in counts.items() if label not in nothing}
        spellings = merge_spellings(left) if columns.merge_labels else {}
        return replace(plain, columns=columns, nothing=nothing, spellings=spellings)

    def read(self, table: pa.Table) -> tuple[pa.Array, list[tuple[int, str, str]]]:
        """Targets of the rows (null where missing), and faults as (row from 0, column, message).

        The array is string, list<string> or float64, by the kind of the columns; their inputs are looked at by some.
        """
        if len(self.columns.target) > 1:
            return self._read_signs(table)
        name = self.columns.target[0]
        other = kind_named(self.columns.kind)
        if other is not None:
            inputs = [table.column(one) for one in self.columns.inputs if one in table.column_names]
            array, faults = other.read(table.column(name), inputs, self.columns)
        else:
            array, faults = _convert(table.column(name), self._function(), ARROW_TYPES[self.columns.kind])
        return array, [(row, name, message) for row, message in faults]

    def _function(self) -> Callable[[Any], Any]:
        return {"number": self._number, "labels": self._labels, "label": self._label}[self.columns.kind]

    def _number(self, cell: object) -> float | None:
        number = self._any_number(cell)
        if number is not None and abs(number) > LARGEST:
            raise ValueError(f"{str(cell)[:60]!r} is too large to be learned (more than {LARGEST:g})")
        return number

    def _any_number(self, cell: Any) -> float | None:
        if isinstance(cell, str):
            if says_nothing(cell) or may_be_nothing(cell) or cell.strip() in self.columns.missing:
                return None
            return self.style.read(cell)
        try:
            number = None if cell is None else float(cell)
        except (ValueError, TypeError):
            raise ValueError(f"{str(cell)[:60]!r} is not a number") from None
        if number is None or math.isnan(number) or f"{number:g}" in self.columns.missing:
            return None
        if math.isinf(number):
            raise ValueError(f"{str(cell)[:60]!r} is not a number")
        return number

    def _label(self, cell: object) -> str | None:
        label = to_label(cell)
        if label is not None and self.whole_labels:
            label = whole(label)
        if label is None or label in self.nothing:
            return None
        return self._name(self.spellings.get(label, label))

    @cached_property
    def _names(self) -> dict[str, str]:
        return dict(self.columns.names)

    def _name(self, label: str) -> str:
        """The name of a label that was given one; the names themselves stay."""
        if not self._names:
            return label
        named = self._names.get(label) or self._names.get(whole(label))
        if named is None and label not in self._names.values():
            raise ValueError(f"{label[:60]!r} is none of the labels that label_names names")
        return named or label

    def _labels(self, cell: Any) -> list[str] | None:
        names = self.columns.positions
        if names is not None:
            return _named(cell, names)
        found = to_labels(cell, self.columns.label_separator)
        if not found:
            return found
        kept = {self._name(self.spellings.get(label, label)) for label in found if label not in self.nothing}
        return sort_labels(kept) if kept else None

    def _read_signs(self, table: pa.Table) -> tuple[pa.Array, list[tuple[int, str, str]]]:
        faults: list[tuple[int, str, str]] = []
        rows: list[list[str] | None] = [[] for _ in range(table.num_rows)]
        for name in self.columns.target:
            for number, cell in enumerate(table.column(name).to_pylist()):
                sign = (to_label(cell) or "").lower()
                found = rows[number]
                if sign in ON and found is not None:
                    found.append(name)
                elif sign in OFF or sign in ON or (not sign and name in self.marked):
                    continue
                elif says_nothing(sign):
                    rows[number] = None
                else:
                    faults.append((number, name, f"{sign[:60]!r} is neither 0 nor 1"))
        return pa.array([None if row is None else sorted(row) for row in rows], ARROW_TYPES["labels"]), faults


def _named(cell: object, names: Sequence[str]) -> list[str] | None:
    """A 0/1 vector as the names of the positions that are on."""
    if cell is None or (isinstance(cell, str) and says_nothing(cell)):
        return None
    bits = vector(cell)
    if bits is None:
        raise ValueError(f"{str(cell)[:60]!r} is no vector of 0 and 1, as the others are")
    if bits and len(bits) != len(names):
        known = ", ".join(names)[:80]
        raise ValueError(f"a vector of {len(bits)} positions, where the labels are {len(names)}: {known}")
    return sort_labels(name for name, on in zip(names, bits, strict=False) if on)


def _marked(columns: Columns, tables: Sequence[pa.Table]) -> frozenset[str]:
    """Columns in which some cells hold a mark and all others nothing: an x where the label is given."""
    found = []
    for name in columns.target:
        words = {(to_label(cell) or "").lower() for cell in _cells(tables, name, blank=True)} - {""}
        if words and words <= ON:
            found.append(name)
    return frozenset(found)


def _labels(reader: TargetReader, tables: Sequence[pa.Table]) -> Counter[str]:
    """How many rows have each label, as it is written; cells that can not be read are passed over."""
    counts: Counter[str] = Counter()
    read = reader._function()
    for cell, times in _cells(tables, reader.columns.target[0]).items():
        try:
            target = read(cell)
        except (ValueError, TypeError):
            continue
        for label in target if isinstance(target, list) else filter(None, [target]):
            counts[label] += times
    return counts


def _cells(tables: Sequence[pa.Table], name: str, blank: bool = False) -> dict[Any, int]:
    """The different cells of a column and how often they come; lists as tuples."""
    counts: Counter[Any] = Counter()
    for table in tables:
        if name not in table.column_names:
            continue
        column = table.column(name)
        if pa.types.is_nested(column.type) or pa.types.is_null(column.type):
            counts.update(tuple(cell) if isinstance(cell, list) else cell for cell in column.to_pylist())
        else:
            counts.update({one["values"]: one["counts"] for one in column.value_counts().to_pylist()})
    return {cell: times for cell, times in counts.items() if blank or cell is not None}


def parse_targets(
    dataset: datasets.Dataset, columns: Columns, label_names: Sequence[str] | None, source: str | None = None
) -> list[object]:
    """The target of each row of `read_rows`' dataset: str, list[str] or float.

    Raises DataError with the rows if target columns or cells are missing, a number holds words, or a
    label is not among `label_names` (None: any label goes).
    """
    missing = [name for name in columns.target if name not in dataset.column_names]
    if missing:
        problems = [Problem("the target column is not in this data", source, column=name) for name in missing]
        raise DataError(problems, fix=did_you_mean(missing[0], dataset.column_names))
    known = set(label_names or ())
    reader = TargetReader.of(columns, [dataset.data.table])
    nothing = frozenset(label for label in reader.nothing if label not in known)  # what the model knows is a label
    reader, other = replace(reader, nothing=nothing, whole_labels=False, spellings={}), kind_named(columns.kind)
    targets: list[Any] = []
    problems = []
    names = [*columns.target, *(name for name in columns.inputs if name in dataset.column_names)]
    for start, table in _batches(dataset.data.table, dataset._indices, names):
        array, faults = reader.read(table)
        problems += [Problem(message, source, row=start + row + 1, column=name) for row, name, message in faults]
        faulty = {row for row, _, _ in faults}
        for row, target in enumerate(array.to_pylist()):
            if target is None and row not in faulty:
                problems.append(Problem("the target is missing", source, start + row + 1, columns.target[0]))
            targets.append(target if other is not None else _as_known(target, known, columns.merge_labels))
    if label_names is not None and columns.kind != "number":
        problems += _unknown(targets, known, columns, source)
    if problems:
        raise DataError(problems, fix="Mend or remove these rows.")
    return targets


def _unknown(targets: list[Any], known: set[str], columns: Columns, source: str | None) -> list[Problem]:
    first: dict[str, int] = {}
    other, name = kind_named(columns.kind), columns.target[0]
    for row, target in enumerate(targets):
        if other is not None and target is not None:
            target = list(other.labels_of(target))
        for label in target if isinstance(target, list) else [target]:
            if label is not None and label not in known:
                first.setdefault(label, row)
    return [
        Problem(f"the model does not know the label {shown(label)}. {meant(label, known)}", source, row + 1, name)
        for label, row in first.items()
    ]


def meant(label: str, known: Iterable[str]) -> str:
    """Which known label this one may be meant to be, as a sentence."""
    names = list(known)
    other = nearest(label, names)
    return f"Did you mean {shown(other)}?" if other is not None else did_you_mean(label, names)


def _as_known(target: Any, known: set[str], merge: bool) -> Any:
    """'1.0' as '1' where only '1' is known, and the other way round; other spellings where they were merged."""
    if isinstance(target, list) and merge:
        return sort_labels({_as_known(label, known, merge) for label in target})
    if not isinstance(target, str) or not known or target in known:
        return target
    if merge and (other := nearest(target, known)) is not None:
        return other
    return next((name for name in (whole(target), f"{target}.0") if name in known), target)


def _batches(table: pa.Table, indices: Any, names: Sequence[str]) -> Iterator[tuple[int, pa.Table]]:
    chosen = table.select(list(names))
    if indices is not None:
        chosen = chosen.take(indices.table.column(0).combine_chunks())
    for start in range(0, chosen.num_rows, BATCH):
        yield start, chosen.slice(start, BATCH)


def _convert(
    column: pa.ChunkedArray, function: Callable[[object], object], kind: pa.DataType
) -> tuple[pa.Array, list[tuple[int, str]]]:
    """Apply the function to each distinct cell; cells that raise ValueError become faults (and null)."""
    array = column.combine_chunks()
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


def tell_odd(parts: Sequence[Any], columns: Columns, emit: Emit) -> None:
    """Say what is learned of the targets of some `data.part.Part`s that is not what stands there."""
    if (other := kind_named(columns.kind)) is None:
        return
    for part in parts:
        inputs = [part.table.column(name) for name in columns.inputs]
        for message in other.odd(part.table.column(columns.target[0]), inputs, columns, part.problem):
            emit(Warned(columns.kind, message))
