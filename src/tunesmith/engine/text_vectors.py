"""What a sentence encoder makes of single texts before it is trained: how alike they are, and which are near others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from datasets import Dataset

from tunesmith.engine import similarity
from tunesmith.engine.inference import evaluating, run_rows
from tunesmith.engine.tokens import encode_texts
from tunesmith.models.bundle import TextBundle

MOST = 100_000
"""Texts whose vectors are worth their time."""


@dataclass(frozen=True)
class TextVectors:
    """`vectors` float32 [n, size] of unit length; `place`: of each text."""

    texts: Sequence[str]
    vectors: np.ndarray
    place: dict[str, int]

    @classmethod
    def of(
        cls, bundle: TextBundle, texts: Sequence[str], folder: Path, check: Callable[[], None] = lambda: None
    ) -> TextVectors:
        """Those of the different texts; tokens go below `folder`."""
        known = list(dict.fromkeys(texts))
        rows = encode_texts(Dataset.from_dict({"text": known}), bundle.tokenizer, bundle.max_length, folder, check)
        model = bundle.model
        device = next(model.parameters()).device
        with evaluating(model):
            found = run_rows(model.features, rows, np.arange(len(known)), on=device, check=check)
        return cls(known, similarity.unit(found), {text: at for at, text in enumerate(known)})

    def cosines(self, left: Sequence[str], right: Sequence[str]) -> np.ndarray:
        """float64 [n]."""
        first, second = (self.vectors[[self.place[text] for text in side]] for side in (left, right))
        return (first.astype(np.float64) * second).sum(1)
