"""Scores of pairs beside those that people gave."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tunesmith.core.measured import LabelRow
from tunesmith.engine.relevance import SCORED
from tunesmith.evaluate.metrics import TABLE
from tunesmith.evaluate.sample import Sample, View

KIND = "relevance"


@dataclass(frozen=True, eq=False)
class Scored:
    """A score of each pair beside the one that people gave, both float64 [n]."""

    truth: np.ndarray
    scores: np.ndarray
    kind: str = KIND
    sizes: Mapping[int, Mapping[str, float]] = field(default_factory=dict)

    @property
    def size(self) -> int:
        return len(self.scores)

    def __len__(self) -> int:
        return len(self.scores)

    def names(self) -> list[str]:
        return list(SCORED)

    def values(self, names: Sequence[str], weights: np.ndarray | None = None) -> dict[str, np.ndarray]:
        view = View("number", self.truth, self.scores, self.scores, [])
        if len(self) == 0 or np.ptp(self.truth) == 0 or np.ptp(self.scores) == 0:
            return {name: np.full(1 if weights is None else weights.shape[1], np.nan) for name in names}
        sample = Sample(view, np.ones((len(self), 1)) if weights is None else weights)
        return {name: TABLE[name].function(sample) for name in names}

    def take(self, rows: np.ndarray) -> Scored:
        return Scored(self.truth[rows], self.scores[rows])

    def same_rows(self, other: object) -> bool:
        return isinstance(other, Scored) and np.array_equal(self.truth, other.truth)

    def arrays(self) -> Mapping[str, np.ndarray]:
        return {"pair_truth": self.truth, "pair_scores": self.scores}

    def columns(self) -> dict[str, list[Any]]:
        return {"predicted": self.scores.tolist()}

    def per_class(self) -> list[LabelRow]:
        return []
