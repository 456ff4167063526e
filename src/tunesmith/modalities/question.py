"""Questions, each with the context that it is asked about."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from datasets import Dataset

from tunesmith.core.errors import DataError, Problem
from tunesmith.core.events import Emit
from tunesmith.core.text import shortened
from tunesmith.data import labels, predict_inputs, squad, text_hashes
from tunesmith.data.duplicates import Duplicates, find_duplicates
from tunesmith.data.modality import Reasons
from tunesmith.data.profile import Profile, simple
from tunesmith.data.target_kind import kind_named
from tunesmith.data.texts import TextData
from tunesmith.data.types import Columns, ReadOptions
from tunesmith.engine.modality import Modality
from tunesmith.engine.windows import EncodedQuestions, encode_questions
from tunesmith.models.bundle import Bundle

_QUESTIONS = ("question", "query", "questions", "prompt", "input_question")
_CONTEXTS = ("context", "passage", "paragraph", "document", "contexts", "text", "article", "contract", "reference")
_SHOWN = 160
"""Characters of a context where rows are listed."""


class Question(TextData, Modality):
    name: ClassVar[str] = "question"
    roles: ClassVar[tuple[str, ...]] = ("question", "context")
    noun: ClassVar[str] = "question"
    parts: ClassVar[tuple[str, ...]] = ("question", "context")
    usual_task: ClassVar[str] = "question-answering"
    joins: ClassVar[bool] = False
    suffixes: ClassVar[frozenset[str]] = frozenset()
    formats: ClassVar[frozenset[str]] = squad.SUFFIXES
    kinds: ClassVar[tuple[str, ...] | None] = ("answers",)
    together: ClassVar[str | None] = "context"
    documents: ClassVar[tuple[str, ...]] = (
        "title", "document", "document_id", "doc_id", "document_name", "filename", "article_id", "context_id",
    )  # fmt: skip
    in_tokens: ClassVar[bool] = True
    in_windows: ClassVar[bool] = True
    cheap: ClassVar[str | None] = "best_sentence"
    size_name: ClassVar[str | None] = "characters of the context"

    def claims(self, profile: Profile) -> float:
        """A column of answers with their starts is what tells such a table from one of pairs of texts."""
        kind = kind_named("answers")
        assert kind is not None
        return 100_000.0 if kind.claims(profile) else 0.0

    def choose(
        self, profiles: Sequence[Profile], target: Sequence[str], source: str, reasons: Reasons
    ) -> tuple[str, ...]:
        free = [p for p in profiles if p.kind == "string" and p.name not in target and p.numeric < 0.5]
        named = {simple(profile.name): profile.name for profile in free}
        question = next((named[name] for name in _QUESTIONS if name in named), None)
        context = next((named[name] for name in _CONTEXTS if name in named and named[name] != question), None)
        why = "the names are usual for them"
        if question is None or context is None:
            left = sorted((p for p in free if p.name not in (question, context)), key=lambda p: p.characters)
            if context is None and left:
                context = left.pop().name
            if question is None and left:
                question = left.pop().name
            why = "the longest texts are the contexts"
        if question is None or context is None:
            problem = Problem("there is no column of questions and one of the contexts that they are about", source)
            raise DataError(problem, "Name them: --text QUESTION_COLUMN --text CONTEXT_COLUMN")
        reasons["question"] = (f"{question} + {context}", why)
        return question, context

    def reads(self, path: Path) -> bool:
        return squad.is_squad(path)

    def tables(self, path: Path, options: ReadOptions, emit: Emit) -> Iterator[pa.Table]:
        return squad.read(path, options, emit)

    def duplicates(self, table: pa.Table, threshold: float) -> Duplicates:
        """Identical are questions that are asked twice of one context; of one cluster all questions about contexts
        that are (nearly) the same."""
        both = find_duplicates(table, self.roles, 0.0)
        encoded = table.column("context").combine_chunks().dictionary_encode()
        contexts = pa.table({"context": encoded.dictionary})
        found = find_duplicates(contexts, ["context"], threshold)
        cluster = found.cluster[np.asarray(encoded.indices)]
        return Duplicates(both.identical, cluster, found.chained, found.unchecked)

    def hashes(self, table: pa.Table) -> npt.NDArray[np.uint64]:
        return text_hashes.of_texts(table.select(list(self.roles)))

    def lengths(self, table: pa.Table) -> Mapping[str, Any]:
        return labels.text_lengths(table.column("context"))

    def encode(
        self, rows: Dataset, bundle: Bundle[Any], limit: int, folder: Path, check: Callable[[], None] = lambda: None
    ) -> EncodedQuestions:
        return encode_questions(rows, bundle.tokenizer, limit, folder, check)

    def inputs(self, items: Sequence[object], columns: Columns) -> dict[str, list[Any]]:
        return dict(zip(self.roles, predict_inputs.texts_of(items, columns).values(), strict=True))

    def from_columns(self, rows: Dataset, columns: Columns) -> Dataset:
        cells = zip(self.roles, columns.inputs, strict=True)
        return Dataset.from_dict(
            {role: ["" if one is None else str(one) for one in rows[name]] for role, name in cells}
        )

    def blanks(self, inputs: Mapping[str, Sequence[Any]]) -> list[int]:
        return predict_inputs.blanks(*inputs.values())

    def words(self, rows: Dataset) -> list[str]:
        return [f"{question} {context}" for question, context in self._pairs(rows)]

    def of_texts(self, texts: Sequence[str]) -> Dataset:
        return Dataset.from_dict({"question": list(texts), "context": list(texts)})

    def shown(self, rows: Dataset) -> list[str]:
        return [f"{question} ⟷ {shortened(context, _SHOWN, '…')}" for question, context in self._pairs(rows)]

    def sizes(self, rows: Dataset) -> np.ndarray:
        return np.array([len(context) for _, context in self._pairs(rows)], dtype=float)

    def _pairs(self, rows: Dataset) -> Iterator[tuple[str, str]]:
        for some in rows.select_columns(list(self.roles)).iter(100):  # contexts may be long
            yield from zip(some["question"], some["context"], strict=True)
