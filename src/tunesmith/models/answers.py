"""The last layers of a network, which give its answers: those of an earlier run can stand in for them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from tunesmith.models.model import Model

_BESIDE = ("criterion",)
"""Parts of networks of transformers that know how many answers there are, and are no layers."""


@dataclass(frozen=True)
class Answers:
    """What gives the answers of a run: `parts`, by their names in the network, and `labels`, what answers are called.
    No parts: those that a network has."""

    parts: dict[str, nn.Module] = field(default_factory=dict)
    labels: dict[int, str] = field(default_factory=dict)

    @classmethod
    def of(cls, model: Model, device: torch.device) -> Answers:
        """Those of a finished model of an earlier run, which stay as they are and are moved to `device`."""
        network: Any = model.network
        heads = {id(model.head), *(id(part) for part in model.head.children())}
        found: dict[str, nn.Module] = {}
        for name, module in network.named_modules(remove_duplicate=False):
            inside = any(name.startswith(f"{outer}.") for outer in found)
            if not inside and (id(module) in heads or name in _BESIDE):
                found[name] = module.eval().requires_grad_(False).to(device)
        return cls(found, dict(network.config.id2label))

    @contextmanager
    def given_by(self, model: Model) -> Iterator[None]:
        """Within, `model` gives these answers, on its own body."""
        network: Any = model.network
        if not self.parts:
            yield
            return
        config, before = network.config, {name: network.get_submodule(name) for name in self.parts}
        names = config.id2label
        self._put(network, self.parts)
        config.id2label = self.labels
        try:
            yield
        finally:
            config.id2label = names
            for name, part in before.items():
                network.set_submodule(name, part)

    @staticmethod
    def _put(network: Any, parts: dict[str, nn.Module]) -> None:
        for name, part in parts.items():
            now = next(network.get_submodule(name).parameters(), None)
            network.set_submodule(name, part if now is None else part.to(now.dtype))
