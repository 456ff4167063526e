"""Learned words before every text move, and nothing else (prompt tuning: Lester et al. 2021), through PEFT."""

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

_HEAD_RATE = 1e-2
"""Of a text model's head, by the rate of what stands before the text."""


class PromptOptions(Options):
    virtual_tokens: int = Field(default=20, ge=1)
    """Length of what is learned before every text; the model's context shrinks by it."""
    init_text: str | None = None
    """Text whose embeddings it starts from, repeated or cut to fit; drawn from the common words when not given."""


class Prompt(Method):
    modalities = ("text",)
    """What is added stands before a text."""
    Options = PromptOptions
    summary: ClassVar[str] = "learned words before every text move; the smallest adapter of all, slow to learn"
    learning_rate = 0.1
    """In units of the typical entry of a word's embedding (`groups`)."""
    epochs = 8
    changes_features = True
    adds = True
    keeps_base_intact = True

    @property
    def virtual_tokens(self) -> int:
        """By how much the context shrinks."""
        return self.options.virtual_tokens

    def check(self, words: Mapping[str, Any]) -> None:
        """Raises OptionError for other options of the run that it can not work with."""
        virtual.refuse("prompt", words, checkpointing=True)

    def check_network(self, bundle: Bundle) -> None:
        """Raises OptionError for a text model that it can not work with."""
        virtual.check_network(bundle, "prompt", virtual.add_prompt)

    def prepare(self, bundle: Bundle, seed: int) -> None:
        ids = virtual.first_words(bundle, self.options.virtual_tokens, self.options.init_text, seed)
        self._size = virtual.typical_size(bundle)
        virtual.add_prompt(bundle, ids)

    def groups(self, bundle: Bundle, learning_rate: float) -> list[ParameterGroup]:
        """The rate is by the size of the embeddings: Adam's steps are absolute, and what is a step for one
        family (T5, entries of 10) is a leap for another (Llama, 0.02)."""
        words, head = split_head(bundle.model)
        return [ParameterGroup(words, learning_rate * self._size), ParameterGroup(head, learning_rate * _HEAD_RATE)]

    def merge(self, bundle: Bundle, folder: Path) -> None:
        """Not a change of weights: there is nothing to fold in, and the whole is saved beside its base."""
