"""Learned keys and values before those of every block move (prefix-tuning: Li & Liang 2021), through PEFT."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from tunesmith.core.options import Options
from tunesmith.engine.optim import ParameterGroup
from tunesmith.engine.protocols import Method
from tunesmith.models import virtual
from tunesmith.models.additions import split_head
from tunesmith.models.bundle import Bundle

_HEAD_RATE = 0.1
"""Of a text model's head, by the rate of what stands before the text."""


class PrefixOptions(Options):
    virtual_tokens: int = Field(default=20, ge=1)
    """Length of what is learned before the text; the model's context shrinks by it."""
    init_text: str | None = None
    """Text whose keys and values it starts from, repeated or cut to fit; common words, drawn, when not given."""


class Prefix(Method):
    modalities = ("text",)
    """What is added stands before a text."""
    Options = PrefixOptions
    summary: ClassVar[str] = "learned keys and values before the text move in every block; the base stays as it is"
    learning_rate = 1e-2
    language_learning_rate = 3e-2
    epochs = 6
    changes_features = True
    adds = True
    keeps_base_intact = True

    @property
    def virtual_tokens(self) -> int:
        """By how much the context shrinks."""
        return self.options.virtual_tokens

    def check(self, words: Mapping[str, Any]) -> None:
        """Raises OptionError for other options of the run that it can not work with."""
        virtual.refuse("prefix", words, checkpointing=False)

    def check_network(self, bundle: Bundle) -> None:
        """Raises OptionError for a text model that it can not work with."""
        virtual.check_network(bundle, "prefix", virtual.add_prefix)

    def prepare(self, bundle: Bundle, seed: int) -> None:
        """Start from what real words give, which the paper found better than noise (section 7.4)."""
        ids = virtual.first_words(bundle, self.options.virtual_tokens, self.options.init_text, seed)
        virtual.add_prefix(bundle, ids)

    def groups(self, bundle: Bundle, learning_rate: float) -> list[ParameterGroup]:
        words, head = split_head(bundle.model)
        return [ParameterGroup(words, learning_rate), ParameterGroup(head, learning_rate * _HEAD_RATE)]

    def merge(self, bundle: Bundle, folder: Path) -> None:
        """Not a change of weights: there is nothing to fold in, and the whole is saved beside its base."""
