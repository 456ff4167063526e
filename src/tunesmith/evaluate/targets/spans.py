"""A tag for each word."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from datasets import Dataset

from tunesmith.core.events import Emit
from tunesmith.core.measured import Measured
from tunesmith.data.tags import OUTSIDE, may_follow, spans_of
from tunesmith.evaluate import spans
from tunesmith.evaluate.spans import TrueTags
from tunesmith.evaluate.targets.label import Label

_LEAST = 1e-12
GAZETTEER = "gazetteer"


@dataclass(frozen=True)
class Tagged:
    """Tags of a row: of all words, or of those that were read. `scores` float64 [words, tags], where they are known."""

    tags: list[str]
    scores: np.ndarray | None = None


class Spans(Label):
    """Predictions are `Tagged`, one a row."""

    said: ClassVar[str] = "a tag for each word"
    score: ClassVar[str] = "f1"
    price: ClassVar[str | None] = "word_log_loss"
    one_answer: ClassVar[bool] = False

    def __init__(self, kind: str, label_names: list[str] | None, seen: Container[str] | None = None):
        """`seen`: surface forms of the entities of the training rows."""
        super().__init__(kind, label_names)
        self.seen = seen

    def truth(self, values: Sequence[Any]) -> Any:
        """`TrueTags` without words."""
        return TrueTags([list(tags) for tags in values])

    def decode(self, scores: np.ndarray, counts: np.ndarray | None) -> list[Tagged]:
        """The likeliest tags of each row that are BIO: none goes on with an entity that was not begun."""
        names = self.label_names or []
        sizes = np.ones(len(scores), dtype=np.int64) if counts is None else counts
        ends = np.cumsum(sizes)
        best = valid_path(scores, sizes, np.array(may_follow(names), dtype=bool)) if len(scores) else sizes[:0]
        return [
            Tagged([names[at] for at in best[start:end]], scores[start:end])
            for start, end in zip([0, *ends[:-1]], ends, strict=True)
        ]

    def measure(self, predictions: Any, truth: Any, thresholds: np.ndarray | None = None) -> Measured:
        types = sorted({span.type for name in self.label_names or () for span in spans_of([name])})
        losses = None
        if all(one.scores is not None for one in predictions):
            losses = [self._loss(one, tags) for one, tags in zip(predictions, truth.tags, strict=True)]
        return spans.count(truth, [one.tags for one in predictions], types, losses, self.seen)

    def unsure(
        self, logits: np.ndarray, scores: np.ndarray, bound: float, cuts: np.ndarray | float | None
    ) -> np.ndarray:
        """Also words whose likeliest tag goes on with what is not there: there the words around have a say."""
        follows = np.array(may_follow(self.label_names or []), dtype=bool)
        best = logits.argmax(1)
        broken = ~follows[np.concatenate([[-1], best[:-1]]), best]
        return np.asarray(super().unsure(logits, scores, bound, cuts) | broken)

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
        given, places = (
            (rows[name][:] for name in ("given", "places"))
            if rows is not None and "places" in rows.column_names else ([None] * len(words),) * 2
        )  # fmt: skip
        return [
            self._answer(one, row, (text, at), threshold or 0.0)
            for one, row, text, at in zip(predictions, words, given, places, strict=True)
        ]

    def _answer(
        self, one: Tagged, words: Sequence[str], source: tuple[str | None, Sequence[int] | None], threshold: float
    ) -> dict[str, Any]:
        """{"spans", "words", "tags"}: a span is the characters `start` (from 0) up to `end` of the text that was given
        (of words: of these with a space between each two), and the words `first_word` up to `end_word`; its probability
        is that of its least certain word."""
        assert one.scores is not None
        tags = [*one.tags, *[OUTSIDE] * (len(words) - len(one.tags))]
        text, places = source
        if text is None or places is None:
            text = " ".join(words)
            ends = np.cumsum([0, *(len(word) + 1 for word in words)])
            places = [int(at) for start, word in zip(ends, words, strict=False) for at in (start, start + len(word))]
        found, index = [], {name: at for at, name in enumerate(self.label_names or ())}
        for start, end, kind in spans_of(tags):
            sure = float(one.scores[np.arange(start, end), [index[tag] for tag in tags[start:end]]].min())
            if sure >= threshold:
                begin, stop = places[2 * start], places[2 * end - 1]
                found.append({
                    "text": text[begin:stop], "type": kind, "start": begin, "end": stop, "first_word": start,
                    "end_word": end, "probability": round(sure, 6),
                })  # fmt: skip
        return {"spans": found, "words": list(words), "tags": tags}

    def from_columns(self, columns: Mapping[str, Any]) -> list[Tagged]:
        return [Tagged(tags) for tags in columns["predicted"]]

    def baselines(
        self, rows: tuple[Dataset, Dataset], truths: tuple[Any, Any], cheap: str | None,
        features: Callable[[np.ndarray, Emit], tuple[Any, Any]], *, seed: int, emit: Emit,
    ) -> dict[str, Measured]:  # fmt: skip
        """The most frequent tag everywhere; the entities of the training rows wherever their words stand, the longest
        first; and the most frequent tag of each word in the training rows, of other words the same."""
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        every: Counter[str] = Counter()
        known = rows[0]["tokens"][:]
        for words, tags in zip(known, truths[0].tags, strict=True):
            every.update(tags)
            for word, tag in zip(words, tags, strict=True):
                counts[word][tag] += 1
        usual = every.most_common(1)[0][0]
        asked = rows[1]["tokens"][:]
        given = {"majority": [[usual] * len(words) for words in asked]}
        if cheap is not None:
            entities = gazetteer(known, truths[0].tags)
            if entities:
                given[GAZETTEER] = [found_in(words, entities) for words in asked]
            tag_of = {word: of.most_common(1)[0][0] for word, of in counts.items()}
            given[cheap] = [[tag_of.get(word, usual) for word in words] for words in asked]
        return {name: self.measure([Tagged(row) for row in tags], truths[1]) for name, tags in given.items()}


def gazetteer(rows: Sequence[Sequence[str]], tags: Sequence[Sequence[str]]) -> dict[tuple[str, ...], str]:
    """The words of the entities of some rows, with their most frequent type, where they more often are one than not."""
    kinds: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
    for words, given in zip(rows, tags, strict=True):
        for start, end, kind in spans_of(given):
            kinds[tuple(words[start:end])][kind] += 1
    longest = max(map(len, kinds), default=0)
    stands: Counter[tuple[str, ...]] = Counter()
    for words in rows:
        for size in range(1, longest + 1):
            for at in range(len(words) - size + 1):
                if (some := tuple(words[at : at + size])) in kinds:
                    stands[some] += 1
    return {words: of.most_common(1)[0][0] for words, of in kinds.items() if 2 * of.total() >= stands[words]}


def found_in(words: Sequence[str], entities: Mapping[tuple[str, ...], str]) -> list[str]:
    """Tags of a row: from the left, the longest of `entities` that stands there."""
    longest, at, tags = max(map(len, entities)), 0, [OUTSIDE] * len(words)
    while at < len(words):
        most = min(longest, len(words) - at)
        size = next((size for size in range(most, 0, -1) if tuple(words[at : at + size]) in entities), 0)
        if size:
            kind = entities[tuple(words[at : at + size])]
            tags[at : at + size] = [f"B-{kind}", *[f"I-{kind}"] * (size - 1)]
        at += max(1, size)
    return tags


def valid_path(scores: np.ndarray, sizes: np.ndarray, follows: np.ndarray) -> np.ndarray:
    """The likeliest tags of rows of words in which each may stand after the one before (Viterbi 1967), int64 [words].

    scores float64 [words, tags], probabilities of all words, row by row; sizes int64 [rows]; follows bool
    [tags + 1, tags] as `data.tags.may_follow` gives it.
    """
    best = scores.argmax(1)
    if follows.all():
        return best
    ends = np.cumsum(sizes)
    before = np.concatenate([[-1], best[:-1]])
    firsts = (ends - sizes)[sizes > 0]
    before[firsts] = -1
    broken = ~follows[before, best]
    for row in np.unique(np.searchsorted(ends, np.flatnonzero(broken), side="right")):
        start, end = int(ends[row] - sizes[row]), int(ends[row])
        best[start:end] = _path(np.log(np.maximum(scores[start:end], _LEAST)), follows)
    return best


def _path(logs: np.ndarray, follows: np.ndarray) -> np.ndarray:
    """The likeliest valid tags of one row, of log probabilities [words, tags]."""
    costs = np.where(follows[:-1], 0.0, -np.inf)
    total = np.where(follows[-1], logs[0], -np.inf)
    came = np.zeros(logs.shape, dtype=np.int64)
    for at in range(1, len(logs)):
        ways = total[:, None] + costs
        came[at] = ways.argmax(0)
        total = ways.max(0) + logs[at]
    path = [int(total.argmax())]
    for at in range(len(logs) - 1, 0, -1):
        path.append(int(came[at, path[-1]]))
    return np.array(path[::-1], dtype=np.int64)
