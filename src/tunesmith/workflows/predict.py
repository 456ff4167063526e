"""predict: answers for a whole file, its own columns kept."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from tunesmith.core.errors import OptionError
from tunesmith.core.events import Emit, ignore
from tunesmith.core.files import scratch
from tunesmith.data import joined, output
from tunesmith.data.answers import as_columns, free_name
from tunesmith.data.predict_inputs import as_warning, blanks, warn_of_blanks
from tunesmith.data.prepare import read_rows
from tunesmith.data.table_out import Table, form_of, table_writer
from tunesmith.engine.generate import Sampling
from tunesmith.families.generative import predict as language_predict
from tunesmith.families.generative.predictor import TextGenerator, sampling_of
from tunesmith.families.load import language_folder, load
from tunesmith.families.predictive.predictor import Model
from tunesmith.runs.reading import read_options_for, read_other

_CHUNK = 20_000  # rows in memory at once


def predict(
    run: str | Path | Model, data: Any, out: str | Path, *, threshold: float | None = None,
    probabilities: bool = False, precision: str = "auto", emit: Emit = ignore, **reading: Any,
) -> int:  # fmt: skip
    """Write `data` to `out` with the answers as further columns; returns the number of rows.

    Columns: `predicted` and `probability` (label), `predicted` as "a|b" (labels), or `predicted`
    (number); with `probabilities` one column `probability_<label>` each. A column of the input that
    has one of these names keeps it, the new one gets `_2` (or the next free number). The format is
    that of `out`'s suffix: .csv (with delimiter and encoding of the input), .tsv, .xlsx, .jsonl or .parquet. Every
    input row gives one output row, in order.
    `precision` as in `Model.predicted`. `reading`: how the file is read (encoding, delimiter, decimal, header_row,
    sheet, ...), as the data of the run was when not given.
    """
    target = output.checked(out, data)
    language = None if isinstance(run, Model) else language_folder(run, wanted=False)
    if language is not None:
        options = read_options_for(run, data, reading)
        return language_predict.predict(language, data, out, Sampling(), emit=emit, reading=options)
    model = run if isinstance(run, Model) else Model.load(run)
    model.cut_rows = 0
    with scratch() as folder:
        rows = read_other(
            lambda options: read_rows(data, emit=emit, cache_dir=folder, columns=model.columns, reading=options),
            run, data, reading,
        )  # fmt: skip
        texts = model.columns.texts
        own = [name for name in rows.column_names if name not in texts]
        kept = [name for name in rows.column_names if name not in texts or not joined.parts_of(name, own)]
        form = form_of(data, read_options_for(run, data, reading), model.columns.texts, model.columns.decimal)
        with output.written(target) as file:
            writer: Any = None
            cells = output.Cells()
            make = partial(table_writer, file, target.suffix, form, cells, emit)
            empty: list[int] = []
            for start in range(0, len(rows), _CHUNK):
                chunk = rows.select(range(start, min(start + _CHUNK, len(rows))))
                table = pa.table({name: pa.array(chunk[name][:]) for name in kept})
                texts = model.texts(chunk)
                empty += [start + at for at in blanks(*(texts[name][:] for name in texts.column_names))]
                answers = model.predicted(texts, threshold=threshold, precision=precision)
                for name, values in _columns(answers, probabilities).items():
                    table = table.append_column(free_name(name, kept), pa.array(values))
                writer = writer or _writer(file, target.suffix, table.schema, make)
                writer(table)
            if writer is not None:
                writer(None)
        cells.warn(emit)
        warn_of_blanks(empty, emit)
        model.warn_of_cut(len(rows), emit)
        return len(rows)


def answer(
    run: Any, data: Any, out: str | os.PathLike[str] | None = None, *, threshold: float | None = None,
    probabilities: bool = False, precision: str = "auto", sampling: Mapping[str, Any] | None = None,
) -> Any:  # fmt: skip
    """Answers in the shape in which `data` is given, or a file of them with `out`: `predict` for whatever is at hand.

    `run`: a path, a Run, or a loaded model. Raises OptionError for options that the model does not have.
    """
    model = run if isinstance(run, Model | TextGenerator) else load(Path(run))
    if isinstance(model, TextGenerator):
        given = {"threshold": threshold is not None, "probabilities": probabilities}
        if wrong := [name for name, is_given in given.items() if is_given]:
            raise OptionError(f"predict: {wrong[0]} is for models of labels, and this one writes text.")
        if out is not None:
            return language_predict.predict(model, data, Path(out), sampling_of(sampling or {}), emit=as_warning)
        return model.predict(data, **(sampling or {}))
    if sampling:
        raise OptionError(f"predict: {next(iter(sampling))} says how a text is written, and this model writes none.")
    how: dict[str, Any] = {"threshold": threshold, "precision": precision, "probabilities": probabilities}
    return model.predict(data, **how) if out is None else predict(model, data, Path(out), **how, emit=as_warning)


def _columns(answers: list[dict[str, Any]], probabilities: bool) -> dict[str, list[Any]]:
    """Answers as columns of the output file, where several labels are 'a|b'."""
    columns = as_columns(answers, probabilities)
    if "labels" in answers[0]:
        columns["predicted"] = ["|".join(labels) for labels in columns["predicted"]]
    return columns


def _writer(
    file: IO[bytes], suffix: str, schema: pa.Schema, make: Callable[[], Table]
) -> Callable[[pa.Table | None], None]:
    """A function that appends a table to `file` in the format of `suffix`, and ends it on None. `make`: for tables of
    cells."""
    if suffix == ".parquet":
        parquet = pq.ParquetWriter(file, schema)
        return lambda table: parquet.close() if table is None else parquet.write_table(table.cast(schema))
    if suffix == ".jsonl":

        def lines(table: pa.Table | None) -> None:
            for row in table.to_pylist() if table is not None else []:
                file.write(json.dumps(row, ensure_ascii=False, default=str).encode() + b"\n")

        return lines
    written = make()
    written.row(schema.names)

    def rows(table: pa.Table | None) -> None:
        if table is None:
            written.close()
            return
        for row in table.to_pylist():
            written.row(row.values())

    return rows
