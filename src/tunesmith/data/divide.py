"""The division of the kept rows: given files, by group, by time, or stratified; then duplicates together."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tunesmith.core.errors import DataError, Problem
from tunesmith.core.events import Decided, Emit, Warned
from tunesmith.data import labels, leakage, split
from tunesmith.data.duplicates import Duplicates, connected
from tunesmith.data.labels import TargetIndex
from tunesmith.data.modality import DataModality
from tunesmith.data.profile import simple, take
from tunesmith.data.split import NAMES, Ints, Marks
from tunesmith.data.tables import Part
from tunesmith.data.types import Leakage, SplitOptions

_ENOUGH_DOCUMENTS = 10
_DAY_OR_MONTH = r"^\s*(\d{1,2})([./-])(\d{1,2})[./-](\d{4}|\d{2})(?!\d)"


@dataclass
class Division:
    """marks: 0 train, 1 validation, 2 test for each kept row; before: the same before duplicates were moved."""

    marks: Marks
    before: Marks
    leakage: Leakage
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class KeptRows:
    """Parts of the input, the id of each kept row, the part (0 is train) that it comes from, and what inputs are."""

    parts: list[Part]
    ids: Ints
    given: Ints
    modality: DataModality | None = None


def divide(
    rows: KeptRows, index: TargetIndex, found: Duplicates, options: SplitOptions, seed: int, emit: Emit
) -> Division:
    """Give each kept row its split.

    Given validation and test parts stay as they are; the rest of the splits is carved out of train.
    Raises DataError if a column to split by can not be used.
    """
    parts, kept, given = rows.parts, rows.ids, rows.given
    marks = np.zeros(kept.size, dtype=np.int8)
    for number, part in enumerate(parts):
        marks[given == number] = NAMES.index(part.split)
    files = {part.split for part in parts[1:]}
    pool = np.flatnonzero(given == 0)
    validation, test = wanted_sizes(options, pool.size, files)
    how, why = "given files", "validation and test are given"
    together = None if rows.modality is None else rows.modality.together
    inner = Duplicates(found.identical[pool], split.renumbered(found.cluster[pool]))
    inner = leakage.movable(inner) if together is None else inner
    strata = index.strata()[pool]
    sizes_of = (validation, test)
    if (validation or test) and together is not None and rows.modality is not None and options.time is None:
        how, why, marks[pool] = _in_whole(parts[0], kept[pool], inner, options, rows.modality, sizes_of, seed)
    elif validation or test:
        how, why, marks[pool] = _carve(parts[0], kept[pool], strata, inner, options, sizes_of, seed)
    before = marks.copy()
    result = leakage.measure(marks, found, options.near_duplicates)
    if how == "stratified" and leakage.measure(marks[pool], inner, 0.0).remaining_rows:
        marks[pool], result.moved_rows = leakage.move_together(marks[pool], inner, strata, seed)
        result.remaining_rows = leakage.measure(marks, found, 0.0).remaining_rows
    sizes = {name: int((marks == mark).sum()) for mark, name in enumerate(NAMES)}
    refuse_empty(sizes, (validation, test), parts[0].name, "rows", _nouns(rows.modality)[1])
    emit(Decided("split", sizes, f"{how}: {why}"))
    _tell(result, found, rows.modality, emit)
    return Division(marks, before, result, {"how": how, "why": why})


def wanted_sizes(options: SplitOptions, rows: int, given: Container[str]) -> tuple[int, int]:
    """Rows of validation and test to carve out, none of a part that is given. Few rows need a large share to measure
    anything; many need only enough rows."""
    validation, test = options.validation_size, options.test_size
    validation = _enough(rows, 0.1, 0.05, 500) if validation is None else validation
    test = _enough(rows, 0.2, 0.1, 1_000) if test is None else test
    shares = [0.0 if name in given else share for name, share in (("validation", validation), ("test", test))]
    return split.wanted_sizes(rows, *shares)


def _enough(rows: int, most: float, least: float, count: int) -> float:
    """The share `most`, but no more rows than `count` or the share `least`, and never above 5,000."""
    return min(most, max(least, count / max(1, rows)), 5_000 / max(1, rows))


def _carve(
    part: Part,
    rows: Ints,
    strata: Ints,
    found: Duplicates,
    options: SplitOptions,
    sizes: tuple[int, int],
    seed: int,
) -> tuple[str, str, Marks]:
    validation, test = sizes
    if options.group is not None and options.time is not None:
        raise DataError(Problem("the options 'group' and 'time' can not be used together"), fix="Choose one of them.")
    parted = 1 + (validation > 0) + (test > 0)
    if options.group is not None:
        cells = take(part.table.select([options.group]), rows).column(0).to_pylist()
        groups = leakage.merge_groups(split.group_numbers(cells), found)
        if np.unique(groups).size < parted:
            problem = Problem(f"there are fewer than {parted} groups to divide", part.name, column=options.group)
            raise DataError(problem, fix="Choose another column for 'group', or leave it out.")
        why = f"no value of {options.group!r} stands in two splits"
        return "by group", why, split.by_group(groups, validation, test, seed)
    if options.time is not None:
        times = _times(part, rows, options.time)
        if np.unique(times).size < parted:
            problem = Problem("there are too few different times to divide by", part.name, column=options.time)
            raise DataError(problem, fix="Choose another column for 'time', or leave it out.")
        why = f"the newest rows by {options.time!r} are for testing"
        return "by time", why, split.by_time(times, validation, test)
    why = f"drawn at random, every label or range of numbers in its share; seed {seed}"
    return "stratified", why, split.stratify(strata, validation, test, seed)


def _in_whole(
    part: Part, rows: Ints, found: Duplicates, options: SplitOptions, modality: DataModality, sizes: tuple[int, int],
    seed: int,
) -> tuple[str, str, Marks]:  # fmt: skip
    """By what rows have in common: no cluster stands in two splits, nor does a group, or a document of which there are
    enough."""
    validation, test = sizes
    parted = 1 + (validation > 0) + (test > 0)
    units, why = found.cluster, f"no {modality.together} stands in two splits"
    known = {simple(name): name for name in reversed(part.table.column_names)}
    named = next((known[name] for name in modality.documents if name in known), None)
    column = options.group or named
    if column is not None:
        groups = split.group_numbers(take(part.table.select([column]), rows).column(0).to_pylist())
        _, codes = np.unique(groups, return_inverse=True)
        shift = found.cluster + codes.max() + 1
        merged = connected(codes, shift, int(shift.max()) + 1)[codes]
        if np.unique(merged).size >= (parted if options.group else _ENOUGH_DOCUMENTS):
            units, why = merged, f"{why}, nor does a value of {column!r}"
        elif options.group:
            problem = Problem(f"there are fewer than {parted} groups to divide", part.name, column=column)
            raise DataError(problem, fix="Choose another column for 'group', or leave it out.")
    if np.unique(units).size < parted:
        problem = Problem(f"all rows are about fewer than {parted} different {modality.together}s", part.name)
        raise DataError(problem, "Give files of their own with --validation and --test.")
    return "by group", why, split.by_group(units, validation, test, seed)


def _times(part: Part, rows: Ints, name: str) -> npt.NDArray[np.float64]:
    """Seconds or numbers. Raises DataError with the rows that hold no time."""
    import pandas

    column = take(part.table.select([name]), rows).column(0)
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        times = column.to_numpy().astype(np.float64)
    else:
        series = column.to_pandas()
        numbers = pandas.to_numeric(series, errors="coerce") if pa.types.is_string(column.type) else None
        if numbers is not None and numbers.notna().all():
            times = numbers.to_numpy(dtype=np.float64)
        else:
            stamps = pandas.to_datetime(series, errors="coerce", utc=True, format="mixed")
            if pa.types.is_string(column.type) and _days_first(series, part, name):
                days = series.str.match(_DAY_OR_MONTH, na=False)  # years first stay as they are
                stamps[days] = pandas.to_datetime(
                    series[days], errors="coerce", utc=True, format="mixed", dayfirst=True
                )
            times = (stamps - pandas.Timestamp(0, tz="UTC")).dt.total_seconds().to_numpy(dtype=np.float64)
    bad = np.flatnonzero(~np.isfinite(times))
    if bad.size:
        problems = [part.problem(int(rows[row]), "this is not a date or a number", name) for row in bad[:1_000]]
        raise DataError(problems, fix="Write dates as 2024-12-31 or 2024-12-31T23:59:59, and leave none empty.")
    return times


def _days_first(series: Any, part: Part, name: str) -> bool:
    """Whether dates such as 31.12.2024 begin with the day. Raises DataError if the column does not tell."""
    found = series.str.extract(_DAY_OR_MONTH).dropna()
    if found.empty:
        return False
    first, second = found[0].astype(int).max() > 12, found[2].astype(int).max() > 12
    dots, years = (found[1] == ".").all(), (found[3].str.len() == 4).all()
    if second and not first:
        return False
    if dots and not second:  # dots part days from months where the day comes first
        return True
    if first and not second and years:  # 24-12-31 may begin with the year
        return True
    what = "days and months change places" if first else "day and month can not be told apart"
    problem = Problem(f"in dates such as {series[found.index[0]]!r} {what}", part.name, column=name)
    raise DataError(problem, fix="Write dates as 2024-12-31 or 2024-12-31T23:59:59.")


def refuse_empty(sizes: Mapping[str, int], wanted: tuple[int, int], source: str, noun: str, what: str) -> None:
    """Raises DataError for a part that is wanted and has no rows."""
    empty = [name for name, number in zip(NAMES, (1, *wanted), strict=True) if number and not sizes[name]]
    if empty:
        problem = Problem(f"no {noun} are left for {' and '.join(empty)}: too few {what} are different", source)
        raise DataError(problem, f"Add {noun} with other {what}, or give files with --validation and --test.")


def _nouns(modality: DataModality | None) -> tuple[str, str]:
    return ("text", "texts") if modality is None else (modality.noun, modality.nouns)


def _tell(result: Leakage, found: Duplicates, modality: DataModality | None, emit: Emit) -> None:
    noun, nouns = _nouns(modality)
    message = labels.leak_message(result, noun)
    if result.moved_rows and not result.remaining_rows:
        why = f"rows of one {noun} must not be both learnt and tested"
        emit(Decided("moved rows", result.moved_rows, f"{message}; {why}"))
    elif result.remaining_rows:
        more = f"; {result.moved_rows} rows were moved" if result.moved_rows else ""
        emit(Warned("leakage", f"{message}{more}; {result.remaining_rows} such rows remain where they are"))
    if found.unchecked:
        more = f"{found.unchecked} more pairs that may be near-identical were not compared"
        emit(Warned(f"near-identical {nouns}", f"very many {nouns} resemble one another; {more}"))
    if found.chained:
        emit(Warned(f"near-identical {nouns}", f"{found.chained} {nouns} form long chains, which were cut"))
