"""Findings from curves and predictions: each is provoked here, and healthy runs of many seeds provoke none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import evaluate_toys as toys
from tunesmith.evaluate.diagnose import findings
from tunesmith.evaluate.fit import fit_state
from tunesmith.evaluate.measured import with_intervals
from tunesmith.evaluate.types import Outcome

STEPS = 300


def curves(
    loss: np.ndarray,
    validation: list[tuple[int, float, float]],
    norm: np.ndarray | float = 1.0,
    noise: float = 0.05,
    seed: int = 0,
) -> dict[str, list[dict[str, Any]]]:
    """A training loss [steps] with noise from batch to batch, a rate that is warmed up and falls to zero, and
    (step, loss, accuracy) of the evaluations."""
    rng = np.random.default_rng(seed)
    steps = np.arange(len(loss))
    rate = 1e-4 * np.minimum((steps + 1) / 30, 1 - steps / len(loss))
    norms = np.broadcast_to(norm, loss.shape) * rng.lognormal(0, 0.2, len(loss))
    train = [
        {"step": int(step) + 1, "epoch": 0.0, "loss": float(value), "learning_rate": float(now), "gradient_norm": size}
        for step, value, now, size in zip(
            steps, loss * rng.lognormal(0, noise, len(loss)), rate, map(float, norms), strict=True
        )
    ]
    points = [{"step": at, "epoch": 0.0, "loss": value, "accuracy": score} for at, value, score in validation]
    return {"train": train, "validation": points, "rolled_back": []}


def falling(start: float = 1.4, floor: float = 0.3, pace: float = 60) -> np.ndarray:
    return floor + (start - floor) * np.exp(-np.arange(STEPS) / pace)


HEALTHY = [(0, 1.4, 0.3), (100, 0.62, 0.85), (200, 0.45, 0.91), (300, 0.42, 0.92)]


def found(given: dict[str, Any]) -> dict[str, str]:
    return {one["name"]: one["severity"] for one in fit_state(given, "accuracy")}


@pytest.mark.parametrize("seed", range(20))
def test_a_healthy_run_is_fine_however_noisy_its_batches(seed: int) -> None:
    for noise in (0.05, 0.5, 1.0):
        assert found(curves(falling(), HEALTHY, noise=noise, seed=seed)) == {"fit_fine": "info"}
    memorised = curves(falling(floor=0.002), HEALTHY, noise=2.0, seed=seed)  # single hard rows are no divergence
    assert found(memorised) == {"fit_fine": "info"}


@pytest.mark.parametrize("seed", range(5))
def test_rate_too_high(seed: int) -> None:
    spiked = falling()
    spiked[180:230] += 1.0
    assert found(curves(spiked, HEALTHY, noise=0.3, seed=seed)) == {"learning_rate_too_high": "warning"}
    risen = 1.4 + 1.2 * (1 - np.exp(-np.arange(STEPS) / 40))
    assert found(curves(risen, HEALTHY[:1], noise=0.3, seed=seed)) == {"learning_rate_too_high": "problem"}


@pytest.mark.parametrize("seed", range(5))
def test_rate_too_high_from_the_first_steps_on(seed: int) -> None:
    thrown = np.r_[0.44, 0.84, 3 + 3 * np.exp(-np.arange(STEPS - 2) / 100)]
    never = [(0, 0.46, 1.0), (100, 1.8, 0.33), (300, 3.6, 0.33)]
    assert found(curves(thrown, never, noise=0.3, seed=seed)) == {"learning_rate_too_high": "problem"}
    back = [(0, 0.46, 1.0), (100, 1.8, 0.33), (300, 0.5, 0.99)]
    assert "learning_rate_too_high" not in found(curves(thrown, back, noise=0.3, seed=seed))
    memorised = np.r_[0.44, falling(0.44, 0.01)[1:]]  # validation rises because training falls
    assert "learning_rate_too_high" not in found(curves(memorised, never, noise=0.3, seed=seed))


def test_a_rollback_is_a_problem_and_over_fitting_is_still_said() -> None:
    given = curves(falling(), HEALTHY)
    given["rolled_back"] = [{"step": 140, "to_step": 100}]
    assert found(given) == {"learning_rate_too_high": "problem"}
    over = curves(falling(), [(0, 1.4, 0.3), (100, 0.5, 0.9), (300, 0.9, 0.88)])
    over["rolled_back"] = given["rolled_back"]
    assert set(found(over)) == {"learning_rate_too_high", "over_fitted"}


def test_one_bad_batch_is_no_finding() -> None:
    loss = falling()
    loss[200] = 8.0
    assert found(curves(loss, HEALTHY)) == {"fit_fine": "info"}


@pytest.mark.parametrize("seed", range(5))
def test_rate_too_low(seed: int) -> None:
    barely = np.linspace(1.4, 1.35, STEPS)
    evaluations = [(0, 1.400, 0.30), (100, 1.381, 0.31), (200, 1.361, 0.31), (300, 1.352, 0.32)]
    assert found(curves(barely, evaluations, seed=seed)) == {"learning_rate_too_low": "warning"}
    flat = curves(barely, evaluations, norm=np.linspace(1, 0.1, STEPS), seed=seed)
    assert "learning_rate_too_low" not in found(flat)  # a minimum is near
    bent = [(0, 1.400, 0.30), (100, 1.360, 0.31), (200, 1.353, 0.31), (300, 1.352, 0.32)]
    assert "learning_rate_too_low" not in found(curves(barely, bent, seed=seed))


def test_too_short() -> None:
    straight = [(0, 1.4, 0.500), (100, 1.25, 0.505), (200, 1.05, 0.51), (300, 0.99, 0.515)]
    assert found(curves(np.linspace(1.4, 1.0, STEPS), straight)) == {"training_too_short": "warning"}
    below_zero = [(step, loss - 1.4, score) for step, loss, score in straight]
    assert "training_too_short" not in found(curves(np.linspace(1.4, 1.0, STEPS), below_zero))


def test_too_long() -> None:
    early = [
        (0, 1.4, 0.3),
        (60, 0.43, 0.92),
        (120, 0.44, 0.921),
        (180, 0.45, 0.92),
        (240, 0.44, 0.92),
        (300, 0.45, 0.92),
    ]
    assert found(curves(falling(), early)) == {"training_too_long": "info"}
    better = [*early[:-1], (300, 0.45, 0.95)]
    assert found(curves(falling(), better)) == {"fit_fine": "info"}


def collapse(outcome: Outcome) -> str | None:
    made = findings(curves={}, outcome=outcome, test=with_intervals(outcome, resamples=50), baselines={},
                    first_metric="accuracy")  # fmt: skip
    return next((one["evidence"] for one in made if one["name"] == "class_collapse"), None)


def test_class_collapse() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 10, 500)
    given = np.where(rng.random(500) < 0.95, rng.integers(0, 2, 500), truth)
    said = collapse(Outcome("label", truth, np.eye(10)[given], [f"label {one}" for one in range(10)]))
    assert said is not None
    assert "'label 0'" in said
    assert "'label 1'" in said


@pytest.mark.parametrize("seed", range(10))
def test_no_collapse_where_rows_are_hard_few_or_of_one_kind(seed: int) -> None:
    assert collapse(toys.label(200, classes=20, skill=1.5, seed=seed)) is None
    assert collapse(toys.label(60, classes=4, skill=0.5, seed=seed)) is None
    rare = np.r_[np.zeros(95, int), np.ones(5, int)]
    assert collapse(Outcome("label", rare, np.tile([0.9, 0.1], (100, 1)), ["no", "yes"])) is None
