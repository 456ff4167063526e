"""The linear solution is the minimum that it says it is, whatever the shape of the features."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch.nn import functional

from tunesmith.engine.probe import START_PENALTY, Loss, _losses, solve

ROWS, WIDTH = 300, 6


def problem(loss: Loss, outputs: int) -> tuple[np.ndarray, np.ndarray]:
    """Features far from zero, whose directions vary by a factor of a thousand."""
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(ROWS, WIDTH)) * np.logspace(-1, 0.5, WIDTH) @ rng.normal(size=(WIDTH, WIDTH)) + 3).astype("f")
    scores = (x - x.mean(0)) @ rng.normal(size=(WIDTH, outputs)) + rng.gumbel(size=(ROWS, outputs))
    return x, scores.argmax(1) if loss == "softmax" else (scores > 0).astype(np.float32)


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize(("loss", "outputs"), [("softmax", 2), ("softmax", 5), ("sigmoid", 3)])
def test_no_other_weights_are_better(loss: Loss, outputs: int, intercept: bool) -> None:
    x, y = problem(loss, outputs)
    weights = np.linspace(0.5, 1.5, ROWS).astype("f")
    found = solve(x, y, x[:50], y[:50], loss=loss, outputs=outputs, row_weights=weights, intercept=intercept)
    target, given, each = torch.from_numpy(y), torch.from_numpy(x).double(), torch.from_numpy(weights).double()
    if loss == "sigmoid":
        target = target.double()

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        both = torch.from_numpy(flat.reshape(outputs, WIDTH + 1)).requires_grad_(True)
        weight, bias = both[:, :-1], both[:, -1] * intercept
        losses = _losses(functional.linear(given, weight, bias), target, loss) * each
        value = losses.mean() + START_PENALTY / 2 * weight.square().sum()
        value.backward()
        return value.item(), both.grad.numpy().ravel()

    start = torch.cat([found.start[0], found.start[1][:, None]], dim=1).double().numpy()
    least = minimize(objective, np.zeros(outputs * (WIDTH + 1)), jac=True, method="L-BFGS-B", options={"maxiter": 5000})
    assert objective(start.ravel())[0] <= least.fun + 1e-4
    assert intercept or not found.bias.any()


@pytest.mark.parametrize("rows", [60, 200])
def test_numbers_with_more_features_than_rows_tell_are_hardly_worse_than_their_mean(rows: int) -> None:
    rng = np.random.default_rng(rows)
    x = rng.normal(size=(rows + 1_000, 384)).astype("f")
    y = (0.3 * x[:, 0] + rng.normal(size=len(x))).astype("f")
    y = (y - y[:rows].mean()) / y[:rows].std()
    cut = rows - rows // 6
    found = solve(x[:cut], y[:cut], x[cut:rows], y[cut:rows], loss="squared", outputs=1)
    left = float(np.square(found.logits(x[rows:])[:, 0] - y[rows:]).mean())
    assert left < 1.1 * float(np.square(y[rows:]).mean())
    assert found.penalty >= 1
    assert torch.equal(found.start[0], found.weight)  # fine-tuning starts there, too


def test_hard_labels_get_a_stronger_penalty_than_easy_ones() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(900, 100)).astype("f")
    noise = solve(x[:500], rng.integers(0, 2, 500), x[500:], rng.integers(0, 2, 400), loss="softmax", outputs=2)
    assert noise.penalty > 0.3
