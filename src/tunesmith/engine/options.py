"""Options of the engine: the same for every task and method."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tunesmith.core.options import Options


class EngineOptions(Options):
    epochs: int | None = Field(default=None, ge=0)
    """How often every training row is seen. The method's own number when not given."""
    max_steps: int | None = Field(default=None, ge=1)
    """Stop after this many optimizer steps, whatever the epochs."""
    batch_size: int | None = Field(default=None, ge=1)
    """Rows in one optimizer step; when not given, as many rows of similar length as suit the data."""
    gradient_accumulation: int = Field(default=1, ge=1)
    """Batches whose gradients are added up before one optimizer step."""
    learning_rate: float | None = Field(default=None, gt=0)
    """Highest learning rate of the body. The method's own number when not given."""
    weight_decay: float = Field(default=0.01, ge=0)
    """AdamW's weight decay; never applied to biases and normalisation."""
    warmup_ratio: float = Field(default=0.1, ge=0, le=1)
    """Part of the steps over which the learning rate rises from zero."""
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    """How the learning rate falls after the warm-up."""
    max_grad_norm: float = Field(default=1.0, gt=0)
    """Gradients are scaled down to at most this norm."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Number format of the forward and backward pass; auto measures which is faster here."""
    gradient_checkpointing: bool = False
    """Compute activations again in the backward pass: less memory, about a third more time."""
    save_steps: int | None = Field(default=None, ge=1)
    """Save a checkpoint every so many steps; when not given, at every evaluation and every 5 minutes."""
    eval_steps: int | None = Field(default=None, ge=1)
    """Evaluate on the validation rows every so many steps; when not given, after every epoch."""
    patience: int = Field(default=2, ge=1)
    """Early stopping: evaluations without improvement that are waited for."""
    keep_cache: bool = False
    """Keep the run's cache of tokens and frozen features after success."""
