"""Where a training stands."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class TrainState:
    """All of it is in every checkpoint."""

    step: int = 0
    epoch: int = 0
    batch: int = 0
    """Batches of this epoch that are done."""
    best_step: int | None = None
    best_value: float | None = None
    best_loss: float | None = None
    evaluations_since_best: int = 0
    """And since other weights began to move."""
    stage: int = 0
    """Of methods that let other weights move in other epochs: which of them move now."""
    last_stage: bool = True
    learning_rate_factor: float = 1.0
    rollbacks: int = 0
    splits: int = 1
    """Parts that each batch is computed in; doubled when memory runs out."""
    tokens: int = 0
    rows: int = 0
    seconds: float = 0.0
    should_stop: bool = False
