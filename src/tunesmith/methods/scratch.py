"""The same architecture from random weights: what pre-training was worth, or data unlike any text it saw."""

from __future__ import annotations

from typing import ClassVar

import torch

from tunesmith.engine.optim import ParameterGroup
from tunesmith.engine.protocols import Method
from tunesmith.models.additions import split_head
from tunesmith.models.bundle import Bundle


class Scratch(Method):
    summary: ClassVar[str] = "everything learns, from random weights: shows what pre-training was worth"
    learning_rate = 3e-4
    epochs = 10
    rate_by_width = True
    learns_new_tokens = True
    starts_from_probe = False

    def prepare(self, bundle: Bundle, seed: int) -> None:
        """Draw every weight that is not frozen anew, in the way of the architecture's own configuration."""
        network = bundle.model.network
        named = network.named_parameters(remove_duplicate=False)  # one that two layers share has two names
        frozen = {name: parameter for name, parameter in named if not parameter.requires_grad}
        torch.manual_seed(seed)
        with network.device:
            network.load_state_dict({**type(network)(network.config).state_dict(), **frozen})
        if (norms := getattr(bundle.model, "norms", None)) is not None:
            norms.restart()

    def groups(self, bundle: Bundle, learning_rate: float) -> list[ParameterGroup]:
        """The head is faster than the body, whose gradients pass through it."""
        body, head = split_head(bundle.model)
        return [ParameterGroup(body, learning_rate), ParameterGroup(head, 1.5 * learning_rate)]
