"""Any number of labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, cast

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor
from torch.nn import functional

from tunesmith.core.measured import Measured
from tunesmith.evaluate.targets.outcomes import OutcomeTarget
from tunesmith.evaluate.thresholds import tune_thresholds
from tunesmith.evaluate.types import Outcome


class Labels(OutcomeTarget):
    """Predictions are probabilities float64 [n, k]; a label is given from its threshold on."""

    said: ClassVar[str] = "any number of labels"
    score: ClassVar[str] = "subset_accuracy"
    has_thresholds: ClassVar[bool] = True

    def truth(self, values: Sequence[Sequence[str]]) -> np.ndarray:
        """int8 [n, k] of 0 and 1."""
        index = {name: at for at, name in enumerate(self.label_names or ())}
        truth = np.zeros((len(values), len(index)), dtype=np.int8)
        for row, labels in enumerate(values):
            truth[row, [index[label] for label in labels]] = 1
        return truth

    def measure(self, predictions: np.ndarray, truth: np.ndarray, thresholds: np.ndarray | None = None) -> Measured:
        return Outcome("labels", truth, predictions, self.label_names, thresholds)

    def tune(self, validation: Measured) -> np.ndarray | None:
        return tune_thresholds(cast(Outcome, validation))

    def answers(
        self, predictions: np.ndarray, thresholds: np.ndarray | None, threshold: float | None = None,
        rows: Dataset | None = None,
    ) -> list[dict[str, object]]:  # fmt: skip
        names = self.label_names or []
        tuned = 0.5 if thresholds is None else thresholds
        given = predictions >= (tuned if threshold is None else threshold)
        return [
            {
                "labels": [name for name, on in zip(names, mask, strict=True) if on],
                "probabilities": dict(zip(names, map(float, row), strict=True)),
            }
            for row, mask in zip(predictions, given, strict=True)
        ]

    def unsure(
        self, logits: np.ndarray, scores: np.ndarray, bound: float, cuts: np.ndarray | float | None
    ) -> np.ndarray:
        # the logistic's slope is at most 1/4
        return np.asarray((np.abs(scores - (0.5 if cuts is None else cuts)) <= bound / 4).any(1))

    def draw(self, logits: Tensor, chance: torch.Generator) -> Tensor:
        return torch.bernoulli(logits.sigmoid(), generator=chance)

    def change(self, old: Tensor, new: Tensor) -> Tensor:
        wanted = torch.sigmoid(old)
        excess = functional.binary_cross_entropy_with_logits(new, wanted, reduction="none")
        return (excess - functional.binary_cross_entropy_with_logits(old, wanted, reduction="none")).mean(-1).sum()
