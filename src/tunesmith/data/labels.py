"""The targets of all kept rows as numbers: names, codes, strata, and the checks on classes."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tunesmith.core.errors import DataError, Problem
from tunesmith.core.events import Emit, Warned
from tunesmith.data import split
from tunesmith.data.profile import take
from tunesmith.data.split import Ints, Marks
from tunesmith.data.types import Columns, Leakage
from tunesmith.data.values import NO_NUMBER, sort_labels

CONFLICTS_SHOWN = 100
BARS = 30
"""Of a histogram."""

_AMOUNT = re.compile(r"[$€£¥+-]*\s*\d[\d.,\s]*\s*(?:[$€£¥%]|[A-Za-z]{1,3})?")
"""A number with a unit: '$49.32', '36 %', '12 kg'."""


@dataclass
class TargetIndex:
    """names: sorted labels (None for numbers); codes: a number per row, equal for equal targets; sets:
    for each code its label numbers; values: the numbers of a regression."""

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
        found: dict[Any, int] = {}
        codes = np.empty(len(column), dtype=np.int64)
        start = 0
        for chunk in column.chunks:
            for row, target in enumerate(chunk.to_pylist(), start):
                key = target if kind == "label" else tuple(target)
                codes[row] = found.setdefault(key, len(found))
            start += len(chunk)
        keys = [(key,) if kind == "label" else key for key in found]
        names = sort_labels({label for key in keys for label in key})
        number = {name: place for place, name in enumerate(names)}
        return cls(names, codes, [[number[label] for label in key] for key in keys])

    def counts(self) -> Ints:
        """Rows of each label."""
        rows = np.bincount(self.codes, minlength=len(self.sets))
        counts = np.zeros(len(self.names or ()), dtype=np.int64)
        for code, labels in enumerate(self.sets):
            counts[labels] += rows[code]
        return counts

    def strata(self) -> Ints:
        """A stratum per row: its label, its rarest label, or the range that its number lies in."""
        if self.values is not None:
            return split.quantile_strata(self.values)
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
) -> None:
    """Raises DataError for a constant target and for classes with one row.

    pool: rows that may train; place: makes a Problem for a position. Labels that no row may train on
    are warned about.
    """
    column = " + ".join(columns.target)
    codes = index.codes[pool]
    if np.unique(codes).size < 2:
        raise DataError(
            Problem(_constant(index, codes), place(0).file, column=column),
            fix="Training needs at least two different targets. Is --target the right column?",
        )
    if index.names is None:
        return
    seen = np.zeros(len(index.names), dtype=bool)
    counts = index.counts()
    for code in np.unique(codes):
        seen[index.sets[code]] = True
    unseen = [name for name, known in zip(index.names, seen, strict=True) if not known]
    if unseen:
        shown = ", ".join(unseen[:20]) + (f" and {len(unseen) - 20} more" if len(unseen) > 20 else "")
        emit(Warned("unseen labels", f"labels that no training row has, so that no model can learn them: {shown}"))
    doubtful = [
        f"{name!r} ({counts[place]} rows)" for place, name in enumerate(index.names) if name.lower() in NO_NUMBER
    ]
    if doubtful:
        message = f"taken as labels like any other: {', '.join(doubtful)}; leave such cells empty if they mean no label"
        emit(Warned("labels that look like none", message))
    single = [label for label in np.flatnonzero(seen) if counts[label] == 1]
    if single and columns.kind == "label":
        _refuse_single(single, index, place, column)
    elif single:
        names = ", ".join(index.names[label] for label in single[:20])
        emit(Warned("rare labels", f"labels that only one row has, so that they can not be tested: {names}"))


def _constant(index: TargetIndex, codes: Ints) -> str:
    if index.values is not None:
        return f"the target is constant: every row has {index.values[0]:g}"
    labels = [index.names[label] for label in index.sets[codes[0]]] if codes.size and index.names else []
    return f"the target is constant, there is only one class: {', '.join(labels) or 'no label'!r}"


def _refuse_single(single: list[Any], index: TargetIndex, place: Callable[[int], Problem], column: str) -> None:
    problems = []
    for label in single:
        row = int(np.flatnonzero(index.codes == index.sets.index([label]))[0])
        found = place(row)
        name = index.names[label] if index.names else ""
        message = f"the class {name!r} has only this one row; it can not be both learnt and tested"
        problems.append(Problem(message, found.file, found.row, column, found.line))
    fix = "Remove such rows, merge the class with another, or add more rows of it."
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


def text_lengths(column: pa.ChunkedArray) -> dict[str, Any]:
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


def leak_message(leakage: Leakage) -> str:
    """One sentence on what was found."""
    return (
        f"{leakage.identical_rows} validation and test rows have a text that also stands in another split, "
        f"{leakage.near_identical_rows} a nearly identical one"
    )
