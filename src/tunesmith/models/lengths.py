"""How many tokens of a text a model reads, from the files of its folder alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tunesmith.core.errors import ModelError
from tunesmith.models.model_json import read_object

USUAL = 512
"""Tokens that are read of a text where nothing is asked, however many the model could: longer ones cost much."""


def longest_text(tokenizer: Any, folder: Path) -> int:
    """The most tokens that a tokenizer says its model reads. Raises ModelError where that is no such number."""
    found = tokenizer.model_max_length
    if isinstance(found, bool) or not isinstance(found, int | float) or not found >= 1:
        raise ModelError(
            f"{folder / 'tokenizer_config.json'}: model_max_length is {found!r}; expected a number of tokens."
        )
    return int(min(found, 1 << 53))


def longest_made_for(folder: Path, config: Any, tokenizer: Any) -> int:
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


def position_limit(config: Any) -> int:
    """Most tokens that a text encoder has positions for."""
    positions = getattr(config, "max_position_embeddings", None) or USUAL
    # RoBERTa's positions start after its padding index
    return positions - 2 if "roberta" in config.model_type or config.model_type == "camembert" else positions
