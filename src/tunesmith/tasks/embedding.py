"""Texts to vectors, of which those of texts that belong together are near each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from datasets import Dataset
from pydantic import Field, field_validator
from torch import Tensor

from tunesmith.core import registry
from tunesmith.core.errors import OptionError
from tunesmith.core.events import Decided, Emit, ignore
from tunesmith.core.measured import Measured
from tunesmith.core.options import Options
from tunesmith.data.corpus import read_corpus
from tunesmith.data.pairs import keys, scale_of
from tunesmith.data.types import Kind
from tunesmith.engine import batching, similarity
from tunesmith.engine.inference import evaluating, run_rows
from tunesmith.engine.objective import RowObjective
from tunesmith.engine.pairs import EncodedPairs, encode_pairs
from tunesmith.engine.protocols import PredictiveTask, Toy
from tunesmith.engine.relevance import RANKED, SCORED, judged_by, known_documents
from tunesmith.engine.similarity import PairObjective
from tunesmith.engine.tokens import EncodedRows, encode_texts
from tunesmith.evaluate import relevance_sections
from tunesmith.evaluate.targets.relevance import Corpus, Relevance
from tunesmith.models.bundle import Bundle

_MINED_FROM = 100
"""Documents from which on hard negatives are looked for without being asked for."""
_KEPT = 5
"""Hard negatives of a row, of which others are taken in each epoch."""
_SHOWN = 20


class EmbeddingOptions(Options):
    loss: Literal["auto", "mnrl", "cosent", "triplet", "mse"] = "auto"
    """What is learned: mnrl (each query finds its document among those of its batch), cosent (pairs in the order of
    their scores), triplet (a document before a negative, by a margin) or mse (cosines as the scores are). Chosen by the
    data when not given."""
    scale: float = Field(default=20.0, gt=0)
    """What cosines are multiplied by (mnrl, cosent); 1 / temperature."""
    margin: float = Field(default=0.3, gt=0)
    """How much nearer than a negative a document has to be (triplet)."""
    hard_negatives: int | None = Field(default=None, ge=0, le=_KEPT)
    """Documents that the base takes for relevant and are not, beside each row of a batch (mnrl). When not given, one
    where the data has none and enough documents; 0: none."""
    negative_margin: float = Field(default=0.05, ge=0, lt=1)
    """A document nearer to the query than its own by its cosine times one minus this may be relevant, and is no hard
    negative."""
    matryoshka: list[int] = Field(default=[])
    """Sizes at which vectors can be cut off later, such as 128,64; each is learned and measured too."""
    corpus: str | None = None
    """A file of more documents among which the test queries have to find theirs, a text a row."""
    query_prompt: str = ""
    """What is put before queries, such as "query: "."""
    document_prompt: str = ""
    """What is put before documents, such as "passage: "."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout in the network while training."""
    max_length: int | None = Field(default=None, ge=8)
    """Longest text in tokens; longer ones are cut at the end. When not given, as long as the model was made for, or,
    where much of the texts would not be read with that, as long as it can read; at most 512."""

    @field_validator("matryoshka", mode="before")
    @classmethod
    def _as_list(cls, value: object) -> object:
        if isinstance(value, str):
            return [part.strip() for part in value.split(",") if part.strip()]
        return [value] if isinstance(value, int) else value


class Embedding(PredictiveTask):
    Options = EmbeddingOptions
    summary: ClassVar[str] = "vectors of texts, for search, matching, recommendation and duplicates"
    kinds: ClassVar[tuple[Kind, ...]] = ("relevance",)
    modality: ClassVar[str] = "pairs"
    loader: ClassVar[str] = "sentence"
    predictor: ClassVar[str | None] = "embedding"
    usual_method: ClassVar[str | None] = "full"
    method_defaults: ClassVar[Mapping[str, tuple[float, int]]] = {
        "full": (1e-4, 4), "gradual": (1e-4, 4), "head": (1e-3, 10),
    }  # fmt: skip
    batch_rows: ClassVar[tuple[int, int]] = (8, 64)
    probe_loss = None
    options: EmbeddingOptions

    def __init__(self, options: EmbeddingOptions):
        self.options = options
        self.kind: Kind = "relevance"
        self.label_names: list[str] | None = None
        self._ranks = True
        self._loss = "mnrl"
        self._scale = (0.0, 1.0)
        self._prompts = options.query_prompt, options.document_prompt
        self._sizes = tuple(sorted(set(options.matryoshka), reverse=True))
        self._corpus: Corpus | None = None
        self._emit: Emit = ignore
        self._mined: list[dict[str, Any]] = []
        """Hard negatives that were found, for the report."""

    @property
    def metrics(self) -> tuple[str, ...]:
        return RANKED if self._ranks else SCORED

    @property
    def target(self) -> Relevance:
        return Relevance(self.kind, None, ranks=self._ranks, corpus=self._corpus, sizes=self._sizes)

    def fit(self, kind: Kind, label_names: list[str] | None, train_targets: Sequence[object], emit: Emit) -> None:
        """Choose the loss and how it is judged, by the data. Raises OptionError for a loss that does not fit."""
        truth = self.target.truth(train_targets)
        self._ranks, why = judged_by(truth)
        emit(Decided("judged by", "documents found" if self._ranks else "scores of pairs", why))
        self._scale = scale_of(truth[:, 0])
        self._loss, asked = self.options.loss, self.options.loss != "auto"
        if not asked:
            self._loss = "mnrl" if self._ranks else "cosent"
        if self._loss in ("cosent", "mse") and np.ptp(truth[:, 0]) == 0:
            raise OptionError(
                f"loss={self._loss} learns from scores, and every pair here has the same.", "Use loss=mnrl or triplet."
            )
        if self._loss in ("mnrl", "triplet") and not self._ranks and not asked:
            self._loss = "cosent"
        why = "asked for" if asked else _WHY[self._loss]
        emit(Decided("loss", self._loss, why))
        if self.options.corpus is not None:
            words = read_corpus(self.options.corpus)
            self._corpus = Corpus(words)
            emit(Decided("corpus", len(words), f"more documents to find the right ones among: {self.options.corpus}"))

    def load(self, model: str, emit: Emit) -> Bundle:
        bundle: Bundle = registry.get("models.loaders", self.loader).base(
            model, dropout=self.options.dropout, emit=emit
        )
        wide = [size for size in self._sizes if size > bundle.model.width]
        if wide or any(size < 1 for size in self._sizes):
            raise OptionError(
                f"matryoshka: the vectors of {model!r} have {bundle.model.width} numbers; got {wide or self._sizes}.",
                f"Give sizes from 1 to {bundle.model.width}.",
            )
        if self._sizes and self._sizes[0] != bundle.model.width:
            self._sizes = (bundle.model.width, *self._sizes)
        return bundle

    def encode(
        self, rows: Dataset, bundle: Bundle, folder: Path, emit: Emit, check: Callable[[], None]
    ) -> EncodedPairs:
        self._emit = emit
        return encode_pairs(rows, bundle, self.options.max_length, folder, emit, check, self._prompts)

    def encode_asked(self, rows: Dataset, bundle: Bundle, folder: Path) -> EncodedPairs:
        return encode_pairs(rows, bundle, -1, folder, prompts=self._prompts)

    def beside(self, bundle: Bundle, folder: Path, check: Callable[[], None]) -> EncodedRows | None:
        if self._corpus is None:
            return None
        texts = Dataset.from_dict({"text": [self._prompts[1] + text for text in self._corpus.words]})
        return encode_texts(texts, bundle.tokenizer, bundle.max_length, folder, check)

    def know_beside(self, outputs: np.ndarray) -> None:
        assert self._corpus is not None
        self._corpus = Corpus(self._corpus.words, outputs)

    def targets(self, values: Sequence[object]) -> np.ndarray:
        return self.target.truth(values)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return self._batch_loss(outputs, targets, None, None, by_row=True)

    def _batch_loss(
        self, outputs: Tensor, targets: Tensor, known: Any = None, more: Any = None, *, by_row: bool = False
    ) -> Tensor:
        scale, margin = self.options.scale, self.options.margin

        def of(some: Tensor) -> Tensor:
            if self._loss == "cosent":
                return similarity.cosent(some, targets, scale, by_row=by_row)
            if self._loss == "mse":
                return similarity.squared(some, targets, self._scale)
            if self._loss == "triplet":
                return similarity.triplet(some, targets, margin)
            cut = None if more is None else (more[0][:, : some.shape[-1]], more[1])
            return similarity.in_batch(some, targets, scale, known, cut)

        return similarity.of_sizes(outputs, self._sizes, of)

    def objective(self, plain: RowObjective, bundle: Bundle) -> RowObjective:
        rows = plain.rows
        assert isinstance(rows, EncodedPairs)
        assert rows.targets is not None
        positions = plain.positions
        known: Mapping[float, np.ndarray] = {}
        negatives: Sequence[np.ndarray] = ()
        drawn, text_keys = 0, np.zeros(0)
        if self._loss in ("mnrl", "triplet"):
            positions = positions[rows.targets[positions, 0] > 0]
        if self._loss == "mnrl":
            known = known_documents(rows.targets[plain.positions])
            text_keys = keys([text.removeprefix(self._prompts[1]) for text in rows.words])
            negatives, drawn = self._negatives(rows, plain.positions, positions, bundle)
        return PairObjective(
            rows, positions, plain.row_loss, plain.batch_rows, plain.batch_tokens, plain.seed,
            same_batches=plain.same_batches, batch_loss=self._batch_loss, known=known, negatives=negatives,
            drawn=drawn, keys=text_keys,
        )  # fmt: skip

    def _negatives(
        self, rows: EncodedPairs, every: np.ndarray, positions: np.ndarray, bundle: Bundle
    ) -> tuple[Sequence[np.ndarray], int]:
        """Hard negatives of the rows at `positions`, as texts, and how many of them stand in a batch."""
        targets = rows.targets
        assert targets is not None
        given: dict[float, list[int]] = {}
        for row in every[targets[every, 0] <= 0]:
            given.setdefault(float(targets[row, 1]), []).append(int(rows.sides[row, 1]))
        asked = self.options.hard_negatives
        documents = np.unique(rows.sides[positions, 1])
        has = bool(given) or rows.sides.shape[1] > 2
        count = asked if asked is not None else int(not has and len(documents) >= _MINED_FROM)
        mined: Sequence[np.ndarray] = [np.zeros(0, dtype=np.int64)] * len(positions)
        if count:
            mined = self._mine(rows, positions, documents, bundle)
            found = sum(map(bool, map(len, mined)))
            why = f"{found:,} of {len(positions):,} rows have some, of {len(documents):,} documents"
            self._emit(Decided("hard_negatives", count, "asked for" if asked else why))
        negatives = [
            np.unique([*its, *given.get(float(targets[row, 1]), [])]).astype(np.int64)
            for row, its in zip(positions, mined, strict=True)
        ]
        return negatives, max(count, int(bool(given)))

    def _mine(
        self, rows: EncodedPairs, positions: np.ndarray, documents: np.ndarray, bundle: Bundle
    ) -> list[np.ndarray]:
        targets, model = rows.targets, bundle.model
        assert targets is not None
        used = np.unique(np.concatenate([rows.sides[positions, 0], documents]))
        device = next(model.parameters()).device
        with evaluating(model):
            vectors = similarity.unit(run_rows(model, rows.texts, used, on=device))
        at = {int(text): place for place, text in enumerate(used)}
        words = [rows.words[text] for text in documents]
        names = keys([text.removeprefix(self._prompts[1]) for text in words])
        known = known_documents(targets[positions])
        place = {int(text): number for number, text in enumerate(documents)}
        own = np.array([place[int(text)] for text in rows.sides[positions, 1]])

        def false(row: int) -> np.ndarray:
            target = targets[positions[row]]
            return np.flatnonzero(np.isin(names, [*known[float(target[1])], target[1]]))

        asked = vectors[[at[int(text)] for text in rows.sides[positions, 0]]]
        found = similarity.hard_negatives(
            (asked, vectors[[at[int(text)] for text in documents]]), own, false, _KEPT, self.options.negative_margin
        )
        some = batching.sample(np.flatnonzero([len(one) > 0 for one in found]), _SHOWN, 0)
        self._mined = [
            {"query": rows.words[rows.sides[positions[row], 0]], "document": rows.words[rows.sides[positions[row], 1]],
             "negative": words[found[row][0]]}
            for row in some
        ]  # fmt: skip
        return [documents[one] for one in found]

    def scores(self, logits: np.ndarray) -> np.ndarray:
        return np.asarray(logits)

    def evidence(self, rows: Dataset, test: Measured, others: Mapping[str, Measured]) -> dict[str, Any]:
        documents = self.target.documents(rows, self.truth(rows["target"][:]))[1] if self._ranks else []
        return {**relevance_sections.examples(rows, test, others, documents), "negatives": self._mined}

    def finish(self, bundle: Bundle) -> None:
        """Other libraries are told what stands before queries and documents."""
        if any(self._prompts):
            bundle.model.prompts = dict(zip(("query", "document"), self._prompts, strict=True))

    def state(self) -> dict[str, Any]:
        return {"kind": self.kind, "label_names": None, "ranks": self._ranks, "prompts": list(self._prompts),
                "sizes": list(self._sizes)}  # fmt: skip

    def restore(self, state: Mapping[str, Any]) -> None:
        super().restore(state)
        self._ranks, self._sizes = bool(state["ranks"]), tuple(state["sizes"])
        self._prompts = state["prompts"][0], state["prompts"][1]

    @classmethod
    def toys(cls) -> list[Toy]:
        words = ["card", "parcel", "refund", "app", "order", "screen", "cable", "invoice", "password", "shop"]
        asked = [{"anchor": f"where is my {word}", "positive": f"all about the {word}"} for word in words]
        scored = [
            {"sentence1": f"my {word} is here", "sentence2": f"my {words[at % 4]} is here", "score": float(at < 4)}
            for at, word in enumerate(words)
        ]
        return [Toy(asked, {"task": "embedding"}, reaches=0.6), Toy(scored, {"task": "embedding"}, reaches=0.6)]


_WHY = {
    "mnrl": "the data says which documents belong to a query",
    "cosent": "the data says how much two texts belong together",
}
