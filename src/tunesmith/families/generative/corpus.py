"""The examples of a generative run: one file that is divided, or files of one's own for each part."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from tunesmith.core import registry
from tunesmith.core.errors import DataError, Problem
from tunesmith.core.events import Emit, Warned
from tunesmith.core.files import own_folder, write_json, write_table
from tunesmith.core.options import pick
from tunesmith.core.spec import RunSpec, Words
from tunesmith.data.conversations import Division, Examples, ReadRequest, divide, read_examples
from tunesmith.data.ledger import STATUSES
from tunesmith.data.types import ValueOptions
from tunesmith.runs.reading import read_options, split_options


@dataclass
class Corpus:
    """All examples, whichever file they came from, and which of them train, validate and test."""

    examples: Examples
    splits: Division
    """Positions of 'train', 'validation' and 'test', int64."""

    @property
    def fingerprint(self) -> str:
        """Of the content and of the division."""
        digest = hashlib.sha256(self.examples.fingerprint.encode())
        for name in sorted(self.splits):
            digest.update(np.ascontiguousarray(self.splits[name]).data)
        return digest.hexdigest()

    def audit(self) -> Words:
        """{"rows", "format", "columns", "splits", "ledger", "division"}."""
        return {
            "rows": len(self.examples), "format": self.examples.format, "columns": dict(self.examples.detected.columns),
            "splits": {name: len(rows) for name, rows in self.splits.items()},
            "ledger": self.examples.ledger.counts(), "division": self.splits.facts,
        }  # fmt: skip

    def save(self, folder: Path) -> None:
        """Write splits.parquet, ledger.parquet, fingerprint.json, columns.json and audit.json, as other tasks do."""
        own_folder(folder)
        ids = self.examples.ids
        marks = np.empty(len(ids), dtype=object)
        for name, rows in self.splits.items():
            marks[rows] = name
        write_table(pa.table({"row_id": ids, "split": marks.tolist()}), folder / "splits.parquet")
        write_table(self._ledger_table(), folder / "ledger.parquet")
        write_json(folder / "fingerprint.json", {"sha256": self.fingerprint, "files": self.examples.files})
        found = self.examples.detected
        words = {"format": found.name, "form": found.form, "why": found.why, "columns": dict(found.columns)}
        write_json(folder / "columns.json", words)
        write_json(folder / "audit.json", self.audit())

    def _ledger_table(self) -> pa.Table:
        ledger, lines = self.examples.ledger, self.examples.lines
        starts = np.asarray(self.examples.starts, dtype=np.int64)
        ids = np.arange(ledger.rows_in)
        file = np.searchsorted(starts, ids, side="right") - 1
        return pa.table({
            "row_id": ids,
            "file": pa.DictionaryArray.from_arrays(pa.array(file, pa.int32()), pa.array(self.examples.files)),
            "row": ids - starts[file] + 1,
            "line": pa.nulls(len(ids), pa.int64()) if lines is None else pa.array(lines, pa.int64()),
            "status": pa.DictionaryArray.from_arrays(pa.array(ledger.status), pa.array(STATUSES)),
            "reason": pa.DictionaryArray.from_arrays(pa.array(ledger.reason), pa.array(ledger.reasons)),
        })  # fmt: skip


def asked_form(task: str) -> tuple[str, ...] | None:
    """The forms that a task asked for by name learns; None where it was not asked."""
    return registry.get("tasks", task).forms or None if task != "auto" else None


def read_for(
    spec: RunSpec, emit: Emit, data: object = None, *, check: bool = True, cache_dir: Path | None = None
) -> Examples:
    """The examples of a spec, from one source or a file for each part. `data`: where its own is in memory; what else
    there is, and what is raised, as `read_examples` has it."""
    main = spec.data if data is None else data
    given = {name: path for name in ("validation", "test") if (path := getattr(spec, name))}
    return read_examples(
        {"train": main, **given} if given else main, emit=emit, check=check, cache_dir=cache_dir,
        form=ReadRequest(asked_form(spec.task), keep_nothing=pick(ValueOptions, spec.options).nothing == "keep"),
        group=split_options(spec).group, reading=read_options(spec.options),
    )  # fmt: skip


def split_examples(examples: Examples, spec: RunSpec) -> Division:
    """Which examples train, validate and test. Raises DataError where nothing is left for one of them."""
    options = split_options(spec)
    splits = divide(examples, validation=options.validation_size, test=options.test_size, seed=spec.seed)
    empty = [name for name, rows in splits.items() if not rows.size]
    if empty:
        raise DataError(
            Problem(f"no example is left for {' and '.join(empty)} ({len(examples)} in all)", examples.files[0]),
            "Add rows, or give files of their own with --validation and --test.",
        )
    return splits


def read_corpus(spec: RunSpec, emit: Emit, data: object = None) -> Corpus:
    """Read and divide; files of one's own stay as they are. `data`: where the spec's own is in memory.

    Raises DataError with every problem of every row.
    """
    examples = read_for(spec, emit, data)
    splits = split_examples(examples, spec)
    left = splits.facts.get("remaining_rows")
    if left:
        emit(Warned("leakage", f"{left} held-out examples have a like in an earlier part; see the report"))
    return Corpus(examples, splits)
