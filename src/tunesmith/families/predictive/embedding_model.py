"""A finished model that makes vectors of texts: for search, matching, recommendation and duplicates."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from datasets import Dataset

from tunesmith.core.errors import DataError, OptionError, Problem
from tunesmith.core.events import Emit
from tunesmith.core.files import scratch
from tunesmith.core.options import Options
from tunesmith.core.spec import Words
from tunesmith.data import predict_inputs
from tunesmith.data.answers import beside
from tunesmith.data.predict_inputs import as_warning
from tunesmith.data.types import Columns
from tunesmith.engine.inference import evaluating, run_rows
from tunesmith.engine.protocols import PredictiveTask
from tunesmith.engine.similarity import unit
from tunesmith.engine.tokens import encode_texts
from tunesmith.families.predictive.pair_model import PairModel
from tunesmith.models.bundle import Bundle


class VectorOptions(Options):
    """How a model of vectors answers."""

    size: int | None = None
    """Numbers of a vector; fewer than all of them where the run learned Matryoshka sizes."""
    precision: str = "auto"
    """fp32; vectors are never rounded."""


class EmbeddingModel(PairModel):
    """What `tunesmith.load` gives of a run of `embedding`.

    **Usage**:
    model = tunesmith.load("runs/search")
    model.encode(["how do I return it?", "where is my parcel?"])   # float32 [2, 384], of unit length
    model.encode(documents, kind="document", size=128)             # shorter vectors, where these were learned
    model.similarity("how do I return it?", "Returns are free.")   # 0.83
    model.rank("how do I return it?", documents)                   # [{"document", "score", "position"}], best first
    """

    Options: ClassVar[type[Options]] = VectorOptions
    summary: ClassVar[str] = "a model that makes vectors of texts"
    texts_alone: ClassVar[bool] = True
    _one_side = True

    def __init__(self, bundle: Bundle[Any], task: PredictiveTask, columns: Columns, thresholds: np.ndarray | None):
        super().__init__(bundle, task, columns, thresholds)
        self._document_column = columns.inputs[1]

    def encode(self, texts: str | Sequence[str], *, kind: str = "query", size: int | None = None) -> np.ndarray:
        """Vectors of unit length, float32 [n, size]; [size] of one text. `kind`: 'query' or 'document', which differ
        where the run has prompts. Raises OptionError, DataError."""
        if kind not in ("query", "document"):
            raise OptionError(f"kind={kind!r}: expected query or document.")
        one = isinstance(texts, str)
        some = [texts] if isinstance(texts, str) else list(texts)
        for number, text in enumerate(some, 1):
            if not isinstance(text, str):
                raise DataError(Problem(f"expected a text, got {type(text).__name__}", row=number), "Give texts.")
        found = self._vectors(some, self.task.state()["prompts"][kind == "document"], size)
        return found[0] if one else found

    def similarity(self, left: str | Sequence[str], right: str | Sequence[str]) -> Any:
        """Cosines of queries with documents: float64 [n], a float of one pair. Raises DataError."""
        one = isinstance(left, str) and isinstance(right, str)
        first, second = ([side] if isinstance(side, str) else list(side) for side in (left, right))
        if len(first) != len(second):
            raise DataError(
                Problem(f"got {len(first)} texts on one side, and {len(second)} on the other"), "Give pairs."
            )
        found = (self.encode(first).astype(np.float64) * self.encode(second, kind="document")).sum(1)
        return float(found[0]) if one else found

    def rank(self, query: str, documents: Sequence[str], *, top: int | None = None) -> list[Words]:
        """The documents in the order of their likeness to the query, the best first: {"document", "score",
        "position"}, the position being that among `documents` (from 0)."""
        if not len(documents):
            raise DataError(Problem("the query has no documents"), "Give some.")
        scores = self.encode(documents, kind="document") @ self.encode(query)
        order = np.argsort(-scores, kind="stable")[:top]
        return [{"document": documents[at], "score": float(scores[at]), "position": int(at)} for at in order]

    def predict(self, data: object, *, size: int | None = None, precision: str = "auto", emit: Emit = as_warning,
                **unknown: object) -> Any:  # fmt: skip
        """A vector of each text, float32 [n, size], or the cosine of each pair of texts, {"score"}.

        One text: a vector. A list of texts: vectors [n, size]. Pairs, rows or a table with both columns of the training
        data: a score each, as `Model.predict` gives its answers.
        """
        if unknown:
            raise OptionError(f"predict: {self.summary} has no option {next(iter(unknown))!r}.", "Known: size.")
        if isinstance(data, str) and not predict_inputs.is_file(data, self.modality):
            return self.encode(data, size=size)
        if isinstance(data, list) and data and all(isinstance(text, str) for text in data):
            return self.encode(data, size=size)
        found, inputs = self._given(data, emit)
        answers = self._answered(inputs, size)
        if found.frame is not None:
            return beside(found.frame, answers, answers[0] if answers else {"score": 0.0}, emit)
        return answers[0] if found.one else answers

    def answer_rows(
        self, asked: Sequence[object], options: Any, emit: Emit, places: Sequence[tuple[str, int]] | None = None
    ) -> list[Words]:
        documents = len(self.columns.inputs) == 1 and self.columns.inputs[0] == self._document_column
        if documents:
            texts = [str(text) for text in asked]
            return [{"vector": one.tolist()} for one in self.encode(texts, kind="document", size=options.size)]
        return self._answered(self.modality.inputs(asked, self.columns), options.size)

    def _answered(self, inputs: dict[str, list[Any]], size: int | None) -> list[Words]:
        """{"vector"} of texts that stand alone, {"score"} of pairs."""
        queries, documents = inputs["text"], inputs.get("text_pair") or [""] * len(inputs["text"])
        left = self.encode(queries, size=size)
        if not any(documents):
            return [{"vector": vector.tolist()} for vector in left]
        right = self.encode(documents, kind="document", size=size)
        return [{"score": float(score)} for score in (left * right).sum(1)]

    def _vectors(self, texts: Sequence[str], prompt: str, size: int | None) -> np.ndarray:
        width = self.bundle.model.width
        if size is not None and not 1 <= size <= width:
            raise OptionError(f"size={size}: the vectors have {width} numbers.", f"Give a size from 1 to {width}.")
        known = dict.fromkeys(texts)
        place = {text: at for at, text in enumerate(known)}
        with scratch() as folder, evaluating(self.bundle.model):
            rows = Dataset.from_dict({"text": [prompt + text for text in known]})
            encoded = encode_texts(rows, self.bundle.tokenizer, self.bundle.max_length, Path(folder))
            self.cut_rows += len(encoded.cut)
            found = run_rows(self.bundle.model, encoded, np.arange(len(encoded)), on=self._device)
        if not len(texts):
            return np.zeros((0, size or width), dtype=np.float32)
        return unit(found[[place[text] for text in texts]][:, :size])
