"""A number."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor

from tunesmith.core.measured import Measured
from tunesmith.evaluate.targets.outcomes import OutcomeTarget
from tunesmith.evaluate.types import Outcome


class Number(OutcomeTarget):
    """Predictions are values float64 [n], in the user's units."""

    said: ClassVar[str] = "a number"
    score: ClassVar[str] = "r2"
    constant: ClassVar[str] = "mean"
    price: ClassVar[str | None] = None
    has_probabilities: ClassVar[bool] = False

    def truth(self, values: Sequence[float]) -> np.ndarray:
        """float64 [n]."""
        return np.asarray(values, dtype=np.float64)

    def measure(self, predictions: np.ndarray, truth: np.ndarray, thresholds: np.ndarray | None = None) -> Measured:
        return Outcome("number", truth, predictions, None)

    def answers(
        self, predictions: np.ndarray, thresholds: np.ndarray | None, threshold: float | None = None,
        rows: Dataset | None = None,
    ) -> list[dict[str, object]]:  # fmt: skip
        # the shortest digits that are this float32: 3.7291 in place of 3.7290999889373779
        return [{"value": float(str(np.float32(value)))} for value in predictions]

    def from_columns(self, columns: Mapping[str, Sequence[object]]) -> np.ndarray:
        return np.array(columns["scores"], dtype=np.float64)[:, 0]

    def units(self, targets: Callable[[Sequence[float]], np.ndarray]) -> tuple[float, float]:
        low, high = (float(value) for value in targets([0.0, 1.0]))
        return high - low, low

    def spread(self, truth: np.ndarray) -> float:
        return float(np.abs(truth).max() or 1.0)

    def draw(self, logits: Tensor, chance: torch.Generator) -> Tensor:
        return logits[:, 0] + torch.randn(len(logits), generator=chance, device=logits.device)
