"""A finished model that scores a query and a document together, and orders documents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from datasets import Dataset

from tunesmith.core.errors import DataError, Problem
from tunesmith.core.measured import Measured
from tunesmith.core.spec import Words
from tunesmith.families.predictive.pair_model import PairModel


class RerankingModel(PairModel):
    """What `tunesmith.load` gives of a run of `reranking`.

    **Usage**:
    model = tunesmith.load("runs/order")
    model.predict([("how do I return it?", "Returns are free.")])  # [{"score": 0.94}]
    model.rank("how do I return it?", documents)                   # [{"document", "score", "position"}], best first
    """

    summary: ClassVar[str] = "a model that scores a query and a document"

    def rank(self, query: str, documents: Sequence[str], *, top: int | None = None) -> list[Words]:
        """The documents in the order of their scores for the query, the best first: {"document", "score", "position"},
        the position being that among `documents` (from 0). Raises DataError."""
        if not len(documents):
            raise DataError(Problem("the query has no documents"), "Give some.")
        answers = self.predict([(query, document) for document in documents])
        scores = np.array([answer["score"] for answer in answers])
        order = np.argsort(-scores, kind="stable")[:top]
        return [{"document": documents[at], "score": float(scores[at]), "position": int(at)} for at in order]

    def measured(self, rows: Dataset, targets: Sequence[object]) -> Measured:
        """With candidates beside the documents of the rows, where the model was judged so."""
        listed = rows.add_column("judged", [list(target) for target in targets])  # type: ignore[call-overload]
        return super().measured(listed, targets)

    def _example(self) -> Words:
        return {"score": 0.0}
