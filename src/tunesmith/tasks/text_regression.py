"""Texts, or pairs of texts, to a number."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from datasets import Dataset
from pydantic import Field

from tunesmith.core.events import Emit
from tunesmith.engine.protocols import Toy
from tunesmith.engine.regression import Regression, RegressionOptions
from tunesmith.engine.tokens import EncodedRows, encode_rows
from tunesmith.models.bundle import Bundle


class TextRegressionOptions(RegressionOptions):
    max_length: int | None = Field(default=None, ge=8)
    """Longest row in tokens; longer ones are cut at the end. When not given, as long as the model was made for, or,
    where much of the texts would not be read with that, as long as it can read; at most 512."""
    features: str | list[str] | None = None
    """Columns that are read beside the text, as numbers, categories or dates: names with commas between them, a list,
    or auto for all that hold such and do not tell the target by themselves."""


class TextRegression(Regression):
    Options = TextRegressionOptions
    summary: ClassVar[str] = "a number for a text or a pair of texts"
    options: TextRegressionOptions

    def encode(self, rows: Dataset, bundle: Bundle, folder: Path, emit: Emit, check: Callable[[], None]) -> EncodedRows:
        return encode_rows(rows, bundle, self.options.max_length, folder, emit, check)

    @classmethod
    def toys(cls) -> list[Toy]:
        words = ["terrible", "bad", "poor", "fair", "fine", "good", "great", "superb", "perfect", "divine"]
        rows = [{"text": f"the food here was {word}", "score": 0.5 + i} for i, word in enumerate(words)]
        return [Toy(rows, {"target": "score"}, reaches=1.5)]
