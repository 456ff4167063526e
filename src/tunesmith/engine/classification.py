"""What is learned of a row as one label of several, or as any number of labels, whatever its modality."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from tunesmith.core import registry
from tunesmith.core.errors import OptionError, did_you_mean
from tunesmith.core.events import Decided, Emit
from tunesmith.core.options import Options
from tunesmith.data.types import Kind
from tunesmith.engine.probe import Loss
from tunesmith.engine.protocols import PredictiveTask
from tunesmith.models.bundle import Bundle

_IMBALANCE = 3.0
"""`class_weights=auto` weighs when the largest class has this many times the smallest one's rows."""


class ClassificationOptions(Options):
    class_weights: Literal["auto", "off"] | dict[str, float] = "off"
    """What an error on each class costs: off (all alike), auto (rare classes more, where classes
    differ much in size), or a number for each label."""
    label_smoothing: float = Field(default=0.1, ge=0, lt=1)
    """Share of the target spread over the other labels (single label only)."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout in the network while training."""


class Classification(PredictiveTask):
    """A task of labels without what its inputs are: `encode` and `toys`."""

    kinds: ClassVar[tuple[Kind, ...]] = ("label", "labels")

    def __init__(self, options: ClassificationOptions):
        self.options = options
        self.kind: Kind = "label"
        self.label_names: list[str] = []
        self._weights: Tensor | None = None

    @property
    def metrics(self) -> tuple[str, ...]:
        if self.kind == "label":
            return ("accuracy", "f1_macro", "log_loss")
        return ("f1_micro", "f1_macro", "subset_accuracy", "log_loss")

    @property
    def probe_loss(self) -> Loss:
        return "softmax" if self.kind == "label" else "sigmoid"

    def fit(self, kind: Kind, label_names: list[str] | None, train_targets: Sequence[object], emit: Emit) -> None:
        self.kind, self.label_names = kind, list(label_names or [])
        self._weights = self._class_weights(self.truth(train_targets), emit)

    def load(self, model: str, emit: Emit) -> Bundle:
        problem = "single_label_classification" if self.kind == "label" else "multi_label_classification"
        loaded: Bundle = registry.get("models.loaders", self.loader).base(
            model, label_names=self.label_names, problem_type=problem, dropout=self.options.dropout, emit=emit
        )
        return loaded

    def targets(self, values: Sequence[Any]) -> np.ndarray:
        truth: np.ndarray = self.truth(values)
        return truth if self.kind == "label" else truth.astype(np.float32)

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        weights = self._weights.to(logits.device) if self._weights is not None else None
        if self.kind == "label":
            return functional.cross_entropy(
                logits,
                targets,
                weight=weights,
                label_smoothing=self.options.label_smoothing,
                reduction="none",
            )
        # the mean over labels, as transformers' own head computes it
        return functional.binary_cross_entropy_with_logits(logits, targets, pos_weight=weights, reduction="none").mean(
            -1
        )

    def row_weights(self, targets: np.ndarray) -> np.ndarray | None:
        if self._weights is None or self.kind != "label":
            return None
        return self._weights.numpy()[targets]

    def scores(self, logits: np.ndarray) -> np.ndarray:
        tensor = torch.from_numpy(np.asarray(logits, dtype=np.float64))
        return (tensor.softmax(-1) if self.kind == "label" else tensor.sigmoid()).numpy()

    def restore(self, state: Mapping[str, Any]) -> None:
        self.kind, self.label_names = state["kind"], list(state["label_names"])

    def _class_weights(self, truth: np.ndarray, emit: Emit) -> Tensor | None:
        asked = self.options.class_weights
        if asked == "off":
            return None
        counts = np.bincount(truth, minlength=len(self.label_names)) if truth.ndim == 1 else truth.sum(0)
        if isinstance(asked, dict):
            unknown = sorted(set(asked) - set(self.label_names))
            if unknown:
                hint = did_you_mean(unknown[0], self.label_names)
                raise OptionError(f"class_weights names {unknown[0]!r}, which is no label of the data.", hint)
            for name, weight in asked.items():
                if not 0 < weight < math.inf:
                    raise OptionError(f"class_weights gives {name!r} {weight:g}; a weight is a number above 0.")
            return torch.tensor([float(asked.get(name, 1.0)) for name in self.label_names])
        ratio = float(counts.max() / max(1, counts.min()))
        if ratio < _IMBALANCE:
            emit(Decided("class_weights", "off", f"the largest class has only {ratio:.1f}x the smallest one's rows"))
            return None
        emit(Decided("class_weights", "balanced", f"the largest class has {ratio:.1f}x the smallest one's rows"))
        if truth.ndim == 1:
            return torch.tensor(len(truth) / (len(counts) * np.maximum(counts, 1)), dtype=torch.float32)
        return torch.tensor(np.clip((len(truth) - counts) / np.maximum(counts, 1), 1, 20), dtype=torch.float32)
