"""The same architecture from random weights: what pre-training was worth, or data unlike any text it saw."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import torch

from tunesmith.core.options import Options
from tunesmith.engine.optim import ParameterGroup
from tunesmith.models.additions import split_head
from tunesmith.models.bundle import Bundle


class ScratchOptions(Options):
    pass


class Scratch:
    Options = ScratchOptions
    summary: ClassVar[str] = "everything learns, from random weights: shows what pre-training was worth"
    learning_rate = 3e-4
    epochs = 10
    frozen_body = False
    rate_by_width = True
    """Of a language model the rate depends on its hidden size."""
    learns_new_tokens = True
    """Words that the vocabulary gets have embeddings that move."""
    starts_from_probe = False

    def __init__(self, options: ScratchOptions):
        self.options = options

    def prepare(self, bundle: Bundle, seed: int) -> None:
        """Draw every weight that is not frozen anew, in the way of the architecture's own configuration."""
        network = bundle.model.network
        named = network.named_parameters(remove_duplicate=False)  # one that two layers share has two names
        frozen = {name: parameter for name, parameter in named if not parameter.requires_grad}
        torch.manual_seed(seed)
        with network.device:
            network.load_state_dict({**type(network)(network.config).state_dict(), **frozen})

    def frozen_blocks(self, bundle: Bundle) -> int:
        return 0

    def groups(self, bundle: Bundle, learning_rate: float) -> list[ParameterGroup]:
        """The head is faster than the body, whose gradients pass through it."""
        body, head = split_head(bundle.model)
        return [ParameterGroup(body, learning_rate), ParameterGroup(head, 1.5 * learning_rate)]

    def merge(self, bundle: Bundle, folder: Path) -> None:
        """Nothing was added."""
