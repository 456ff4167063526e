"""Extractive question answering: the words of a context that answer a question, or that it does not answer it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from datasets import Dataset
from pydantic import Field
from torch import Tensor

from tunesmith.core import registry
from tunesmith.core.events import Decided, Emit, Warned
from tunesmith.core.options import Options
from tunesmith.data.types import Kind
from tunesmith.engine.probe import Loss
from tunesmith.engine.protocols import PredictiveTask, Toy
from tunesmith.engine.tokens import check_length
from tunesmith.engine.windows import EncodedQuestions, encode_questions
from tunesmith.evaluate.answers import Answered, Span
from tunesmith.models.bundle import Bundle
from tunesmith.models.reader import NOWHERE, best_spans

USUAL_WINDOW = 384
"""Tokens of a window where nothing is asked, as in BERT's own code for SQuAD."""


class QuestionAnsweringOptions(Options):
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Dropout in the network while training."""
    max_length: int | None = Field(default=None, ge=16)
    """Tokens of a window, the question among them. Longer contexts are read in several windows, of which each has a
    third in common with the next; at most 384 when not given."""
    windows: int | None = Field(default=4, ge=1)
    """Most windows of a question in a step of training: one with its answer, others drawn anew in every epoch."""
    max_answer_length: int | None = Field(default=None, ge=1)
    """Longest answer that is given, in characters. When not given, the longest of the training rows."""


class QuestionAnswering(PredictiveTask):
    Options = QuestionAnsweringOptions
    summary: ClassVar[str] = "an answer to a question from the words of a context, or that there is none"
    kinds: ClassVar[tuple[Kind, ...]] = ("answers",)
    modality: ClassVar[str] = "question"
    loader: ClassVar[str] = "reader"
    metrics: tuple[str, ...] = ("f1", "exact_match")
    probe_loss: Loss | None = None
    usual_method: ClassVar[str | None] = "full"
    method_defaults: ClassVar[Mapping[str, tuple[float, int]]] = {"full": (4e-4, 5)}
    epochs_rows: ClassVar[int | None] = 800
    batch_rows: ClassVar[tuple[int, int]] = (4, 8)
    usual_patience: ClassVar[int | None] = 4
    kind: Kind = "answers"
    _longest = 0
    """Characters of the longest answer."""
    _may_be_none = False
    """Whether there are questions that their context does not answer."""

    def fit(self, kind: Kind, label_names: list[str] | None, train_targets: Sequence[Any], emit: Emit) -> None:
        super().fit(kind, label_names, train_targets, emit)
        lengths = [len(one["text"]) for answers in train_targets for one in answers]
        none = sum(not answers for answers in train_targets)
        self._may_be_none = none > 0
        longest = max(lengths, default=1)
        self._longest = self.options.max_answer_length or longest
        why = "as asked for" if self.options.max_answer_length else "characters of the longest answer to learn from"
        emit(Decided("max_answer_length", self._longest, why))
        if none:
            share = none / len(train_targets)
            why = f"{share:.0%} of the training questions have none; how sure one must be is tuned on validation rows"
            emit(Decided("no answer", "may be given", why))

    def load(self, model: str, emit: Emit) -> Bundle:
        loaded: Bundle = registry.get("models.loaders", self.loader).base(
            model, dropout=self.options.dropout, emit=emit
        )
        return loaded

    def encode(
        self, rows: Dataset, bundle: Bundle, folder: Path, emit: Emit, check: Callable[[], None]
    ) -> EncodedQuestions:
        asked = self.options.max_length
        check_length(asked, bundle.position_limit, bundle.name)
        limit = asked or min(bundle.position_limit, USUAL_WINDOW)
        bundle.max_length = limit  # so does the finished model
        found = encode_questions(rows, bundle.tokenizer, limit, folder, check)
        found.drawn = self.options.windows
        counts = np.diff(found.windows)
        why = f"{len(found.offsets) - 1:,} windows of {len(found):,} questions, {counts.max()} of one at the most"
        emit(Decided("max_length", limit, why))
        held = found.with_targets(self.targets(rows["target"][:]), np.arange(len(rows)))
        if len(unheld := held.unheld(np.arange(len(rows)))):
            message = f"{len(unheld):,} questions have answers that are longer than what two windows have in common, "
            message += "and whole in none: they can not be learned, nor given. --max-length makes windows longer"
            emit(Warned("long answers", message))
        return found

    def targets(self, values: Sequence[Any]) -> Any:
        """Of each row int64 [answers, 2]: the characters from and up to which they stand."""
        return [
            np.array([(one["start"], one["start"] + len(one["text"])) for one in answers], np.int64).reshape(-1, 2)
            for answers in values
        ]

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """outputs float32 [rows, windows, tokens, 4] of `ReaderModel`, targets bool [rows, windows, tokens, 2]. Of each
        row the mean of begin and end, each over the tokens of all windows together, so that windows can be compared;
        where several places are right, all of what they are given counts (Clark & Gardner 2018, section 3)."""
        logits, marks = outputs[..., :2].flatten(1, 2), targets.flatten(1, 2)
        inside = marks & (outputs[..., 2:3] >= 0).flatten(1, 2)
        right = torch.where(inside.any(1, keepdim=True), inside, marks)  # 'no answer' only where no window has one
        return (logits.logsumexp(1) - logits.masked_fill(~right, 2 * NOWHERE).logsumexp(1)).mean(-1)

    def kept(self, outputs: Tensor) -> Tensor:
        """float32 [rows, answers, 3]: `best_spans`."""
        return best_spans(outputs, float(self._longest))

    def scores(self, logits: np.ndarray) -> np.ndarray:
        """Probabilities of 'no answer' and of the best answers, float64 [n, answers]."""
        sums = torch.from_numpy(np.asarray(logits[..., 2], dtype=np.float64))
        if not self._may_be_none:
            sums = torch.cat((torch.full_like(sums[:, :1], 2 * NOWHERE), sums[:, 1:]), 1)
        return sums.softmax(-1).numpy()

    def decode(self, logits: np.ndarray, counts: np.ndarray | None = None, rows: Dataset | None = None) -> Any:
        """`Answered` of each row. `logits`: as `kept` gives them."""
        found = []
        chances = self.scores(logits)
        for (one, chance), context in zip(
            zip(np.asarray(logits), chances, strict=True), _contexts(rows, len(logits)), strict=True
        ):
            spans = [
                _span(context, int(start), int(end), float(chance[at]))
                for at, (start, end, _) in enumerate(one[1:], 1) if start >= 0
            ]  # fmt: skip
            sure = float(1 / (1 + np.exp(-float(one[1, 2].clip(-50, 50))))) if self._may_be_none else 1.0
            found.append(Answered(tuple(spans), sure, float(chance[0])))
        return found

    def state(self) -> dict[str, Any]:
        return {**super().state(), "longest": self._longest, "may_be_none": self._may_be_none}

    def restore(self, state: Mapping[str, Any]) -> None:
        super().restore(state)
        self._longest, self._may_be_none = state["longest"], state["may_be_none"]

    @classmethod
    def toys(cls) -> list[Toy]:
        things, states = ["app", "card", "order", "parcel", "refund"], ["late", "lost", "broken", "good", "happy"]
        rows = []
        for at in range(10):
            thing, state, other = things[at % 5], states[(at + at // 5) % 5], states[(at + 3) % 5]
            context = f"sorry the {thing} is {state} and you"
            found = [state] if at % 4 else []
            answers = {"text": found, "answer_start": [context.index(one) for one in found]}
            question = f"how is my {thing}" if at % 4 else f"why {other} where"
            rows.append({"question": question, "context": context, "answers": answers})
        return [Toy(rows, {"task": "question-answering"}, reaches=0.6)]


def _contexts(rows: Dataset | None, count: int) -> Any:
    if rows is None:
        yield from ("" for _ in range(count))
        return
    for some in rows.select_columns(["context"]).iter(100):  # they may be long
        yield from some["context"]


def _span(context: str, start: int, end: int, probability: float) -> Span:
    """Without spaces at its ends."""
    text = context[start:end]
    start += len(text) - len(text.lstrip())
    return Span(text.strip(), start, start + len(text.strip()), probability)
