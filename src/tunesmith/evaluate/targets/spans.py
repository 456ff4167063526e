"""A tag for each word."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from datasets import Dataset

from tunesmith.core.events import Emit
from tunesmith.core.measured import Measured
from tunesmith.data.tags import OUTSIDE, spans_of
from tunesmith.evaluate import spans
from tunesmith.evaluate.targets.label import Label

_LEAST = 1e-12


@dataclass(frozen=True)
class Tagged:
    """Tags of a row: of all words, or of those that were read. `scores` float64 [words, tags], where they are known."""

    tags: list[str]
    scores: np.ndarray | None = None


class Spans(Label):
    """Predictions are `Tagged`, one a row."""

    said: ClassVar[str] = "a tag for each word"
    score: ClassVar[str] = "span_f1"
    price: ClassVar[str | None] = "word_log_loss"
    one_answer: ClassVar[bool] = False

    def truth(self, values: Sequence[Any]) -> Any:
        """Tags of each row."""
        return [list(tags) for tags in values]

    def decode(self, scores: np.ndarray, counts: np.ndarray | None) -> list[Tagged]:
        names = self.label_names or []
        ends = np.cumsum(np.ones(len(scores), dtype=np.int64) if counts is None else counts)
        best = scores.argmax(1) if len(scores) else np.zeros(0, dtype=np.int64)
        return [
            Tagged([names[at] for at in best[start:end]], scores[start:end])
            for start, end in zip([0, *ends[:-1]], ends, strict=True)
        ]

    def measure(self, predictions: Any, truth: Any, thresholds: np.ndarray | None = None) -> Measured:
        types = sorted({span.type for name in self.label_names or () for span in spans_of([name])})
        losses = None
        if all(one.scores is not None for one in predictions):
            losses = [self._loss(one, tags) for one, tags in zip(predictions, truth, strict=True)]
        return spans.count(truth, [one.tags for one in predictions], types, losses)

    def _loss(self, one: Tagged, truth: Sequence[str]) -> tuple[float, int]:
        index = {name: at for at, name in enumerate(self.label_names or ())}
        known = [index[tag] for tag in truth[: len(one.tags)]]
        assert one.scores is not None
        chances = one.scores[np.arange(len(known)), known]
        return float(-np.log(np.maximum(chances, _LEAST)).sum()), len(known)

    def answers(
        self, predictions: Any, thresholds: np.ndarray | None, threshold: float | None = None,
        rows: Dataset | None = None,
    ) -> list[dict[str, Any]]:  # fmt: skip
        words = [one.tags for one in predictions] if rows is None else rows["tokens"][:]
        return [self._answer(one, row, threshold or 0.0) for one, row in zip(predictions, words, strict=True)]

    def _answer(self, one: Tagged, words: Sequence[str], threshold: float) -> dict[str, Any]:
        """{"spans", "words", "tags"}: a span begins at the word `start` (from 0) and ends before `end`; its probability
        is that of its least certain word."""
        assert one.scores is not None
        tags = [*one.tags, *[OUTSIDE] * (len(words) - len(one.tags))]
        found = []
        for start, end, kind in spans_of(tags):
            sure = float(one.scores[start:end].max(1).min())
            if sure >= threshold:
                text = " ".join(words[start:end])
                found.append({"text": text, "type": kind, "start": start, "end": end, "probability": round(sure, 6)})
        return {"spans": found, "words": list(words), "tags": tags}

    def from_columns(self, columns: Mapping[str, Any]) -> list[Tagged]:
        return [Tagged(tags) for tags in columns["predicted"]]

    def baselines(
        self, rows: tuple[Dataset, Dataset], truths: tuple[Any, Any], cheap: str | None,
        features: Callable[[np.ndarray, Emit], tuple[Any, Any]], *, seed: int, emit: Emit,
    ) -> dict[str, Measured]:  # fmt: skip
        """The most frequent tag everywhere; and that of each word in the training rows, of other words the same."""
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        every: Counter[str] = Counter()
        for words, tags in zip(rows[0]["tokens"][:], truths[0], strict=True):
            every.update(tags)
            for word, tag in zip(words, tags, strict=True):
                counts[word][tag] += 1
        usual = every.most_common(1)[0][0]
        known = {word: of.most_common(1)[0][0] for word, of in counts.items()}
        asked = rows[1]["tokens"][:]
        given = {"majority": [[usual] * len(words) for words in asked]}
        if cheap is not None:
            given[cheap] = [[known.get(word, usual) for word in words] for words in asked]
        return {name: self.measure([Tagged(row) for row in tags], truths[1]) for name, tags in given.items()}
