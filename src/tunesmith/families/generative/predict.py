"""predict for models that write text: an answer for every row of a file of any known format, answered or not."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from tunesmith.core.events import Emit, ignore
from tunesmith.core.files import scratch
from tunesmith.data import output
from tunesmith.data.answers import free_name
from tunesmith.data.conversations.inputs import open_parts
from tunesmith.data.part import LeftOut
from tunesmith.data.table_out import Table, form_of, table_writer
from tunesmith.data.types import ReadOptions
from tunesmith.engine.generate import Sampling
from tunesmith.families.generative.predictor import TextGenerator
from tunesmith.families.generative.prompts import prompts_of


def predict(
    folder: Path | TextGenerator, data: Any, out: str | Path, sampling: Sampling, *, emit: Emit = ignore,
    reading: ReadOptions | None = None,
) -> int:  # fmt: skip
    """Write every row of `data` with its answer as further column `predicted`; returns the number of rows.

    Rows ask as they did in training: messages up to the last answer, a prompt, an instruction with its input, a
    source. Raises DataError with every row that asks nothing or too much, OptionError for a file that can not be
    written.
    """
    target = output.checked(out, data)
    model = folder if isinstance(folder, TextGenerator) else TextGenerator.load(folder)
    with scratch() as place:
        parts = open_parts(data, place, emit, reading)
        found = [(one.name, line, row) for inputs in parts.values() for one in inputs
                 for line, row in one.rows if not isinstance(row, LeftOut)]  # fmt: skip
    prompts = prompts_of(model, found, emit)
    answers = model.continued(prompts, sampling)
    rows = [dict(row) for _, _, row in found]
    name = free_name("predicted", {column for row in rows for column in row})
    for row, answer in zip(rows, answers, strict=True):
        row[name] = answer.text.strip()
    cells, form = output.Cells(), form_of(data, reading or ReadOptions(), [])
    with output.written(target) as file:
        _write(rows, file, target.suffix, partial(table_writer, file, target.suffix, form, cells, emit))
    cells.warn(emit)
    return len(rows)


def _write(rows: Sequence[dict[str, Any]], file: IO[bytes], suffix: str, make: Callable[[], Table]) -> None:
    """In the format of the suffix, tables of cells as `make` writes them; lists and objects are JSON in those, and
    where Arrow has no type."""
    if suffix == ".jsonl":
        file.writelines(json.dumps(row, ensure_ascii=False, default=str).encode() + b"\n" for row in rows)
        return
    columns = list(dict.fromkeys(name for row in rows for name in row))
    if suffix == ".parquet":
        try:
            table = pa.table({name: [row.get(name) for row in rows] for name in columns})
        except pa.ArrowException:
            flat = [{name: _flat(value) for name, value in row.items()} for row in rows]
            table = pa.table({name: [row.get(name) for row in flat] for name in columns})
        pq.write_table(table, file)
        return
    table = make()
    table.row(columns)
    for row in rows:
        table.row(row.get(name) for name in columns)
    table.close()


def _flat(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, list | dict) else value
