"""Callbacks that hold weights to where they started."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from tunesmith.engine.setup import Callback


class Anchored(Callback):
    """strength/2 * sum F (w - w0)^2 as gradients on the float32 masters, once per optimizer step.

    Added there, the penalty is the same however many parts a batch is computed in, and is not drowned by
    the rounding of bf16 weights, whose steps are larger than what most weights move.
    """

    _start: Mapping[str, Tensor] = {}

    def _hold(self, start: Mapping[str, Tensor], strength: float, curvature: Mapping[str, Tensor] | None) -> None:
        """`curvature` is F, by the names of `start`; 1 everywhere where there is none."""
        self._start, self._strength, self._curvature = start, strength, curvature

    @torch.no_grad()
    def on_gradients(self, masters: Mapping[str, nn.Parameter]) -> float:
        total = 0.0
        for name, start in self._start.items():
            weight = masters[name]
            if weight.grad is None:
                continue
            moved = weight - start
            force = moved if self._curvature is None else moved * self._curvature[name]
            total += 0.5 * self._strength * float((moved * force).sum())
            weight.grad.add_(force.to(weight.grad.dtype), alpha=self._strength)
        return total
