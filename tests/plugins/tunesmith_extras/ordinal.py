"""Labels in an order, such as low, medium, high: a wrong answer costs more the further off it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from torch import Tensor
from torch.nn import functional

from tunesmith.core.errors import OptionError
from tunesmith.core.events import Emit
from tunesmith.core.options import Options
from tunesmith.engine.protocols import PredictiveTask, Toy
from tunesmith.engine.tokens import EncodedRows, encode_rows
from tunesmith.models.bundle import Bundle
from tunesmith.models.loaders.encoder import load_text_base


class TextOrdinalOptions(Options):
    levels: list[str] | None = None
    """The labels from low to high; in the order of the alphabet when not given."""
    max_length: int | None = None
    """Longest row in tokens."""


class TextOrdinal(PredictiveTask):
    Options = TextOrdinalOptions
    summary = "one of several labels that have an order, for a text"
    kinds = ("label",)
    metrics = ("accuracy", "levels_off", "log_loss")
    probe_loss = "sigmoid"

    def fit(self, kind: Any, label_names: list[str] | None, train_targets: Sequence[Any], emit: Emit) -> None:
        super().fit(kind, label_names, train_targets, emit)
        self._levels = self.options.levels or list(label_names or [])
        if sorted(self._levels) != sorted(label_names or []):
            raise OptionError(f"levels={self._levels}: the data has the labels {', '.join(label_names or [])}.")

    def load(self, model: str, emit: Emit) -> Bundle:
        above = [f"above {level}" for level in self._levels[:-1]]  # an output a step of the ladder
        problem = "multi_label_classification"
        return load_text_base(model, label_names=above, problem_type=problem, dropout=0.0, emit=emit)

    def encode(self, rows: Dataset, bundle: Bundle, folder: Path, emit: Emit, check: Callable[[], None]) -> EncodedRows:
        return encode_rows(rows, bundle, self.options.max_length, folder, emit, check)

    def truth(self, values: Sequence[Any]) -> np.ndarray:
        return np.array([(self.label_names or []).index(value) for value in values], dtype=np.int64)

    def targets(self, values: Sequence[Any]) -> np.ndarray:
        level = np.array([self._levels.index(value) for value in values])
        return (level[:, None] > np.arange(len(self._levels) - 1)).astype(np.float32)

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        return functional.binary_cross_entropy_with_logits(logits, targets, reduction="none").mean(-1)

    def scores(self, logits: np.ndarray) -> np.ndarray:
        above = np.minimum.accumulate(1 / (1 + np.exp(-np.asarray(logits, dtype=np.float64))), axis=1)
        ends = np.pad(above, ((0, 0), (1, 1)), constant_values=((0, 0), (1, 0)))
        by_level = ends[:, :-1] - ends[:, 1:]
        return by_level[:, [self._levels.index(name) for name in self.label_names or []]]

    def state(self) -> dict[str, Any]:
        return {**super().state(), "levels": self._levels}

    def restore(self, state: Any) -> None:
        super().restore(state)
        self._levels = list(state["levels"])

    @classmethod
    def toys(cls) -> list[Toy]:
        words = {"low": ("bad", "broken"), "mid": ("works", "arrived"), "top": ("happy", "thanks")}
        things = ("parcel", "card", "order", "app")
        rows = [{"text": f"{word} {one}", "urgency": name} for name in words for word in words[name] for one in things]
        return [Toy(rows, {"target": "urgency", "levels": ["low", "mid", "top"]}, reaches=0.9)]
