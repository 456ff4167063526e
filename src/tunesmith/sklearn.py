"""Estimators for scikit-learn: a fine-tuned model in a Pipeline, in cross_val_score, in GridSearchCV.

    from tunesmith.sklearn import TextClassifier
    cross_val_score(TextClassifier(method="head"), df["text"], df["label"], cv=5)

X are texts: a list, a Series, an array, a DataFrame with one column, or two columns for pairs of texts. It is the same
training as `tunesmith.train`; what is different is who keeps test rows aside. Here scikit-learn does, so that all rows
that `fit` is given are learned, but for some on which the best state of the training is chosen.
"""

from __future__ import annotations

import os
import weakref
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import assert_all_finite, check_consistent_length, check_is_fitted

from tunesmith.core.errors import DataError, Problem
from tunesmith.core.files import scratch, write_bytes
from tunesmith.data import predict_inputs
from tunesmith.data.types import Columns
from tunesmith.data.values import to_label
from tunesmith.families.predictive.predictor import Model
from tunesmith.workflows.train import train

__all__ = ["TextClassifier", "TextRegressor"]

_LABEL, _NUMBER = "label", "value"


class _Scratch:
    """A folder that goes when nobody holds this object any more."""

    def __init__(self) -> None:
        stack = ExitStack()
        self.path = stack.enter_context(scratch())
        weakref.finalize(self, stack.close)


class _TextEstimator(BaseEstimator):
    """What both estimators share: texts in, a run, its model."""

    def __init__(
        self, *, model: str | os.PathLike[str] = "auto", method: str = "auto", epochs: int | None = None,
        learning_rate: float | None = None, batch_size: int | None = None, max_length: int | None = None,
        options: dict[str, object] | None = None, validation_size: float = 0.1,
        random_state: int | np.random.RandomState | None = 0, out: str | os.PathLike[str] | None = None,
        verbose: bool = False,
    ):  # fmt: skip
        self.model = model
        self.method = method
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.max_length = max_length
        self.options = options
        self.validation_size = validation_size
        self.random_state = random_state
        self.out = out
        self.verbose = verbose

    def _train(self, texts: pd.DataFrame, targets: pd.DataFrame, strata: np.ndarray | None, task: str) -> None:
        """Train on the rows; `strata`: the class of each, for the choice of validation rows."""
        seed = int(check_random_state(self.random_state).randint(2**31))
        rows = pd.concat([texts, targets.set_axis(texts.index)], axis=1)
        words: dict[str, Any] = {
            "task": task, "model": self.model, "method": self.method, "epochs": self.epochs, "seed": seed,
            "learning_rate": self.learning_rate, "batch_size": self.batch_size, "max_length": self.max_length,
            "text": list(texts.columns), "target": list(targets.columns), **(self.options or {}),
        }  # fmt: skip
        if self.out is None:
            place = _Scratch()
            held = _held_out(len(rows), strata, self.validation_size, seed)
            # whoever calls keeps test rows aside: what a run must have as such is its validation rows once more
            words |= {
                "data": rows.drop(index=held) if len(held) < len(rows) else rows, "validation": rows.loc[held],
                "test": rows.loc[held], "near_duplicates": 0, "callbacks": ["early-stopping"],
                "out": place.path / "run",
            }  # fmt: skip
            self._place: _Scratch | None = place
        else:
            words |= {"data": rows, "validation_size": self.validation_size, "out": self.out}
            self._place = None
        self.run_ = train(words.pop("data"), verbose=self.verbose, **words)
        self._model: Model = self.run_.model
        self._files = self.run_.folder.model

    def _texts(self, X: object) -> pd.DataFrame:
        """X as a DataFrame with the column text, or text and text_pair. Raises ValueError, as scikit-learn has it."""
        try:
            return _as_texts(X)
        except DataError as error:
            raise ValueError(str(error)) from error

    def _known_texts(self, X: object) -> pd.DataFrame:
        """The same for a fitted estimator. Raises NotFittedError, and ValueError where pairs and texts are mixed up."""
        check_is_fitted(self)
        texts = self._texts(X)
        if list(texts.columns) != list(self._model.columns.inputs):
            kinds = {1: "single texts", 2: "pairs of texts"}
            fitted = kinds[len(self._model.columns.inputs)]
            raise ValueError(f"X has {kinds[texts.shape[1]]}, but {type(self).__name__} was fitted to {fitted}.")
        return texts

    def _scores(self, X: object) -> np.ndarray:
        texts = self._known_texts(X)
        return self._model.probabilities(texts) if len(texts) else self._model.probabilities([])

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_model")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        tags.target_tags.required = True
        return tags

    def __getstate__(self) -> dict[str, object]:
        """Parameters, and of a fitted estimator the files of its model: it can be moved to another machine."""
        state = dict(super().__getstate__())
        if "_model" in state:
            folder = Path(self._files)
            for name in ("_model", "_place", "run_"):
                state.pop(name, None)
            state["_files"] = {
                str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
            }
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        files = state.pop("_files", None)
        super().__setstate__(state)
        if files is not None:
            self._place = _Scratch()
            self._files = self._place.path / "model"
            for name, content in files.items():
                path = self._files / name
                path.parent.mkdir(parents=True, exist_ok=True)
                write_bytes(path, content)
            self._model = Model.load(self._files)


class TextClassifier(ClassifierMixin, _TextEstimator):
    """A fine-tuned text classifier.

    Parameters are the words of `tunesmith.train`: `model`, `method`, `epochs`, `learning_rate`, `batch_size`,
    `max_length`; `options` takes any other one, such as {"class_weights": "auto"}. `validation_size`: share of the
    rows on which the best state is chosen. `random_state`: int, RandomState or None. `out`: a folder for the run, which
    then keeps test rows of its own aside for its report; without, the run is in a folder that goes with the estimator.

    Attributes: `classes_`, labels [n_classes] as they were in y; `run_`, the Run (not after unpickling).
    """

    def fit(self, X: Any, y: Any) -> TextClassifier:
        """Fine-tune on texts X [n] (or pairs) and labels y [n], or 0/1 of several labels y [n, n_labels].

        Raises ValueError for what are no texts or labels, UsageError for options.
        """
        texts, y = self._texts(X), _targets(self, y)
        check_consistent_length(texts, y)
        check_classification_targets(y)
        if type_of_target(y).startswith("multilabel"):
            names = [str(name) for name in getattr(y, "columns", range(np.shape(y)[1]))]
            binary = np.asarray(y, dtype=np.int8)
            self._train(texts, pd.DataFrame(binary, columns=[f"label_{n}" for n in names]), None, "text-classification")
            self.classes_ = np.array(names, dtype=object)
            self._order = [(self._model.labels or []).index(f"label_{name}") for name in names]
            return self
        classes, codes = np.unique(column_or_1d(y, warn=True), return_inverse=True)
        if len(classes) < 2:
            told = f"got {len(classes)} class: {classes[0]!r}."
            raise ValueError(f"The number of classes has to be greater than one; {told}")
        names = _names(classes)
        self._train(texts, pd.DataFrame({_LABEL: np.array(names, dtype=object)[codes]}), codes, "text-classification")
        self.classes_ = classes
        self._order = [(self._model.labels or []).index(name) for name in names]
        return self

    def predict(self, X: object) -> np.ndarray:
        """The likeliest class of each text [n], or 0/1 of each of several labels [n, n_labels]."""
        scores = self.predict_proba(X)
        if self._model.task.target.has_thresholds:
            cuts = 0.5 if self._model.thresholds is None else np.asarray(self._model.thresholds)[self._order]
            return (scores >= cuts).astype(int)
        found: np.ndarray = self.classes_[scores.argmax(1)]
        return found

    def predict_proba(self, X: object) -> np.ndarray:
        """float64 [n, n_classes], in the order of `classes_`."""
        check_is_fitted(self)
        scores: np.ndarray = self._scores(X)[:, self._order]
        return scores

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


class TextRegressor(RegressorMixin, _TextEstimator):
    """A fine-tuned model that gives a number for a text. Parameters are those of `TextClassifier`."""

    def fit(self, X: object, y: object) -> TextRegressor:
        """Fine-tune on texts X [n] (or pairs) and numbers y [n]. Raises ValueError for what are no texts or numbers."""
        texts, y = self._texts(X), _targets(self, y)
        check_consistent_length(texts, y)
        numbers = column_or_1d(y, dtype=np.float64, warn=True)
        self._train(texts, pd.DataFrame({_NUMBER: numbers}), None, "text-regression")
        return self

    def predict(self, X: object) -> np.ndarray:
        """A number for each text: float64 [n]."""
        check_is_fitted(self)
        return self._scores(X)


def _as_texts(X: Any) -> pd.DataFrame:
    """Texts, or pairs of texts. Raises DataError."""
    if isinstance(X, str):
        raise DataError(Problem(f"X is one text, {X[:60]!r}"), "Give a list of texts: [text].")
    wide = X.shape[1] if getattr(X, "ndim", 1) == 2 else 1
    if wide > 2:
        raise DataError(Problem(f"X has {wide} columns, and the model reads one text or a pair"), 'Give `df["text"]`.')
    if wide == 1 and getattr(X, "ndim", 1) == 2:  # a column as a table, as a ColumnTransformer hands it on
        X = X.iloc[:, 0] if hasattr(X, "iloc") else np.asarray(X).ravel()
    if wide == 2 and hasattr(X, "iloc"):
        X = X.to_numpy()
    if wide == 1 and not hasattr(X, "iloc") and isinstance(X, list | tuple) and len(X):
        wide = 2 if all(isinstance(one, list | tuple) and len(one) == 2 for one in X) else 1
    columns = Columns(("text", "text_pair")[:wide], (_LABEL,), "label")
    items = predict_inputs.identify(list(X) if isinstance(X, tuple) else X, columns).items
    cells = [next(iter(item.values())) if isinstance(item, dict) else item for item in items] if wide == 1 else items
    return pd.DataFrame(predict_inputs.texts_of(cells, columns), dtype=object)


def _targets(estimator: Any, y: Any) -> Any:
    """y, without missing cells. Raises ValueError."""
    if y is None:
        raise ValueError(f"{type(estimator).__name__} requires y to be passed, but the target y is None.")
    if hasattr(y, "__array__") and not hasattr(y, "columns") and not hasattr(y, "iloc"):
        y = np.asarray(y)  # what can only be made an array takes no other function of numpy
    cells = pd.DataFrame(y) if np.ndim(y) == 2 else pd.Series(y, dtype=None if len(y) else object)
    if missing := int(cells.isna().to_numpy().sum()):
        raise ValueError(f"Input y contains NaN: {missing} of its {cells.size} cells are missing.")
    assert_all_finite(np.asarray(y), input_name="y")
    return y


def _names(classes: np.ndarray) -> list[str]:
    """Names of the classes in the run: their own, where a file with them would be read as just these labels."""
    names = [str(one) for one in classes]
    told = {name.casefold().strip() for name in names}
    plain = all(to_label(name) == name and name.replace(" ", "").isalnum() and name.isascii() for name in names)
    if plain and len(told) == len(names) and not told & {"nan", "none", "null", "na"}:
        return names
    return [f"class {number}" for number in range(len(names))]


def _held_out(rows: int, strata: np.ndarray | None, share: float, seed: int) -> np.ndarray:
    """Positions of validation rows: of each class its share, and never its last row; all rows where none can be
    spared."""
    draw = np.random.default_rng(seed)
    groups = [np.arange(rows)] if strata is None else [np.flatnonzero(strata == one) for one in np.unique(strata)]
    held = [draw.permutation(group)[: min(max(1, round(share * len(group))), len(group) - 1)] for group in groups]
    found = np.sort(np.concatenate(held))
    return found if len(found) else np.arange(rows)
