"""predict for what comes line by line: each answer in its turn, as soon as it is there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith.core.events import ignore
from tunesmith.data.lines import SOURCE, Row, rows_of, together
from tunesmith.runs.load import options_of, predictor_of


@dataclass(frozen=True)
class Answered:
    """A row and its answer, as `predict` of the model gives it."""

    row: Row
    answer: dict[str, Any]


def answered(run: str | Path, lines: Iterable[bytes], format: str = "text", **words: object) -> Iterator[Answered]:
    """Answers to the rows of `lines` (UTF-8), in order and in small batches of what has come so far.

    `format`: 'text' (a text a line; for pairs of texts two with a tab between them), 'jsonl' or 'csv' (with the
    columns of the training). `words`: how the model answers. Raises OptionError, DataError naming the line, and the
    errors of loading.
    """
    kind, folder = predictor_of(run)
    options = options_of(kind, words)
    model = kind.load(folder)
    rows = rows_of(lines, format, None if model.columns is None else model.columns.inputs)
    for some in together(rows, model.together):
        places = [(SOURCE, row.line) for row in some]
        answers = model.answer_rows([row.asked for row in some], options, ignore, places)
        yield from (Answered(row, answer) for row, answer in zip(some, answers, strict=True))
