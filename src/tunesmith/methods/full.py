"""The body moves, its upper blocks more than the lower ones; the lowest stay as they are."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from tunesmith.core.options import Options
from tunesmith.engine.optim import ParameterGroup, by_depth
from tunesmith.engine.protocols import Method
from tunesmith.models.additions import moving
from tunesmith.models.blocks import depths, writes_text
from tunesmith.models.bundle import Bundle


class FullOptions(Options):
    layer_decay: float = Field(default=0.9, gt=0, le=1)
    """Learning rate of each block as a part of that of the block above it."""
    head_learning_rate: float | None = Field(default=None, gt=0)
    """Learning rate of the head; one and a half times the body's when not given."""
    frozen_share: float | None = Field(default=None, ge=0, le=1)
    """Share of the network, from the bottom, that stays as it is: its embeddings and this part of its
    blocks. 0 moves everything, embeddings too. When not given, a third of a text encoder, nothing of a
    language model."""
    head_init: str = Field(default="probe", pattern="^(probe|random)$")
    """Start the head from the linear solution on frozen features (probe) or from noise (random)."""


class Full(Method):
    Options = FullOptions
    summary: ClassVar[str] = (
        "the whole model learns, its upper layers most; best with a thousand rows or more, and some tens per label"
    )
    learning_rate = 2e-4
    epochs = 3
    rate_by_width = True

    def __init__(self, options: FullOptions):
        self.options = options
        self.starts_from_probe = options.head_init == "probe"
        self.learns_new_tokens = not options.frozen_share

    def prepare(self, bundle: Bundle, seed: int) -> None:
        depth_of, _ = depths(bundle.model)
        lowest = 0 if self._share(bundle) == 0 else 1 + self.frozen_blocks(bundle)
        for name, parameter in bundle.model.named_parameters():
            if depth_of[name] < lowest:
                parameter.requires_grad_(False)

    def frozen_blocks(self, bundle: Bundle) -> int:
        _, top = depths(bundle.model)
        return round((top - 1) * self._share(bundle))

    def _share(self, bundle: Bundle) -> float:
        if self.options.frozen_share is not None:
            return self.options.frozen_share
        return 0.0 if writes_text(bundle.model) else 1 / 3

    def groups(self, bundle: Bundle, learning_rate: float) -> list[ParameterGroup]:
        """One group per block: the head at full rate, each block below at `layer_decay` of the one above."""
        depth_of, top = depths(bundle.model)
        return by_depth(moving(bundle.model), depth_of, lambda depth: self._rate(depth, top, learning_rate))

    def _rate(self, depth: int, top: int, learning_rate: float) -> float:
        if depth == top:
            return self.options.head_learning_rate or 1.5 * learning_rate
        return learning_rate * self.options.layer_decay ** max(0, top - 1 - depth)
