"""Values equal scikit-learn's; every metric in TABLE passes the same conformance tests."""

from __future__ import annotations

import time
import warnings

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sk

import evaluate_toys as toys
from tunesmith.core.errors import OptionError
from tunesmith.evaluate.measured import compute, resample, with_intervals
from tunesmith.evaluate.metrics import TABLE, higher_is_better, names_for
from tunesmith.evaluate.types import Outcome

CASES = [(name, kind) for kind in toys.MAKERS for name in names_for(kind) if name != "within_one"]
"""Of the metrics that every outcome has; ratings are tested for themselves."""


def averaged(truth: np.ndarray, given: np.ndarray, averages: tuple[str, ...]) -> dict[str, float]:
    functions = {"precision": sk.precision_score, "recall": sk.recall_score, "f1": sk.f1_score}
    return {
        f"{stem}_{average}": function(truth, given, average=average, zero_division=0)
        for stem, function in functions.items()
        for average in averages
    }


@pytest.mark.parametrize("classes", [2, 3, 7])
@pytest.mark.parametrize("ties", [False, True])
def test_label_values_equal_sklearn(classes: int, ties: bool) -> None:
    outcome = toys.label(300, classes, ties=ties)
    truth, scores, given = outcome.truth, outcome.scores, outcome.predicted()
    one_hot = np.eye(classes)[truth]
    binary = classes == 2
    expected = {
        **averaged(truth, given, ("macro", "micro", "weighted")),
        "accuracy": sk.accuracy_score(truth, given),
        "mcc": sk.matthews_corrcoef(truth, given),
        "log_loss": sk.log_loss(truth, scores, labels=range(classes)),
        "roc_auc": sk.roc_auc_score(truth, scores[:, 1] if binary else scores, multi_class="ovr"),
        "pr_auc": sk.average_precision_score(truth, scores[:, 1])
        if binary
        else sk.average_precision_score(one_hot, scores, average="macro"),
    }
    found = compute(outcome)
    assert set(found) == {*expected, "ece"}
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-9), name


def test_macro_leaves_out_classes_that_do_not_occur_as_sklearn_does() -> None:
    scores = np.array([[0.8, 0.2, 0.0], [0.3, 0.7, 0.0], [0.9, 0.1, 0.0]])
    outcome = Outcome("label", np.array([0, 1, 1]), scores, ["a", "b", "never"])
    found = compute(outcome)
    assert found["f1_macro"] == pytest.approx(sk.f1_score(outcome.truth, outcome.predicted(), average="macro"))
    expected = np.mean([sk.roc_auc_score(outcome.truth == c, scores[:, c]) for c in (0, 1)])
    assert found["roc_auc"] == pytest.approx(expected)


def test_labels_values_equal_sklearn() -> None:
    plain = toys.labels(250)
    outcome = Outcome("labels", plain.truth, np.round(plain.scores, 1), None, np.array([0.3, 0.5, 0.5, 0.6, 0.4]))
    truth, scores, given = outcome.truth, outcome.scores, outcome.predicted()
    losses = [sk.log_loss(truth[:, c], scores[:, c], labels=[0, 1]) for c in range(5)]
    expected = {
        **averaged(truth, given, ("macro", "micro", "weighted", "samples")),
        "subset_accuracy": sk.accuracy_score(truth, given),
        "hamming_loss": sk.hamming_loss(truth, given),
        "roc_auc": sk.roc_auc_score(truth, scores, average="macro"),
        "pr_auc": sk.average_precision_score(truth, scores, average="macro"),
        "log_loss": np.mean(losses),
    }
    found = compute(outcome)
    assert set(found) == {*expected, "ece"}
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-9), name


def test_number_values_equal_sklearn_and_scipy() -> None:
    outcome = toys.number(300)
    truth, given = outcome.truth, outcome.scores
    expected = {
        "rmse": sk.root_mean_squared_error(truth, given),
        "mae": sk.mean_absolute_error(truth, given),
        "r2": sk.r2_score(truth, given),
        "pearson": stats.pearsonr(truth, given).statistic,
        "spearman": stats.spearmanr(truth, given).statistic,
    }
    found = compute(outcome)
    assert set(found) == set(expected)
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-9), name


def test_within_one_star() -> None:
    stars = np.array([1, 2, 3, 4, 5, 5], dtype=float)
    assert (
        compute(Outcome("number", stars, stars + np.array([1.4, 1.6, 0, -1.2, -2, -0.4]), None))["within_one"] == 4 / 6
    )
    halves = np.array([1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5])
    assert compute(Outcome("number", halves, halves + 1.3, None))["within_one"] == 0.0
    names = ["1", "2", "3", "4", "5"]
    classes = Outcome("label", np.array([0, 1, 4]), np.eye(5)[[1, 4, 4]], names)
    assert compute(classes)["within_one"] == pytest.approx(2 / 3)
    for other in (["a", "b", "c", "d", "e"], ["0", "1", "2", "3", "4"]):
        assert "within_one" not in compute(Outcome("label", np.array([0, 1, 4]), np.eye(5)[[1, 4, 4]], other))


def test_calibration_error_by_hand() -> None:
    # confidences 0.9 (right, wrong) and 0.6 (right): |0.5 - 0.9| * 2/3 + |1 - 0.6| * 1/3
    scores = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4]])
    outcome = Outcome("label", np.array([0, 1, 0]), scores, None)
    assert compute(outcome, ["ece"])["ece"] == pytest.approx(0.4)


def test_a_resample_equals_sklearn_on_the_drawn_rows() -> None:
    """Weights are resamples: every metric on weights equals the metric on the repeated rows."""
    from tunesmith.evaluate.bootstrap import weightings

    for kind, make in toys.MAKERS.items():
        outcome = make(60)
        weights = next(weightings(60, 5, seed=3))
        draws = resample(outcome, names_for(kind), resamples=5, seed=3)
        for column in range(5):
            repeated = outcome.take(np.repeat(np.arange(60), weights[:, column].astype(int)))
            for name, value in compute(repeated).items():
                assert draws[name][column] == pytest.approx(value, abs=1e-6), name


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_perfect_guess_reaches_the_best_end_of_the_range(name: str, kind: str) -> None:
    best = TABLE[name].range[1 if TABLE[name].higher_is_better else 0]
    assert compute(toys.perfect(kind), [name])[name] == pytest.approx(best, abs=1e-9)


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_row_order_does_not_matter(name: str, kind: str) -> None:
    outcome = toys.MAKERS[kind]()
    shuffled = outcome.take(np.random.default_rng(1).permutation(len(outcome)))
    assert compute(shuffled, [name])[name] == pytest.approx(compute(outcome, [name])[name], abs=1e-12)


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_answers_of_other_rows_are_worse_and_values_stay_in_range(name: str, kind: str) -> None:
    outcome = toys.MAKERS[kind](400)
    scores = outcome.scores[np.random.default_rng(1).permutation(400)]
    permuted = Outcome(kind, outcome.truth, scores, outcome.label_names)
    good, bad = (compute(one, [name])[name] for one in (outcome, permuted))
    assert good > bad if higher_is_better(name) else good < bad
    assert all(TABLE[name].range[0] <= value <= TABLE[name].range[1] for value in (good, bad))


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_interval_holds_the_value_and_repeats_with_its_seed(name: str, kind: str) -> None:
    first, second = (with_intervals(toys.MAKERS[kind](), [name], resamples=200, seed=4)[name] for _ in range(2))
    assert first == second
    assert first["low"] <= first["value"] <= first["high"]
    assert first["low"] < first["high"]


@pytest.mark.parametrize(("name", "skill"), [("accuracy", 1.0), ("f1_macro", 1.0), ("log_loss", 1.0), ("roc_auc", 1.0)])
def test_intervals_cover_the_true_value_about_95_times_in_100(name: str, skill: float) -> None:
    true = compute(_sampled(60_000, 0, skill), [name])[name]
    found = [with_intervals(_sampled(300, seed, skill), [name], resamples=400)[name] for seed in range(1, 121)]
    covered = np.mean([one["low"] <= true <= one["high"] for one in found])
    assert 0.89 <= covered <= 0.99


def _sampled(rows: int, seed: int, skill: float) -> Outcome:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, rows)
    scores = np.exp(rng.normal(size=(rows, 3)) + skill * np.eye(3)[truth])
    return Outcome("label", truth, scores / scores.sum(axis=1, keepdims=True), None)


def test_no_error_at_all_still_leaves_room() -> None:
    found = with_intervals(toys.perfect("label"), ["accuracy", "mcc"])
    assert {name: one["high"] for name, one in found.items()} == {"accuracy": 1.0, "mcc": 1.0}
    assert found["accuracy"]["low"] == pytest.approx(0.025 ** (1 / 200))
    assert found["mcc"]["low"] == pytest.approx(2 * 0.025 ** (1 / 200) - 1)  # from -1 on


def test_undefined_metrics_are_left_out_without_a_warning() -> None:
    one_class = Outcome("label", np.zeros(4), np.tile([0.7, 0.3], (4, 1)), ["a", "b"])
    constant = Outcome("number", np.full(4, 2.0), np.full(4, 2.0), None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not {"roc_auc", "pr_auc"} & set(with_intervals(one_class))
        assert set(with_intervals(constant)) == {"rmse", "mae"}
        assert compute(Outcome("number", [], [], None)) == {}


def test_unknown_and_unfitting_metrics_are_refused_with_the_nearest_name() -> None:
    with pytest.raises(OptionError, match="f1_macro"):
        compute(toys.label(), ["f1_marco"])
    with pytest.raises(OptionError, match="'label'"):
        compute(toys.label(), ["rmse"])


def test_outcomes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        Outcome("label", np.zeros(3), np.zeros(3), None)
    with pytest.raises(ValueError, match="label names"):
        Outcome("label", np.zeros(3), np.ones((3, 2)), ["a"])
    with pytest.raises(ValueError, match=r"outside 0\.\.1"):
        Outcome("label", np.full(3, 2), np.full((3, 2), 0.5), None)
    with pytest.raises(ValueError, match="expected probabilities"):
        Outcome("label", np.zeros(3), np.array([[2.0, -1.0]] * 3), None)
    with pytest.raises(ValueError, match="expected 1"):
        Outcome("label", np.zeros(3), np.full((3, 2), 0.1), None)
    with pytest.raises(ValueError, match="not finite"):
        Outcome("number", np.zeros(3), np.array([0, np.nan, 1]), None)


def test_a_constant_prediction_has_no_correlation() -> None:
    """Ranks of a constant are all the same; rounding must not make a spread of them."""
    truth = np.random.default_rng(0).normal(size=120)
    found = compute(Outcome("number", truth, np.full(120, 2.7), None))
    assert {"rmse", "r2"} <= set(found)
    assert not {"pearson", "spearman"} & set(found)


def test_intervals_on_many_classes_are_quick() -> None:
    outcome = toys.label(3080, 77, skill=4.0)
    started = time.process_time()
    with_intervals(outcome)
    assert time.process_time() - started < 5  # 0.5 s on a quiet core


def test_a_large_test_set_stays_within_memory() -> None:
    import tracemalloc

    outcome = toys.label(100_000, 3)
    tracemalloc.start()
    with_intervals(outcome, ["accuracy", "f1_macro"], resamples=60)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200_000_000


def test_no_metric_stands_in_two_tables() -> None:
    from tunesmith.evaluate.metrics import answers, boxes, labels, likelihoods, numbers, spans, texts

    parts = (labels, numbers, spans, answers, boxes, texts, likelihoods)
    assert len({name for part in parts for name in part.TABLE}) == sum(len(part.TABLE) for part in parts)
