"""Series of numbers, a list in each cell, told to a text encoder as letters from low to high (SAX: Lin et al. 2003)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from datasets import Dataset

from tunesmith.core.errors import DataError, Problem
from tunesmith.core.events import Emit
from tunesmith.data.duplicates import Duplicates, find_duplicates
from tunesmith.data.modality import SURE, Cells
from tunesmith.data.profile import Profile
from tunesmith.data.text_hashes import Hashes, of_texts
from tunesmith.data.types import Columns
from tunesmith.engine.encoded import EncodedItems
from tunesmith.engine.modality import Matrix, Modality
from tunesmith.engine.tokens import encode_texts
from tunesmith.models.bundle import Bundle


class Series(Modality):
    name, noun, nouns, roles = "series", "number series", "number series", ("series",)
    usual_task, cheap = "series-classification", "moments"

    def claims(self, profile: Profile) -> float:
        every = [one for cell in profile.cells if isinstance(cell, list) for one in cell]
        return SURE if every and all(isinstance(one, int | float) for one in every) else 0.0

    def read(self, role: str, column: pa.ChunkedArray, folder: Path) -> Cells:
        cells = [[float(one) for one in cell] if isinstance(cell, list) else [] for cell in column.to_pylist()]
        odd = [(row, "a number of it is not finite") for row, cell in enumerate(cells) if not np.isfinite(cell).all()]
        empty, words = np.array([not cell for cell in cells]), np.zeros(len(cells), dtype=bool)
        return Cells({role: pa.array(cells, pa.list_(pa.float64()))}, empty, words, odd)

    def duplicates(self, table: pa.Table, threshold: float) -> Duplicates:
        return find_duplicates(pa.table({"series": _letters(table.column("series").to_pylist())}), ["series"], 0.0)

    def hashes(self, table: pa.Table) -> Hashes:
        return of_texts(pa.table({"series": [str(cell) for cell in table.column("series").to_pylist()]}))

    def encode(
        self, rows: Dataset, bundle: Bundle[Any], limit: int, folder: Path, check: Callable[[], None] = lambda: None
    ) -> EncodedItems:
        texts = Dataset.from_dict({"text": _letters(rows["series"][:])})
        return encode_texts(texts, bundle.tokenizer, limit, folder, check)

    def inputs(self, items: Sequence[Any], columns: Columns) -> dict[str, list[Any]]:
        cells = [item[columns.inputs[0]] if isinstance(item, dict) else item for item in items]
        odd = [
            Problem("expected a list of numbers", row=at) for at, cell in enumerate(cells, 1) if type(cell) is not list
        ]
        if odd:
            raise DataError(odd, "Give one list of numbers a row.")
        return {"series": cells}

    def cheap_features(self, train: Dataset, test: Dataset, emit: Emit) -> tuple[Matrix, Matrix]:
        found = [
            [[np.mean(cell), np.std(cell), cell[-1] - cell[0]] for cell in part["series"]] for part in (train, test)
        ]
        return np.array(found[0]), np.array(found[1])

    def shown(self, rows: Dataset) -> list[str]:
        return [", ".join(f"{one:g}" for one in cell) for cell in rows["series"][:]]


def _letters(series: Sequence[Sequence[float]]) -> list[str]:
    """Each value as a letter, by where it lies between the lowest and the highest of its series."""
    every = [np.asarray(cell, dtype=float) for cell in series]
    shares = [(values - values.min()) / (np.ptp(values) or 1.0) for values in every]
    return [" ".join(chr(ord("a") + round(25 * one)) for one in part) for part in shares]
