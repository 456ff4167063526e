"""Answers beside the true ones: what their metrics are made of, question by question.

rows = answer_rows(given, truth)        # statistics of each row, counted once
with_intervals(rows)                    # {"f1": {"value", "low", "high"}, "exact_match": ...}
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from tunesmith.evaluate.measured import RowStatistics
from tunesmith.evaluate.text_metrics import squad_tokens

# scripts that put no spaces between words: Thai, Lao, Khmer, Burmese, Japanese, Chinese
_UNSPACED = re.compile(
    "([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3041-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff])"
)


@dataclass(frozen=True)
class Span:
    """Characters `start` up to `end` of a context, which is not of it; -1 where that is not known."""

    text: str
    start: int
    end: int
    probability: float = 1.0


@dataclass(frozen=True)
class Answered:
    """What is made of a question: the likeliest answers, the best first; how sure it is that there is one rather than
    none, from 0 to 1 (1 of a model that always answers); and the probability of there being none."""

    spans: tuple[Span, ...]
    answerable: float = 1.0
    none: float = 0.0

    def best(self, threshold: float) -> Span | None:
        """None where it is less sure than `threshold` that there is one."""
        return self.spans[0] if self.spans and self.answerable >= threshold else None


@dataclass(frozen=True)
class AnswerRows(RowStatistics):
    """Questions with what was answered beside the truth.

    reached: float64 [n, 2], F1 and exact match of the best answer, given or not; silent: float64 [n], the same of
    none.
    """

    kind: str = "answers"
    given: list[Answered] = field(default_factory=list)
    truth: list[list[Span]] = field(default_factory=list)
    threshold: float = 0.5
    reached: np.ndarray = field(default_factory=lambda: np.zeros((0, 2)))
    silent: np.ndarray = field(default_factory=lambda: np.zeros(0))

    def take(self, rows: np.ndarray) -> AnswerRows:
        chosen = [int(at) for at in np.arange(len(self))[rows]]
        sums = {name: some[rows] for name, some in self.sums.items()}
        given, truth = [self.given[at] for at in chosen], [self.truth[at] for at in chosen]
        return AnswerRows(sums, self.kind, given, truth, self.threshold, self.reached[rows], self.silent[rows])

    def same_rows(self, other: object) -> bool:
        return super().same_rows(other) and (not isinstance(other, AnswerRows) or self.truth == other.truth)

    def counted(self) -> tuple[list[str], list[str]]:
        """What was answered, and the first true answer."""
        best = [one.best(self.threshold) for one in self.given]
        given = ["no answer" if one is None else one.text for one in best]
        return given, [right[0].text if right else "no answer" for right in self.truth]

    def columns(self) -> dict[str, list[Any]]:
        best = [one.best(self.threshold) for one in self.given]
        spans = [[(span.text, span.start, span.end, span.probability) for span in one.spans[:1]] for one in self.given]
        firsts = [one[0] if one else ("", -1, -1, 0.0) for one in spans]
        return {
            "predicted": ["" if one is None else one.text for one in best],
            **{name: [one[at] for one in firsts] for at, name in enumerate(("best", "start", "end", "probability"))},
            "answerable": [one.answerable for one in self.given],
            **{name: self.sums[name][:, 0].tolist() for name in ("f1", "exact_match")},
        }


def answer_rows(given: Sequence[Answered], truth: Sequence[Sequence[Span]], threshold: float = 0.5) -> AnswerRows:
    """As SQuAD 2.0's script counts (Rajpurkar et al. 2018): the best of several true answers counts; a question without
    an answer, or whose answers are nothing but articles and punctuation, is right where nothing is given. Raises
    ValueError where lengths differ."""
    wanted = [[one.text for one in right if answer_tokens(one.text)] or [""] for right in truth]
    reached = np.array([
        _reached(one.spans[0].text if one.spans else "", texts) for one, texts in zip(given, wanted, strict=True)
    ]).reshape(-1, 2)  # fmt: skip
    silent = np.array([texts == [""] for texts in wanted], dtype=np.float64)
    answered = np.array([one.best(threshold) is not None for one in given], dtype=bool)
    values = np.where(answered[:, None], reached, silent[:, None])
    every = np.ones(len(wanted))
    sums = {
        "f1": np.column_stack([values[:, 0], every, every]), "exact_match": np.column_stack([values[:, 1], every]),
    }  # fmt: skip
    has = np.array([bool(right) for right in truth], dtype=bool)
    if not has.all():
        sums["f1_has_answer"] = np.column_stack([values[:, 0] * has, has]).astype(np.float64)
        sums["no_answer_accuracy"] = np.column_stack([values[:, 1] * ~has, ~has]).astype(np.float64)
    return AnswerRows(sums, "answers", list(given), [list(right) for right in truth], threshold, reached, silent)


def best_threshold(rows: AnswerRows) -> float | None:
    """From how sure on an answer is given, so that F1 is highest on these rows; None where all of them have one. As
    SQuAD 2.0's script finds it, half way between two rows."""
    if all(rows.truth) or not len(rows):
        return None
    sure = np.array([one.answerable for one in rows.given])
    order = np.argsort(-sure, kind="stable")
    gains = (rows.reached[:, 0] - rows.silent)[order]  # of answering this row too
    totals = np.concatenate([[0.0], np.cumsum(gains)])
    cuts = np.concatenate([[1.0], sure[order], [0.0]])
    possible = np.flatnonzero(np.append(np.diff(cuts[:-1]) < 0, True))
    count = int(possible[np.argmax(totals[possible])])
    return float((cuts[count] + cuts[count + 1]) / 2)


def _reached(given: str, wanted: Sequence[str]) -> tuple[float, float]:
    """(F1, exact match) of the best of the true answers."""
    found = [_pair(given, one) for one in wanted]
    return max(one[0] for one in found), max(one[1] for one in found)


def _pair(given: str, wanted: str) -> tuple[float, float]:
    left, right = answer_tokens(given), answer_tokens(wanted)
    if not left or not right:
        return float(left == right), float(left == right)
    common = (Counter(left) & Counter(right)).total()
    return 2 * common / (len(left) + len(right)), float(left == right)


@lru_cache(maxsize=20_000)
def answer_tokens(text: str) -> tuple[str, ...]:
    """Words as SQuAD's script compares them: lower case, without punctuation (of any script) and English articles.
    Where a script has no spaces between its words, each letter is one, as in MLQA (Lewis et al. 2020)."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
        text = "".join(one for one in text if one.isascii() or unicodedata.category(one)[0] != "P")
        text = _UNSPACED.sub(r" \1 ", text)
    return tuple(squad_tokens(text))
