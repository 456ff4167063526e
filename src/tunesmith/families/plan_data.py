"""What a plan needs to know of the data: how many rows, tokens a row, and how a run would learn from them."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from tunesmith.core.errors import DataError, Problem
from tunesmith.engine.meta_model import Kind, MetaModel
from tunesmith.engine.meta_network import Parameters
from tunesmith.engine.protocols import Method
from tunesmith.models.guard import tokens
from tunesmith.models.lengths import CHARACTERS_PER_TOKEN
from tunesmith.models.types import Config, Tokenizer
from tunesmith.runs.settle import Plan

SAMPLE = 2_000
"""Rows that are tokenised; of more rows, evenly spread ones stand for all."""


@dataclass(frozen=True)
class Tokens:
    """Of one kind of row. `total` is extrapolated where `sampled` is less than `rows`."""

    rows: int
    sampled: int
    mean: float
    longest: int
    total: int
    how: str
    longer: int = 0
    """Rows longer than what a run reads, extrapolated as `total` is."""


@dataclass(frozen=True)
class Summary:
    """What the data says: its form, the rows of each part, some of them, and what a run on it was settled to be."""

    form: str
    splits: dict[str, int]
    some: list[dict[str, Any]]
    settled: Plan
    unchecked: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        return sum(self.splits.values())


class DataSummary(Summary, ABC):
    """The same of what is read as tokens. Its methods are what a family knows of the cost of a run."""

    batch_rows: ClassVar[tuple[int, int]]
    """The least rows of a batch where nothing is asked, and the most."""
    batch_tokens: ClassVar[int]
    """The most of a batch."""
    plain_attention: ClassVar[bool]
    """Whether short rows take plain attention in bf16 on a processor."""
    cuts_unasked: ClassVar[bool]
    """Whether what is too long is cut where nothing is said."""

    @property
    def trained(self) -> float:
        """Share of the rows that are learned from."""
        return self.splits["train"] / max(1, self.rows)

    @abstractmethod
    def read(self, config: Config, tokenizer: Tokenizer | None) -> Texts:
        """As the model of `config` would read them. The tokenizer may be None."""

    @abstractmethod
    def limit(self, reads: int, usual: int | None) -> int:
        """Tokens that are read of a row where nothing is asked, of `reads` that can be; `usual`: of a model whose files
        are here."""

    @abstractmethod
    def float32_base(self, method: Method) -> bool:
        """Whether the base is in float32, whatever it is computed in."""

    @abstractmethod
    def saved(self, parameters: Parameters, method: Method) -> int:
        """Weights of the finished model."""

    @abstractmethod
    def feature_bytes(self, meta_model: MetaModel, tokens: int, frozen: Sequence[float]) -> float:
        """On disk beside the tokens. `frozen`: the share of the blocks that is frozen, by epoch."""


@dataclass(frozen=True)
class Texts:
    """What a model would read of the rows that were looked at, and how many sequences all rows make."""

    kind: Kind
    rows: int
    texts: list[str]
    notes: list[str]
    learned: float = 1.0
    """About the share of tokens that are learned."""
    again: float = 0.0
    """Of what is learned, the share that is read once more in each epoch."""


def spread(rows: int, most: int = SAMPLE) -> np.ndarray:
    """Positions of at most `most` rows, evenly over all of them; int64."""
    return np.unique(np.linspace(0, rows - 1, min(rows, most)).astype(np.int64)) if rows else np.zeros(0, np.int64)


def token_lengths(texts: Sequence[str], tokenizer: Tokenizer | None) -> tuple[np.ndarray, str]:
    """Tokens of each text, special ones included, and how they were counted. Without a tokenizer (None) they are
    guessed from the letters. Raises DataError where there is no text."""
    if not texts:
        raise DataError(Problem("there is no text to count tokens of"), fix="Give data with rows in it.")
    if tokenizer is None:
        lengths = np.array([len(text) / CHARACTERS_PER_TOKEN + 2 for text in texts])
        return lengths, f"guessed from letters ({CHARACTERS_PER_TOKEN} to a token): no tokenizer beside the config"
    return np.array([len(ids) for ids in tokens(tokenizer, list(texts), verbose=False)["input_ids"]]), "tokenised"


def count_lengths(lengths: np.ndarray, how: str, *, rows: int | None = None, limit: int | None = None) -> Tokens:
    """`lengths`: tokens of each text that was looked at, which stand for `rows`; `limit`: how many of them are read."""
    some, rows = len(lengths), len(lengths) if rows is None else rows
    if rows > some:
        how += f"; {some:,} of {rows:,} rows, the rest extrapolated"
    mean = float(lengths.mean())
    longer = 0 if limit is None else math.ceil(float((lengths > limit).mean()) * rows)
    return Tokens(rows, some, round(mean, 1), math.ceil(lengths.max()), round(mean * rows), how, longer)
