"""A finished model: texts in, labels or numbers out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset

from tunesmith.core import registry
from tunesmith.core.errors import DataError, FolderError, NotSupported, OptionError, Problem
from tunesmith.core.events import Emit, Warned, ignore
from tunesmith.core.files import scratch, write_json
from tunesmith.core.run import RunFolder, is_run, located
from tunesmith.data import predict_inputs
from tunesmith.data.answers import beside
from tunesmith.data.predict_inputs import as_warning
from tunesmith.data.types import Columns
from tunesmith.display.cards import Card, Shown
from tunesmith.engine.hardware import choose_precision, device
from tunesmith.engine.inference import evaluating, run_rows, run_rows_quickly
from tunesmith.engine.protocols import Task
from tunesmith.engine.tokens import EncodedRows, encode_texts
from tunesmith.evaluate.measured import compute
from tunesmith.evaluate.types import Outcome
from tunesmith.models.bundle import Bundle
from tunesmith.models.guard import loading
from tunesmith.models.model_json import read_object
from tunesmith.runs import choose

MARK = "tunesmith.json"
"""Beside the weights: what transformers' own files can not say (columns, thresholds)."""
_MANY = 512
"""Rows from which on measuring the machine and computing a sample twice is worth it."""


class Model(Shown):
    """What `tunesmith.load` gives.

    **Usage**:
    model = tunesmith.load("runs/bank")
    model.predict("where is my card?")            # {"label": "card_arrival", "probability": 0.98, ...}
    model.predict(df)                             # the DataFrame with the columns predicted and probability
    model.predict(texts, threshold=0.7)           # label None where the best probability is below 0.7
    model.predict_proba(texts)                    # float64 [n, labels]
    model.score(df)                               # accuracy, where df has the right answers too
    """

    def __init__(self, bundle: Bundle, task: Task, columns: Columns, thresholds: np.ndarray | None):
        self.bundle = bundle
        self.task = task
        self.columns = columns
        self.thresholds = thresholds
        self._device = device()
        self.folder: Path | None = None
        """Where it was loaded from."""
        self.cut_rows = 0
        """Texts that were longer than what is read of them, since `warn_of_cut` was last asked."""
        self._precision: str | None = None  # measured when first needed
        self.bundle.model.to(self._device).eval()

    @classmethod
    def load(cls, path: str | Path) -> Model:
        """From a run folder or its `model` folder. Raises FolderError, ModelError."""
        folder = located(path)
        if is_run(folder):
            run = RunFolder.open(folder)
            if not run.result.exists():
                raise FolderError(
                    f"The run {path} is not finished ({run.status()}), so it has no model yet.",
                    f"Finish it with `tunesmith resume {path}`.",
                )
            folder = run.model
        if not folder.exists():
            raise FolderError(f"{path}: there is no such folder.", "Give a run folder; `tunesmith runs` lists them.")
        if not (folder / MARK).exists():
            raise FolderError(
                f"{path} holds no model that Tunesmith saved (no {MARK}).",
                "Give a run folder; `tunesmith runs` lists them.",
            )
        mark = read_object(folder / MARK)
        with loading(folder / MARK, "record of the run"):
            kind = registry.get("tasks", mark["task"])
            task: Task = kind(kind.Options())
            task.restore(mark["state"])
            columns = Columns.of(mark["columns"])
            thresholds = np.asarray(mark["thresholds"], np.float64) if mark["thresholds"] else None
        model = cls(choose.loader_of(task).finished(folder), task, columns, thresholds)
        model.folder = folder
        return model

    def _card(self) -> Card:
        kinds = {"label": "one label", "labels": "any number of labels", "number": "a number"}
        facts = [("reads", self.columns.texts), ("answers", kinds[self.task.kind])]
        names = self.labels or []
        shown = [*names[:20], *(["..."] if len(names) > 20 else [])]
        return Card("Model", None, [*facts, *([(f"{len(names)} labels", shown)] if names else [])])

    @property
    def labels(self) -> list[str] | None:
        return self.task.label_names

    def predict(
        self, data: Any, *, threshold: float | None = None, precision: str = "auto", probabilities: bool = False,
        emit: Emit = as_warning,
    ) -> Any:  # fmt: skip
        """An answer for each text (or pair of texts), in the shape in which they are given.

        One text, pair or row (dict): one answer. A list, array or iterator of texts, pairs or rows, or a dict of
        columns: a list of answers. A DataFrame or Series, or the path of a file: a DataFrame with the columns
        `predicted` and, for one label, `probability` added, its index kept; `probabilities` adds one column
        `probability_<label>` each. Rows and tables name their text columns as in training.

        label: {"label", "probability", "probabilities"}; labels: {"labels", "probabilities"};
        number: {"value"}. With `threshold`, a label whose probability is below it is None (abstain),
        and for several labels the threshold replaces the tuned ones. `precision` as in `predicted`. What else is to
        be known (empty texts, texts that are cut, column names that are taken) is a Python warning, or goes to `emit`.
        Raises DataError for what is no text, or could be meant in two ways.
        """
        found = predict_inputs.given(data, self.columns, emit)
        texts = predict_inputs.texts_of(found.items, self.columns)
        predict_inputs.warn_of_blanks(predict_inputs.blanks(*texts.values()), emit)
        self.cut_rows = 0
        answers = self.predicted(Dataset.from_dict(texts), threshold=threshold, precision=precision)
        self.warn_of_cut(len(answers), emit)
        if found.frame is not None:
            return beside(found.frame, answers, self._example(), emit, probabilities)
        return answers[0] if found.one else answers

    def _example(self) -> dict[str, Any]:
        return self.answers(self.task.scores(np.zeros((1, self.bundle.model.head.out_features))))[0]

    def predict_proba(self, data: Any) -> np.ndarray:
        """float64 [n, labels], columns in the order of `classes_`; [labels] for one text. `data` as for `predict`.

        Raises NotSupported where the model gives numbers.
        """
        if self.task.kind == "number":
            raise NotSupported("This model gives numbers, which have no probabilities.", "Use `predict`.")
        self.cut_rows = 0
        found = self.probabilities(data)
        self.warn_of_cut(1 if found.ndim == 1 else len(found), as_warning)
        return found

    @property
    def classes_(self) -> np.ndarray:
        """Names of the labels, in the order of `predict_proba`. Raises NotSupported where the model gives numbers."""
        if self.task.kind == "number":
            raise NotSupported("This model gives numbers and has no classes.")
        return np.array(self.labels, dtype=object)

    def score(self, data: Any, target: Any = None) -> float:
        """Share of the rows that are answered right (of several labels: all of them right); of numbers R².

        `target`: the right answers; without, `data` is a table that has them too, in the columns of the training
        data. Raises DataError.
        """
        found = predict_inputs.given(data, self.columns)
        if found.one:
            raise DataError(Problem("a score needs several rows, and got one text"))
        texts = predict_inputs.texts_of(found.items, self.columns)
        truth = predict_inputs.targets_of(found, target, self.columns, self.labels)
        if not truth:
            raise DataError(Problem("a score needs rows, and got none"))
        outcome = self.outcome(self.scores(Dataset.from_dict(texts)), truth)
        if self.task.kind == "number":
            return float(compute(outcome)["r2"])
        right = outcome.predicted() == outcome.truth
        return float((right if right.ndim == 1 else right.all(1)).mean())

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

    def probabilities(self, data: Any) -> np.ndarray:
        """As `predict_proba`; for numbers their values, float64 [n]."""
        found = predict_inputs.given(data, self.columns)
        scores = self.scores(Dataset.from_dict(predict_inputs.texts_of(found.items, self.columns)))
        return np.asarray(scores[0] if found.one else scores)

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
            encoded = encode_texts(rows, self.bundle.tokenizer, self.bundle.max_length, folder)
            self.cut_rows += len(encoded.cut)
            yield encoded

    def warn_of_cut(self, rows: int, emit: Emit) -> None:
        """Say how many of `rows` texts that were answered since the last time are longer than what is read of them."""
        cut, self.cut_rows = self.cut_rows, 0
        if cut:
            limit = self.bundle.max_length
            several = f"{cut:,} of {rows:,} texts are" if rows > 1 else "The text is"
            told = f"{several} longer than the {limit:,} tokens that this model reads of each"
            emit(Warned("cut texts", f"{told}: what stands further down had no say in the answer."))

    def outcome(self, scores: np.ndarray, targets: Sequence[Any]) -> Outcome:
        return Outcome(self.task.kind, self.task.truth(targets), scores, self.labels, self.thresholds)

    def answers(self, scores: np.ndarray, *, threshold: float | None = None) -> list[dict[str, Any]]:
        """Scores as `predict` gives them."""
        if threshold is not None and (self.task.kind == "number" or not 0 <= threshold <= 1):
            raise OptionError(f"--threshold {threshold}: expected a probability from 0 to 1, for a model of labels.")
        if self.task.kind == "number":
            # the shortest digits that are this float32: 3.7291 in place of 3.7290999889373779
            return [{"value": float(str(np.float32(value)))} for value in scores]
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


def write_mark(folder: Path, task_name: str, task: Task, columns: Columns, thresholds: np.ndarray | None) -> None:
    """Beside a saved network: everything `Model.load` needs."""
    write_json(folder / MARK, {
        "format": 1,
        "task": task_name,
        "state": task.state(),
        "columns": columns.record(),
        "thresholds": None if thresholds is None else [float(t) for t in thresholds],
    })  # fmt: skip
