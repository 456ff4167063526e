"""How many tokens of a text a model reads, from the files of its folder alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tunesmith.core.errors import ModelError
from tunesmith.models.model_json import read_object
from tunesmith.models.types import Config, Tokenizer

if TYPE_CHECKING:
    import numpy as np

USUAL = 512
"""Tokens that are read of a text where nothing is asked, however many the model could: longer ones cost much."""


CHARACTERS_PER_TOKEN = 4.2  # English with word-piece vocabularies, where there is no tokenizer to ask
MUCH = 0.05
"""Share of all tokens, and of the rows, that is not read, from which on that is much."""


def unread(lengths: np.ndarray, limit: int) -> float:
    """Share of all tokens of rows that lies beyond `limit` tokens of each; `lengths` [rows]."""
    return 1 - float(lengths.clip(max=limit).sum() / max(1, lengths.sum()))


def is_much(lengths: np.ndarray, limit: int) -> bool:
    """Whether much of the texts, and of not just a few of them, lies beyond `limit` tokens."""
    return unread(lengths, limit) >= MUCH and float((lengths > limit).mean()) >= MUCH


def chosen_limit(lengths: np.ndarray, made_for: int, positions: int) -> int:
    """Tokens that are read of each row where nothing is asked: what the model was made for, or where much would not be
    read with that, what it has positions for; `USUAL` at most. Measured in docs/log.md."""
    usual = min(made_for, USUAL)
    return min(positions, USUAL) if positions > usual and is_much(lengths, usual) else usual


def longest_text(tokenizer: Tokenizer, folder: Path) -> int:
    """The most tokens that a tokenizer says its model reads. Raises ModelError where that is no such number."""
    found = tokenizer.model_max_length
    if isinstance(found, bool) or not isinstance(found, int | float) or not found >= 1:
        raise ModelError(
            f"{folder / 'tokenizer_config.json'}: model_max_length is {found!r}; expected a number of tokens."
        )
    return int(min(found, 1 << 53))


def longest_made_for(folder: Path, config: Config, tokenizer: Tokenizer) -> int:
    """The longest text, in tokens, that the model was made for. Raises ModelError."""
    limits = [position_limit(config), longest_text(tokenizer, folder)]
    path = folder / "sentence_bert_config.json"
    if path.exists():
        longest = read_object(path).get("max_seq_length")
        if isinstance(longest, bool) or not (longest is None or (isinstance(longest, int) and longest >= 1)):
            raise ModelError(f"{path}: max_seq_length is {longest!r}; expected a number of tokens, from 1 on.")
        limits += [] if longest is None else [longest]
    return min(limits)


def longest_row(folder: Path) -> int:
    """Most tokens that the model of a folder can read, from its config alone."""
    from transformers import AutoConfig

    return position_limit(AutoConfig.from_pretrained(folder, trust_remote_code=False))


def position_limit(config: Config) -> int:
    """Most tokens that a text encoder has positions for."""
    positions = getattr(config, "max_position_embeddings", None) or USUAL
    # RoBERTa's positions start after its padding index
    return positions - 2 if "roberta" in config.model_type or config.model_type == "camembert" else positions
