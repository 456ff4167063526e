"""What rows ask of a model that writes, as token ids: they ask as they did in training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from tunesmith.core.errors import DataError, Problem
from tunesmith.core.events import Emit, Warned
from tunesmith.core.spec import Words
from tunesmith.data import predict_inputs
from tunesmith.data.conversations.formats import SAMPLE_ROWS, Format, Row, detect
from tunesmith.data.conversations.messages import Fault
from tunesmith.data.conversations.shape import Example, Missing, example_of
from tunesmith.models.rendering import Message, Tools

Prompt = str | Sequence[Message]
"""A text, or messages."""
_ANSWERS = ("completion", "output", "response", "target", "summary", "answer", "tgt", "target_text")
"""Columns that make a format of what is only asked; `_detected` tries them in this order."""
_ANSWER_WORDS = ("response", "completion", "target", "chosen", "rejected")


class Writer(Protocol):
    """What is asked of a model that writes."""

    metadata: Words

    @property
    def conversational(self) -> bool: ...

    def prompt_ids(self, prompt: Prompt, tools: Tools = None) -> list[int]: ...

    def within(self, ids: list[int]) -> list[int]: ...


def prompts_of(model: Writer, rows: Sequence[tuple[str | None, int, object]], emit: Emit) -> list[list[int]]:
    """Token ids of what each row (file, line, content) asks; a content may be a text or messages as well.

    Raises DataError with every row that asks nothing.
    """
    sound = [row for _, _, row in rows if isinstance(row, Mapping)][:SAMPLE_ROWS]
    known = _detected(sound, model.metadata["form"])
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
        limit = model.metadata["max_length"]
        told = f"{cut:,} of {len(rows):,} rows: longer than {limit} tokens, the end was cut as in training"
        emit(Warned("cut rows", told))
    return prompts


def _said(item: object) -> Prompt:
    """A text or messages that are no row of a table. Raises DataError."""
    if isinstance(item, str):
        return str(item)
    if isinstance(item, list | tuple) and item and all(isinstance(one, Mapping) and "role" in one for one in item):
        return list(item)
    raise DataError(
        Problem(f"expected a text, a list of messages or a row with a prompt, got {predict_inputs.shown(item)}"),
        'A conversation is a list such as [{"role": "user", "content": "..."}].',
    )


def _detected(rows: Sequence[Row], form: str) -> Format | None:
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


def _asked(row: Row, known: Format | None, model: Writer) -> tuple[Prompt, Tools]:
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


def _read(known: Format, row: Row) -> Example:
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
