"""An answer that stands in a context, or none."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, ClassVar

import numpy as np
from datasets import Dataset

from tunesmith.core.events import Emit
from tunesmith.core.measured import Measured
from tunesmith.engine.batching import sample
from tunesmith.engine.protocols import Target
from tunesmith.evaluate.answers import Answered, AnswerRows, Span, answer_rows, answer_tokens, best_threshold
from tunesmith.evaluate.measured import compute

USUAL = 0.5
"""From how sure on an answer is given where nothing was tuned: where it is likelier than none."""
_LEARNED = 2_000
"""Training rows by which simple ways to answer are settled."""
_CANDIDATES = 3
"""Answers that `predict` gives, the best among them."""
_WITHIN = r"[^\n.!?\u3002\uff01\uff1f]*"
_SENTENCE = re.compile(rf"{_WITHIN}(?:[.!?](?!\s|$){_WITHIN})*[.!?\u3002\uff01\uff1f]*")


class Answers(Target):
    """Predictions are `evaluate.answers.Answered`, one a row."""

    said: ClassVar[str] = "an answer that stands in the context"
    score: ClassVar[str] = "f1"
    constant: ClassVar[str] = "constant_answer"
    price: ClassVar[str | None] = None
    one_answer: ClassVar[bool] = False
    has_thresholds: ClassVar[bool] = True
    tuned_early: ClassVar[bool] = True

    def truth(self, values: Sequence[Any]) -> list[list[Span]]:
        """Of each row the true answers; none where there is none."""
        return [
            [Span(one["text"], one["start"], one["start"] + len(one["text"])) for one in answers] for answers in values
        ]

    def measure(self, predictions: Any, truth: Any, thresholds: np.ndarray | None = None) -> Measured:
        return answer_rows(predictions, truth, USUAL if thresholds is None else float(thresholds[0]))

    def tune(self, validation: Measured) -> np.ndarray | None:
        assert isinstance(validation, AnswerRows)
        found = best_threshold(validation)
        return None if found is None else np.array([found])

    def answers(
        self, predictions: Any, thresholds: np.ndarray | None, threshold: float | None = None,
        rows: Dataset | None = None,
    ) -> list[dict[str, Any]]:  # fmt: skip
        """{"text", "start", "end", "probability", "candidates"}: characters `start` up to `end` of the context, None
        with an empty text where there is no answer, whose probability is then that of there being none."""
        return [self._answer(one, thresholds, threshold) for one in predictions]

    def _answer(self, one: Answered, thresholds: np.ndarray | None, threshold: float | None) -> dict[str, Any]:
        cut = 0.0 if threshold is not None else USUAL if thresholds is None else float(thresholds[0])
        best = one.best(cut)
        if best is not None and threshold is not None and best.probability < threshold:
            best = None
        first = {"text": "", "start": None, "end": None, "probability": one.none} if best is None else _as_dict(best)
        return {**first, "candidates": [_as_dict(span) for span in one.spans[:_CANDIDATES]]}

    def from_columns(self, columns: Mapping[str, Any]) -> list[Answered]:
        cells = zip(*(columns[name] for name in ("best", "start", "end", "probability", "answerable")), strict=True)
        return [
            Answered((Span(text, start, end, chance),) if start >= 0 else (), sure)
            for text, start, end, chance, sure in cells
        ]

    def baselines(
        self, rows: tuple[Dataset, Dataset], truths: tuple[Any, Any], cheap: str | None,
        features: Callable[[np.ndarray, Emit], tuple[Any, Any]], *, seed: int, emit: Emit,
    ) -> dict[str, Measured]:  # fmt: skip
        """None or the first sentence, whichever is worth more on training rows; and the sentence that has the most of
        the question's words in it, each by how rare it is in the contexts (TF-IDF), or none where it is less like the
        question than is best on training rows."""
        known = sample(np.arange(len(rows[0])), _LEARNED, seed)
        learned, right = rows[0].select(known), [truths[0][int(at)] for at in known]
        constant: list[Callable[[Dataset], list[Answered]]] = [_none, _first]
        worth = [compute(self.measure(of(learned), right), ["f1"]).get("f1", 0.0) for of in constant]
        found = {self.constant: self.measure(constant[int(np.argmax(worth))](rows[1]), truths[1])}
        if cheap is not None:
            rarity = _Rarity(rows[0])
            cut = self.tune(self.measure(rarity.answers(learned), right))
            found[cheap] = self.measure(rarity.answers(rows[1]), truths[1], np.zeros(1) if cut is None else cut)
        return found


def _none(rows: Dataset) -> list[Answered]:
    return [Answered(()) for _ in range(len(rows))]


def _first(rows: Dataset) -> list[Answered]:
    return [Answered(tuple(islice(sentences(str(text)), 1))) for text in rows["context"]]


class _Rarity:
    """How rare words are in contexts."""

    def __init__(self, rows: Dataset):
        known = {str(text) for text in rows["context"]}
        self._counts = Counter(word for text in known for word in set(answer_tokens(text)))
        self._all = len(known)

    def answers(self, rows: Dataset) -> list[Answered]:
        """Of each row the sentence that is most alike, and how much so, from 0 to 1."""
        return [self._best(str(one), str(other)) for one, other in zip(rows["question"], rows["context"], strict=True)]

    def _best(self, question: str, context: str) -> Answered:
        asked = {word: self._weight(word) for word in answer_tokens(question)}
        scored = [(self._like(asked, span.text), -at, span) for at, span in enumerate(sentences(context))]
        if not scored:
            return Answered(())
        like, _, span = max(scored)
        size = math.sqrt(sum(weight**2 for weight in asked.values()))
        return Answered((span,), like / size if size else 0.0)

    def _weight(self, word: str) -> float:
        return math.log((1 + self._all) / (1 + self._counts[word])) + 1

    def _like(self, asked: Mapping[str, float], sentence: str) -> float:
        words = set(answer_tokens(sentence))
        size = math.sqrt(sum(self._weight(word) ** 2 for word in words))
        return sum(asked[word] ** 2 for word in words & set(asked)) / size if size else 0.0


def sentences(context: str) -> Iterator[Span]:
    """The sentences of a text, without the spaces around them."""
    for match in _SENTENCE.finditer(context):
        text = match[0].strip()
        if text:
            start = match.start() + match[0].index(text)
            yield Span(text, start, start + len(text))


def _as_dict(span: Span) -> dict[str, Any]:
    return {"text": span.text, "start": span.start, "end": span.end, "probability": round(span.probability, 6)}
