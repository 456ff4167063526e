"""A finished model: texts in, labels or numbers out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset

from tunesmith.core import registry
from tunesmith.core.errors import DataError, FolderError, OptionError, Problem
from tunesmith.core.events import ignore
from tunesmith.core.files import scratch, write_json
from tunesmith.core.run import RunFolder, is_run
from tunesmith.data.types import Columns
from tunesmith.engine.hardware import choose_precision, device
from tunesmith.engine.inference import evaluating, run_rows, run_rows_quickly
from tunesmith.engine.protocols import Task
from tunesmith.engine.tokens import EncodedRows, encode_texts
from tunesmith.evaluate.types import Outcome
from tunesmith.models.load import Bundle, load_text_finished

MARK = "tunesmith.json"
"""Beside the weights: what transformers' own files can not say (columns, thresholds)."""
_MANY = 512
"""Rows from which on measuring the machine and computing a sample twice is worth it."""


class Model:
    """What `tunesmith.load` gives.

    **Usage**:
    model = tunesmith.load("runs/bank")
    model.predict(["where is my card?"])          # [{"label": "card_arrival", "probability": 0.98, ...}]
    model.predict(texts, threshold=0.7)           # label None where the best probability is below 0.7
    model.probabilities(texts)                    # float64 [n, labels]
    """

    def __init__(self, bundle: Bundle, task: Task, columns: Columns, thresholds: np.ndarray | None):
        self.bundle = bundle
        self.task = task
        self.columns = columns
        self.thresholds = thresholds
        self._device = device()
        self._precision: str | None = None  # measured when first needed
        self.bundle.model.to(self._device).eval()

    @classmethod
    def load(cls, path: str | Path) -> Model:
        """From a run folder or its `model` folder. Raises FolderError, ModelError."""
        folder = Path(path)
        if is_run(folder):
            run = RunFolder.open(folder)
            if not run.result.exists():
                raise FolderError(
                    f"The run {path} is not finished ({run.status()}), so it has no model yet.",
                    f"Finish it with `tunesmith resume {path}`.",
                )
            folder = run.model
        if not (folder / MARK).exists():
            raise FolderError(
                f"{path} holds no model that Tunesmith saved (no {MARK}).",
                "Give a run folder; `tunesmith runs` lists them.",
            )
        mark = json.loads((folder / MARK).read_text(encoding="utf-8"))
        task: Task = registry.get("tasks", mark["task"])(registry.get("tasks", mark["task"]).Options())
        task.restore(mark["state"])
        columns = Columns(**{**mark["columns"], "target": tuple(mark["columns"]["target"])})
        thresholds = np.asarray(mark["thresholds"]) if mark["thresholds"] else None
        return cls(load_text_finished(folder), task, columns, thresholds)

    @property
    def labels(self) -> list[str] | None:
        return self.task.label_names

    def predict(
        self, texts: Iterable[str] | Iterable[Sequence[str]], *, threshold: float | None = None,
        precision: str = "auto",
    ) -> list[dict[str, Any]]:  # fmt: skip
        """One answer per text (or pair of texts).

        label: {"label", "probability", "probabilities"}; labels: {"labels", "probabilities"};
        number: {"value"}. With `threshold`, a label whose probability is below it is None (abstain),
        and for several labels the threshold replaces the tuned ones. `precision` as in `predicted`.
        """
        return self.predicted(self._rows(list(texts)), threshold=threshold, precision=precision)

    def predicted(
        self, rows: Dataset, *, threshold: float | None = None, precision: str = "auto"
    ) -> list[dict[str, Any]]:
        """`predict` for a Dataset with the column 'text' (and 'text_pair').

        `precision` 'fp32' computes everything in float32. With 'auto', many rows are computed in bf16
        where that is faster on this machine, and those whose label could then differ once more in
        float32: the labels are the same, probabilities may differ in the second digit.
        """
        if precision not in ("auto", "fp32"):
            raise OptionError(f"--precision {precision}: expected auto or fp32.")
        return self.answers(self._quick_scores(rows, threshold, precision), threshold=threshold)

    def _quick_scores(self, rows: Dataset, threshold: float | None, precision: str) -> np.ndarray:
        if precision == "fp32" or self.task.kind == "number" or len(rows) < _MANY:
            return self.scores(rows)
        if self._precision is None:
            hidden = self.bundle.model.head.in_features
            self._precision = choose_precision("auto", self._device, hidden, ignore)
        if self._precision == "fp32":
            return self.scores(rows)

        def unsure(logits: np.ndarray, bound: float) -> np.ndarray:
            scores = self.task.scores(logits)
            if self.task.kind == "labels":
                cuts = (0.5 if self.thresholds is None else self.thresholds) if threshold is None else threshold
                return np.asarray((np.abs(scores - cuts) <= bound / 4).any(1))  # the logistic's slope is at most 1/4
            best = np.sort(logits, axis=1)[:, -2:]
            near = best[:, 1] - best[:, 0] <= 2 * bound
            return near if threshold is None else near | (np.abs(scores.max(1) - threshold) <= bound / 2)

        with self._encoded(rows) as encoded:
            return self.task.scores(run_rows_quickly(self.bundle.model, encoded, unsure, on=self._device))

    def probabilities(self, texts: Iterable[str] | Iterable[Sequence[str]]) -> np.ndarray:
        """float64 [n, labels], in the order of `labels`; for numbers float64 [n]."""
        return self.scores(self._rows(list(texts)))

    def scores(self, rows: Dataset, **progress: Any) -> np.ndarray:
        """Probabilities or values for a Dataset with the column 'text' (and 'text_pair')."""
        if not len(rows):
            return self.task.scores(np.zeros((0, self.bundle.model.head.out_features)))
        with self._encoded(rows) as encoded, evaluating(self.bundle.model):
            logits = run_rows(self.bundle.model, encoded, np.arange(len(encoded)), on=self._device, **progress)
        return self.task.scores(logits)

    @contextmanager
    def _encoded(self, rows: Dataset) -> Iterator[EncodedRows]:
        with scratch() as folder:
            yield encode_texts(rows, self.bundle.tokenizer, self.bundle.max_length, folder)

    def outcome(self, scores: np.ndarray, targets: Sequence[Any]) -> Outcome:
        return Outcome(self.task.kind, self.task.truth(targets), scores, self.labels, self.thresholds)

    def answers(self, scores: np.ndarray, *, threshold: float | None = None) -> list[dict[str, Any]]:
        """Scores as `predict` gives them."""
        if threshold is not None and (self.task.kind == "number" or not 0 <= threshold <= 1):
            raise OptionError(f"--threshold {threshold}: expected a probability from 0 to 1, for a model of labels.")
        if self.task.kind == "number":
            return [{"value": float(value)} for value in scores]
        names = self.labels or []
        if self.task.kind == "labels":
            tuned = 0.5 if self.thresholds is None else self.thresholds
            cuts = tuned if threshold is None else threshold
            given = scores >= cuts
            return [
                {
                    "labels": [name for name, on in zip(names, mask, strict=True) if on],
                    "probabilities": dict(zip(names, map(float, row), strict=True)),
                }
                for row, mask in zip(scores, given, strict=True)
            ]
        best = scores.argmax(1)
        return [
            {
                "label": names[i] if threshold is None or row[i] >= threshold else None,
                "probability": float(row[i]),
                "probabilities": dict(zip(names, map(float, row), strict=True)),
            }
            for row, i in zip(scores, best, strict=True)
        ]

    def texts(self, rows: Dataset) -> Dataset:
        """The text columns of `rows` (named as in training) under the names that `scores` expects."""
        found = {"text": self.columns.text, "text_pair": self.columns.text_pair}
        return Dataset.from_dict({
            name: ["" if text is None else str(text) for text in rows[column][:]]
            for name, column in found.items() if column is not None
        })  # fmt: skip

    def _rows(self, texts: list[Any]) -> Dataset:
        pair = self.columns.text_pair is not None
        for i, text in enumerate(texts):
            fits = (
                isinstance(text, str)
                if not pair
                else (not isinstance(text, str) and len(text) == 2 and all(isinstance(part, str) for part in text))
            )
            if not fits:
                wanted = "a pair of texts" if pair else "a text"
                raise DataError(Problem(f"expected {wanted}, got {text!r:.80}", row=i + 1))
        if not pair:
            return Dataset.from_dict({"text": texts})
        return Dataset.from_dict({"text": [t[0] for t in texts], "text_pair": [t[1] for t in texts]})


def write_mark(folder: Path, task_name: str, task: Task, columns: Columns, thresholds: np.ndarray | None) -> None:
    """Beside a saved network: everything `Model.load` needs."""
    write_json(folder / MARK, {
        "format": 1,
        "task": task_name,
        "state": task.state(),
        "columns": vars(columns) | {"target": list(columns.target)},
        "thresholds": None if thresholds is None else [float(t) for t in thresholds],
    })  # fmt: skip
