"""Columns beside a text as numbers: numbers, categories and dates, by what the training rows hold."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tunesmith.core.errors import DataError, Problem, did_you_mean
from tunesmith.core.events import Decided, Emit, Warned
from tunesmith.data.nothing import may_be_nothing, says_nothing
from tunesmith.data.numbers import NumberStyle, is_number, style_of
from tunesmith.data.profile import Profile
from tunesmith.data.texts import as_text
from tunesmith.data.values import whole

FeatureKind = Literal["number", "category", "date"]
Floats = npt.NDArray[np.float32]
_MOSTLY = 0.8
"""Share of the cells that are numbers, or dates, from which on a column is one of those."""
_DATE = re.compile(r"\s*(\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4})([ T]|$)")
_BINS, _LEAST_FOR_BINS = 8, 16
_MOST_VALUES, _LEAST_ROWS = 64, 2
"""Values of a category that have a number of their own, and rows that each must have."""
_FARTHEST = 4.0
"""Deviations from the mean beyond which a number counts as no further away."""
_TELLS, _LOOKED_AT = 0.995, 20_000
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


@dataclass
class FeatureColumn:
    """How one column becomes numbers.

    edges: quantiles of the numbers, or days, of the training rows, of which an interval each has a number that says
    how far through it a value is (piecewise linear: Gorishniy et al. 2022). values: of a category those with a number
    of their own.
    """

    name: str
    kind: FeatureKind
    mean: float = 0.0
    scale: float = 1.0
    edges: tuple[float, ...] = ()
    values: tuple[str, ...] = ()
    decimal: str = "."
    unit: str = ""

    @property
    def width(self) -> int:
        if self.kind == "category":
            return len(self.values) + 2  # another value, and none
        return 2 + max(0, len(self.edges) - 1) + (2 + len(_DAYS) if self.kind == "date" else 0)

    @property
    def described(self) -> str:
        if self.kind == "category":
            shown = ", ".join(map(repr, self.values[:5]))
            return f"category of {len(self.values)} values ({shown}{', ...' if len(self.values) > 5 else ''})"
        if self.kind == "date":
            return "date: how long ago, season and day of the week"
        return f"number, mean {self.mean:.4g}, deviation {self.scale:.4g}"


@dataclass
class FeatureTable:
    """The columns beside the texts, as they were in the training rows; the same for rows that come later."""

    columns: list[FeatureColumn]
    notes: list[str] = field(default_factory=list)
    """What was odd in the rows of the last `transform`, in words."""

    @property
    def width(self) -> int:
        return sum(column.width for column in self.columns)

    @classmethod
    def fit(cls, cells: Mapping[str, Sequence[str | None]]) -> FeatureTable:
        """`cells`: of each column those of the training rows."""
        return cls([_fitted(name, column) for name, column in cells.items()])

    def transform(self, cells: Mapping[str, Sequence[str | None]]) -> Floats:
        """float32 [rows, width]; values that no training row has, and cells that can not be read, are in `notes`."""
        self.notes = []
        parts = [self._column(column, cells[column.name]) for column in self.columns]
        return np.concatenate(parts, axis=1, dtype=np.float32)

    def _column(self, column: FeatureColumn, cells: Sequence[str | None]) -> Floats:
        if column.kind == "category":
            found, odd = _categories(column, cells)
            what = "hold values that no training row has, or hardly one"
        else:
            numbers, odd = _numbers(column, cells) if column.kind == "number" else _days(cells)
            found = _spread(column, numbers)
            if column.kind == "date":
                found = np.concatenate([found, _seasons(numbers)], axis=1)
            what = f"hold no {column.kind}, and count as empty"
        if odd:
            shown = ", ".join(f"{value[:40]!r}" for value, _ in odd.most_common(3))
            self.notes.append(f"column {column.name!r}: {odd.total():,} of {len(cells):,} rows {what}, such as {shown}")
        return found.astype(np.float32)

    def record(self) -> list[dict[str, Any]]:
        """As JSON; `FeatureTable.of` reads it back."""
        return [{name: list(one) if isinstance(one, tuple) else one for name, one in vars(column).items()}
                for column in self.columns]  # fmt: skip

    @classmethod
    def of(cls, record: Sequence[Mapping[str, Any]]) -> FeatureTable:
        read: list[dict[str, Any]] = [
            {name: tuple(one) if isinstance(one, list) else one for name, one in column.items()} for column in record
        ]
        return cls([FeatureColumn(**column) for column in read])


def cells_of(batch: pa.Table, names: Sequence[str]) -> pa.StructArray:
    """The columns `names` of a table as one, of text as it is written."""
    return pa.StructArray.from_arrays([as_text(batch.column(name)) for name in names], list(names))


def by_column(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> dict[str, list[str | None]]:
    """Rows of such cells, or of Python's values, by column."""
    return {name: [None if row[name] is None else str(row[name]) for row in rows] for name in names}


def choose(
    table: pa.Table, profiles: Sequence[Profile], used: Sequence[str], target: Sequence[str],
    asked: str | Sequence[str], source: str, emit: Emit,
) -> tuple[str, ...]:  # fmt: skip
    """The columns that are read beside the text: those that are asked for, or with 'auto' all that hold numbers,
    categories or dates. `used`: inputs, target and what rows are divided by. Says what each is, and warns of those that
    tell the target, or say nothing of other rows. Raises DataError for names that are none."""
    known = {profile.name: profile for profile in profiles}
    names = [part.strip() for part in asked.split(",") if part.strip()] if isinstance(asked, str) else list(asked)
    problems = []
    auto = names == ["auto"]
    for name in () if auto else names:
        if name not in known:
            problems.append(Problem("there is no such column (--features)", source, column=name))
        elif name in used:
            problems.append(Problem("the column is text or target already (--features)", source, column=name))
    if problems or not names:
        near = did_you_mean(names[0] if names else "", [name for name in known if name not in used])
        raise DataError(problems or [Problem("--features names no column", source)], near)
    chosen = []
    for name in [name for name in known if name not in used] if auto else dict.fromkeys(names):
        profile = known[name]
        kind, useless = _kind(_shown(profile)), _useless(profile)
        if auto and (useless or (kind == "category" and not _repeats(profile))):
            continue
        if useless:
            emit(Warned("features", f"column {name!r}: {useless}, and can say nothing of rows that come later"))
        if told := _tells(table, name, target):
            left = "; it is left out. --features with its name takes it" if auto else ""
            message = (
                f"column {name!r} tells the target of {told:.1%} of the rows by itself: is it known before the answer"
            )
            emit(Warned("features", f"{message} is, or made from it?{left}"))
            if auto:
                continue
        chosen.append(name)
        emit(Decided("feature", name, f"{kind}, {profile.distinct:,} different values"))
    if not chosen:
        problem = Problem("no column beside text and target holds numbers, categories or dates", source)
        raise DataError(problem, "Leave --features out, or name columns: --features a,b")
    return tuple(chosen)


def _shown(profile: Profile) -> list[str]:
    return [str(cell) for cell in profile.cells]


def _useless(profile: Profile) -> str | None:
    """Why a column says nothing, where it does not because it holds dates."""
    why = profile.useless
    return None if why is None or "dates" in why else why


def _repeats(profile: Profile) -> bool:
    return profile.kind in ("string", "bool", "number") and 2 <= profile.distinct <= 0.5 * len(profile.cells)


def _kind(cells: Sequence[str]) -> FeatureKind:
    filled = [cell for cell in cells if not _empty(cell)]
    if not filled:
        return "category"
    if sum(bool(_DATE.match(cell)) for cell in filled) >= _MOSTLY * len(filled):
        return "date"
    return "number" if sum(map(is_number, filled)) >= _MOSTLY * len(filled) else "category"


def _empty(cell: str | None) -> bool:
    return cell is None or not cell.strip() or says_nothing(cell)


def _tells(table: pa.Table, name: str, target: Sequence[str]) -> float | None:
    """The share of rows whose target is told by the value of a column, where that is nearly all, and of more than its
    own row each; for numbers that are the same but for their scale, 1."""
    if len(target) != 1 or pa.types.is_nested(table.schema.field(target[0]).type):
        return None
    some = table.select([name, target[0]]).slice(0, _LOOKED_AT)
    pairs = [pair for pair in zip(*(as_text(some.column(one)).to_pylist() for one in (name, target[0])), strict=True)
             if None not in pair]  # fmt: skip
    values, wanted = Counter(pair[0] for pair in pairs), Counter(pair[1] for pair in pairs)
    if len(pairs) < 10 or len(wanted) < 2:
        return None
    if len(values) <= 0.5 * len(pairs):
        best: dict[str, int] = {}
        for (value, _), count in Counter(pairs).items():
            best[value] = max(best.get(value, 0), count)
        share = sum(best.values()) / len(pairs)
        return share if share >= _TELLS and share > max(wanted.values()) / len(pairs) + 0.02 else None
    if all(is_number(cell) for pair in pairs for cell in pair):
        numbers = np.array([[style.read(cell) for cell in column] for column, style in _read_by(pairs)])
        if (numbers.std(1) > 0).all() and abs(np.corrcoef(numbers)[0, 1]) > 0.9999:
            return 1.0
    return None


def _read_by(pairs: Sequence[tuple[str, str]]) -> list[tuple[tuple[str, ...], NumberStyle]]:
    columns = [tuple(column) for column in zip(*pairs, strict=True)]
    try:
        styles = [style_of(Counter(column)) for column in columns]
        for column, style in zip(columns, styles, strict=True):
            for cell in column:
                style.read(cell)
    except ValueError:
        return [((), NumberStyle()), ((), NumberStyle())]
    return list(zip(columns, styles, strict=True))


def _fitted(name: str, cells: Sequence[str | None]) -> FeatureColumn:
    kind = _kind([cell for cell in cells if cell is not None])
    if kind == "category":
        counts = Counter(whole(cell.strip()) for cell in cells if cell is not None and not _empty(cell))
        known = [value for value, count in counts.most_common(_MOST_VALUES) if count >= _LEAST_ROWS]
        return FeatureColumn(name, kind, values=tuple(sorted(known)))
    style = style_of(Counter(cell for cell in cells if cell is not None and not _empty(cell)))
    column = FeatureColumn(name, kind, decimal=style.decimal, unit=style.unit)
    numbers, _ = _numbers(column, cells) if kind == "number" else _days(cells)
    there = numbers[np.isfinite(numbers)]
    if not len(there):
        return column
    low, high = np.quantile(there, [0.01, 0.99])
    inside = there.clip(low, high)
    column.mean, column.scale = float(inside.mean()), float(inside.std()) or 1.0
    if len(np.unique(there)) >= _LEAST_FOR_BINS:
        edges = np.unique(np.quantile(there, np.linspace(0, 1, _BINS + 1)))
        column.edges = tuple(float(edge) for edge in edges)
    return column


def _numbers(column: FeatureColumn, cells: Sequence[str | None]) -> tuple[npt.NDArray[np.float64], Counter[str]]:
    """float64 [n], NaN where there is none; and the cells that are none, with how often they come."""
    style = NumberStyle(decimal=column.decimal, sure=True, unit=column.unit)
    read: dict[str | None, float] = {}
    odd: Counter[str] = Counter()
    for cell, count in Counter(cells).items():
        read[cell] = np.nan
        if cell is None or _empty(cell) or may_be_nothing(cell):
            continue
        try:
            read[cell] = float(cell) if column.decimal == "." else style.read(cell)
        except ValueError:
            try:
                read[cell] = style.read(cell)
            except ValueError:
                odd[cell] = count
        if not np.isfinite(read[cell]):
            read[cell] = np.nan
    return np.array([read[cell] for cell in cells], dtype=np.float64).reshape(-1), odd


def _days(cells: Sequence[str | None]) -> tuple[npt.NDArray[np.float64], Counter[str]]:
    """Days since 1970, as `_numbers`."""
    import pandas

    texts = pandas.Series([None if cell is None or _empty(cell) else cell for cell in cells], dtype="object")
    found = pandas.to_datetime(texts, errors="coerce", utc=True, format="mixed")
    days = (found - pandas.Timestamp(0, tz="UTC")).dt.total_seconds().to_numpy(dtype=np.float64) / 86_400
    odd = Counter(str(text) for text, day in zip(texts, days, strict=True) if text is not None and np.isnan(day))
    return days, odd


def _spread(column: FeatureColumn, numbers: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """[n, 2 + intervals]: by how many deviations a number is off, how far through each interval, and whether there is
    none."""
    absent = ~np.isfinite(numbers)
    values = np.where(absent, column.mean, numbers)
    parts = [((values - column.mean) / column.scale).clip(-_FARTHEST, _FARTHEST)]
    for low, high in zip(column.edges, column.edges[1:], strict=False):
        parts.append(((values - low) / (high - low)).clip(0, 1))
    return np.column_stack([*parts, absent.astype(np.float64)])


def _seasons(days: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """[n, 2 + 7]: the season as a place on a circle, and the day of the week."""
    absent = ~np.isfinite(days)
    known = np.where(absent, 0.0, days)
    angle = 2 * np.pi * (known % 365.2425) / 365.2425
    week = ((np.floor(known).astype(np.int64) + 3) % 7)[:, None] == np.arange(len(_DAYS))  # 1970 began on a Thursday
    return np.where(absent[:, None], 0.0, np.column_stack([np.sin(angle), np.cos(angle), week]))


def _categories(
    column: FeatureColumn, cells: Sequence[str | None]
) -> tuple[npt.NDArray[np.float64], Counter[str]]:  # fmt: skip
    place = {value: at for at, value in enumerate(column.values)}
    found = np.zeros((len(cells), column.width))
    odd: Counter[str] = Counter()
    for row, cell in enumerate(cells):
        if cell is None or _empty(cell):
            found[row, -1] = 1
        elif (value := whole(cell.strip())) in place:
            found[row, place[value]] = 1
        else:
            found[row, -2] = 1
            odd[value] += 1
    return found, odd
