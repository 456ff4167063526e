"""The prepared data: rows, splits, and everything known about them. Written to a run's `data/` folder."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tunesmith.core.files import own_folder, write_table, write_text
from tunesmith.data import labels, text_hashes
from tunesmith.data.labels import TargetIndex
from tunesmith.data.ledger import Ledger
from tunesmith.data.split import NAMES, Marks
from tunesmith.data.tables import Part
from tunesmith.data.types import Columns, Leakage


@dataclass
class Origins:
    """Where each row id came from: parts one after another."""

    parts: list[Part]
    starts: list[int]

    def part_of(self, row_id: int) -> tuple[Part, int]:
        """The part, and the row in it (from 0)."""
        total = self.starts[-1] + self.parts[-1].rows
        for part in self.parts if row_id >= total else []:  # rows that were left out: behind all others
            if row_id - total < len(part.left_out):
                return part, part.rows + row_id - total
            total += len(part.left_out)
        place = int(np.searchsorted(self.starts, row_id, side="right")) - 1
        return self.parts[place], row_id - self.starts[place]


@dataclass
class PreparedData:
    """Rows ready for a task.

    rows: one row per kept row: row_id int64, the inputs (text string, [text_pair string]), target (string, list of
    string, or float64). splits: 'train', 'validation', 'test' -> int64 positions into `rows`, sorted,
    disjoint, complete. label_names: sorted distinct labels, None for numbers. conflicts: the first 100
    texts with different labels. leaked_test: positions of test rows whose text also stands
    (near-)identically in train or validation and could not be moved.
    """

    rows: datasets.Dataset
    splits: dict[str, npt.NDArray[np.int64]]
    columns: Columns
    label_names: list[str] | None
    ledger: Ledger
    leakage: Leakage
    conflicts: list[dict[str, Any]]
    fingerprint: str
    files: list[str]
    leaked_test: npt.NDArray[np.int64]
    origins: Origins
    index: TargetIndex
    marks: Marks
    modality: Any
    """The `engine.modality.Modality` of the inputs."""
    facts: dict[str, Any] = field(default_factory=dict)

    def location(self, row_id: int) -> dict[str, object]:
        """`{"file", "row", "line"}` of the input row: row from 1, line from 1 or None."""
        part, row = self.origins.part_of(int(row_id))
        return part.location(row)

    def targets(self, positions: npt.NDArray[np.int64]) -> list[object]:
        """The targets of the rows at `positions`, in one read: a column that is not taken out of the table is decoded
        anew by everything that goes through it."""
        found: list[Any] = self.rows.select(positions)["target"][:]
        return found

    def audit(self) -> dict[str, object]:
        """What is in the data and what was done to it, as one JSON object."""
        return {
            "files": self.files,
            "rows": self.ledger.rows_in,
            "kept": len(self.rows),
            "splits": {name: int(positions.size) for name, positions in self.splits.items()},
            "columns": self.columns.record(),
            "labels": self._label_table(),
            "numbers": self._number_table(),
            "text_length": self.modality.lengths(self.rows.data.table),
            "leakage": {**self.leakage.record(), "leaked_test_rows": int(self.leaked_test.size)},
            "ledger": self.ledger.counts(),
            "fingerprint": self.fingerprint,
            **self.facts,
            "conflict_examples": self.conflicts,
        }

    def save(self, folder: Path) -> None:
        """Write splits.parquet, ledger.parquet, fingerprint.json, columns.json, audit.json and texts.parquet."""
        own_folder(folder)
        row_ids = self.rows.data.table.column("row_id")
        split = pa.DictionaryArray.from_arrays(pa.array(self.marks), pa.array(NAMES))
        write_table(pa.table({"row_id": row_ids, "split": split}), folder / "splits.parquet")
        write_table(self._ledger_table(), folder / "ledger.parquet")
        _write(folder / "fingerprint.json", {"sha256": self.fingerprint, "files": self.files})
        _write(folder / "columns.json", self.columns.record())
        _write(folder / "audit.json", self.audit())
        text_hashes.save(folder, self.modality.hashes(self.rows.data.table), self.marks)

    def _ledger_table(self) -> pa.Table:
        ledger = self.ledger
        parts = self.origins.parts
        files, rows, lines = zip(*map(_origin_columns, parts), *_left_out_columns(parts), strict=True)
        statuses = pa.array(["used", "cut", "dropped"])
        return pa.table(
            {
                "row_id": pa.array(np.arange(ledger.rows_in)),
                "file": pa.chunked_array(files),
                "row": pa.chunked_array(rows),
                "line": pa.chunked_array(lines),
                "status": pa.DictionaryArray.from_arrays(pa.array(ledger.status), statuses),
                "reason": pa.DictionaryArray.from_arrays(pa.array(ledger.reason), pa.array(ledger.reasons)),
            }
        )

    def _label_table(self) -> dict[str, dict[str, int]] | None:
        if self.label_names is None:
            return None
        rows = self.index.label_rows(self.marks).tolist()
        return {name: dict(zip(NAMES, row, strict=True)) for name, row in zip(self.label_names, rows, strict=True)}

    def _number_table(self) -> dict[str, object] | None:
        values = self.index.values
        if values is None:
            return None
        middle = {"min": values.min(), "mean": values.mean(), "median": np.median(values)}
        numbers = {**middle, "max": values.max(), "std": values.std()}
        return {**{name: float(one) for name, one in numbers.items()}, "histogram": labels.histogram(values)}


def _origin_columns(part: Part) -> tuple[pa.Array, pa.Array, pa.Array]:
    size = part.rows
    origins = np.arange(size) if part.made_of is None else part.made_of
    numbers = (origins + 1).astype(np.int32)
    lines = pa.nulls(size, pa.int64()) if part.lines is None else pa.array(part.lines[origins], type=pa.int64())
    if part.row_files is not None:
        files = pa.array(part.row_files).take(pa.array(origins))
        return files.dictionary_encode(), pa.array(np.ones(size, dtype=np.int32)), lines
    zeros = pa.array(np.zeros(size, dtype=np.int32))
    return pa.DictionaryArray.from_arrays(zeros, pa.array([part.name])), pa.array(numbers), lines


def _left_out_columns(parts: list[Part]) -> list[tuple[pa.Array, pa.Array, pa.Array]]:
    """File, row and line of the rows that are in no table: they have no number."""
    rows = [(part.name, row.line) for part in parts for row in part.left_out]
    if not rows:
        return []
    names, lines = zip(*rows, strict=True)
    nulls = pa.nulls(len(rows), pa.int32())
    return [(pa.array(names).dictionary_encode(), nulls, pa.array(lines, type=pa.int64()))]


def _write(path: Path, value: object) -> None:
    write_text(path, json.dumps(value, ensure_ascii=False, indent=1) + "\n")
