"""One label of several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor
from torch.nn import functional

from tunesmith.core.measured import Measured
from tunesmith.evaluate.targets.outcomes import OutcomeTarget
from tunesmith.evaluate.types import Outcome

TEMPERATURE = 2.0
"""Of answers that are held (Li & Hoiem 2016, section 3.2)."""


class Label(OutcomeTarget):
    """Predictions are probabilities float64 [n, k]."""

    said: ClassVar[str] = "one label"
    score: ClassVar[str] = "accuracy"

    def truth(self, values: Sequence[str]) -> np.ndarray:
        """int64 [n] class indices."""
        index = {name: at for at, name in enumerate(self.label_names or ())}
        return np.fromiter((index[value] for value in values), dtype=np.int64, count=len(values))

    def measure(self, predictions: np.ndarray, truth: np.ndarray, thresholds: np.ndarray | None = None) -> Measured:
        return Outcome("label", truth, predictions, self.label_names)

    def answers(
        self, predictions: np.ndarray, thresholds: np.ndarray | None, threshold: float | None = None,
        rows: Dataset | None = None,
    ) -> list[dict[str, object]]:  # fmt: skip
        names = self.label_names or []
        return [
            {
                "label": names[i] if threshold is None or row[i] >= threshold else None,
                "probability": float(row[i]),
                "probabilities": dict(zip(names, map(float, row), strict=True)),
            }
            for row, i in zip(predictions, predictions.argmax(1), strict=True)
        ]

    def unsure(
        self, logits: np.ndarray, scores: np.ndarray, bound: float, cuts: np.ndarray | float | None
    ) -> np.ndarray:
        best = np.sort(logits, axis=1)[:, -2:]
        near = best[:, 1] - best[:, 0] <= 2 * bound
        return np.asarray(near if cuts is None else near | (np.abs(scores.max(1) - cuts) <= bound / 2))

    def certain(self, truth: np.ndarray) -> np.ndarray:
        return np.eye(len(self.label_names or ()))[truth]

    def draw(self, logits: Tensor, chance: torch.Generator) -> Tensor:
        return torch.multinomial(logits.softmax(-1), 1, generator=chance)[:, 0]

    def change(self, old: Tensor, new: Tensor) -> Tensor:
        logs = functional.log_softmax(new / TEMPERATURE, -1)
        target = functional.log_softmax(old / TEMPERATURE, -1)
        return TEMPERATURE**2 * functional.kl_div(logs, target, reduction="sum", log_target=True)
