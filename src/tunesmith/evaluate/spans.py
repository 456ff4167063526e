"""Tags beside the true ones: what the metrics of spans are made of, and spans by type."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tunesmith.core.measured import LabelRow
from tunesmith.data.tags import OUTSIDE, spans_of
from tunesmith.evaluate.measured import RowStatistics


@dataclass(frozen=True)
class SpanCounts(RowStatistics):
    """Rows of tags in BIO: true ones and those that were given, of every word."""

    kind: str = "spans"
    truth: list[list[str]] = field(default_factory=list)
    given: list[list[str]] = field(default_factory=list)
    types: tuple[str, ...] = ()

    def take(self, rows: np.ndarray) -> SpanCounts:
        chosen = np.arange(len(self))[rows]
        sums = {name: some[rows] for name, some in self.sums.items()}
        truth, given = ([side[int(at)] for at in chosen] for side in (self.truth, self.given))
        return SpanCounts(sums, self.kind, truth, given, self.types)

    def same_rows(self, other: object) -> bool:
        return super().same_rows(other) and (not isinstance(other, SpanCounts) or self.truth == other.truth)

    def columns(self) -> dict[str, list[Any]]:
        return {"predicted": self.given, **super().columns()}

    def per_class(self) -> list[LabelRow]:
        """Of each type."""
        if not len(self):
            return []
        found: list[LabelRow] = []
        for kind, (right, given, wanted) in zip(
            self.types, self.sums["span_f1_macro"].sum(0).reshape(-1, 3), strict=True
        ):
            found.append({
                "label": kind, "precision": float(right / given) if given else 0.0,
                "recall": float(right / wanted) if wanted else 0.0,
                "f1": float(2 * right / (given + wanted)) if given + wanted else 0.0,
                "support": int(wanted), "predicted": int(given),
            })  # fmt: skip
        return found


def count(
    truth: Sequence[Sequence[str]], given: Sequence[Sequence[str]], types: Sequence[str],
    losses: Sequence[tuple[float, int]] | None = None,
) -> SpanCounts:  # fmt: skip
    """Of rows that were not read to their end, the words that are left count as given `O`. losses: of each row the sum
    of -log p of the true tags, and how many words it is of. Raises ValueError where a row has more tags than words."""
    padded: list[list[str]] = []
    for right, tags in zip(truth, given, strict=True):
        if len(tags) > len(right):
            raise ValueError(f"a row of {len(right)} words was given {len(tags)} tags")
        padded.append([*tags, *[OUTSIDE] * (len(right) - len(tags))])
    place = {kind: at for at, kind in enumerate(types)}
    by_type = np.zeros((len(truth), len(types), 3))
    words = np.zeros((len(truth), 2))
    for row, (right, tags) in enumerate(zip(truth, padded, strict=True)):
        wanted, found = set(spans_of(right)), set(spans_of(tags))
        for column, spans in enumerate((wanted & found, found, wanted)):
            for span in spans:
                by_type[row, place[span.type], column] += 1
        words[row] = sum(map(str.__eq__, right, tags)), len(right)
    all_types = by_type.sum(axis=1)
    sums = {
        "span_f1": all_types, "span_precision": all_types[:, [0, 1]], "span_recall": all_types[:, [0, 2]],
        "span_f1_macro": by_type.reshape(len(truth), -1), "word_accuracy": words,
    }  # fmt: skip
    if losses is not None:
        sums["word_log_loss"] = np.array(losses, dtype=np.float64).reshape(-1, 2)
    return SpanCounts(sums, "spans", [list(tags) for tags in truth], padded, tuple(types))
