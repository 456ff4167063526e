"""What stands in a column, seen on an even sample of its rows. Describes; decides nothing."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tunesmith.data.nothing import may_be_nothing, says_nothing
from tunesmith.data.numbers import NumberStyle, is_number, style_of, taken_apart

_SAMPLE_ROWS = 20_000
_SAMPLE_CELLS = 400_000
_FILES = 20  # cells that hold whole files, of which few fill memory
_DATE = re.compile(r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}([ T]|$)")
_ADDRESS = re.compile(r"(https?://|www\.)\S+$|\S+@\S+\.\w+$")
_MARKS = {"x", "✓", "✔", "•"}
_ONE_UNIT = 0.8
"""Share of the numbers that have the usual unit, from which on the others are faults and not names."""
_SIGNS = {"0", "1", "0.0", "1.0", "true", "false"}

TEXT_NAMES = (
    "text", "sentence", "message", "body", "content", "description", "review", "comment", "tweet",
    "utterance", "query", "question", "document", "post", "review_text", "comment_text", "sms", "email",
    "ticket", "transcript", "review_body", "content_text", "sentence1", "premise", "text_a", "question1",
    "messages", "texts",
)  # fmt: skip
TARGET_NAMES = (
    "label", "labels", "target", "targets", "category", "categories", "class", "intent", "intents",
    "sentiment", "emotion", "emotions", "y", "topic", "topics", "score", "rating", "stars", "similarity",
    "similarity_score", "gold_label", "label_text", "outcome",
)  # fmt: skip
_WEAKER_TARGET_NAMES = (
    "tag", "tags", "type", "genre", "genres", "priority", "department", "spam", "is_spam", "polarity",
    "stance", "toxicity", "toxic", "queue", "language", "grade", "value", "price",
    "answer", "product", "urgency",
)  # fmt: skip
_ID_NAMES = re.compile(r"(^|.*[_ ])(id|uuid|guid|idx|index|key|hash)$|^unnamed.*|^\w+Id$")


@dataclass
class Profile:
    """One column: `kind` is 'string', 'number', 'bool', 'list', 'time' or 'other'; `cells` is the sample."""

    name: str
    position: int
    kind: str
    rows: int
    cells: list[Any] = field(repr=False)
    folder: Path = Path()
    """Where relative paths in the cells begin."""

    @cached_property
    def counts(self) -> Counter[str]:
        """How often each value comes in the sample."""
        return Counter(str(cell).strip() for cell in self.cells)

    @property
    def distinct(self) -> int:
        return len(self.counts)

    @cached_property
    def characters(self) -> float:
        """Mean length."""
        return float(np.mean([len(str(cell)) for cell in self.cells])) if self.cells else 0.0

    @cached_property
    def words(self) -> float:
        """Mean number of words."""
        return float(np.mean([len(str(cell).split()) for cell in self.cells])) if self.cells else 0.0

    @cached_property
    def numbers(self) -> list[str]:
        """The different cells that are numbers."""
        if self.kind == "number":
            return list(self.counts)
        return self._of_one_unit([c for c in self.counts if is_number(c)]) if self.kind == "string" else []

    @cached_property
    def style(self) -> NumberStyle:
        """How the numbers of the sample are written."""
        return style_of(self.counts)

    def _of_one_unit(self, numbers: list[str]) -> list[str]:
        """Those with the usual unit and those with none; where units differ much, only those with none."""
        units = Counter[str]()
        for cell in numbers:
            units[_unit(cell)] += self.counts[cell]
        named = Counter({unit: times for unit, times in units.items() if unit})
        if not named:
            return numbers
        usual, times = named.most_common(1)[0]
        if times + units[""] < _ONE_UNIT * units.total() or (len(usual) > 3 and times < units.total()):
            return [cell for cell in numbers if not _unit(cell)]
        return numbers

    @cached_property
    def numeric(self) -> float:
        """Share of cells that are numbers; where there are some, 'NA' and the like do not count."""
        numbers = sum(self.counts[cell] for cell in self.numbers)
        return numbers / (numbers + self.strays) if numbers else 0.0

    @cached_property
    def strays(self) -> int:
        """Cells that are neither a number nor the word for none."""
        nothing = (cell for cell in self.counts if says_nothing(cell) or may_be_nothing(cell))
        known = {*self.numbers, *nothing}
        return sum(times for cell, times in self.counts.items() if cell not in known)

    @cached_property
    def whole(self) -> bool:
        """Whether all numbers are whole."""
        return bool(self.numbers) and all(_is_whole(cell, self.style) for cell in self.numbers)

    @cached_property
    def binary(self) -> bool:
        """Whether all cells are 0 or 1 (or true or false)."""
        signs = {str(cell).lower() for cell in self.counts}
        return bool(self.cells) and self.kind != "list" and (signs <= _SIGNS or self.marked)

    @cached_property
    def marked(self) -> bool:
        """Whether some cells hold a mark (x, ✓) and all others nothing: one label, given or not."""
        return 0 < len(self.cells) < self.rows and {str(c).lower() for c in self.counts} <= _MARKS

    @property
    def text_name(self) -> bool:
        return simple(last_part(self.name)) in TEXT_NAMES

    @cached_property
    def target_rank(self) -> float:
        """How much the name promises a target: 10 and less for the usual names, 5 for weaker ones, 0."""
        name = simple(last_part(self.name))
        if name in TARGET_NAMES:
            return 10 - 0.1 * TARGET_NAMES.index(name)
        return 5.0 if name in _WEAKER_TARGET_NAMES else 0.0

    @cached_property
    def useless(self) -> str | None:
        """Why the column can be neither text nor target; None if it can."""
        if not self.cells:
            return "it is empty"
        if self.distinct == 1:
            return f"every row has the same value {str(self.cells[0])[:40]!r}"
        if self.kind == "time" or self._share(_DATE) > 0.8:
            return "it holds dates"
        if self.text_name or self.target_rank:
            return None
        if self._share(_ADDRESS) > 0.8:
            return "it holds addresses"
        unique = self.distinct > 0.95 * len(self.cells) and len(self.cells) >= 5
        if _ID_NAMES.match(self.name) or _ID_NAMES.match(self.name.lower()):
            return "its name says that it is an id" if self.distinct > 0.5 * len(self.cells) else None
        if unique and self.kind == "string" and self.words <= 1.2 and self.numeric < 0.5:
            return "it looks like an id: every value is different and has no spaces"
        # nobody parts the thousands of an id
        plain = all(re.fullmatch(r"[-+]?\d+(\.0*)?", cell) for cell in self.numbers)
        rise = plain and all(left < right for left, right in itertools.pairwise(map(float, self.numbers)))
        if unique and rise and self.whole and not self.strays:
            return "it looks like an id: every value is different and they rise"
        return None

    @property
    def reads_like_text(self) -> bool:
        """Whether a person would read the cells: most are different, and have words."""
        worded = self.kind == "string" and self.numeric < 0.5 and self.words >= 1.5
        return worded and self.distinct > 0.3 * len(self.cells)

    @property
    def described(self) -> str:
        """What the column holds, in a few words."""
        if self.reads_like_text:
            return f"texts of {self.words:.1f} words"
        kind = "numbers" if self.numeric > 0.5 else "values" if self.kind in ("string", "number", "bool") else self.kind
        return f"{self.distinct} different {kind}"

    def _share(self, pattern: re.Pattern[str]) -> float:
        if self.kind != "string":
            return 0.0
        return sum(n for cell, n in self.counts.items() if pattern.match(cell)) / max(1, len(self.cells))


def simple(name: str) -> str:
    """A column name in lower case with underscores."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def last_part(name: str) -> str:
    """'label' of 'meta.label', the name of a column that came out of an object."""
    last = name.rpartition(".")[2]
    return last if last.isidentifier() else name


def profile_table(table: pa.Table, folder: Path = Path()) -> list[Profile]:
    """One Profile a column, on at most 20,000 rows taken at even distances. `folder`: where relative paths begin."""
    rows = min(_SAMPLE_ROWS, max(1_000, _SAMPLE_CELLS // max(1, table.num_columns)))
    if table.num_rows > rows:
        positions = np.linspace(0, table.num_rows - 1, rows).astype(np.int64)
        table = take(table, positions)
    profiles = []
    for position, name in enumerate(table.column_names):
        column = table.column(name)
        some = column[:_FILES] if holds_files(column.type) else column
        cells = [cell for cell in some.to_pylist() if _filled(cell)]
        profiles.append(Profile(name, position, _kind(table.column(name).type), table.num_rows, cells, folder))
    return profiles


def take(table: pa.Table, positions: Sequence[int] | np.ndarray[Any, Any]) -> pa.Table:
    """Rows of a table of many chunks, at ascending positions; copies no more than one chunk at a time."""
    wanted = np.asarray(positions, dtype=np.int64)
    pieces = []
    start = 0
    for batch in table.to_batches():
        low, high = np.searchsorted(wanted, (start, start + batch.num_rows))
        if high > low:
            pieces.append(batch.take(pa.array(wanted[low:high] - start)))
        start += batch.num_rows
    return pa.Table.from_batches(pieces, schema=table.schema)


def holds_files(kind: pa.DataType) -> bool:
    """Whether the cells of a column are files themselves: their bytes, or {"bytes", "path"} as `datasets` has them."""
    if pa.types.is_struct(kind):
        return {field.name for field in kind} == {"bytes", "path"}
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _filled(cell: object) -> bool:
    if isinstance(cell, str):
        return bool(cell.strip())
    return cell is not None and cell == cell


def _kind(kind: pa.DataType) -> str:
    if pa.types.is_string(kind):
        return "string"
    if pa.types.is_boolean(kind):
        return "bool"
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return "number"
    if pa.types.is_list(kind) and not pa.types.is_nested(kind.value_type):
        return "list"
    return "time" if pa.types.is_temporal(kind) else "other"


def _is_whole(cell: str, style: NumberStyle) -> bool:
    for read in (float, style.read):
        with suppress(ValueError):
            return read(cell).is_integer()
    return False


def _unit(cell: str) -> str:
    parts = taken_apart(cell)
    return "" if parts is None else parts.unit
