"""predict: answers in the shape of what is given, or for a whole file, its own columns kept."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Unpack, cast

from tunesmith.core.events import Emit, ignore
from tunesmith.core.files import scratch
from tunesmith.core.spec import Words
from tunesmith.core.words import SamplingWords
from tunesmith.data import output
from tunesmith.data.answers import as_columns, free_name, saved_pictures
from tunesmith.data.output import form_of, write_rows
from tunesmith.data.predict_inputs import as_warning
from tunesmith.data.types import ReadOptions
from tunesmith.runs.load import as_model, options_of, predictor_of
from tunesmith.runs.reading import other_data


def predict_file(
    run: object, data: object, out: str | os.PathLike[str], *, emit: Emit = ignore, **words: object
) -> int:
    """Write `data` to `out` with the answers as further columns; returns the number of rows.

    `run`: a path, a Run, or a loaded model. Columns: `predicted` and `probability` (label), `predicted` as "a|b"
    (labels), `predicted` (number, or a text that was written), or `predicted` (share of each class) and `mask`, the
    path of a PNG in the folder `<out>_masks` beside `out`; with `probabilities` one column `probability_<label>` each.
    A column of the input that has one of these names keeps it, the new one gets `_2` (or the next free number). The
    format is that of `out`'s suffix: .csv (with delimiter and encoding of the input), .tsv,
    .xlsx, .jsonl or .parquet; vectors also as .npy, float32 [rows, size]. Every input row gives one output
    row, in order.

    `words`: how the model answers (see its `Options`), and how the file is read (encoding, delimiter, decimal,
    header_row, sheet, ...), as the data of the run was when not given. Raises DataError with every row that the model
    can not be asked, OptionError, FolderError.
    """
    target = output.checked(Path(out), data, (*output.FORMATS, output.ARRAY))
    reading = {name: words.pop(name) for name in list(words) if name in ReadOptions.model_fields}
    options = options_of(predictor_of(run)[0] if isinstance(run, str | os.PathLike) else type(as_model(run)), words)
    model, other = as_model(run), other_data(run, data, reading)
    if getattr(options, "allow_urls", False):
        model = cast(Any, model).fetching()
    texts, decimal = ([], None) if model.columns is None else (model.columns.inputs, model.columns.decimal)
    count = 0

    def answered(cache: Path) -> Iterator[list[dict[str, object]]]:
        nonlocal count
        names: set[str] = set()
        for part in filter(lambda part: part.asked, model.rows(other, cache, emit)):
            answers = model.answer_rows(part.asked, options, emit, part.places)
            answers = saved_pictures(answers, part.asked, target.with_name(f"{target.stem}_masks"), count)
            columns = as_columns(answers, bool(words.get("probabilities")))
            if "labels" in answers[0]:
                columns["predicted"] = ["|".join(labels) for labels in columns["predicted"]]
            names = names or {name for row in part.rows for name in row}
            new = [free_name(name, names) for name in columns]
            values = zip(*columns.values(), strict=True)
            yield [{**row, **dict(zip(new, cells, strict=True))} for row, cells in zip(part.rows, values, strict=True)]
            count += len(answers)

    with scratch() as cache:
        if target.suffix == output.ARRAY:
            parts = filter(lambda part: part.asked, model.rows(other, cache, emit))
            return output.write_array(target, (model.answer_rows(part.asked, options, emit) for part in parts))
        write_rows(target, answered(cache), form_of(data, other.usual, texts, decimal), emit)
    return count


def predict(
    run: object, data: object, out: str | os.PathLike[str] | None = None, *, threshold: float | None = None,
    probabilities: bool = False, precision: Literal["auto", "fp32"] = "auto", allow_urls: bool = False,
    **sampling: Unpack[SamplingWords],
) -> Any:  # fmt: skip
    """Answers of a run (or model) for `data`, in the shape of `Model.predict`; with `out`, a file of them.

    A file gets all columns of `data` and returns the number of rows; the format is that of its suffix (.csv, .tsv,
    .xlsx, .jsonl, .parquet). `allow_urls`: pictures at http and https addresses are fetched. `sampling` is for models
    that write. Raises DataError, FolderError, OptionError.
    """
    words: Words = {**sampling}
    asked = {"threshold": threshold, "probabilities": probabilities or None, "precision": precision}
    asked["allow_urls"] = allow_urls or None
    words |= {name: value for name, value in asked.items() if value not in (None, "auto")}
    model = as_model(run)
    options_of(type(model), words)
    return model.predict(data, **words) if out is None else predict_file(model, data, out, emit=as_warning, **words)
