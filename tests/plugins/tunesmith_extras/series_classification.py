"""A label for a series of numbers: what is learned is as for texts, what is read is not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from datasets import Dataset

from tunesmith.core.events import Emit
from tunesmith.engine.encoded import EncodedItems
from tunesmith.engine.protocols import Toy
from tunesmith.models.bundle import Bundle
from tunesmith.tasks.text_classification import TextClassification
from tunesmith_extras.series import Series


class SeriesClassification(TextClassification):
    modality = "series"
    summary = "one label, or any number of labels, for a series of numbers"

    def encode(
        self, rows: Dataset, bundle: Bundle, folder: Path, emit: Emit, check: Callable[[], None]
    ) -> EncodedItems:
        return Series().encode(rows, bundle, self.options.max_length or bundle.max_length, folder, check)

    @classmethod
    def toys(cls) -> list[Toy]:
        rising = [{"series": [at, at + 1, at + 2, at + 3], "label": "up"} for at in range(5)]
        falling = [{"series": [at + 3, at + 2, at + 1, at], "label": "down"} for at in range(5)]
        return [Toy([*rising, *falling], {}, reaches=0.9)]
