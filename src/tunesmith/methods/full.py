"""The body moves, its upper blocks more than the lower ones; the lowest stay as they are."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from tunesmith.core.options import Options
from tunesmith.engine.method_kinds import Layered
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


class Full(Layered):
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

    def _share(self, bundle: Bundle) -> float:
        asked: float | None = self.options.frozen_share
        return super()._share(bundle) if asked is None else asked

    def _rate(self, below: int, learning_rate: float) -> float:
        if below < 0:
            return float(self.options.head_learning_rate or 1.5 * learning_rate)
        return float(learning_rate * self.options.layer_decay**below)
