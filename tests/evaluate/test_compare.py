"""Comparisons are paired, positive means better, and the verdict follows the interval."""

from __future__ import annotations

import numpy as np
import pytest

import evaluate_toys as toys
from tunesmith.evaluate.compare import verdict
from tunesmith.evaluate.measured import compute, paired_difference
from tunesmith.evaluate.types import Outcome


@pytest.mark.parametrize("metric", ["rmse", "mae", "r2", "pearson", "spearman"])
def test_positive_is_better_for_errors_and_for_scores(metric: str) -> None:
    good, bad = toys.number(noise=0.3), toys.number(noise=1.5, seed=1)
    forth, back = paired_difference(good, bad, metric), paired_difference(bad, good, metric)
    assert forth["low"] > 0 > back["high"]
    assert forth["difference"] == pytest.approx(-back["difference"])


def test_difference_is_that_of_the_values() -> None:
    ours, theirs = toys.label(skill=2), toys.label(skill=1, seed=1)
    expected = compute(ours)["accuracy"] - compute(theirs)["accuracy"]
    assert paired_difference(ours, theirs, "accuracy")["difference"] == pytest.approx(expected)


def test_pairing_finds_a_small_gain_that_unpaired_intervals_hide() -> None:
    """Ours is right wherever theirs is, and on 12 of 400 rows more."""
    truth = np.zeros(400, dtype=int)
    theirs = np.where(np.arange(400) < 280, 0.9, 0.1)
    ours = np.where(np.arange(400) < 292, 0.9, 0.1)
    first, second = (Outcome("label", truth, np.c_[one, 1 - one], None) for one in (ours, theirs))
    assert paired_difference(first, second, "accuracy")["low"] > 0


def test_other_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="same rows"):
        paired_difference(toys.label(200), toys.label(100), "accuracy")


def test_verdicts() -> None:
    weak, strong = toys.label(skill=0.5, seed=1), toys.label(skill=3)
    found = verdict(strong, {"majority": toys.label(skill=0, seed=2), "tfidf_logistic_regression": weak}, "accuracy")
    assert (found["outcome"], found["against"]) == ("better", "tfidf_logistic_regression")
    assert found["sentence"].startswith("Better: accuracy ")
    assert "counting words (TF-IDF)" in found["sentence"]
    assert verdict(weak, {"linear_probe": strong}, "accuracy")["outcome"] == "worse"
    assert verdict(strong, {"linear_probe": strong}, "accuracy")["outcome"] == "not proven"


@pytest.mark.parametrize("rows", [1, 3, 5])
def test_a_handful_of_rows_proves_nothing(rows: int) -> None:
    truth = np.arange(rows, dtype=float)
    close, far = (Outcome("number", truth, truth + error, None) for error in (0.1, 2.0))
    assert verdict(close, {"mean": far}, "rmse")["outcome"] == "not proven"
    assert verdict(far, {"mean": close}, "rmse")["outcome"] == "not proven"


def test_verdict_without_anything_to_compare_is_not_proven() -> None:
    found = verdict(toys.label(), {}, "accuracy")
    assert found["outcome"] == "not proven"
    assert found["difference"] is None


def test_equal_models_are_rarely_called_different() -> None:
    called = [
        verdict(toys.label(seed=seed), {"other": toys.label(seed=seed + 1000)}, "accuracy", resamples=300)["outcome"]
        for seed in range(60)
    ]
    assert called.count("not proven") >= 52
