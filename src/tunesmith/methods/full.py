"""The body moves, its upper blocks more than the lower ones; the lowest stay as they are."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from tunesmith.engine.method_kinds import FrozenShare, FrozenShareOptions


class FullOptions(FrozenShareOptions):
    layer_decay: float = Field(default=0.9, gt=0, le=1)
    """Learning rate of each block as a part of that of the block above it."""
    head_learning_rate: float | None = Field(default=None, gt=0)
    """Learning rate of the head; one and a half times the body's when not given."""
    head_init: str = Field(default="probe", pattern="^(probe|random)$")
    """Start the head from the linear solution on frozen features (probe) or from noise (random)."""


class Full(FrozenShare):
    Options = FullOptions
    summary: ClassVar[str] = (
        "the whole model learns, its upper layers most; best with a thousand rows or more, and some tens per label"
    )
    learning_rate = 2e-4
    epochs = 3
    rate_by_width = True

    def __init__(self, options: FullOptions):
        super().__init__(options)
        self.starts_from_probe = options.head_init == "probe"

    def _rate(self, below: int, learning_rate: float) -> float:
        if below < 0:
            return float(self.options.head_learning_rate or 1.5 * learning_rate)
        return float(learning_rate * self.options.layer_decay**below)
