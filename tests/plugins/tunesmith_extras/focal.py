"""One label of several, where easy rows count little (focal loss: Lin et al. 2017)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor

from tunesmith.core.events import Emit
from tunesmith.core.options import Options
from tunesmith.engine.protocols import PredictiveTask, Toy
from tunesmith.engine.tokens import EncodedRows, encode_rows
from tunesmith.models.bundle import Bundle
from tunesmith.models.loaders.encoder import load_text_base


class TextFocalOptions(Options):
    focus: float = 2.0
    """How little easy rows count; 0 is the usual loss."""
    max_length: int | None = None
    """Longest row in tokens."""


class TextFocal(PredictiveTask):
    Options = TextFocalOptions
    summary = "one label for a text, where easy rows count little"
    kinds = ("label",)
    metrics = ("accuracy", "f1_macro", "log_loss")
    probe_loss = "softmax"

    def load(self, model: str, emit: Emit) -> Bundle:
        problem = "single_label_classification"
        return load_text_base(model, label_names=self.label_names or [], problem_type=problem, dropout=0.0, emit=emit)

    def encode(self, rows: Dataset, bundle: Bundle, folder: Path, emit: Emit, check: Callable[[], None]) -> EncodedRows:
        return encode_rows(rows, bundle, self.options.max_length, folder, emit, check)

    def truth(self, values: Sequence[Any]) -> np.ndarray:
        index = {name: at for at, name in enumerate(self.label_names or [])}
        return np.array([index[value] for value in values], dtype=np.int64)

    def targets(self, values: Sequence[Any]) -> np.ndarray:
        return self.truth(values)

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        log = logits.log_softmax(-1).gather(1, targets[:, None])[:, 0]
        return -((1 - log.exp()) ** self.options.focus) * log

    def scores(self, logits: np.ndarray) -> np.ndarray:
        return torch.from_numpy(np.asarray(logits, dtype=np.float64)).softmax(-1).numpy()

    @classmethod
    def toys(cls) -> list[Toy]:
        words = ("parcel", "card", "order", "app", "refund")
        good = [{"text": f"thanks, the {word} works and I am happy", "label": "good"} for word in words]
        bad = [{"text": f"sorry, the {word} is broken and I am angry", "label": "bad"} for word in words]
        return [Toy([*good, *bad], {"task": "text-focal"})]
