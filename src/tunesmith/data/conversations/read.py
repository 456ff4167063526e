"""From a source to Examples: detect the format, put every row into internal form, account for each."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from tunesmith.core.errors import DataError, Problem, did_you_mean
from tunesmith.core.events import Decided, Emit, Warned
from tunesmith.core.files import scratch
from tunesmith.data.conversations.examples import Examples, RowWriter, in_order, place
from tunesmith.data.conversations.formats import SAMPLE_ROWS, Format, check_form, detect
from tunesmith.data.conversations.inputs import Input, open_parts
from tunesmith.data.conversations.messages import Fault
from tunesmith.data.conversations.shape import Missing, example_of
from tunesmith.data.conversations.validate import FIX, validate
from tunesmith.data.ledger import Ledger
from tunesmith.data.split import NAMES

TEXT_FILE = Format("text", "text", "a text file: its paragraphs, in pieces of up to 2,000 characters", {"text": "text"})
_FORMATS = (
    "Expected columns are messages (role/content), conversations (from/value), contents (Gemini); instruction and "
    "output; query and response; prompt and completion (and label: true or false); chosen and rejected (and "
    "prompt); source and target, document and summary, ...; or text alone. If the table has label columns too, "
    "say which form is meant."
)


def read_examples(
    source: Any,
    *,
    emit: Emit,
    form: str | None = None,
    group: str | None = None,
    check: bool = True,
    cache_dir: Path | None = None,
) -> Examples:
    """The examples of a path (JSON, JSONL, CSV, TSV, Parquet, Arrow, .txt, each of the text files also as
    .gz; a folder), a list of dicts, a DataFrame, a datasets.Dataset or a hub id.

    form: the form ('chat', 'pair', ...) or format ('sharegpt', ...), where it should not be guessed. group:
    a column to divide by later. check: raise the problems of all rows together; False leaves them to
    `validate`. cache_dir: where the examples lie on disk while they are in use. A source that is divided
    (such as {"train": path, "test": path}, a DatasetDict, a folder with train.jsonl and test.jsonl) is read
    as a whole, and `divide` keeps its parts. Raises DataError, and OptionError for an unknown form.
    """
    with _open(source, emit, form, cache_dir) as parts:
        inputs = [one for inputs in parts.values() for one in inputs]
        return _read(inputs, emit, form, group, check, cache_dir)


def read_parts(
    source: Any,
    *,
    emit: Emit,
    form: str | None = None,
    group: str | None = None,
    check: bool = True,
    cache_dir: Path | None = None,
) -> dict[str, Examples]:
    """'train', 'validation' and 'test' of a source, those that it has, each as Examples of its own.

    Otherwise like `read_examples`; the format of the first part holds for all.
    """
    found: dict[str, Examples] = {}
    with _open(source, emit, form, cache_dir) as parts:
        for name, inputs in parts.items():
            found[name] = _read(inputs, emit, form, group, check, cache_dir)
            form = form or found[name].format
    return found


@contextmanager
def _open(source: Any, emit: Emit, form: str | None, cache_dir: Path | None) -> Iterator[dict[str, list[Input]]]:
    check_form(form)
    with scratch(cache_dir) as folder:
        parts = open_parts(source, folder, emit)
        yield {name: [replace(one, part=name) for one in parts[name]] for name in NAMES if name in parts}


@dataclass
class _Reading:
    """What is known of the rows so far; rows are counted from 0 over all files."""

    inputs: list[Input]
    starts: list[int] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    broken: list[int] = field(default_factory=list)
    missing: dict[str, list[int]] = field(default_factory=dict)

    @property
    def files(self) -> list[str]:
        return [one.name for one in self.inputs]

    def rows(self) -> Iterator[tuple[int, Mapping[str, Any]]]:
        """Number and content of each row; one that is no object is a problem."""
        for one in self.inputs:
            self.starts.append(len(self.lines))
            for line, row in one.rows:
                number = len(self.lines)
                self.lines.append(line)
                if isinstance(row, Fault):
                    self.fault(number, str(row))
                else:
                    yield number, row

    def fault(self, row: int, message: str) -> None:
        self.broken.append(row)
        self.problems.append(place(self.files, self.starts, self.lines, row, message))


def _read(
    inputs: list[Input], emit: Emit, form: str | None, group: str | None, check: bool, cache_dir: Path | None
) -> Examples:
    reading = _Reading(inputs)
    rows = reading.rows()
    head = list(itertools.islice(rows, SAMPLE_ROWS))
    columns = list(dict.fromkeys(name for _, row in head for name in row))
    found = _detected(inputs[0], columns, [row for _, row in head], form)
    if found is None or (group is not None and group not in columns):
        for _ in rows:  # every broken line is told, not only those of the first rows
            pass
        raise _refusal(reading, columns, group if found else None)
    _tell(found, columns, group, emit)
    writer, ids, groups = RowWriter(cache_dir), [], []
    for number, row in itertools.chain(head, rows):
        try:
            example = example_of(found, row)
        except (Fault, Missing) as fault:
            other = _other_format(found, row)
            if other or isinstance(fault, Fault):
                reading.fault(number, other or str(fault))
            else:
                reading.missing.setdefault(str(fault), []).append(number)
        else:
            writer.add({"row": number + 1, **example})
            ids.append(number)
            groups.append(None if group is None else row.get(group))
    kept, fingerprint = writer.finish()
    if not len(kept):
        raise _refusal(reading, columns, None)
    examples = Examples(
        rows=kept,
        detected=found,
        files=reading.files,
        fingerprint=fingerprint,
        ledger=_ledger(reading, emit),
        problems=in_order(reading.problems, reading.files),
        lines=np.asarray(reading.lines, dtype=np.int64) if any(reading.lines) else None,
        starts=reading.starts,
        parts=[one.part for one in inputs],
        ids=np.asarray(ids, dtype=np.int64),
        groups=groups if group is not None else None,
    )
    if check and (problems := validate(examples)):
        raise DataError(problems, fix=FIX)
    return examples


def _detected(
    first: Input, columns: Sequence[str], rows: Sequence[Mapping[str, Any]], form: str | None
) -> Format | None:
    if first.text and form in (None, "text"):
        return TEXT_FILE
    return detect(columns, rows, form) if rows else None


def _other_format(found: Format, row: Mapping[str, Any]) -> str | None:
    """What is wrong with a row that would be understood in another format than the file's."""
    other = detect(list(row), [row])
    if other is None or set(other.columns.values()) <= set(found.columns.values()):
        return None
    return (
        f"this row has the format {other.name!r} ({other.why}), and the file has {found.name!r} ({found.why}): "
        "one file must be of one format"
    )


def _tell(found: Format, columns: Sequence[str], group: str | None, emit: Emit) -> None:
    emit(Decided("format", found.name, found.why))
    skipped = [name for name in columns if name not in (*found.columns.values(), group)]
    if skipped:
        emit(Decided("skipped columns", skipped, f"the format {found.name!r} has no use for them"))


def _refusal(reading: _Reading, columns: Sequence[str], group: str | None) -> DataError:
    """Why there are no examples."""
    name = ", ".join(reading.files)
    if reading.problems:
        return DataError(in_order(reading.problems, reading.files), fix=FIX)
    if group is not None:
        return DataError(Problem("there is no such column", name, column=group), fix=did_you_mean(group, columns))
    if reading.missing:
        why = ", ".join(f"{len(rows)}: {reason}" for reason, rows in reading.missing.items())
        return DataError(Problem(f"no example is left ({why})", name), fix="Give rows that hold text.")
    if not reading.lines:
        return DataError(Problem("there are no rows", name), fix="Give data that has rows in it.")
    listed = ", ".join(map(str, columns[:30]))
    return DataError(Problem(f"this is no known format of text to generate (columns: {listed})", name), fix=_FORMATS)


def _ledger(reading: _Reading, emit: Emit) -> Ledger:
    ledger = Ledger(len(reading.lines))
    for reason, rows in reading.missing.items():
        ledger.drop(rows, reason)
        emit(Warned("dropped rows", f"{len(rows)} rows are left out: {reason}"))
    ledger.drop(reading.broken, "can not be understood")
    return ledger
