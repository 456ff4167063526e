"""The linear solution on frozen features: a baseline, a method, and where fine-tuning starts from.

Starting the head there instead of from noise keeps the body from being torn up by the first
gradients (linear probe, then fine-tune: Kumar et al. 2022, arXiv 2202.10054, section 4).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

START_PENALTY = 3e-2
"""Fine-tuning starts from the linear solution at this ridge penalty (on the mean loss), softer than the
best one: a head that fits its rows perfectly leaves no gradient for the body to learn from (docs/log.md)."""
WEAKER, STRONGER = (1e-2, 3e-3, 1e-3, 3e-4, 1e-4), (1e-1, 3e-1, 1.0, 3.0, 10.0, 30.0)
"""Penalties tried from there on, as long as the validation loss falls by more than its standard error. For numbers
all are tried, for it costs nothing, and the best is taken: a few hundred rows ask for 1 to 10 (docs/log.md)."""
MAX_ROWS = 50_000
"""More training rows than this tell the linear solution nothing new; callers take a random part."""
_ITERATIONS = 15
"""The objective is then within a thousandth of its minimum: 0.9192 against 0.9182 after 25, on 77 labels."""

Loss = Literal["softmax", "sigmoid", "squared"]


@dataclass(frozen=True)
class LinearSolution:
    """weight float32 [outputs, hidden], bias float32 [outputs]."""

    weight: Tensor
    bias: Tensor
    penalty: float
    validation_loss: float
    start: tuple[Tensor, Tensor]
    """Weight and bias for fine-tuning to start from: at START_PENALTY, or at the best penalty where that is
    stronger."""
    why: str = ""
    """How the penalty was chosen."""

    def logits(self, features: np.ndarray) -> np.ndarray:
        """float32 [n, outputs]."""
        return functional.linear(_tensor(features), self.weight, self.bias).numpy()


class _Spread(NamedTuple):
    """Where the features lie, float32 [hidden] (zero without an intercept), and how, float32 [hidden, hidden]."""

    centre: Tensor
    covariance: Tensor


class _Candidate(NamedTuple):
    penalty: float
    weight: Tensor
    bias: Tensor
    scale: float
    losses: Tensor
    """On the validation rows, one by one."""


def solve(
    features: np.ndarray,
    targets: np.ndarray,
    validation_features: np.ndarray,
    validation_targets: np.ndarray,
    *,
    loss: Loss,
    outputs: int,
    row_weights: np.ndarray | None = None,
    intercept: bool = True,
    choose_penalty: bool = True,
    check: Callable[[], None] = lambda: None,
) -> LinearSolution:
    """Minimise mean loss + penalty/2 * |W|^2 by L-BFGS (ridge in closed form for 'squared').

    `features` float32 [n, hidden]; `targets` int64 [n], float32 [n, outputs] or float32 [n] by
    `loss`; `row_weights` float32 [n]. Without `choose_penalty` it is START_PENALTY.
    """
    x, y = _tensor(features), torch.from_numpy(np.ascontiguousarray(targets))
    weights = _tensor(row_weights) if row_weights is not None else torch.ones(len(x))
    held_x, held_y = _tensor(validation_features), torch.from_numpy(np.ascontiguousarray(validation_targets))
    spread = _spread(x, intercept)
    sums = _row_sums(x, y, weights, intercept) if loss == "squared" else None
    warm: Tensor | None = None

    def at(penalty: float) -> _Candidate:
        nonlocal warm
        check()
        weight, bias = (
            _ridge(sums, penalty)
            if sums is not None
            else _lbfgs(x, y, weights, penalty, loss, outputs, warm, intercept, spread)
        )
        warm = torch.cat([weight, bias[:, None]], dim=1)  # each solution starts the next one
        logits = functional.linear(held_x, weight, bias)
        scale = 1.0 if loss == "squared" else best_scale(logits, held_y, loss)
        return _Candidate(penalty, weight, bias, scale, _losses(scale * logits, held_y, loss))

    start = best = at(START_PENALTY)
    directions: tuple[tuple[float, ...], ...] = (WEAKER, STRONGER) if choose_penalty else ()
    if choose_penalty and loss == "squared":
        best, directions = min((start, *map(at, WEAKER + STRONGER)), key=lambda one: float(one.losses.mean())), ()
    for direction in directions:
        for penalty in direction:
            found = at(penalty)
            if not _proven(best.losses - found.losses):
                break
            best = found
        if best is not start:
            break  # weaker was better: stronger can not be
    why = _reason(best.penalty, len(held_x), loss, choose_penalty)
    # validation rows that ask for a stronger penalty say that the softest start is not soft enough
    start = max(start, best, key=lambda one: one.penalty)
    weight, bias = best.scale * best.weight, best.scale * best.bias
    return LinearSolution(weight, bias, best.penalty, float(best.losses.mean()), (start.weight, start.bias), why)


def _reason(penalty: float, rows: int, loss: Loss, chosen: bool) -> str:
    if not chosen:
        return "where every solution starts"
    held = f"{rows:,} validation rows"
    if loss == "squared":
        return f"of all that were tried the one with the lowest error on {held}"
    if penalty == START_PENALTY:
        return f"neither a weaker nor a stronger one is proven better on {held}"
    return f"step by step {'weaker' if penalty < START_PENALTY else 'stronger'}, as long as {held} proved a gain"


def best_scale(logits: Tensor, y: Tensor, loss: Loss) -> float:
    """The inverse temperature that calibrates the logits (Guo et al. 2017, section 4.2). Without it the
    comparison of penalties would be one of confidence, not of what was understood.

    `logits` float32 [n, outputs]; `y` as the targets of `solve`. The scale's logarithm is expected to be about 0, as a
    standard normal variable is: three rows that happen to be right would ask for the highest scale there is.
    """
    scales = torch.logspace(-0.5, 1.0, 46)

    def against(scale: Tensor) -> float:
        return float(_losses(scale * logits, y, loss).mean() + 0.5 * scale.log().square() / len(logits))

    return float(min(scales, key=against))


def _proven(gains: Tensor) -> bool:
    """Whether paired gains are more than one standard error above zero: of solutions that the validation
    rows can not tell apart the stronger penalty is kept (Breiman et al. 1984, section 3.4.3)."""
    return len(gains) > 1 and bool(gains.mean() > gains.std() / len(gains) ** 0.5)  # one row proves nothing


def _spread(x: Tensor, intercept: bool) -> _Spread:
    centre = x.mean(dim=0) if intercept else torch.zeros(x.shape[1])
    centred = x - centre
    return _Spread(centre, centred.T @ centred / len(x))


def _lbfgs(
    x: Tensor,
    y: Tensor,
    weights: Tensor,
    penalty: float,
    loss: Loss,
    outputs: int,
    start: Tensor | None,
    intercept: bool,
    spread: _Spread,
) -> tuple[Tensor, Tensor]:
    """Steps are taken in coordinates in which the loss curves alike in every direction: frozen features vary a
    hundred times more along some directions than along others, which costs plain L-BFGS twice the iterations."""
    centre, covariance = spread
    likely = 1 / outputs if loss == "softmax" else 0.5
    curvature = likely * (1 - likely)  # of the loss in a logit, while all labels are alike likely
    # about the second derivative of the objective in the weights of one label
    root = torch.linalg.cholesky(curvature * covariance + penalty * torch.eye(len(covariance)))
    wide = curvature**-0.5
    back = torch.linalg.solve_triangular(root, torch.eye(len(root)), upper=False)  # weight = moved @ back
    both = torch.zeros(outputs, x.shape[1] + 1)
    if start is not None:
        both[:, :-1] = start[:, :-1] @ root
        both[:, -1] = (start[:, -1] + start[:, :-1] @ centre) / wide
    both.requires_grad_(True)
    optimizer = torch.optim.LBFGS(
        [both], max_iter=_ITERATIONS, history_size=10, tolerance_grad=1e-5, tolerance_change=1e-7,
        line_search_fn="strong_wolfe",
    )  # fmt: skip

    def solution() -> tuple[Tensor, Tensor]:
        weight = both[:, :-1] @ back
        return weight, wide * both[:, -1] - weight @ centre if intercept else torch.zeros(outputs)

    def closure() -> Tensor:
        optimizer.zero_grad()
        weight, bias = solution()
        losses = _losses(functional.linear(x, weight, bias), y, loss) * weights
        value = losses.mean() + 0.5 * penalty * weight.square().sum()
        value.backward()
        return value

    optimizer.step(closure)
    with torch.no_grad():
        return solution()


def _row_sums(x: Tensor, y: Tensor, weights: Tensor, intercept: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What the minimum for squared loss needs of the rows whatever the penalty, in double precision: products of the
    centred features with themselves [hidden, hidden] and with the targets [hidden], and the means of both."""
    share = (weights / weights.sum()).double()
    mean_x, mean_y = share @ x.double(), share @ y.double()
    if not intercept:
        mean_x, mean_y = torch.zeros_like(mean_x), torch.zeros_like(mean_y)
    centred = x.double() - mean_x
    return centred.T @ (centred * share[:, None]), centred.T @ (share * (y.double() - mean_y)), mean_x, mean_y


def _ridge(sums: tuple[Tensor, Tensor, Tensor, Tensor], penalty: float) -> tuple[Tensor, Tensor]:
    """The exact minimum for squared loss, solved in double precision."""
    gram, with_targets, mean_x, mean_y = sums
    weight = torch.linalg.solve(gram + 0.5 * penalty * torch.eye(len(gram), dtype=torch.float64), with_targets)
    return weight.float()[None, :], (mean_y - mean_x @ weight).float()[None]


def _losses(logits: Tensor, y: Tensor, loss: Loss) -> Tensor:
    if loss == "softmax":
        return functional.cross_entropy(logits, y, reduction="none")
    if loss == "sigmoid":
        return functional.binary_cross_entropy_with_logits(logits, y, reduction="none").sum(-1)
    return (logits[:, 0] - y).square()


def _tensor(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(array, dtype=np.float32))
