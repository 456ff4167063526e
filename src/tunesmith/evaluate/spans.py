"""Tags beside the true ones: what the metrics of entities are made of, and entities by type."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tunesmith.core.measured import LabelRow
from tunesmith.data.tags import OUTSIDE, Span, spans_of, surface
from tunesmith.evaluate.bootstrap import interval, weightings
from tunesmith.evaluate.measured import RowStatistics

_RESAMPLES = 500
"""Of rows, for the intervals of each type."""
PARTIAL = 0.5
"""What an entity counts of which another part was given (SemEval-2013 task 9, Segura-Bedmar et al.)."""


@dataclass(frozen=True)
class TrueTags:
    """Tags of some rows, and where they are known their words, of which the surface forms of entities are made."""

    tags: list[list[str]]
    words: list[list[str]] | None = None

    def __len__(self) -> int:
        return len(self.tags)


@dataclass(frozen=True)
class SpanCounts(RowStatistics):
    """Rows of tags in BIO: true ones and those that were given, of every word; and the words, where they are known."""

    kind: str = "spans"
    truth: list[list[str]] = field(default_factory=list)
    given: list[list[str]] = field(default_factory=list)
    types: tuple[str, ...] = ()
    words: list[list[str]] | None = None
    seen: Container[str] | None = field(default=None, compare=False)

    def take(self, rows: np.ndarray) -> SpanCounts:
        chosen = np.arange(len(self))[rows]
        sums = {name: some[rows] for name, some in self.sums.items()}
        truth, given = ([side[int(at)] for at in chosen] for side in (self.truth, self.given))
        words = None if self.words is None else [self.words[int(at)] for at in chosen]
        return SpanCounts(sums, self.kind, truth, given, self.types, words, self.seen)

    def same_rows(self, other: object) -> bool:
        return super().same_rows(other) and (not isinstance(other, SpanCounts) or self.truth == other.truth)

    def columns(self) -> dict[str, list[Any]]:
        words = {} if self.words is None else {"tokens": self.words}
        return {"predicted": self.given, **words, **super().columns()}

    def counted(self) -> tuple[list[str], list[str]]:
        """The entities that each row was given, and the true ones, in words."""
        return self._told(self.given), self._told(self.truth)

    def _told(self, rows: Sequence[Sequence[str]]) -> list[str]:
        words = self.words or [[f"word {at + 1}" for at in range(len(tags))] for tags in rows]
        told = [
            [f"{' '.join(row[start:end])} ({kind})" for start, end, kind in spans_of(tags)]
            for row, tags in zip(words, rows, strict=True)
        ]
        return ["; ".join(one) or "nothing" for one in told]

    def is_new(self, row: int, span: Span) -> bool:
        """Whether no training row has an entity with these words; False where that is not known."""
        return self.seen is not None and self.words is not None and surface(self.words[row], span) not in self.seen

    def per_class(self) -> list[LabelRow]:
        """Of each type, with the interval of its F1 over rows."""
        if not len(self):
            return []
        found: list[LabelRow] = []
        sums = self.sums["entity_f1_macro"]
        draws = np.concatenate([weights.T @ sums for weights in weightings(len(self), _RESAMPLES, 0)])
        for at, (kind, counts) in enumerate(zip(self.types, sums.sum(0).reshape(-1, 3), strict=True)):
            right, given, wanted = counts
            row: LabelRow = {
                "label": kind, "precision": float(right / given) if given else 0.0,
                "recall": float(right / wanted) if wanted else 0.0,
                "f1": float(2 * right / (given + wanted)) if given + wanted else 0.0,
                "support": int(wanted), "predicted": int(given),
            }  # fmt: skip
            found.append(row)
            drawn = draws[:, 3 * at : 3 * at + 3]
            known = drawn[:, 1:].sum(1) > 0
            if given + wanted:
                f1 = 2 * drawn[known, 0] / drawn[known, 1:].sum(1)
                row["f1_low"], row["f1_high"] = interval(row["f1"], f1, 0.95, rows=len(self), limits=(0.0, 1.0))
        return found


def count(
    truth: TrueTags, given: Sequence[Sequence[str]], types: Sequence[str],
    losses: Sequence[tuple[float, int]] | None = None, seen: Container[str] | None = None,
) -> SpanCounts:  # fmt: skip
    """Of rows that were not read to their end, the words that are left count as given `O`. losses: of each row the sum
    of -log p of the true tags, and how many words it is of. seen: surface forms of entities of the training rows, with
    which unseen ones are counted apart. Raises ValueError where a row has more tags than words."""
    padded: list[list[str]] = []
    for right, tags in zip(truth.tags, given, strict=True):
        if len(tags) > len(right):
            raise ValueError(f"a row of {len(right)} words was given {len(tags)} tags")
        padded.append([*tags, *[OUTSIDE] * (len(right) - len(tags))])
    place = {kind: at for at, kind in enumerate(types)}
    by_type = np.zeros((len(truth), len(types), 3))
    words, partial, new = np.zeros((len(truth), 2)), np.zeros(len(truth)), np.zeros((len(truth), 3))
    for row, (right, tags) in enumerate(zip(truth.tags, padded, strict=True)):
        wanted, found = set(spans_of(right)), set(spans_of(tags))
        for column, spans in enumerate((wanted & found, found, wanted)):
            for span in spans:
                by_type[row, place[span.type], column] += 1
                if seen is not None and truth.words is not None:
                    new[row, column] += surface(truth.words[row], span) not in seen
        partial[row] = PARTIAL * overlaps(wanted - found, found - wanted)
        words[row] = sum(map(str.__eq__, right, tags)), len(right)
    every = by_type.sum(axis=1)
    sums = {
        "f1": every, "precision": every[:, [0, 1]], "recall": every[:, [0, 2]],
        "entity_f1_macro": by_type.reshape(len(truth), -1),
        "partial_f1": np.column_stack([every[:, 0] + partial, every[:, 1:]]),
    }  # fmt: skip
    if seen is not None and truth.words is not None:
        sums |= {"unseen_f1": new, "unseen_recall": new[:, [0, 2]], "seen_recall": (every - new)[:, [0, 2]]}
    sums["word_accuracy"] = words
    if losses is not None:
        sums["word_log_loss"] = np.array(losses, dtype=np.float64).reshape(-1, 2)
    return SpanCounts(sums, "spans", [list(tags) for tags in truth.tags], padded, tuple(types), truth.words, seen)


def overlaps(wanted: set[Span], found: set[Span]) -> int:
    """How many of `wanted` share a word with one of `found` of their type; each is taken once, from the left."""
    taken, left = 0, sorted(found)
    for span in sorted(wanted):
        close = (one for one in left if one.start < span.end and span.start < one.end)
        near = next((one for one in close if one.type == span.type), None)
        if near is not None:
            left.remove(near)
            taken += 1
    return taken
