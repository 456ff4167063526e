"""AdamW over named parameter groups, and the learning-rate schedule."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tunesmith.core.errors import OptionError


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that share one highest learning rate."""

    parameters: Mapping[str, nn.Parameter]
    learning_rate: float


def by_depth(
    parameters: Mapping[str, nn.Parameter], depth_of: Mapping[str, int], rate: Callable[[int], float]
) -> list[ParameterGroup]:
    """One group for each depth that occurs, the lowest first, at `rate(depth)`."""
    return [
        ParameterGroup({name: one for name, one in parameters.items() if depth_of[name] == depth}, rate(depth))
        for depth in sorted({depth_of[name] for name in parameters})
    ]


def make_optimizer(groups: Sequence[ParameterGroup], weight_decay: float) -> torch.optim.AdamW:
    """Fused AdamW, with a second moment of about fifty steps as short trainings need.

    Vectors (biases, normalisation) are not decayed: decay belongs to weight matrices. Raises OptionError where
    nothing is to move.
    """
    arranged: list[dict[str, Any]] = []
    for group in groups:
        for decayed in (True, False):
            names = [n for n, p in group.parameters.items() if (p.ndim >= 2) == decayed]
            if names:
                arranged.append({
                    "params": [group.parameters[name] for name in names],
                    "names": names,
                    "lr": group.learning_rate,
                    "peak": group.learning_rate,
                    "weight_decay": weight_decay if decayed else 0.0,
                })  # fmt: skip
    if not arranged:
        raise OptionError(
            "Nothing is left that could move: every part of the model that the method would move is frozen.",
            "Freeze less, or use a method that moves more, such as full.",
        )
    return torch.optim.AdamW(arranged, lr=0.0, betas=(0.9, 0.98), fused=True)


def set_learning_rate(optimizer: torch.optim.Optimizer, factor: float) -> float:
    """Every group to its peak times `factor`; returns the highest rate now in use."""
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * factor
    return max((group["lr"] for group in optimizer.param_groups), default=0.0)


def schedule_factor(step: int, steps: int, *, warmup: int, kind: str) -> float:
    """The learning rate of `step` (from 0) of `steps`, as a part of its peak, 0 to 1."""
    if step < warmup:
        return (step + 1) / (warmup + 1)
    progress = (step - warmup) / max(1, steps - warmup)
    if kind == "linear":
        return max(0.0, 1 - progress)
    if kind == "cosine":
        return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
    return 1.0


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's memory by parameter name ('exp_avg:...', 'exp_avg_sq:...', 'step:...')."""
    tensors = {}
    for name, parameter in _named(optimizer):
        for key, value in optimizer.state.get(parameter, {}).items():
            tensors[f"{key}:{name}"] = value if isinstance(value, Tensor) else torch.tensor(value)
    return tensors


def load_optimizer_tensors(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """The inverse of `optimizer_tensors`; parameters without an entry start afresh."""
    optimizer.state.clear()
    parameters = dict(_named(optimizer))
    for key, value in tensors.items():
        kind, _, name = key.partition(":")
        parameter = parameters[name]
        on = "cpu" if kind == "step" and parameter.device.type == "cpu" else parameter.device
        optimizer.state[parameter][kind] = value.clone().to(on)


def _named(optimizer: torch.optim.Optimizer) -> list[tuple[str, nn.Parameter]]:
    return [
        (name, parameter)
        for group in optimizer.param_groups
        for name, parameter in zip(group["names"], group["params"], strict=True)
    ]
