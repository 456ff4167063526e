"""Every finding can be provoked, and a healthy run provokes none but the good news."""

from __future__ import annotations

from typing import Any

import numpy as np

import evaluate_toys as toys
from tunesmith.evaluate import compare
from tunesmith.evaluate.diagnose import findings, next_step
from tunesmith.evaluate.fit import fit_state
from tunesmith.evaluate.measured import with_intervals
from tunesmith.evaluate.types import Outcome


def names(outcome: Outcome, **more: Any) -> dict[str, str]:
    return {finding["name"]: finding["severity"] for finding in diagnosed(outcome, **more)}


def diagnosed(outcome: Outcome, **more: Any) -> list[Any]:
    first = toys.FIRST[outcome.kind]
    arguments: dict[str, Any] = {
        "curves": toys.healthy_curves(first),
        "baselines": {},
        "audit": toys.AUDIT,
        **more,
    }
    found = findings(outcome=outcome, test=with_intervals(outcome, resamples=200), first_metric=first, **arguments)
    assert all(finding["evidence"] and finding["action"] for finding in found)
    return found


def calibrated(rows: int = 2000, classes: int = 4) -> Outcome:
    """Truth drawn from the model's own probabilities."""
    rng = np.random.default_rng(0)
    scores = rng.dirichlet(np.full(classes, 0.12), rows)
    truth = (scores.cumsum(axis=1) < rng.random((rows, 1))).sum(axis=1).clip(0, classes - 1)
    return Outcome("label", truth, scores, [f"class {index}" for index in range(classes)])


def test_a_healthy_run_has_only_good_news() -> None:
    majority = {"majority": with_intervals(Outcome("label", calibrated().truth, np.full((2000, 4), 0.25), None))}
    assert names(calibrated(), baselines=majority) == {"fit_fine": "info"}
    assert names(toys.number(500)) == {"fit_fine": "info"}


def curves(train: list[float], validation: list[float], scores: list[float]) -> dict[str, Any]:
    each = 50
    losses = np.interp(np.arange(each * len(train)), np.arange(len(train)) * each, train)
    points = enumerate(zip(validation, scores, strict=True), 1)
    return {
        "train": [{"step": step + 1, "loss": float(loss)} for step, loss in enumerate(losses)],
        "validation": [{"step": at * each, "loss": loss, "accuracy": score} for at, (loss, score) in points],
    }


def test_over_fitted_tells_the_numbers() -> None:
    found = fit_state(curves([1, 0.4, 0.1, 0.02], [0.5, 0.45, 0.6, 0.8], [0.8, 0.86, 0.85, 0.84]), "accuracy")
    assert [(one["name"], one["severity"]) for one in found] == [("over_fitted", "warning")]
    assert "0.450" in found[0]["evidence"]
    assert "0.800" in found[0]["evidence"]


def test_what_was_kept_is_said_as_it_is() -> None:
    given = curves([1, 0.4, 0.1, 0.02], [0.5, 0.45, 0.6, 0.8], [0.8, 0.86, 0.85, 0.84])
    for kept, words in (([True, True, False, False], "best checkpoint was"), ([True] * 4, "last weights were")):
        for point, best in zip(given["validation"], kept, strict=True):
            point["best"] = best
        assert f"The {words} kept." in fit_state(given, "accuracy")[0]["action"]
    worse = curves([0.5, 0.45, 0.45], [0.4, 0.41, 0.43], [0.9, 0.9, 0.9])
    for kept, step in (([True, False, False], 50), ([True] * 3, 150)):
        for point, best in zip(worse["validation"], kept, strict=True):
            point["best"] = best
        found = fit_state(worse, "accuracy")[0]
        assert found["name"] == "training_did_not_help"
        assert f"the weights of step {step} were kept" in found["evidence"]


def test_over_confident_but_still_gaining_is_only_told() -> None:
    found = fit_state(curves([1, 0.4, 0.1, 0.02], [0.5, 0.45, 0.6, 0.8], [0.8, 0.86, 0.87, 0.88]), "accuracy")
    assert [(one["name"], one["severity"]) for one in found] == [("over_fitted", "info")]


def test_still_improving() -> None:
    found = fit_state(curves([2, 1.5, 1.1], [1.9, 1.4, 1.0], [0.3, 0.5, 0.65]), "accuracy")
    assert [(one["name"], one["severity"]) for one in found] == [("under_fitted", "warning")]


def test_nothing_learned() -> None:
    flat = curves([1.39, 1.38, 1.38], [1.39, 1.39, 1.39], [0.25, 0.26, 0.25])
    found = fit_state(flat, "accuracy", prior_loss=1.386, test_loss=1.386)
    assert [(one["name"], one["severity"]) for one in found] == [("under_fitted", "problem")]
    assert fit_state(flat, "accuracy", prior_loss=1.386, test_loss=0.4)[0]["name"] == "fit_fine"


def test_training_that_only_made_it_worse_is_said() -> None:
    found = fit_state(curves([0.6, 0.6, 0.6], [0.90, 0.95, 0.93], [0.87, 0.84, 0.85]), "accuracy")
    assert [one["name"] for one in found] == ["training_did_not_help"]


def test_no_curves_no_finding() -> None:
    assert fit_state({}, "accuracy") == []
    assert fit_state({"train": [{"step": 1, "loss": float("nan")}], "validation": []}, "accuracy") == []


def test_calibration_off() -> None:
    good = calibrated()
    sharp = good.scores**6 + 1e-12
    found = names(Outcome("label", good.truth, sharp / sharp.sum(axis=1, keepdims=True), good.label_names))
    assert found["calibration_off"] == "warning"


def test_small_test_set() -> None:
    assert names(toys.label(60))["small_test_set"] == "warning"
    assert names(toys.number(30))["small_test_set"] == "warning"


def test_imbalance_warns_only_when_the_rare_suffer() -> None:
    def one(missed: int) -> Outcome:
        truth = np.r_[np.zeros(950, int), np.ones(50, int)]
        sure = np.where(truth == 1, 0.95, 0.05)
        sure[950 : 950 + missed] = 0.05
        return Outcome("label", truth, np.c_[1 - sure, sure], ["often", "rare"])

    assert names(one(0), audit={})["imbalance"] == "info"
    assert names(one(30), audit={})["imbalance"] == "warning"


def test_labels_never_predicted() -> None:
    truth = np.repeat([0, 1, 2, 3], 100)
    scores = np.tile([0.7, 0.1, 0.1, 0.1], (400, 1))
    found = names(Outcome("label", truth, scores, list("abcd")))
    assert found["labels_never_predicted"] == "problem"


def test_no_better_than_a_constant_and_worse_than_a_baseline() -> None:
    poor, good = toys.label(400, skill=0.0, seed=2), toys.label(400, skill=3.0, seed=1)
    shares = np.bincount(poor.truth) / 400
    prior = Outcome("label", poor.truth, np.tile(shares, (400, 1)), poor.label_names)
    verdict = compare.verdict(poor, {"tfidf_logistic_regression": good}, "accuracy")
    found = names(poor, baselines={"majority": with_intervals(prior)}, verdict=verdict)
    assert found["no_better_than_constant"] == "problem"
    assert found["worse_than_baseline"] == "problem"
    told = diagnosed(poor, verdict=verdict)
    evidence = next(one["evidence"] for one in told if one["name"] == "worse_than_baseline")
    assert evidence.startswith("Counting words (TF-IDF) is better on the test rows, by 0.")  # not the verdict again
    few, least = (
        toys.label(20, skill=0.0, seed=2),
        Outcome("label", poor.truth[:20], prior.scores[:20], poor.label_names),
    )
    (one,) = [
        finding for finding in diagnosed(few, baselines={"majority": with_intervals(least)})
        if finding["name"] == "no_better_than_constant"
    ]  # fmt: skip
    assert one["severity"] == "warning"  # so few rows can not tell
    assert "--cv 5" in one["action"]


def test_a_training_that_was_set_aside_is_no_fault_of_the_model() -> None:
    rising = [{"step": n, "epoch": n, "loss": 0.4 + 0.1 * n, "accuracy": 0.8} for n in range(6)]
    curves = {"train": [{"step": n, "loss": 1.2 - 0.2 * n} for n in range(6)], "validation": rising}
    good = toys.label(400, skill=3.0, seed=1)
    assert {"over_fitted", "training_did_not_help"} & set(names(good, curves=curves))
    told = diagnosed(good, curves=curves, set_aside="full")
    (one,) = [finding for finding in told if finding["name"] in ("training_did_not_help", "over_fitted")]
    assert one["severity"] == "info"
    assert "What full learned was set aside" in one["evidence"]


def test_leaks_and_conflicts_come_from_the_audit() -> None:
    audit = {"leakage": {"remaining_rows": 24}, "conflicts": {"texts": 4, "rows": 9}}
    found = names(toys.label(500, skill=3), audit=audit)
    assert found["leakage"] == found["conflicting_labels"] == "warning"
    moved = {"leakage": {"remaining_rows": 0, "moved_rows": 7}}
    assert names(toys.label(500, skill=3), audit=moved)["leakage"] == "info"


def test_numbers_without_shared_rows_are_only_spoken_of_where_there_are_some() -> None:
    leak = {"leakage": {"remaining_rows": 24}}
    (every,) = (one for one in diagnosed(toys.label(500, skill=3), audit=leak) if one["name"] == "leakage")
    assert every["action"] == "Remove these rows from the training file."


def test_next_step_is_that_of_the_gravest() -> None:
    made = [
        {"name": "a", "severity": "info", "evidence": "e", "action": "rest"},
        {"name": "b", "severity": "problem", "evidence": "e", "action": "act"},
    ]
    assert next_step(made) == "act"  # type: ignore[arg-type]
    assert next_step([]) == ""
