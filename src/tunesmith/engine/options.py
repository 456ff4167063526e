"""Options of the engine: the same for every task and method."""

from __future__ import annotations

import datetime
from typing import Literal

from pydantic import Field, field_validator

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
    init_seed: int | None = Field(default=None, ge=0)
    """Seed of weights that begin at random, such as a new head; that of the run when not given."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Number format of the forward and backward pass; auto takes what is faster on this machine."""
    gradient_checkpointing: bool = False
    """Compute activations again in the backward pass: less memory, about a third more time."""
    save_steps: int | None = Field(default=None, ge=1)
    """Save a checkpoint every so many steps; when not given, at every evaluation and every 5 minutes."""
    eval_steps: int | None = Field(default=None, ge=1)
    """Evaluate on the validation rows every so many steps; when not given, after every epoch."""
    freeze: list[str] = Field(default=[])
    """Blocks that stay as they are, whatever the method moves: embeddings, layers.0-3, head."""
    frozen_cache: bool | None = None
    """Run blocks that never move once and read the rest from disk; when not given, where that takes at most 4 GB."""
    patience: int = Field(default=2, ge=1)
    """Early stopping: evaluations without improvement that are waited for."""
    keep_cache: bool = False
    """Keep the run's cache of tokens and frozen features after success."""

    @field_validator("freeze", mode="before")
    @classmethod
    def _as_list(cls, value: object) -> object:
        return [name.strip() for name in value.split(",")] if isinstance(value, str) else value


LONGEST_EXAMPLE = 2_048
"""Most tokens of an example for a language model when nothing is asked."""


class LanguageOptions(Options):
    """Options that all generative tasks share."""

    max_length: int | None = Field(default=None, ge=8)
    """Most tokens of an example; the model's own limit, at most 2,048, when not given."""
    overflow: Literal["truncate", "drop", "error"] = "truncate"
    """What happens to longer examples: cut so that every answer stays, leave out, or refuse to start."""
    packing: bool | None = None
    """Several short examples in one row, none seeing another; when not given, where padding costs over a tenth."""
    new_tokens: list[str] = Field(default=[])
    """Words that the vocabulary gets; their embeddings are trained."""
    generate_rows: int = Field(default=32, ge=0)
    """Test rows that are answered by the base, the prompted base and the tuned model."""
    max_new_tokens: int | None = Field(default=None, ge=1)
    """Most tokens of an answer; twice the longest of nine in ten training answers, at most 256, when not given."""
    few_shot: int = Field(default=3, ge=0)
    """Training examples that the prompted base is shown."""


class ConversationOptions(LanguageOptions):
    """Options of the tasks that read conversations."""

    template: str | None = None
    """Chat template in place of the model's own: chatml, or a .jinja file. A base without one needs it."""
    date: str | None = Field(default=None, pattern=r"^\d{4}-\d{2}-\d{2}$")
    """The day that a chat template writes which asks for today's (2026-01-31); the day of the first start when not
    given."""

    @field_validator("date", mode="before")
    @classmethod
    def _as_text(cls, value: object) -> object:
        text = str(value) if isinstance(value, datetime.date) else value
        if isinstance(text, str):
            datetime.date.fromisoformat(text)
        return text


def template_of(options: LanguageOptions) -> str | None:
    """The chat template that is asked for, of a task that has them."""
    return options.template if isinstance(options, ConversationOptions) else None
