"""A finished model: texts in, labels or numbers out."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from datasets import Dataset
from torch import Tensor

from tunesmith.core import registry
from tunesmith.core.errors import DataError, NotSupported, OptionError, Problem
from tunesmith.core.events import Emit, Warned, ignore
from tunesmith.core.files import scratch
from tunesmith.core.measured import Measured
from tunesmith.core.options import Options
from tunesmith.core.spec import Words
from tunesmith.data import joined, predict_inputs
from tunesmith.data.answers import beside
from tunesmith.data.images import ImageData
from tunesmith.data.predict_inputs import FileRows, as_warning
from tunesmith.data.prepare import parse_targets, read_rows, refuse_blank
from tunesmith.data.types import Columns
from tunesmith.display.cards import Card, Shown
from tunesmith.engine.encoded import EncodedItems
from tunesmith.engine.hardware import choose_precision, device
from tunesmith.engine.inference import answering, run_rows, run_rows_quickly
from tunesmith.engine.protocols import PredictiveTask
from tunesmith.engine.tokens import EncodedRows
from tunesmith.evaluate.measured import compute, with_intervals
from tunesmith.families.predictive.trained_rows import without_trained_rows
from tunesmith.models.bundle import Bundle
from tunesmith.models.guard import loading
from tunesmith.models.manifest import METADATA, read_metadata, write_metadata
from tunesmith.runs import choose
from tunesmith.runs.load import model_folder
from tunesmith.runs.reading import OtherData

_MANY = 512
"""Rows from which on measuring the machine and computing a sample twice is worth it, or"""
_MANY_TOKENS = 32_768
"""their tokens, or what a row of another kind is counted in: some 170 pictures."""


class AnswerOptions(Options):
    """How a model of labels or numbers answers."""

    threshold: float | None = None
    """No answer below this probability; of several labels those with at least this one."""
    precision: str = "auto"
    """auto (fast, the same labels) or fp32 (every digit)."""
    probabilities: bool = False
    """In a table also the probability of every label."""
    allow_urls: bool = False
    """Whether pictures at http and https addresses are fetched; never from private networks."""


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

    Options: ClassVar[type[Options]] = AnswerOptions
    summary: ClassVar[str] = "a model of labels or numbers"
    together: ClassVar[int] = 256
    texts_alone: ClassVar[bool] = False
    """Whether it also answers one text where its data has pairs."""

    def __init__(self, bundle: Bundle, task: PredictiveTask, columns: Columns, thresholds: np.ndarray | None):
        self.bundle = bundle
        self.task = task
        self.columns = columns
        self.thresholds = thresholds
        self.modality = choose.modality_of(task).of_columns(columns)
        self._device = device()
        self.folder: Path | None = None
        """Where it was loaded from."""
        self.cut_rows = 0
        """Texts that were longer than what is read of them, since `warn_of_cut` was last asked."""
        self._notes: list[str] = []
        self._precision: str | None = None  # measured when first needed
        self.bundle.model.to(self._device).eval()
        task.equip(bundle)

    @classmethod
    def load(cls, path: str | Path) -> Model:
        """From a run folder or its `model` folder. Raises FolderError, ModelError."""
        folder = model_folder(path)
        task, thresholds = settled_in(folder)
        with loading(folder / METADATA, "record of the run"):
            columns = Columns.of(read_metadata(folder)["columns"])
        model = cls(choose.loader_of(task).finished(folder), task, columns, thresholds)
        model.folder = folder
        return model

    def _card(self) -> Card:
        facts = [("reads", self.columns.inputs), ("answers", self.task.target.said)]
        names = self.labels or []
        shown = [*names[:20], *(["..."] if len(names) > 20 else [])]
        return Card("Model", None, [*facts, *([(f"{len(names)} labels", shown)] if names else [])])

    @property
    def labels(self) -> list[str] | None:
        return self.task.label_names

    def predict(
        self, data: object, *, threshold: float | None = None, precision: str = "auto", probabilities: bool = False,
        allow_urls: bool = False, emit: Emit = as_warning,
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
        `allow_urls`: pictures at http and https addresses are fetched. Raises DataError for what is no text, or could
        be meant in two ways.
        """
        if allow_urls:
            words = {"threshold": threshold, "precision": precision, "probabilities": probabilities, "emit": emit}
            return self.fetching().predict(data, **words)  # type: ignore[arg-type]
        found, inputs = self._given(data, emit)
        predict_inputs.warn_of_blanks(self.modality.blanks(inputs), emit)
        self.cut_rows = 0
        answers = self.predicted(Dataset.from_dict(inputs), threshold=threshold, precision=precision)
        self.warn_of_cut(len(answers), emit)
        if found.frame is not None:
            return beside(found.frame, answers, self._example(), emit, probabilities)
        return answers[0] if found.one else answers

    def fetching(self) -> Self:
        """The same model, that fetches pictures at addresses. Raises OptionError where it reads none."""
        if not isinstance(self.modality, ImageData):
            raise OptionError(f"allow_urls: this model reads {self.modality.nouns}, and only pictures are fetched.")
        found = copy.copy(self)
        found.modality = copy.copy(self.modality)
        found.modality.fetches = True
        return found

    def _given(self, data: object, emit: Emit = ignore) -> tuple[predict_inputs.Given, dict[str, list[object]]]:
        """What `data` is, and the inputs in it by role."""
        found = predict_inputs.identify(data, self.columns, emit, self.modality)
        return found, self.modality.inputs(found.items, self.columns)

    def _example(self) -> Words:
        return self.answers(self.task.decode(np.zeros((1, *self.bundle.model.outputs))))[0]

    def predict_proba(self, data: object) -> np.ndarray:
        """float64 [n, labels], columns in the order of `classes_`; [labels] for one text. `data` as for `predict`.

        Raises NotSupported where the model gives numbers.
        """
        if not self.task.target.has_probabilities:
            raise NotSupported("This model gives numbers, which have no probabilities.", "Use `predict`.")
        if self.labels is None:
            raise NotSupported("This model has no classes to give the probabilities of.", "Use `predict`.")
        self.cut_rows = 0
        found = self.probabilities(data)
        self.warn_of_cut(1 if found.ndim == 1 else len(found), as_warning)
        return found

    @property
    def classes_(self) -> np.ndarray:
        """Names of the labels, in the order of `predict_proba`. Raises NotSupported where the model gives numbers."""
        if not self.task.target.has_probabilities:
            raise NotSupported("This model gives numbers and has no classes.")
        if self.labels is None:
            raise NotSupported("This model has no classes.")
        return np.array(self.labels, dtype=object)

    def score(self, data: object, target: object = None) -> float:
        """Share of the rows that are answered right (of several labels: all of them right); of numbers R².

        `target`: the right answers; without, `data` is a table that has them too, in the columns of the training
        data. Raises DataError.
        """
        found, inputs = self._given(data)
        if found.one:
            raise DataError(Problem(f"a score needs several rows, and got one {self.modality.noun}"))
        truth = predict_inputs.targets_of(found, target, self.columns, self.labels)
        if not truth:
            raise DataError(Problem("a score needs rows, and got none"))
        measured = self.measured(Dataset.from_dict(inputs), truth)
        return compute(measured, [self.task.target.score])[self.task.target.score]

    def predicted(self, rows: Dataset, *, threshold: float | None = None, precision: str = "auto") -> list[Words]:
        """`predict` for a Dataset with the column 'text' (and 'text_pair').

        `precision` 'fp32' computes everything in float32. With 'auto', many rows are computed in bf16
        where that is faster on this machine, and those whose label could then differ once more in
        float32: the labels are the same, probabilities may differ in the second digit.
        """
        if precision not in ("auto", "fp32"):
            raise OptionError(f"--precision {precision}: expected auto or fp32.")
        return self.answers(self._quickly(rows, threshold, precision), threshold=threshold, rows=rows)

    def _quickly(self, rows: Dataset, threshold: float | None, precision: str) -> Any:
        exact = precision == "fp32" or not self.task.target.has_probabilities or self.task.probe_loss is None
        if exact or not len(rows):
            return self.predictions(rows)

        def unsure(logits: np.ndarray, bound: float) -> np.ndarray:
            cuts = self.thresholds if threshold is None else threshold
            return self.task.target.unsure(logits, self.task.scores(logits), bound, cuts)

        with self.encoded(rows) as encoded:
            if self._are_many(encoded):
                logits = run_rows_quickly(self.bundle.model, encoded, unsure, on=self._device)
            else:
                logits = self._exactly(encoded)
            return self.task.decode(logits, encoded.answers, rows)

    def _are_many(self, encoded: EncodedItems) -> bool:
        """Whether bf16 is worth that some rows are computed in both precisions."""
        if len(encoded) < _MANY and int(encoded.lengths.sum()) < _MANY_TOKENS:
            return False
        if self._precision is None:
            self._precision = choose_precision("auto", self._device, self.bundle.model.width, ignore)
        return self._precision != "fp32"

    def probabilities(self, data: object) -> np.ndarray:
        """As `predict_proba`; for numbers their values, float64 [n]."""
        found, inputs = self._given(data)
        scores = self.scores(Dataset.from_dict(inputs))
        return np.asarray(scores[0] if found.one else scores)

    def scores(self, rows: Dataset) -> np.ndarray:
        """Probabilities or values for a Dataset with the column 'text' (and 'text_pair')."""
        return self.task.scores(self._logits(rows)[0])

    def predictions(self, rows: Dataset) -> Any:
        """What the task makes of each row of such a Dataset."""
        return self.task.decode(*self._logits(rows), rows)

    def _logits(self, rows: Dataset) -> tuple[np.ndarray, np.ndarray | None]:
        """What the task keeps, float32 [answers, outputs], and how many answers each row has; None: one."""
        if not len(rows):
            return np.zeros((0, *self.bundle.model.outputs)), None
        with self.encoded(rows) as encoded:
            return self._exactly(encoded), encoded.answers

    def _exactly(self, encoded: EncodedItems) -> np.ndarray:
        with answering(self.bundle.model, "fp32"):
            return run_rows(self._kept, encoded, np.arange(len(encoded)), on=self._device)

    def _kept(self, batch: dict[str, Tensor]) -> Tensor:
        return self.task.kept(self.bundle.model(batch))

    @contextmanager
    def encoded(self, rows: Dataset) -> Iterator[EncodedItems]:
        with scratch() as folder:
            encoded = self.task.encode_asked(rows, self.bundle, folder)
            self.cut_rows += len(encoded.cut)
            self._notes += encoded.notes if isinstance(encoded, EncodedRows) else []
            yield encoded

    def warn_of_cut(self, rows: int, emit: Emit) -> None:
        """Say how many of `rows` texts that were answered since the last time are longer than what is read of them."""
        notes, self._notes = self._notes, []
        for note in dict.fromkeys(notes):
            emit(Warned("columns", note))
        cut, self.cut_rows = self.cut_rows, 0
        if cut:
            limit = self.bundle.max_length
            modality = self.modality
            several = f"{cut:,} of {rows:,} {modality.nouns} are" if rows > 1 else f"The {modality.noun} is"
            told = f"{several} longer than the {limit:,} tokens that this model reads of each"
            emit(Warned("cut texts", f"{told}: what stands further down had no say in the answer."))

    def measured(self, rows: Dataset, targets: Sequence[object]) -> Measured:
        """What its answers to a Dataset as for `scores` are worth, beside what they should be."""
        return self.task.measure(self.predictions(rows), self.task.truth_of(targets, rows), self.thresholds)

    def answers(self, predictions: Any, *, threshold: float | None = None, rows: Dataset | None = None) -> list[Words]:
        """Predictions as `predict` gives them."""
        target = self.task.target
        sure = target.has_probabilities or target.has_thresholds
        if threshold is not None and not (sure and 0 <= threshold <= 1):
            raise OptionError(f"--threshold {threshold}: expected a probability from 0 to 1, for a model of labels.")
        return target.answers(predictions, self.thresholds, threshold, rows)

    def answer_rows(
        self,
        asked: Sequence[object],
        options: AnswerOptions,
        emit: Emit,
        places: Sequence[tuple[str, int]] | None = None,
    ) -> list[Words]:
        """See `runs.protocols.Predictor`; `asked` are texts, pairs of texts or rows."""
        modality = self.fetching().modality if options.allow_urls else self.modality
        rows = Dataset.from_dict(modality.inputs(asked, self.columns))
        return self.predicted(rows, threshold=options.threshold, precision=options.precision)

    def rows(self, other: OtherData, cache: Path, emit: Emit) -> Iterator[FileRows]:
        """See `runs.protocols.Predictor`. A column of texts joined from others is not written again."""
        self.cut_rows = 0
        found = self.read(other, cache, emit)
        texts = self.columns.inputs
        own = [name for name in found.column_names if name not in texts]
        kept = [name for name in found.column_names if name not in texts or not joined.parts_of(name, own)]
        empty: list[int] = []
        step = self.task.target.at_once
        for start in range(0, len(found), step):
            chunk = found.select(range(start, min(start + step, len(found))))
            cells = self.inputs_of(chunk).to_dict()
            empty += [start + at for at in self.modality.blanks(cells)]
            asked = list(zip(*cells.values(), strict=True)) if len(cells) > 1 else next(iter(cells.values()))
            if self.columns.features:
                asked = [dict(zip(texts, row[:-1], strict=True)) | row[-1] for row in asked]
            yield FileRows(
                [dict(zip(kept, row, strict=True)) for row in zip(*(chunk[name][:] for name in kept), strict=True)],
                asked,
            )
        predict_inputs.warn_of_blanks(empty, emit)
        self.warn_of_cut(len(found), emit)

    def read(self, other: OtherData, cache: Path, emit: Emit) -> Dataset:
        return other.read(
            lambda how: read_rows(
                other.data, emit=emit, cache_dir=cache, columns=self.columns, reading=how, modality=self.modality
            )
        )

    def measure(self, other: OtherData, emit: Emit) -> Measured:
        """See `runs.protocols.Predictor`. Raises DataError for rows without text or target, for labels that the model
        does not know, and for missing columns."""
        return self._measured(other, emit)[1]

    def _measured(self, other: OtherData, emit: Emit) -> tuple[Dataset, Measured]:
        with scratch() as cache:
            rows = self.read(other, cache, emit)
            name = str(other.data) if isinstance(other.data, str | Path) else type(other.data).__name__
            refuse_blank(rows, self.columns, name, self.modality)
            targets = parse_targets(rows, self.columns, self.labels, name)
            inputs = self.inputs_of(rows)
            self.cut_rows = 0
            measured = self.measured(inputs, targets)
            self.warn_of_cut(len(rows), emit)
            return inputs, measured

    def tune(self, other: OtherData, emit: Emit) -> Measured:
        """See `runs.protocols.Predictor`."""
        measured = self.measure(other, emit)
        self.thresholds = self.task.target.tune(measured)
        if self.thresholds is None or self.folder is None:
            return measured
        write_metadata(self.folder, {**read_metadata(self.folder), "thresholds": self.thresholds.tolist()})
        return self.measure(other, emit)

    def evaluate(self, other: OtherData, *, seed: int, emit: Emit) -> Words:
        """See `runs.protocols.Predictor`; rows that the run has seen are counted, and `new` are those without them."""
        inputs, measured = self._measured(other, emit)
        found: Words = {"rows": len(measured), "metrics": with_intervals(measured, seed=seed)}
        return found | without_trained_rows(self.folder, self.modality.hashes(inputs.data.table), measured, seed, emit)

    def inputs_of(self, rows: Dataset) -> Dataset:
        """The input columns of `rows` (named as in training) under the names that `scores` expects."""
        return self.modality.from_columns(rows, self.columns)


def settled_in(folder: Path) -> tuple[PredictiveTask, np.ndarray | None]:
    """The task of a saved model, as it was fitted, and its thresholds. Raises ModelError."""
    metadata = read_metadata(folder)
    with loading(folder / METADATA, "record of the run"):
        kind = registry.get("tasks", metadata["task"])
        task: PredictiveTask = kind(kind.Options())
        task.restore(metadata["state"])
        cuts = metadata["thresholds"]
        return task, np.asarray(cuts, np.float64) if cuts else None


def describe(
    folder: Path, task_name: str, task: PredictiveTask, columns: Columns, thresholds: np.ndarray | None
) -> None:
    """Beside a saved network: everything `Model.load` needs."""
    write_metadata(folder, {
        "task": task_name,
        "state": task.state(),
        "columns": columns.record(),
        "thresholds": None if thresholds is None else [float(t) for t in thresholds],
    })  # fmt: skip
