"""What is learned of a row as a number, whatever its modality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from tunesmith.core import registry
from tunesmith.core.events import Decided, Emit
from tunesmith.core.options import Options
from tunesmith.data import scales
from tunesmith.data.types import Kind
from tunesmith.engine.probe import Loss
from tunesmith.engine.protocols import PredictiveTask
from tunesmith.models.bundle import Bundle


class RegressionOptions(Options):
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout in the network while training."""


class Regression(PredictiveTask):
    """A task of numbers without what its inputs are: `encode` and `toys`."""

    kinds: ClassVar[tuple[Kind, ...]] = ("number",)
    metrics: tuple[str, ...] = ("rmse", "mae", "r2", "pearson", "spearman")
    probe_loss: Loss = "squared"

    def __init__(self, options: RegressionOptions):
        self.options = options
        self.kind: Kind = "number"
        self.label_names: list[str] | None = None
        self._mean, self._scale = 0.0, 1.0
        self._limits: tuple[float, float] | None = None

    def fit(self, kind: Kind, label_names: list[str] | None, train_targets: Sequence[object], emit: Emit) -> None:
        """Learn on targets with mean 0 and deviation 1, so that one learning rate suits all units."""
        values = self.truth(train_targets)
        self._mean, self._scale = float(values.mean()), float(values.std()) or 1.0
        rating = scales.scale_of(values)
        if rating is not None:
            self._limits = rating.low, rating.high
            why = "the targets are ratings: answers are kept within the scale, and within_one counts those one off"
            emit(Decided("rating", str(rating), why))

    def load(self, model: str, emit: Emit) -> Bundle:
        bundle: Bundle = registry.get("models.loaders", self.loader).base(
            model, label_names=["value"], problem_type="regression", dropout=self.options.dropout, emit=emit
        )
        head = bundle.model.head
        if head.bias is None:  # it could not give the mean back
            self._mean = 0.0
        if bundle.zero_shot == "head":  # in the user's units, as `finish` writes it
            with torch.no_grad():
                head.weight.div_(self._scale)
                if head.bias is not None:
                    head.bias.sub_(self._mean).div_(self._scale)
        return bundle

    def targets(self, values: Sequence[object]) -> np.ndarray:
        return ((self.truth(values) - self._mean) / self._scale).astype(np.float32)

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        return (logits[:, 0] - targets).square()

    def scores(self, logits: np.ndarray) -> np.ndarray:
        values = np.asarray(logits, dtype=np.float64)[:, 0] * self._scale + self._mean
        return values if self._limits is None else np.clip(values, *self._limits)

    def finish(self, bundle: Bundle) -> None:
        """The saved network answers in the user's units: its last layer takes over the scale."""
        head = bundle.model.head
        with torch.no_grad():
            head.weight.mul_(self._scale)
            if head.bias is not None:
                head.bias.mul_(self._scale).add_(self._mean)
        self._mean, self._scale = 0.0, 1.0

    def state(self) -> dict[str, Any]:
        limits = {} if self._limits is None else {"limits": list(self._limits)}
        return {"kind": self.kind, "label_names": None, **limits}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._mean, self._scale = 0.0, 1.0
        if limits := state.get("limits"):
            self._limits = float(limits[0]), float(limits[1])
