"""Texts, or pairs of texts, to one label of several or to any number of labels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from datasets import Dataset
from pydantic import Field

from tunesmith.core.events import Emit
from tunesmith.engine.classification import Classification, ClassificationOptions
from tunesmith.engine.protocols import Toy
from tunesmith.engine.tokens import EncodedRows, encode_rows
from tunesmith.models.bundle import Bundle


class TextClassificationOptions(ClassificationOptions):
    max_length: int | None = Field(default=None, ge=8)
    """Longest row in tokens; longer ones are cut at the end. When not given, as long as the model was made for, or,
    where much of the texts would not be read with that, as long as it can read; at most 512."""
    features: str | list[str] | None = None
    """Columns that are read beside the text, as numbers, categories or dates: names with commas between them, a list,
    or auto for all that hold such and do not tell the target by themselves."""


class TextClassification(Classification):
    Options = TextClassificationOptions
    summary: ClassVar[str] = "one label, or any number of labels, for a text or a pair of texts"
    options: TextClassificationOptions

    def encode(self, rows: Dataset, bundle: Bundle, folder: Path, emit: Emit, check: Callable[[], None]) -> EncodedRows:
        return encode_rows(rows, bundle, self.options.max_length, folder, emit, check)

    @classmethod
    def toys(cls) -> list[Toy]:
        subjects = ["the parcel", "my card", "this order", "the app", "your refund"]
        good = [f"thanks, {subject} works and I am happy" for subject in subjects]
        bad = [f"sorry, {subject} is broken and I am angry" for subject in subjects]
        single = [{"text": t, "label": "good"} for t in good] + [{"text": t, "label": "bad"} for t in bad]
        many = [{"text": t, "labels": ["praise", "thanks"]} for t in good]
        many += [{"text": t, "labels": ["complaint"]} for t in bad]
        return [
            Toy(single, {"label_smoothing": 0.0}, reaches=0.9),  # smoothing keeps the loss above zero
            Toy(many, {"target": "labels", "label_smoothing": 0.0}, reaches=0.9),
        ]
