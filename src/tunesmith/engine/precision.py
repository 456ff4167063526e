"""bf16 arithmetic with float32 memory.

Autocast converts every weight in every forward pass and every gradient back; on a processor that is a
third of a training step. Here the weights that the products read are bf16 once, and the float32
originals (the masters) are what the optimizer updates and what is saved.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class WorkingWeights:
    """The weights of `model` in `precision` while the block lasts; float32 again after it.

    Parameters named in `keep` stay float32. In 'fp32' nothing is changed and masters are the
    parameters themselves.
    """

    def __init__(self, model: nn.Module, precision: str, keep: frozenset[str] = frozenset()):
        self._parameters = dict(model.named_parameters())
        self._cast = {
            name: parameter
            for name, parameter in self._parameters.items()
            if precision == "bf16" and name not in keep and parameter.dtype == torch.float32
        }
        # computed positions (M2M100, XGLM): a table in float32 would make float32 of all that it is added to
        self._tables = [
            (module, table)
            for module in model.modules()
            if self._cast and (table := module._buffers.get("weights")) is not None and table.dtype == torch.float32
        ]
        self._originals: dict[str, Tensor] = {}
        self.masters: dict[str, nn.Parameter] = {}

    def enter(self) -> None:
        for name, parameter in self._cast.items():
            self._originals[name] = parameter.data
            parameter.data = parameter.data.to(torch.bfloat16)
        for module, table in self._tables:
            module._buffers["weights"] = table.to(torch.bfloat16)
        self.masters = {
            name: nn.Parameter(self._originals[name]) if name in self._cast else parameter
            for name, parameter in self._parameters.items()
            if parameter.requires_grad
        }
        self._moving = [(self._cast[name], self.masters[name]) for name in self._cast if name in self.masters]

    def leave(self) -> None:
        """Give every parameter its float32 values, as the optimizer left them."""
        for name, parameter in self._cast.items():
            parameter.data = self._originals.pop(name)
            parameter.grad = None
        for module, table in self._tables:
            module._buffers["weights"] = table

    def hand_over_gradients(self) -> None:
        """Gradients of the working weights to their masters."""
        for working, master in self._moving:
            master.grad = None if working.grad is None else working.grad.float()
            working.grad = None

    def drop_gradients(self) -> None:
        for parameter in self._parameters.values():
            parameter.grad = None
        for master in self.masters.values():
            master.grad = None

    @torch.no_grad()
    def publish(self) -> None:
        """Masters to the working weights, after they changed."""
        for working, master in self._moving:
            working.copy_(master)


@contextmanager
def working(model: nn.Module, precision: str, keep: frozenset[str] = frozenset()) -> Iterator[WorkingWeights]:
    """`with working(model, "bf16"):` computes in bf16 and leaves the float32 weights as they were."""
    weights = WorkingWeights(model, precision, keep)
    weights.enter()
    try:
        yield weights
    finally:
        weights.leave()
