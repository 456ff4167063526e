"""Files in SQuAD's form: documents of paragraphs, each with its questions and their answers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from tunesmith.core.errors import DataError, Problem
from tunesmith.core.events import Decided, Emit
from tunesmith.data.textfile import read_text
from tunesmith.data.types import ReadOptions

SUFFIXES = frozenset({".json"})
WRITTEN = pa.list_(pa.struct([("text", pa.string()), ("answer_start", pa.string())]))
"""Answers as they are written: where one begins is empty where nobody says it."""
_SCHEMA = pa.schema([
    ("id", pa.string()), ("title", pa.string()), ("context", pa.string()), ("question", pa.string()),
    ("answers", WRITTEN),
])  # fmt: skip
_HEAD = 64 * 1024
_ROWS = 500
_MOST_PROBLEMS = 1_000
_FIX = (
    'Expected {"data": [{"title": ..., "paragraphs": [{"context": ..., "qas": [{"question": ..., "answers": '
    '[{"text": ..., "answer_start": ...}]}]}]}]}.'
)


def is_squad(path: Path) -> bool:
    """Whether a JSON file begins as SQuAD's do."""
    if path.suffix.lower() not in SUFFIXES:
        return False
    with path.open("rb") as file:
        return b'"paragraphs"' in file.read(_HEAD)


def read(path: Path, options: ReadOptions, emit: Emit) -> Iterator[pa.Table]:
    """A row a question: id, title, context, question, answers. Raises DataError with the place of what is no such
    thing, as data[0].paragraphs[2].qas[1]."""
    try:
        document = json.loads(read_text(path, options))
    except json.JSONDecodeError as error:
        raise DataError(Problem(f"not valid JSON: {error.msg}", str(path), line=error.lineno), "Mend the file.") from (
            error
        )
    problems: list[Problem] = []
    rows = list(_rows(document, str(path), problems))
    if problems:
        raise DataError(problems[:_MOST_PROBLEMS], _FIX)
    none = sum(row["answers"] == [] for row in rows)
    contexts = len({row["context"] for row in rows})
    told = f"{len(rows):,} questions about {contexts:,} contexts" + (f"; {none:,} have no answer" if none else "")
    emit(Decided("layout", "SQuAD", told))
    for start in range(0, max(1, len(rows)), _ROWS):
        yield pa.Table.from_pylist(rows[start : start + _ROWS], _SCHEMA)


def _rows(document: Any, file: str, problems: list[Problem]) -> Iterator[dict[str, Any]]:
    number = 0
    documents = document.get("data") if isinstance(document, Mapping) else document
    for title, paragraph, place in _paragraphs(documents, file, problems):
        context = paragraph.get("context")
        if not isinstance(context, str):
            problems.append(Problem(f"{place} has no context", file))
            continue
        for at, asked in enumerate(_list(paragraph, "qas", place, file, problems)):
            number += 1
            where = f"{place}.qas[{at}]"
            if not isinstance(asked, Mapping) or not isinstance(asked.get("question"), str):
                problems.append(Problem(f"{where} has no question", file, row=number))
                continue
            answers, fault = _answers(asked)
            if fault:
                problems.append(Problem(f"{where}: {fault}", file, row=number))
            yield {
                "id": str(asked.get("id") or number), "title": title, "context": context,
                "question": asked["question"], "answers": answers,
            }  # fmt: skip


def _paragraphs(documents: Any, file: str, problems: list[Problem]) -> Iterator[tuple[str, Mapping[str, Any], str]]:
    if not isinstance(documents, list):
        problems.append(Problem("there is no list of documents under 'data'", file))
        return
    for at, one in enumerate(documents):
        if not isinstance(one, Mapping):
            problems.append(Problem(f"data[{at}] is no document", file))
            continue
        for number, paragraph in enumerate(_list(one, "paragraphs", f"data[{at}]", file, problems)):
            place = f"data[{at}].paragraphs[{number}]"
            if isinstance(paragraph, Mapping):
                yield str(one.get("title") or at), paragraph, place
            else:
                problems.append(Problem(f"{place} is no paragraph", file))


def _list(of: Mapping[str, Any], name: str, place: str, file: str, problems: list[Problem]) -> list[Any]:
    found = of.get(name, [])
    if isinstance(found, list):
        return found
    problems.append(Problem(f"{place}.{name} is no list", file))
    return []


def _answers(asked: Mapping[str, Any]) -> tuple[list[dict[str, str | None]] | None, str | None]:
    """The answers of a question, [] where it has none, None where nothing is said; and what is wrong with them."""
    given, impossible = asked.get("answers"), bool(asked.get("is_impossible", False))
    if given is None:
        return ([] if impossible else None), None
    if not isinstance(given, list) or not all(isinstance(one, Mapping) and "text" in one for one in given):
        return None, "answers is no list of texts with their starts"
    if impossible and given:
        return None, f"is_impossible, and has the answer {str(given[0]['text'])[:60]!r}"
    starts = [one.get("answer_start") for one in given]
    return [
        {"text": str(one["text"]), "answer_start": None if start is None else str(start)}
        for one, start in zip(given, starts, strict=True)
    ], None
