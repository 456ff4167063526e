"""Baselines that any model has to beat: the prior, and a linear model on features that need no network.

They see the training rows only. Nothing here knows of the fine-tuned model. Of texts,
word 1-2-grams and 4-grams of characters with logistic regression (one label
against the rest, dual coordinate descent: Yu et al. 2011) is a strong choice for short texts; see
Wang & Manning (2012) on how strong linear n-gram baselines are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sparse

from tunesmith.core.events import Decided, Emit, Warned, ignore
from tunesmith.core.measured import Measured
from tunesmith.data.types import Kind
from tunesmith.engine.batching import sample
from tunesmith.evaluate.thresholds import tune_thresholds
from tunesmith.evaluate.types import Outcome

INVERSE_PENALTY = {"label": 10.0, "labels": 3.0}
"""Logistic regression's C; values that were best on held-out training rows of intent and emotion data."""

RIDGE_PENALTIES = (0.3, 1.0, 3.0, 10.0)
_TOLERANCE = 0.3
"""Of liblinear. Against 0.01, test accuracy changes by at most 0.0006 and log loss by 0.0013 (10, 28 and 77 labels)."""
HELD_OUT = 0.1
"""Share of the training rows on which thresholds and the ridge penalty are chosen."""


Features = Callable[[np.ndarray, Emit], tuple[Any, Any]]
"""From positions of training rows to features [n, k] of those and of the test rows, dense or sparse. Raises ValueError
with why there are none."""


def simple_baselines(
    kind: Kind,
    truths: tuple[np.ndarray, np.ndarray],
    label_names: list[str] | None,
    cheap: str | None,
    features: Features,
    *,
    seed: int = 0,
    max_rows: int = 50_000,
    emit: Emit = ignore,
) -> dict[str, Measured]:
    """Outcomes of the baselines on the test rows.

    truths: of training and test rows, as in `Outcome`. "label", "labels": "majority" (shares of the training rows as
    probabilities) and "<cheap>_logistic_regression"; "number": "mean" and "<cheap>_ridge"; without the second one
    where `cheap` is None. Above `max_rows` training rows a random part is used, and a `Decided` event says so.
    """
    truth, test_truth = np.asarray(truths[0]), truths[1]
    constant = "mean" if kind == "number" else "majority"
    found: dict[str, Measured] = {constant: _prior(kind, truth, test_truth, label_names)}
    if cheap is None:
        return found
    name = f"{cheap}_{'ridge' if kind == 'number' else 'logistic_regression'}"
    chosen = _part(len(truth), max_rows, seed, name, emit)
    try:
        train, test = features(chosen, emit)
    except ValueError as error:
        emit(Warned("baseline", f"{name} is left out: {error}"))
        return found
    fit = {"label": _label_outcome, "labels": _labels_outcome, "number": _number_outcome}[kind]
    found[name] = fit(train, truth[chosen], test, (test_truth, label_names), seed)
    return found


def of_table(
    kind: Kind, truths: tuple[np.ndarray, np.ndarray], label_names: list[str] | None,
    table: tuple[np.ndarray, np.ndarray], *, seed: int = 0,
) -> dict[str, Measured]:  # fmt: skip
    """What columns beside the texts tell by themselves, float32 [n, width] of training and test rows: as a linear
    model, and of one label or a number as boosted trees (scikit-learn's histograms)."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    def features(chosen: np.ndarray, emit: Emit) -> tuple[Any, Any]:
        return sparse.csr_matrix(table[0][chosen]), sparse.csr_matrix(table[1])

    found = simple_baselines(kind, truths, label_names, "table", features, seed=seed)
    del found["mean" if kind == "number" else "majority"]
    if kind == "labels":
        return found
    made = HistGradientBoostingRegressor if kind == "number" else HistGradientBoostingClassifier
    trees = made(random_state=seed).fit(table[0], truths[0])
    if kind == "number":
        scores = trees.predict(table[1])
    else:
        scores = np.zeros((len(table[1]), len(label_names or trees.classes_)))
        scores[:, trees.classes_] = trees.predict_proba(table[1])
    return {**found, "table_gradient_boosting": Outcome(kind, truths[1], scores, label_names)}


def _part(rows: int, max_rows: int, seed: int, name: str, emit: Emit) -> np.ndarray:
    if rows <= max_rows:
        return np.arange(rows)
    why = f"the baseline {name} learns from a random part of the {rows:,} training rows to stay quick"
    emit(Decided("baseline_rows", max_rows, why))
    return sample(np.arange(rows), max_rows, seed)


def _prior(kind: Kind, train_truth: np.ndarray, test_truth: np.ndarray, label_names: list[str] | None) -> Outcome:
    rows = len(test_truth)
    if kind == "number":
        return Outcome(kind, test_truth, np.full(rows, np.mean(train_truth)), label_names)
    if kind == "labels":
        shares = np.mean(train_truth, axis=0)
    else:
        classes = len(label_names) if label_names else int(max(train_truth.max(), np.max(test_truth))) + 1
        shares = np.bincount(train_truth, minlength=classes) / len(train_truth)
    return Outcome(kind, test_truth, np.tile(shares, (rows, 1)), label_names)


Answer = tuple[np.ndarray, list[str] | None]
"""(test truth, label names): what an Outcome needs beside the scores."""


def _label_outcome(
    train: sparse.csr_matrix, truth: np.ndarray, test: sparse.csr_matrix, answer: Answer, seed: int
) -> Outcome:
    classes = len(answer[1]) if answer[1] else int(max(truth.max(), np.max(answer[0]))) + 1
    if classes == 2:
        second = _one_against_rest(train, (truth == 1)[:, None], test, INVERSE_PENALTY["label"], seed)
        scores = np.hstack([1 - second, second])
    else:
        indicator = truth[:, None] == np.arange(classes)
        scores = _one_against_rest(train, indicator, test, INVERSE_PENALTY["label"], seed)
        scores = scores / np.maximum(scores.sum(axis=1, keepdims=True), 1e-12)
    return Outcome("label", answer[0], scores, answer[1])


def _labels_outcome(
    train: sparse.csr_matrix, truth: np.ndarray, test: sparse.csr_matrix, answer: Answer, seed: int
) -> Outcome:
    """Fitted on nine tenths of the rows; the last tenth sets the thresholds."""
    fitted, held = _holdout_split(len(truth), seed)
    both = sparse.vstack([test, train[held]]).tocsr()
    scores = _one_against_rest(train[fitted], truth[fitted] == 1, both, INVERSE_PENALTY["labels"], seed)
    rows = test.shape[0]
    thresholds = tune_thresholds(Outcome("labels", truth[held], scores[rows:], answer[1]))
    return Outcome("labels", answer[0], scores[:rows], answer[1], thresholds)


def _number_outcome(
    train: sparse.csr_matrix, truth: np.ndarray, test: sparse.csr_matrix, answer: Answer, seed: int
) -> Outcome:
    fitted, held = _holdout_split(len(truth), seed)
    errors = [
        float(np.mean((_ridge(train[fitted], truth[fitted], train[held], penalty) - truth[held]) ** 2))
        for penalty in RIDGE_PENALTIES
    ]
    best = RIDGE_PENALTIES[int(np.argmin(errors))]
    return Outcome("number", answer[0], _ridge(train, truth, test, best), answer[1])


def _ridge(train: sparse.csr_matrix, truth: np.ndarray, test: sparse.csr_matrix, penalty: float) -> np.ndarray:
    """Predictions, kept within the range seen in training."""
    from sklearn.linear_model import Ridge

    model = Ridge(alpha=penalty, solver="sparse_cg", tol=1e-3, max_iter=500).fit(train, truth)
    return np.clip(model.predict(test), truth.min(), truth.max())


def _holdout_split(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(fitted, held): the same rows twice where there are too few to hold any out."""
    held = int(rows * HELD_OUT)
    if held < 1 or rows - held < 2:
        return np.arange(rows), np.arange(rows)
    order = np.random.default_rng(seed).permutation(rows)
    return np.sort(order[held:]), np.sort(order[:held])


def _one_against_rest(
    train: sparse.csr_matrix,
    indicator: np.ndarray,
    test: sparse.csr_matrix,
    inverse_penalty: float,
    seed: int,
) -> np.ndarray:
    """Probability of each label for each test row, float64 [rows, k]; indicator is bool [n, k]."""
    scores = np.empty((test.shape[0], indicator.shape[1]))
    for label in range(indicator.shape[1]):
        positive = indicator[:, label]
        if positive.all() or not positive.any():
            scores[:, label] = float(positive.all())
        else:
            scores[:, label] = _binary(train, positive, test, inverse_penalty, seed)
    return scores


def _binary(
    train: sparse.csr_matrix, positive: np.ndarray, test: sparse.csr_matrix, inverse_penalty: float, seed: int
) -> np.ndarray:
    from sklearn.linear_model import LogisticRegression

    # so loose a tolerance is reached in tens of iterations: the limit only keeps it from being endless
    model = LogisticRegression(
        C=inverse_penalty, solver="liblinear", dual=True, tol=_TOLERANCE, max_iter=5_000, random_state=seed
    )
    model.fit(train, positive)
    return np.asarray(model.predict_proba(test)[:, 1])
