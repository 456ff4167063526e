"""Learned keys and values before those of every block move (prefix-tuning: Li & Liang 2021), through PEFT."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from tunesmith.core.options import Options
from tunesmith.engine.method_kinds import VirtualTokens
from tunesmith.models import virtual


class PrefixOptions(Options):
    virtual_tokens: int = Field(default=20, ge=1)
    """Length of what is learned before the text; the model's context shrinks by it."""
    init_text: str | None = None
    """Text whose keys and values it starts from, repeated or cut to fit; common words, drawn, when not given."""


class Prefix(VirtualTokens):
    """Starts from what real words give, which the paper found better than noise (section 7.4)."""

    Options = PrefixOptions
    summary: ClassVar[str] = "learned keys and values before the text move in every block; the base stays as it is"
    learning_rate = 1e-2
    language_learning_rate = 3e-2
    epochs = 6
    toy_rate = 30.0
    _name = "prefix"
    _head_rate = 0.1
    _takes_checkpointing = False
    _add = staticmethod(virtual.add_prefix)
