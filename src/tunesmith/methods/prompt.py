"""Learned words before every text move, and nothing else (prompt tuning: Lester et al. 2021), through PEFT."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from tunesmith.core.options import Options
from tunesmith.engine.method_kinds import VirtualTokens
from tunesmith.models import virtual
from tunesmith.models.bundle import Bundle


class PromptOptions(Options):
    virtual_tokens: int = Field(default=20, ge=1)
    """Length of what is learned before every text; the model's context shrinks by it."""
    init_text: str | None = None
    """Text whose embeddings it starts from, repeated or cut to fit; drawn from the common words when not given."""


class Prompt(VirtualTokens):
    """The rate is by the size of the embeddings: Adam's steps are absolute, and what is a step for one family (T5,
    entries of 10) is a leap for another (Llama, 0.02)."""

    Options = PromptOptions
    summary: ClassVar[str] = "learned words before every text move; the smallest adapter of all, slow to learn"
    learning_rate = 0.1
    """In units of the typical entry of a word's embedding."""
    epochs = 8
    toy_rate = 100.0
    _name = "prompt"
    _head_rate = 1e-2
    _takes_checkpointing = True
    _add = staticmethod(virtual.add_prompt)

    def prepare(self, bundle: Bundle, seed: int) -> None:
        self._size = virtual.typical_size(bundle)
        super().prepare(bundle, seed)
