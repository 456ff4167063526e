"""Answers that stand in a context: their words and where they begin; or none, where it does not answer."""

from __future__ import annotations

import ast
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import pyarrow as pa

from tunesmith.core.errors import Problem
from tunesmith.core.events import Emit, Warned
from tunesmith.data.profile import Profile, simple
from tunesmith.data.squad import WRITTEN
from tunesmith.data.target_kind import TargetKind
from tunesmith.data.types import Columns

_NAMES = ("answers", "answer", "answer_text", "answers_text", "response", "target")
_STARTS = ("answer_start", "answer_starts", "start", "answer_offset", "offset")
_NEAR = 100
"""Characters by which a start may be off, where the answer stands in several places."""
_MOVED, _SPELT = "moved", "spelt"
_LOOKED_AT = 500


class Answers(TargetKind):
    """Kept as a list of texts of the context with where they begin, in characters; [] where there is none."""

    arrow: ClassVar[pa.DataType] = pa.list_(
        pa.struct([("text", pa.string()), ("start", pa.int64()), ("note", pa.string())])
    )
    labelled: ClassVar[bool] = False

    def gather(self, table: pa.Table, target: Sequence[str], sure: bool) -> pa.Table:
        found = _Found.of(table, target, sure)
        return table if found is None else found.gathered(table)

    def claims(self, profile: Profile) -> float:
        cells = profile.cells[:_LOOKED_AT]
        if not cells or not all(isinstance(cell, list) and all(map(_is_answer, cell)) for cell in cells):
            return 0.0
        return 12.0 if any(cells) else 0.0

    def why(self, profile: Profile) -> str:
        none = sum(not cell for cell in profile.cells)
        return "answers that stand in the context" + (f"; {none:,} rows have none" if none else "")

    def shown(self, target: Sequence[Mapping[str, Any]]) -> str:
        return " / ".join(one["text"] for one in target) or "no answer"

    def read(
        self, column: pa.ChunkedArray, inputs: Sequence[pa.ChunkedArray], columns: Columns
    ) -> tuple[pa.Array, list[tuple[int, str]]]:
        contexts = inputs[1].to_pylist() if len(inputs) > 1 else [None] * len(column)
        questions = inputs[0].to_pylist() if inputs else [None] * len(column)
        rows: list[list[dict[str, Any]] | None] = []
        faults: list[tuple[int, str]] = []
        for row, (cell, question, context) in enumerate(zip(column.to_pylist(), questions, contexts, strict=True)):
            if cell is None or (inputs and not (str(question or "").strip() and str(context or "").strip())):
                rows.append(None)
                continue
            answers: list[dict[str, Any]] = []
            try:
                for one in _listed(cell):
                    answers += _placed(one, None if context is None else str(context), columns.repeated_answers)
            except ValueError as error:
                faults.append((row, f"{error} (question: {str(question)[:60]!r})"))
            rows.append(_once(answers))
        return pa.array(rows, self.arrow), faults

    def warn(self, column: pa.ChunkedArray, place: Callable[[int], Problem], emit: Emit) -> None:
        notes: Counter[str] = Counter()
        first: dict[str, tuple[int, str]] = {}
        for row, cell in enumerate(column.to_pylist()):
            for answer in cell:
                if note := answer["note"]:
                    notes[note] += 1
                    first.setdefault(note, (row, answer["text"]))
        told = {
            _MOVED: "answers do not stand where their start says, and are taken where they stand near by",
            _SPELT: "answers are written otherwise in their context (spaces, capitals), whose words are taken",
        }
        for note, count in notes.items():
            row, text = first[note]
            where = str(place(row)).removesuffix(": ")
            emit(Warned("answers", f"{count:,} {told[note]}, such as {text[:60]!r} ({where})"))


class _Found:
    """The columns that together say which answers there are."""

    def __init__(self, name: str, text: str, start: str | None, impossible: str | None):
        self.name, self.text, self.start, self.impossible = name, text, start, impossible

    @classmethod
    def of(cls, table: pa.Table, target: Sequence[str], sure: bool) -> _Found | None:
        """None where nothing has to be gathered. `sure`: a column of texts may be answers without a word of where they
        begin."""
        known = {simple(name): name for name in reversed(table.column_names)}
        wanted = [simple(name) for name in target[:1]] or list(_NAMES)
        for name in wanted:
            text = next((known[one] for one in (name, f"{name}_text") if one in known), None)
            if text is None or table.schema.field(text).type == WRITTEN or _is_kept(table.schema.field(text).type):
                continue
            stem = name.removesuffix("_text")
            starts = [f"{stem}_answer_start", f"{stem}_start", *_STARTS]
            start = next((known[one] for one in starts if one in known), None)
            shaped = _shaped(table.column(text))
            if start is None and not sure and not shaped:
                continue
            plain = text.rpartition(".")[0] if text.endswith(".text") else text
            return cls(target[0] if target else plain, text, start, known.get("is_impossible"))
        return None

    def gathered(self, table: pa.Table) -> pa.Table:
        texts = table.column(self.text).to_pylist()
        starts = [None] * len(texts) if self.start is None else table.column(self.start).to_pylist()
        none = [None] * len(texts) if self.impossible is None else table.column(self.impossible).to_pylist()
        rows = [_written(*cells) for cells in zip(texts, starts, none, strict=True)]
        if not any(rows):  # nobody has filled it in
            rows = [None] * len(rows)
        used = {self.text, self.start, self.impossible} - {None}
        place = table.column_names.index(self.text)
        kept = [name for name in table.column_names if name not in used]
        before = sum(name in kept for name in table.column_names[:place])
        return table.select(kept).add_column(before, self.name, pa.chunked_array([pa.array(rows, WRITTEN)]))


def _is_kept(kind: pa.DataType) -> bool:
    return bool(kind == Answers.arrow)


def _shaped(column: pa.ChunkedArray) -> bool:
    """Whether its cells are answers with their places, as lists of objects or as JSON of such."""
    if pa.types.is_list(column.type):
        return bool(pa.types.is_struct(column.type.value_type))
    if not pa.types.is_string(column.type):
        return False
    cells = [cell for cell in column[:_LOOKED_AT].to_pylist() if cell and cell.strip()]
    objects = [_parsed(cell) for cell in cells if cell.lstrip()[:1] in ("[", "{") and "start" in cell]
    return 2 * sum(all(map(_is_answer, one)) for one in objects) > len(cells)


def _is_answer(one: object) -> bool:
    return isinstance(one, Mapping) and "text" in one and bool({"answer_start", "start"} & set(one))


def _written(text: Any, start: Any, none: Any) -> list[dict[str, str | None]] | None:
    """A cell of texts and one of their starts as a list of answers, None where nothing is there."""
    one: Any
    impossible = str(none).strip().lower() in ("true", "1", "yes", "1.0")
    texts = _parsed(text)
    starts = start if isinstance(start, list) else [start] * len(texts) if len(texts) == 1 else _parsed(start)
    if len(starts) not in (0, len(texts)):
        starts = [f"{len(starts)} starts of {len(texts)} answers"] * len(texts)
    found = []
    for one, at in zip(texts, starts or [None] * len(texts), strict=True):
        if isinstance(one, Mapping):
            one, at = one.get("text"), one.get("answer_start", one.get("start", at))
        if one is not None and str(one).strip():
            found.append({"text": str(one), "answer_start": None if at is None or at != at else _whole(at)})
    if impossible and found:
        return [{"text": found[0]["text"], "answer_start": "the row says is_impossible, and has an answer"}]
    return None if not found and none is not None and not impossible else found


def _parsed(cell: Any) -> list[Any]:
    """What a cell lists: of a text that is a list or an object, its parts."""
    if cell is None or cell != cell:
        return []
    if isinstance(cell, str) and cell.strip()[:1] in ("[", "{"):
        for parse in (json.loads, ast.literal_eval):
            try:
                found = parse(cell)
            except (ValueError, SyntaxError, RecursionError, MemoryError):
                continue
            return _parsed(found)
    if isinstance(cell, Mapping):
        texts, starts = cell.get("text"), cell.get("answer_start", cell.get("start"))
        if isinstance(texts, list):
            starts = starts if isinstance(starts, list) and starts else [None] * len(texts)
            if len(starts) != len(texts):
                starts = [f"{len(starts)} starts of {len(texts)} answers"] * len(texts)
            return [{"text": text, "answer_start": at} for text, at in zip(texts, starts, strict=True)]
        return [cell]
    return list(cell) if isinstance(cell, list) else [cell]


def _whole(number: Any) -> str:
    return str(int(number)) if isinstance(number, float) and number.is_integer() else str(number).strip()


def _listed(cell: Any) -> list[Mapping[str, Any]]:
    if not isinstance(cell, list) or not all(isinstance(one, Mapping) and "text" in one for one in cell):
        raise ValueError(f"{str(cell)[:60]!r} is no list of answers")
    return cell


def _placed(one: Mapping[str, Any], context: str | None, repeated: str) -> list[dict[str, Any]]:
    """An answer where it stands in its context. Raises ValueError where it does not, or in several places of which
    nothing says which is meant."""
    text, at = str(one["text"] or ""), one.get("answer_start", one.get("start"))
    start = None if at is None or at == "" else _number(at)
    known = text.strip()
    if not known:
        return []
    if context is None:
        return [_answer(known, -1 if start is None else start)]
    if start is not None:
        start += len(text) - len(text.lstrip())
        if start >= 0 and context[start : start + len(known)] == known:
            return [_answer(known, start)]
    note = None if start is None else _MOVED
    places = [(match.start(), known) for match in re.finditer(re.escape(known), context)]
    if not places:
        loose = r"\s+".join(map(re.escape, known.split()))
        places = [(match.start(), match[0]) for match in re.finditer(loose, context, re.IGNORECASE)]
        note = _SPELT
    if not places:
        beyond = start is not None and start >= len(context)
        more = f": it would begin at {start}, and the context ends at {len(context)}" if beyond else ""
        raise ValueError(f"the answer {known[:60]!r} is not in its context{more}")
    if len(places) == 1:
        return [_answer(places[0][1], places[0][0], note)]
    if start is not None:
        place, words = min(places, key=lambda found: abs(found[0] - start))
        if abs(place - start) <= _NEAR:
            return [_answer(words, place, note)]
        there = context[max(0, start) : max(0, start) + len(known)]
        raise ValueError(f"at {start} stands {there[:40]!r}, and the answer {known[:60]!r} in {len(places)} others")
    if repeated == "refuse":
        raise ValueError(
            f"the answer {known[:60]!r} stands in {len(places)} places of its context, and nothing says which is meant "
            "(a column answer_start would; --set repeated_answers=any takes each of them for right, =first the first)"
        )
    return [_answer(words, place, note) for place, words in (places if repeated == "any" else places[:1])]


def _number(at: Any) -> int:
    try:
        return int(str(at))
    except ValueError:
        raise ValueError(f"{str(at)[:60]!r} is no number of characters at which an answer begins") from None


def _answer(text: str, start: int, note: str | None = None) -> dict[str, Any]:
    return {"text": text, "start": start, "note": note}


def _once(answers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return list({(one["start"], one["text"]): one for one in answers}.values())
