"""The targets of all kept rows as numbers: names, codes, strata, and the checks on classes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tunesmith.core.errors import DataError, Problem
from tunesmith.core.events import Emit, Warned
from tunesmith.data import spelling, split
from tunesmith.data.nothing import may_be_nothing, says_nothing
from tunesmith.data.profile import take
from tunesmith.data.split import Ints, Marks
from tunesmith.data.target_kind import kind_named
from tunesmith.data.targets import meant
from tunesmith.data.types import Columns, Leakage, ValueOptions
from tunesmith.data.values import sort_labels

CONFLICTS_SHOWN = 100
BARS = 30
"""Of a histogram."""

_AMOUNT = re.compile(r"[$€£¥+-]*\s*\d[\d.,\s]*\s*(?:[$€£¥%]|[A-Za-z]{1,3})?")
"""A number with a unit: '$49.32', '36 %', '12 kg'."""


@dataclass
class TargetIndex:
    """names: sorted labels (None for numbers and kinds without labels); codes: a number per row, equal for equal
    targets (of kinds without labels one for each row); sets: for each code its label numbers; values: the numbers of
    a regression."""

    names: list[str] | None
    codes: Ints
    sets: list[list[int]]
    values: npt.NDArray[np.float64] | None = None

    @classmethod
    def of(cls, column: pa.ChunkedArray, kind: str) -> TargetIndex:
        """Index the target column of the kept rows."""
        if kind == "number":
            values = column.to_numpy().astype(np.float64)
            return cls(None, np.unique(values, return_inverse=True)[1].astype(np.int64), [], values)
        if (other := kind_named(kind)) is not None and not other.labelled:
            return cls(None, np.arange(len(column), dtype=np.int64), [])
        found: dict[Any, int] = {}
        sets: list[Sequence[str]] = []
        codes = np.empty(len(column), dtype=np.int64)
        start = 0
        for chunk in column.chunks:
            for row, target in enumerate(chunk.to_pylist(), start):
                labels = other.labels_of(target) if other else (target,) if kind == "label" else tuple(target)
                codes[row] = found.setdefault(other.identity(target) if other else labels, len(found))
                if len(found) > len(sets):
                    sets.append(labels)
            start += len(chunk)
        names = sort_labels({label for one in sets for label in one})
        number = {name: place for place, name in enumerate(names)}
        return cls(names, codes, [[number[label] for label in one] for one in sets])

    def counts(self) -> Ints:
        """Rows of each label."""
        rows = np.bincount(self.codes, minlength=len(self.sets))
        counts = np.zeros(len(self.names or ()), dtype=np.int64)
        for code, labels in enumerate(self.sets):
            counts[labels] += rows[code]
        return counts

    def strata(self) -> Ints:
        """A stratum per row: its label, its rarest label, or the range that its number lies in; one for all of what has
        neither."""
        if self.values is not None:
            return split.quantile_strata(self.values)
        if self.names is None:
            return np.zeros(len(self.codes), dtype=np.int64)
        return split.rarest_strata(self.sets, self.counts())[self.codes]

    def label_rows(self, marks: Marks) -> Ints:
        """Rows of each label in each split: (labels, 3)."""
        pairs = np.bincount(self.codes * 3 + marks, minlength=3 * len(self.sets)).reshape(-1, 3)
        rows = np.zeros((len(self.names or ()), 3), dtype=np.int64)
        for code, labels in enumerate(self.sets):
            rows[labels] += pairs[code]
        return rows


def check_targets(
    index: TargetIndex,
    columns: Columns,
    pool: npt.NDArray[np.bool_],
    place: Callable[[int], Problem],
    emit: Emit,
    values: ValueOptions | None = None,
) -> None:
    """Raises DataError for a constant target, classes with one row, and labels that no row may train on.

    pool: rows that may train; place: makes a Problem for a position. Spellings of one label, labels that may mean
    that there is none, and numbers that may mean so are warned about.
    """
    values = values or ValueOptions()
    column = " + ".join(columns.target)
    codes = index.codes[pool]
    several = kind_named(columns.kind) is not None and len(index.names or ()) > 1  # of each word, of each pixel
    if np.unique(codes).size < 2 and not several:
        fix = "Training needs at least two different targets. Is --target the right column?"
        raise DataError(Problem(_constant(index, codes), place(0).file, column=column), fix)
    if index.names is None:
        if index.values is not None:
            _tell_stand_ins(index.values[pool], columns, emit)
        return
    seen = np.zeros(len(index.names), dtype=bool)
    counts = index.counts()
    for code in np.unique(codes):
        seen[index.sets[code]] = True
    rows = {name: int(number) for name, number in zip(index.names, counts, strict=True)}
    _tell_idle(rows, columns, len(index.codes), emit)
    _tell_spellings(rows, emit)
    _tell_doubtful(rows, columns, emit)
    unseen = [label for label, known in enumerate(seen) if not known]
    if unseen:
        _refuse_unseen(unseen, index, counts, (place, column), values, emit)
    single = [label for label in np.flatnonzero(seen) if counts[label] == 1]
    if single and columns.kind == "label":
        _refuse_single(single, index, place, column)
    elif single:
        names = ", ".join(index.names[label] for label in single[:20])
        emit(Warned("rare labels", f"labels that only one row has, so that they can not be tested: {names}"))


def _tell_idle(rows: Mapping[str, int], columns: Columns, number: int, emit: Emit) -> None:
    """Say which positions of vectors, or columns of 0 and 1, are on in no row, or in every one."""
    named = columns.positions or (columns.target if len(columns.target) > 1 else ())
    never = [name for name in named if name not in rows]
    always = [name for name in named if rows.get(name) == number]
    told = []
    if never:
        told.append(f"on in no row, so that no model can learn them and none is made for them: {', '.join(never[:20])}")
    if always:
        told.append(f"on in every row, so that they say nothing: {', '.join(always[:20])}")
    if told:
        emit(Warned("labels without use", "; ".join(told)))


def _tell_spellings(rows: Mapping[str, int], emit: Emit) -> None:
    found = spelling.groups(rows)
    if found:
        told = [" = ".join(f"{spelling.shown(label)} ({rows[label]} rows)" for label in group) for group in found[:10]]
        more = f"; and {len(found) - 10} more" if len(found) > 10 else ""
        message = f"{len(found)} labels are written in several ways, each learned as a label of its own: "
        fix = "If they mean the same: --set merge_labels=true"
        emit(Warned("spellings of one label", f"{message}{'; '.join(told)}{more}. {fix}"))


def _tell_doubtful(rows: Mapping[str, int], columns: Columns, emit: Emit) -> None:
    doubtful = [f"{name!r} ({rows[name]} rows)" for name in rows if says_nothing(name) or may_be_nothing(name)]
    if doubtful:
        message = f"taken as labels like any other: {', '.join(doubtful)}; leave such cells empty if they mean no label"
        emit(Warned("labels that look like none", message))
    numbers = [float(name) for name in rows if re.fullmatch(r"-?\d+(\.\d+)?", name)]
    if len(numbers) == len(rows) and columns.kind == "label":
        negative = [number for number in numbers if number < 0]
        if negative in ([-1.0], [-9.0], [-99.0], [-999.0]) and len(rows) > 2 and max(numbers) > 1:
            name = f"{negative[0]:g}"
            message = f"{name!r} ({rows.get(name, 0)} rows) among {len(rows) - 1} labels from 0 on often means that "
            fix = f"there is no label; it is learned as one. If it means none: --set missing={name}"
            emit(Warned("labels that look like none", message + fix))


def _tell_stand_ins(numbers: npt.NDArray[np.float64], columns: Columns, emit: Emit) -> None:
    """-1, -999 or 9999 far from all other numbers: usually written where there is no number."""
    different, counts = np.unique(numbers, return_counts=True)
    for number, times in zip(different.tolist(), counts.tolist(), strict=True):
        digits = f"{abs(number):g}"
        if not (set(digits) == {"9"} or number == -1) or f"{number:g}" in columns.missing:
            continue
        others = different[different != number]
        low, high = float(others.min()), float(others.max())
        far = number < 0 <= low if len(digits) < 2 else number < low - (high - low) or number > high + 2 * (high - low)
        if far and (times > 1 or len(digits) > 1) and (number < 0 or len(digits) > 2):
            message = f"{number:g} stands in {times} rows, apart from all other numbers ({low:g} to {high:g}), and is "
            fix = f"learned as a number. If it means that there is none: --set missing={number:g}"
            emit(Warned("numbers that look like none", message + fix))


def _refuse_unseen(
    unseen: list[int], index: TargetIndex, counts: Ints, where: tuple[Callable[[int], Problem], str],
    values: ValueOptions, emit: Emit,
) -> None:  # fmt: skip
    place, column = where
    names = index.names or []
    if values.unseen_labels == "warn":
        shown = ", ".join(names[label] for label in unseen[:20])
        more = f" and {len(unseen) - 20} more" if len(unseen) > 20 else ""
        message = "labels that no training row has, so that no model can learn them"
        emit(Warned("unseen labels", f"{message}: {shown}{more}"))
        return
    known = [name for label, name in enumerate(names) if label not in set(unseen)]
    holders: dict[int, int] = {}
    for code, labels in enumerate(index.sets):
        for label in labels:
            if label in set(unseen):
                row = int(np.flatnonzero(index.codes == code)[0])
                holders[label] = min(row, holders.get(label, row))
    problems = []
    for label in unseen:
        message = f"no training row has the label {spelling.shown(names[label])} ({counts[label]} rows). "
        message += meant(names[label], known)
        problems.append(replace(place(holders[label]), message=message, column=column))
    alike = [spelling.nearest(names[label], known) for label in unseen]
    fix = "Write the labels as in the training data, or leave out these rows: no model can know them."
    if all(alike):
        fix = "Write the labels as in the training data, or read other spellings as one: --set merge_labels=true"
    raise DataError(problems, fix=fix)


def _constant(index: TargetIndex, codes: Ints) -> str:
    if index.values is not None:
        return f"the target is constant: every row has {index.values[0]:g}"
    labels = [index.names[label] for label in index.sets[codes[0]]] if codes.size and index.names else []
    return f"the target is constant, there is only one class: {', '.join(labels) or 'no label'!r}"


def _refuse_single(single: list[Any], index: TargetIndex, place: Callable[[int], Problem], column: str) -> None:
    problems = []
    for label in single:
        row = int(np.flatnonzero(index.codes == index.sets.index([label]))[0])
        name = index.names[label] if index.names else ""
        message = f"the class {name!r} has only this one row; it can not be both learnt and tested"
        problems.append(replace(place(row), message=message, column=column))
    fix = "Remove such rows, merge the class with another, or add more rows of it."
    alone = {(index.names or [])[label] for label in single}
    if alone & set(spelling.merge_spellings(dict.fromkeys(index.names or (), 0))):
        fix = f"Some are other spellings of a label: --set merge_labels=true reads them as one. Otherwise: {fix}"
    amounts = [name for name in index.names or () if _AMOUNT.fullmatch(name)]
    if len(amounts) > 0.5 * len(index.names or ()):
        fix = f"If numbers were meant, write them without a unit ({amounts[0]!r} is taken as a name). Otherwise: {fix}"
    raise DataError(problems, fix=fix)


def find_conflicts(
    table: pa.Table, text: str, index: TargetIndex, identical: Ints
) -> tuple[list[dict[str, Any]], int, int]:
    """Texts that stand with different labels: the first 100, their number, and their rows."""
    if index.names is None:
        return [], 0, 0
    pairs = np.unique(np.stack([identical, index.codes]), axis=1)
    texts, kinds = np.unique(pairs[0], return_counts=True)
    conflicting = texts[kinds > 1]
    rows = int(np.isin(identical, conflicting).sum())
    shown = conflicting[:CONFLICTS_SHOWN]
    positions = np.flatnonzero(np.isin(identical, shown))
    cells = take(table.select(["row_id", text]), positions).to_pylist()
    found: dict[int, dict[str, Any]] = {}
    for position, cell in zip(positions.tolist(), cells, strict=True):
        entry = found.setdefault(int(identical[position]), {"text": cell[text], "targets": {}, "row_ids": []})
        label = "|".join(index.names[number] for number in index.sets[index.codes[position]])
        entry["targets"][label] = entry["targets"].get(label, 0) + 1
        entry["row_ids"].append(cell["row_id"])
    return list(found.values()), int(conflicting.size), rows


def text_lengths(column: pa.ChunkedArray) -> dict[str, object]:
    """Quantiles of the length in characters, and their histogram."""
    lengths = pc.utf8_length(column).to_numpy()
    points = {"min": 0.0, "p5": 0.05, "p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
    values = np.quantile(lengths, list(points.values()))
    found = {name: float(v) for name, v in zip(points, values, strict=True)}
    return {"mean": float(lengths.mean()), **found, "histogram": histogram(lengths)}


def histogram(values: np.ndarray) -> dict[str, list[float]]:
    """{"edges" [n + 1], "counts" [n]} of finite numbers; whole numbers of a few kinds get a bar each. The furthest 1 %
    above is one last bar, so that a single long text does not press all others into one."""
    values = np.asarray(values, dtype=np.float64)
    distinct = np.unique(values)
    if len(distinct) <= BARS:
        halves = (distinct[1:] + distinct[:-1]) / 2
        step = float(np.diff(distinct).min()) / 2 if len(distinct) > 1 else 0.5
        edges = np.r_[distinct[0] - step, halves, distinct[-1] + step]
    else:
        edges = np.linspace(distinct[0], max(float(np.quantile(values, 0.99)), distinct[1]), BARS)
        edges = np.r_[edges, distinct[-1]] if distinct[-1] > edges[-1] else edges
    counts, edges = np.histogram(values, bins=edges)
    return {"edges": [float(edge) for edge in edges], "counts": [int(count) for count in counts]}


def leak_message(leakage: Leakage, noun: str = "text") -> str:
    """One sentence on what was found."""
    same, near = leakage.identical_rows, leakage.near_identical_rows
    if same and near:
        one = "has" if same == 1 else "have"
        return f"{_rows_of(same)} {one} a {noun} that also stands in another split, {near:,} a {noun} that is nearly so"
    how = "also stands" if same else "stands nearly so"
    return f"{_rows_of(same or near)} {'has' if (same or near) == 1 else 'have'} a {noun} that {how} in another split"


def _rows_of(count: int) -> str:
    return f"{count:,} {'row' if count == 1 else 'rows'} to choose by or to test on"
