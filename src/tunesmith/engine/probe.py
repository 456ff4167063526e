"""The linear solution on frozen features: a baseline, a method, and where fine-tuning starts from.

Starting the head there instead of from noise keeps the body from being torn up by the first
gradients (linear probe, then fine-tune: Kumar et al. 2022, arXiv 2202.10054, section 4).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

PENALTIES = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
"""Ridge penalties tried, on the mean loss; the one with the lowest validation loss is kept."""
START_PENALTY = 3e-2
"""Fine-tuning starts from this softer solution: a head that fits its rows perfectly leaves no gradient
for the body to learn from (measured: docs/log.md)."""
MAX_ROWS = 50_000
"""More training rows than this tell the linear solution nothing new; callers take a random part."""
_ITERATIONS = 60

Loss = Literal["softmax", "sigmoid", "squared"]


@dataclass(frozen=True)
class LinearSolution:
    """weight float32 [outputs, hidden], bias float32 [outputs]."""

    weight: Tensor
    bias: Tensor
    penalty: float
    validation_loss: float
    start: tuple[Tensor, Tensor]
    """Weight and bias at START_PENALTY, for fine-tuning to start from."""

    def logits(self, features: np.ndarray) -> np.ndarray:
        """float32 [n, outputs]."""
        return functional.linear(_tensor(features), self.weight, self.bias).numpy()


def solve(
    features: np.ndarray,
    targets: np.ndarray,
    validation_features: np.ndarray,
    validation_targets: np.ndarray,
    *,
    loss: Loss,
    outputs: int,
    row_weights: np.ndarray | None = None,
    check: Callable[[], None] = lambda: None,
) -> LinearSolution:
    """Minimise mean loss + penalty/2 * |W|^2 by L-BFGS (ridge in closed form for 'squared').

    `features` float32 [n, hidden]; `targets` int64 [n], float32 [n, outputs] or float32 [n] by
    `loss`; `row_weights` float32 [n].
    """
    x, y = _tensor(features), torch.from_numpy(np.ascontiguousarray(targets))
    weights = _tensor(row_weights) if row_weights is not None else torch.ones(len(x))
    held_x, held_y = _tensor(validation_features), torch.from_numpy(np.ascontiguousarray(validation_targets))
    best: LinearSolution | None = None
    warm: Tensor | None = None
    start: tuple[Tensor, Tensor] | None = None
    for penalty in reversed(PENALTIES):  # the strongest first: each solution starts the next one
        check()
        weight, bias = (
            _ridge(x, y, weights, penalty) if loss == "squared"
            else _lbfgs(x, y, weights, penalty, loss, outputs, warm)
        )  # fmt: skip
        warm = torch.cat([weight, bias[:, None]], dim=1)
        if penalty >= START_PENALTY:
            start = (weight, bias)
        assert start is not None
        held = float(_losses(functional.linear(held_x, weight, bias), held_y, loss).mean())
        if best is None or held < best.validation_loss:
            best = LinearSolution(weight, bias, penalty, held, start)
        elif penalty < START_PENALTY and held > 1.02 * best.validation_loss:
            break  # past the valley
    assert best is not None
    assert start is not None
    return replace(best, start=start)


def _lbfgs(
    x: Tensor, y: Tensor, weights: Tensor, penalty: float, loss: Loss, outputs: int, start: Tensor | None
) -> tuple[Tensor, Tensor]:
    both = start.clone() if start is not None else torch.zeros(outputs, x.shape[1] + 1)
    both.requires_grad_(True)
    optimizer = torch.optim.LBFGS(
        [both], max_iter=_ITERATIONS, history_size=10, tolerance_grad=1e-5, tolerance_change=1e-7,
        line_search_fn="strong_wolfe",
    )  # fmt: skip

    def closure() -> Tensor:
        optimizer.zero_grad()
        weight, bias = both[:, :-1], both[:, -1]
        losses = _losses(functional.linear(x, weight, bias), y, loss) * weights
        value = losses.mean() + 0.5 * penalty * weight.square().sum()
        value.backward()
        return value

    optimizer.step(closure)
    solution = both.detach()
    return solution[:, :-1].contiguous(), solution[:, -1].contiguous()


def _ridge(x: Tensor, y: Tensor, weights: Tensor, penalty: float) -> tuple[Tensor, Tensor]:
    """The exact minimum for squared loss, solved in double precision."""
    share = (weights / weights.sum()).double()
    mean_x, mean_y = share @ x.double(), share @ y.double()
    centred = x.double() - mean_x
    gram = centred.T @ (centred * share[:, None]) + 0.5 * penalty * torch.eye(x.shape[1], dtype=torch.float64)
    weight = torch.linalg.solve(gram, centred.T @ (share * (y.double() - mean_y)))
    return weight.float()[None, :], (mean_y - mean_x @ weight).float()[None]


def _losses(logits: Tensor, y: Tensor, loss: Loss) -> Tensor:
    if loss == "softmax":
        return functional.cross_entropy(logits, y, reduction="none")
    if loss == "sigmoid":
        return functional.binary_cross_entropy_with_logits(logits, y, reduction="none").sum(-1)
    return (logits[:, 0] - y).square()


def _tensor(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(array, dtype=np.float32))
