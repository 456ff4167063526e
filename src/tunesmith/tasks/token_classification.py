"""A tag for each word of a text: named entities, parts of speech."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from datasets import Dataset
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from tunesmith.core import registry
from tunesmith.core.events import Decided, Emit
from tunesmith.core.options import Options
from tunesmith.data.surfaces import SurfaceForms
from tunesmith.data.types import Kind
from tunesmith.engine.probe import Loss
from tunesmith.engine.protocols import PredictiveTask, Toy
from tunesmith.engine.tokens import check_length
from tunesmith.engine.word_tokens import EncodedWords, encode_words
from tunesmith.evaluate.spans import TrueTags
from tunesmith.evaluate.targets.spans import Spans
from tunesmith.models.bundle import Bundle
from tunesmith.models.lengths import USUAL


class TokenClassificationOptions(Options):
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Dropout in the network while training."""
    max_length: int | None = Field(default=None, ge=8)
    """Tokens that are read together; longer rows are read in windows that overlap, and nothing is left out. When not
    given, as many as the model was made for; at most 512."""


class TokenClassification(PredictiveTask):
    Options = TokenClassificationOptions
    summary: ClassVar[str] = "a tag for each word: named entities, parts of speech"
    kinds: ClassVar[tuple[Kind, ...]] = ("spans",)
    modality: ClassVar[str] = "tokens"
    loader: ClassVar[str] = "words"
    metrics: tuple[str, ...] = ("f1", "precision", "recall", "word_accuracy")
    _seen: SurfaceForms | None = None
    method_defaults: ClassVar[Mapping[str, tuple[float, int]]] = {"full": (5e-4, 4)}
    rate_width: ClassVar[int | None] = 384
    method_options: ClassVar[Mapping[str, Mapping[str, object]]] = {"full": {"frozen_share": 0.0}}
    probe_loss: Loss = "softmax"
    kind: Kind = "spans"

    def load(self, model: str, emit: Emit) -> Bundle:
        loaded: Bundle = registry.get("models.loaders", self.loader).base(
            model, label_names=self.label_names, problem_type=None, dropout=self.options.dropout, emit=emit
        )
        return loaded

    def encode(
        self, rows: Dataset, bundle: Bundle, folder: Path, emit: Emit, check: Callable[[], None]
    ) -> EncodedWords:
        asked = self.options.max_length
        check_length(asked, bundle.position_limit, bundle.name)
        limit = asked or min(bundle.max_length, USUAL)
        encoded = encode_words(rows["tokens"][:], bundle.tokenizer, limit, folder, check)
        if many := int((encoded.lengths > limit).sum()):
            why = f"{many:,} rows are longer, and are read in windows that overlap by a quarter"
            emit(Decided("max_length", limit, why))
        return encoded

    @property
    def target(self) -> Spans:
        return Spans(self.kind, self.label_names, self._seen)

    def fit_inputs(self, rows: Dataset) -> None:
        self._seen = SurfaceForms.of(rows["tokens"][:], rows["target"][:])

    def truth_of(self, values: Sequence[Any], rows: Dataset) -> TrueTags:
        words = rows["tokens"][:] if "tokens" in rows.column_names else None
        return TrueTags([list(tags) for tags in values], words)

    def state(self) -> dict[str, Any]:
        seen = None if self._seen is None else self._seen.record()
        return {**super().state(), "seen": seen}

    def restore(self, state: Mapping[str, Any]) -> None:
        super().restore(state)
        seen = state.get("seen")
        self._seen = None if seen is None else SurfaceForms(seen)

    def targets(self, values: Sequence[Any]) -> Any:
        """Of each row int64 [words]."""
        index = {name: at for at, name in enumerate(self.label_names or ())}
        return [np.array([index[tag] for tag in tags], dtype=np.int64) for tags in values]

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        return functional.cross_entropy(logits, targets, reduction="none")

    def scores(self, logits: np.ndarray) -> np.ndarray:
        return torch.from_numpy(np.asarray(logits, dtype=np.float64)).softmax(-1).numpy()

    @classmethod
    def toys(cls) -> list[Toy]:
        names, places = ["the app", "my card", "this order", "the parcel", "your refund"], ["is", "was", "works"]
        rows = []
        for at in range(10):
            name, verb = names[at % 5].split(), places[at % 3]
            words = [*name, verb, "good"] if at % 2 else ["sorry", *name, verb]
            tags = ["B-THING", "I-THING", "O", "O"] if at % 2 else ["O", "B-THING", "I-THING", "O"]
            rows.append({"tokens": words, "tags": tags})
        return [Toy(rows, {"task": "token-classification"}, reaches=0.9)]
