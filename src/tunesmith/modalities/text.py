"""Texts, and pairs of texts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from datasets import Dataset

from tunesmith.core.events import Emit
from tunesmith.data import predict_inputs
from tunesmith.data.features import cells_of
from tunesmith.data.texts import TextData
from tunesmith.data.types import Columns
from tunesmith.engine.modality import Matrix, Modality
from tunesmith.engine.tokens import FEATURES, EncodedRows, encode_texts, with_features
from tunesmith.evaluate.features import Texts, TfidfFeatures
from tunesmith.models.bundle import Bundle


class Text(TextData, Modality):
    in_tokens: ClassVar[bool] = True
    cheap: ClassVar[str | None] = "tfidf"
    size_name: ClassVar[str | None] = "characters"

    def encode(
        self, rows: Dataset, bundle: Bundle[Any], limit: int, folder: Path, check: Callable[[], None] = lambda: None
    ) -> EncodedRows:
        return with_features(encode_texts(rows, bundle.tokenizer, limit, folder, check), rows, bundle)

    def inputs(self, items: Sequence[object], columns: Columns) -> dict[str, list[Any]]:
        texts: dict[str, list[Any]] = dict(predict_inputs.texts_of(items, columns))
        return {**texts, FEATURES: predict_inputs.features_of(items, columns)} if columns.features else texts

    def from_columns(self, rows: Dataset, columns: Columns) -> Dataset:
        found: dict[str, list[Any]] = {
            role: ["" if text is None else str(text) for text in rows[name][:]]
            for role, name in zip(self.roles, columns.inputs, strict=False)
        }
        if columns.features:
            found[FEATURES] = cells_of(rows.with_format("arrow")[:], columns.features).to_pylist()
        return Dataset.from_dict(found)

    def blanks(self, inputs: Mapping[str, Sequence[Any]]) -> list[int]:
        return predict_inputs.blanks(*(inputs[role] for role in self.roles if role in inputs))

    def cheap_features(self, train: Dataset, test: Dataset, emit: Emit) -> tuple[Matrix, Matrix]:
        try:
            features = TfidfFeatures(_texts(train), emit)
        except ValueError as error:
            raise ValueError(f"the training texts hold no words ({error})") from error
        return features.of_training, features.transform(_texts(test))

    def words(self, rows: Dataset) -> list[str]:
        return [str(text) for text in rows["text"][:]]

    def of_texts(self, texts: Sequence[str]) -> Dataset:
        return Dataset.from_dict({"text": list(texts)})

    def shown(self, rows: Dataset) -> list[str]:
        return [one if isinstance(one, str) else " ⟷ ".join(one) for one in _texts(rows)]

    def sizes(self, rows: Dataset) -> np.ndarray:
        return np.array([len(one) for one in self.shown(rows)], dtype=float)


def _texts(rows: Dataset) -> Texts:
    """The text of each row, or its pair of texts."""
    if "text_pair" in rows.column_names:
        return list(zip(rows["text"][:], rows["text_pair"][:], strict=True))
    return list(rows["text"][:])
