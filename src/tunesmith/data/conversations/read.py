"""From a source to Examples: detect the format, put every row into internal form, account for each."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np

from tunesmith.core.errors import DataError, Problem, did_you_mean
from tunesmith.core.events import Decided, Emit, Warned
from tunesmith.core.files import scratch
from tunesmith.data import mojibake
from tunesmith.data.canonical import REPAIRED
from tunesmith.data.conversations.examples import Examples, RowWriter, in_order, place
from tunesmith.data.conversations.formats import SAMPLE_ROWS, Format, ReadRequest, Row, Wanted, check_form, detect
from tunesmith.data.conversations.inputs import Input, open_parts
from tunesmith.data.conversations.messages import Fault
from tunesmith.data.conversations.shape import REPEATED, Missing, example_of
from tunesmith.data.conversations.validate import FIX, validate
from tunesmith.data.conversations.verdict import Unread
from tunesmith.data.ledger import Ledger
from tunesmith.data.mojibake import first_mojibake
from tunesmith.data.part import LeftOut, rows_of_lines
from tunesmith.data.split import NAMES
from tunesmith.data.types import ReadOptions

TEXT_FILE = Format("text", "text", "a text file: its paragraphs, in pieces of up to 2,000 characters", {"text": "text"})
_FORMATS = (
    "Expected columns are messages (role/content), conversations (from/value), contents (Gemini); instruction and "
    "output; query and response; prompt and completion (and label: true or false); chosen and rejected (and "
    "prompt); source and target, document and summary, ...; or text alone. If the table has label columns too, "
    "say which form is meant."
)


def read_examples(
    source: object,
    *,
    emit: Emit,
    form: Wanted | ReadRequest = None,
    group: str | None = None,
    check: bool = True,
    cache_dir: Path | None = None,
    reading: ReadOptions | None = None,
) -> Examples:
    """The examples of a path (JSON, JSONL, CSV, TSV, Parquet, Arrow, .txt, each of the text files also as
    .gz; a folder), a list of dicts, a DataFrame, a datasets.Dataset or a hub id.

    form: the form ('chat', 'pair', ...) or format ('sharegpt', ...), where it should not be guessed, or a ReadRequest.
    group: a column to divide by later. check: raise the problems of all rows together; False leaves them to
    `validate`. cache_dir: where the examples lie on disk while they are in use. reading: how files are read. A source
    that is divided (such as {"train": path, "test": path}, a DatasetDict, a folder with train.jsonl and test.jsonl) is
    read as a whole, and `divide` keeps its parts. Raises DataError, and OptionError for an unknown form.
    """
    request = form if isinstance(form, ReadRequest) else ReadRequest(form)
    check_form(request.forms)
    with scratch(cache_dir) as folder:
        parts = open_parts(source, folder, emit, reading)
        inputs = [replace(one, part=name) for name in NAMES for one in parts.get(name, ())]
        return _read(inputs, emit, request, group, check, cache_dir)


@dataclass
class _Reading:
    """What is known of the rows so far; rows are counted from 0 over all files."""

    inputs: list[Input]
    starts: list[int] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    broken: list[int] = field(default_factory=list)
    missing: dict[str, list[int]] = field(default_factory=dict)
    notes: dict[str, list[int]] = field(default_factory=dict)
    judged: Counter[bool] = field(default_factory=Counter)

    @property
    def files(self) -> list[str]:
        return [one.name for one in self.inputs]

    def rows(self) -> Iterator[tuple[int, Row]]:
        """Number and content of each row; one that is no object is a problem."""
        for one in self.inputs:
            self.starts.append(len(self.lines))
            for line, row in one.rows:
                number = len(self.lines)
                self.lines.append(line)
                if isinstance(row, LeftOut):
                    self.missing.setdefault(row.reason, []).append(number)
                elif isinstance(row, Fault):
                    self.fault(number, str(row))
                else:
                    yield number, row

    def note(self, row: int, message: str) -> None:
        """What was done to a row, which is told once for all rows of a kind."""
        self.notes.setdefault(message, []).append(row)

    def fault(self, row: int, message: str) -> None:
        self.broken.append(row)
        self.problems.append(place(self.files, self.starts, self.lines, row, message))


def _read(
    inputs: list[Input], emit: Emit, request: ReadRequest, group: str | None, check: bool, cache_dir: Path | None
) -> Examples:
    form, reading = request.forms, _Reading(inputs)
    rows = reading.rows()
    head = list(itertools.islice(rows, SAMPLE_ROWS))
    sample = [row for _, row in head]
    columns = list(dict.fromkeys(name for row in sample for name in row))
    found = _detected(inputs[0], columns, sample, form)
    if found is None and not isinstance(form, str):  # of another form than the task learns, which is said there
        found = _detected(inputs[0], columns, sample, None)
    if found is None or (group is not None and group not in columns):
        for _ in rows:  # every broken line is told, not only those of the first rows
            pass
        raise _refusal(reading, columns, group if found else None)
    if found.unread is not None and not request.others:
        raise _doubt(found, found.unread, ", ".join(reading.files))
    _tell(found, columns, group, emit, request.others)
    shown = first_mojibake(json.dumps(row, ensure_ascii=False, default=str) for row in sample)
    if shown is not None:
        told = f"{inputs[0].name}: text that was once read in a wrong encoding, such as {shown}. {mojibake.FIX}"
        emit(Warned("wrong encoding", told))
    writer, ids, groups = RowWriter(cache_dir), [], []
    for number, row in itertools.chain(head, rows):
        try:
            example = example_of(found, row, partial(reading.note, number), keep_nothing=request.keep_nothing)
        except (Fault, Missing) as fault:
            other = _other_format(found, row)
            if other or isinstance(fault, Fault):
                reading.fault(number, other or str(fault))
            else:
                reading.missing.setdefault(str(fault), []).append(number)
        else:
            if request.others:
                example["others"] = {name: cell for name, cell in row.items() if name not in _known(found)}
            writer.add({"row": number + 1, **example})
            if "label" in example:
                reading.judged[example["label"]] += 1
            ids.append(number)
            groups.append(None if group is None else row.get(group))
    kept, fingerprint = writer.finish()
    _tell_notes(found, reading, emit)
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


def _detected(first: Input, columns: Sequence[str], rows: Sequence[Row], form: Wanted) -> Format | None:
    if first.text and (form is None or "text" in ((form,) if isinstance(form, str) else form)):
        return TEXT_FILE
    return detect(columns, rows, form) if rows else None


def _other_format(found: Format, row: Row) -> str | None:
    """What is wrong with a row that would be understood in another format than the file's."""
    other = detect(list(row), [row])
    if other is None or set(other.columns.values()) <= set(found.columns.values()):
        return None
    own = f"the file has {found.name!r} ({found.why}): one file must be of one format"
    return f"this row has the format {other.name!r} ({other.why}), and {own}"


def _known(found: Format) -> set[str]:
    """The columns of which the format reads something."""
    return {part for name in found.columns.values() for part in (name, name.partition(".")[0])}


def _tell(found: Format, columns: Sequence[str], group: str | None, emit: Emit, kept: bool) -> None:
    emit(Decided("format", found.name, found.why))
    known = {*_known(found), group}
    skipped = [name for name in columns if name not in known]
    if skipped and not kept:
        emit(Decided("skipped columns", skipped, f"the format {found.name!r} has no use for them"))


def _doubt(found: Format, unread: Unread, name: str) -> DataError:
    """Why answers are not learned beside a column that seems to judge them."""
    if unread.fix:
        return DataError(Problem(unread.shown, name, column=unread.column or None), unread.fix)
    if found.form == "preference":
        message = f"this column seems to say which answer is better, by {unread.shown}"
        return DataError(Problem(message, name, column=unread.column), "Write a, b or tie into it.")
    message = (
        f"this column seems to judge the answers ({unread.shown}), and does not say of each whether it is good or "
    )
    message += "bad: bad answers would be learned as good ones"
    task, fix = "chat", "Write true or false (good or bad, 1 or 0) into it to learn from both, or leave out the rows "
    if found.form == "pair":
        task, fix = "seq2seq", "Leave out the rows "
    fix += f"with bad answers together with the column. With --task {task} every answer is learned as a good one."
    return DataError(Problem(message, name, column=unread.column), fix)


def _tell_notes(found: Format, reading: _Reading, emit: Emit) -> None:
    for note, rows in reading.notes.items():
        emit(Warned("repeated prompts" if note == REPEATED else "read as", f"{len(rows)} rows: {note}"))
    if not reading.judged:
        return
    good, bad, column = reading.judged[True], reading.judged[False], found.columns.get("label")
    emit(Decided("verdicts", {"good": good, "bad": bad}, f"by the column {column!r}"))
    if not good or not bad:
        told = f"all {good + bad} answers are {'good' if good else 'bad'}, says the column {column!r}"
        emit(Warned("verdicts", f"{told}: there is nothing to tell apart"))


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
    ledger.cut(reading.notes.get(REPEATED, []), REPEATED)
    for one, first, end in zip(reading.inputs, reading.starts, [*reading.starts[1:], len(reading.lines)], strict=False):
        repaired = rows_of_lines(np.asarray(reading.lines[first:end], dtype=np.int64), one.bad_lines)
        ledger.note(repaired + first, REPAIRED)
        if repaired.size:
            emit(Warned("repaired rows", f"{one.name}: {repaired.size} rows held bytes that are not of the encoding"))
    return ledger
