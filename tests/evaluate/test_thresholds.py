"""Thresholds of several labels: better together, not each for itself."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics as sk

import evaluate_toys as toys
from tunesmith.evaluate.thresholds import tune_thresholds
from tunesmith.evaluate.types import Outcome


def _drawn(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Truth drawn from honest probabilities: one label of a third of the rows, seven of some hundredths each."""
    generator = np.random.default_rng(seed)
    logits = np.array([-0.8] + [-3.4] * 7) + np.array([0.7] + [1.6] * 7) * generator.normal(size=(rows, 8))
    scores = 1 / (1 + np.exp(-logits))
    return (generator.random(scores.shape) < scores).astype(np.int8), scores


def _worth(truth: np.ndarray, given: np.ndarray) -> float:
    kinds = ("micro", "macro")
    return float(np.mean([sk.f1_score(truth, given, average=kind, zero_division=0) for kind in kinds]))


@pytest.mark.slow
def test_few_rows_give_thresholds_that_hold_on_other_rows() -> None:
    """On many other rows they beat a half, and the first metric is not given away for single labels."""
    test_truth, test_scores = _drawn(5_000, 99)
    gains, micro, alone = [], [], []
    for seed in range(8):
        truth, scores = _drawn(120, seed)
        thresholds = tune_thresholds(Outcome("labels", truth, scores, None))
        gains.append(_worth(test_truth, test_scores >= thresholds) - _worth(test_truth, test_scores >= 0.5))
        micro.append(sk.f1_score(test_truth, test_scores >= thresholds, average="micro"))
        alone.append(sk.f1_score(test_truth, test_scores >= _each_alone(truth, scores), average="micro"))
    assert np.mean(gains) > 0.03
    assert np.mean(micro) > np.mean(alone) + 0.01


def _each_alone(truth: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """The threshold with the best F1 of each label by itself."""
    return np.array([
        max(column, key=lambda cut: sk.f1_score(right, column >= cut, zero_division=0))
        for right, column in zip(truth.T, scores.T, strict=True)
    ])  # fmt: skip


@pytest.mark.story
def test_no_single_move_is_better_on_the_rows_they_were_tuned_on() -> None:
    outcome = toys.labels(80, skill=0.7)
    truth, scores = outcome.truth, outcome.scores
    thresholds = tune_thresholds(outcome)
    reached = _worth(truth, scores >= thresholds)
    for label in range(truth.shape[1]):
        for cut in np.unique(scores[:, label]):
            moved = thresholds.copy()
            moved[label] = cut
            assert _worth(truth, scores >= moved) <= reached + 1e-9


def test_a_rare_label_has_the_threshold_of_all() -> None:
    truth, scores = _drawn(300, 3)
    truth[:, 5] = 0
    truth[:3, 5] = 1
    truth[:, 6] = 0
    thresholds = tune_thresholds(Outcome("labels", truth, scores, None))
    assert thresholds[5] == thresholds[6]
    assert 0.05 <= thresholds[5] <= 0.95


def test_hardly_any_label_at_all_leaves_a_half() -> None:
    truth = np.zeros((20, 3), dtype=np.int8)
    truth[:2, 0] = 1
    assert tune_thresholds(Outcome("labels", truth, np.full((20, 3), 0.2), None)).tolist() == [0.5] * 3


def test_scores_that_are_all_the_same_come_in_together() -> None:
    truth = np.tile(np.array([[1, 0], [0, 1]], dtype=np.int8), (10, 1))
    thresholds = tune_thresholds(Outcome("labels", truth, np.full((20, 2), 0.4), None))
    assert (thresholds <= 0.4).all()
