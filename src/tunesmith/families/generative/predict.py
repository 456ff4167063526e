"""predict for models that write text: an answer for every row of a file of any known format, answered or not."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from tunesmith.core.errors import DataError, Problem
from tunesmith.core.events import Emit, Warned, ignore
from tunesmith.core.files import scratch
from tunesmith.data import output, predict_inputs
from tunesmith.data.answers import free_name
from tunesmith.data.conversations.formats import SAMPLE_ROWS, Format, detect
from tunesmith.data.conversations.inputs import open_parts
from tunesmith.data.conversations.messages import Fault
from tunesmith.data.conversations.shape import Example, Missing, example_of
from tunesmith.data.part import LeftOut
from tunesmith.data.table_out import Table, form_of, table_writer
from tunesmith.data.types import ReadOptions
from tunesmith.engine.generate import Sampling
from tunesmith.families.generative.predictor import Prompt, TextGenerator

_ANSWERS = ("completion", "output", "response", "target", "summary", "answer", "tgt", "target_text")
"""Columns that make a format of what is only asked; `_detected` tries them in this order."""
_ANSWER_WORDS = ("response", "completion", "target", "chosen", "rejected")


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


def prompts_of(model: TextGenerator, rows: Sequence[tuple[str | None, int, Any]], emit: Emit) -> list[list[int]]:
    """Token ids of what each row (file, line, content) asks; a content may be a text or messages as well.

    Raises DataError with every row that asks nothing.
    """
    sound = [row for _, _, row in rows if isinstance(row, Mapping)][:SAMPLE_ROWS]
    known = _detected(sound, model.mark["form"])
    problems, prompts, cut, fix = [], [], 0, "Correct these rows, or leave them out."
    for number, (file, line, row) in enumerate(rows, 1):
        try:
            if isinstance(row, Fault):
                raise DataError(Problem(str(row)))
            prompt, tools = _asked(row, known, model) if isinstance(row, Mapping) else (_said(row), None)
            ids = model.prompt_ids(prompt, tools)
        except DataError as error:
            problems += [Problem(p.message, file, row=number, line=line or None) for p in error.problems]
            fix = error.fix or fix
            continue
        kept = model.within(ids)
        cut += len(kept) < len(ids)
        prompts.append(kept)
    if problems:
        raise DataError(problems, fix)
    if cut:
        emit(Warned("cut rows", f"{cut:,} of {len(rows):,} rows: longer than {model.mark['max_length']} tokens, the "
                                "end was cut as in training"))  # fmt: skip
    return prompts


def _said(item: Any) -> Prompt:
    """A text or messages that are no row of a table. Raises DataError."""
    if isinstance(item, str):
        return str(item)
    if isinstance(item, list | tuple) and item and all(isinstance(one, Mapping) and "role" in one for one in item):
        return list(item)
    raise DataError(
        Problem(f"expected a text, a list of messages or a row with a prompt, got {predict_inputs.shown(item)}"),
        'A conversation is a list such as [{"role": "user", "content": "..."}].',
    )


def _detected(rows: Sequence[Mapping[str, Any]], form: str) -> Format | None:
    """The format of rows that may lack the column of answers."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    for wanted in (None, form):
        if found := detect(columns, rows, wanted):
            return found
    for answer in _ANSWERS:
        filled = [{**row, answer: f"the answer of row {number}"} for number, row in enumerate(rows)]
        if found := detect([*columns, answer], filled):
            return found
    return None


def _asked(row: Mapping[str, Any], known: Format | None, model: TextGenerator) -> tuple[Prompt, Any]:
    """What a row asks, and its tools. Raises DataError."""
    if known is None:
        raise DataError(
            Problem(f"no prompt in a row with the columns {', '.join(map(str, row))}; expected messages, prompt, "
                    "instruction, question, source, document or text")
        )  # fmt: skip
    columns = {word: known.columns[word] for word in _ANSWER_WORDS if word in known.columns}
    filled = {**row, **{column: row.get(column) or "?" for column in columns.values()}}
    if "label" in known.columns:
        filled[known.columns["label"]] = True
    try:
        example = _read(known, filled)
    except (Fault, Missing) as error:
        raise DataError(Problem(str(error))) from None
    prompt = _question(example)
    if not prompt or (isinstance(prompt, str) and not prompt.strip()):
        raise DataError(Problem("nothing is asked: there is no prompt"))
    if isinstance(prompt, str) or model.conversational:
        return prompt, example.get("tools")
    if len(prompt) == 1 and isinstance(prompt[0].get("content"), str):
        return str(prompt[0]["content"]), None
    raise DataError(Problem("it holds a conversation, and the model was not trained on conversations"))


def _read(known: Format, row: Mapping[str, Any]) -> Example:
    """As in training, where a word for nothing beside the question is an empty cell; alone it is asked as it is."""
    try:
        return example_of(known, row, keep_nothing=False)
    except Missing:
        return example_of(known, row)


def _question(example: Example) -> Prompt:
    """A text, or messages without the last answer."""
    messages = example.get("messages")
    if messages is None:
        return str(next(example[name] for name in ("prompt", "source", "text") if name in example))
    if not isinstance(messages, list) or not all(isinstance(one, Mapping) for one in messages):
        raise DataError(Problem("the messages are no list of objects"))
    end = len(messages)
    while end and messages[end - 1].get("role") == "assistant":
        end -= 1
    return messages[:end]


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
