"""The tokenizer of a model folder, whatever its files are."""

from __future__ import annotations

import json
from pathlib import Path

from tunesmith.core.errors import MissingPackageError, ModelError
from tunesmith.core.events import Decided, Emit, ignore
from tunesmith.models import catalog
from tunesmith.models.guard import in_one_line, loading, tokens
from tunesmith.models.pretrained import quiet_transformers
from tunesmith.models.safety import check_files, foreign_code
from tunesmith.models.tokenizer_json import check_tokenizer_files
from tunesmith.models.types import Tokenizer

_TOKENIZERS = ("tokenizer.json", "vocab.txt", "vocab.json", "spiece.model", "source.spm", "sentencepiece.bpe.model",
               "tokenizer.model")  # fmt: skip
_SPACE, _GPT2_END = "Ġ", "<|endoftext|>"
"""A space, as vocabularies of GPT-2's kind write it, and the token that ends their texts."""


def check_tokenizer(folder: Path) -> None:
    if not any((folder / file).exists() for file in _TOKENIZERS):
        raise ModelError(f"The model folder {folder} has no tokenizer.", "Expected tokenizer.json in it.")


def read_tokenizer(folder: Path, emit: Emit = ignore) -> Tokenizer:
    """The tokenizer of a model folder. Raises ModelError where there is none that can be read."""
    from transformers import AutoTokenizer, GPT2Tokenizer

    check_files(folder)
    check_tokenizer(folder)
    check_tokenizer_files(folder)
    tokenizer, fault = None, ""
    with quiet_transformers():
        try:
            with loading(folder, "tokenizer"):
                tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
                tokenizer.init_kwargs.pop("auto_map", None)
        except ModelError as error:
            tokenizer, fault = None, in_one_line(error.__cause__ or error)
        words = _bare_words(folder)
        if tokenizer is not None and 2 * len(tokenizer) >= len(words):
            return tokenizer
        # types of model that usually have another tokenizer: it is refused, or made without a single word
        if {_SPACE, _GPT2_END} <= words and (folder / "merges.txt").exists():
            with loading(folder, "tokenizer"):
                tokenizer = GPT2Tokenizer.from_pretrained(folder, trust_remote_code=False)
            emit(Decided("tokenizer", "GPT-2's", f"{folder} has vocab.json and merges.txt, but no tokenizer.json"))
            return tokenizer
    if "sentencepiece library" in fault.lower():
        raise MissingPackageError(
            f"The tokenizer of the model folder {folder} needs the package sentencepiece.",
            "Install it: pip install sentencepiece",
        )
    if foreign_code(folder).get("tokenizer_config.json") and "custom code" in fault:
        fault = "tokenizer_config.json asks for code of its own, which is never run"
    elif words:
        fault = "there is vocab.json without tokenizer.json, and transformers does not read it for this type of model"
    raise ModelError(
        f"The tokenizer of the model folder {folder} can not be read: {fault.rstrip('.')}.",
        "Expected the tokenizer.json that belongs to the model, and its tokenizer_config.json"
        + (f"; or GPT-2's pair of vocab.json, with {_GPT2_END} in it, and merges.txt." if words else "."),
    )


def _bare_words(folder: Path) -> set[str]:
    """The tokens of a vocab.json that is all there is of a tokenizer."""
    path = folder / "vocab.json"
    if (folder / "tokenizer.json").exists() or not path.exists():
        return set()
    try:
        return set(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError, RecursionError):  # transformers has told what is wrong with it
        return set()


def needed_tokens(tokenizer: Tokenizer) -> int:
    """How many embeddings text takes. Special tokens behind all others that mark no start, end or padding stand for
    images and the like (Gemma 3 has one): a text that holds one is refused by its row."""
    marks = {tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id}
    special = {number for number, token in tokenizer.added_tokens_decoder.items() if token.special} - marks
    around = tokens(tokenizer, "a").input_ids
    return 1 + max(around + [number for number in tokenizer.get_vocab().values() if number not in special])


def load_tokenizer(folder: Path, name: str, emit: Emit = ignore) -> Tokenizer:
    tokenizer = read_tokenizer(folder, emit)
    if tokenizer.pad_token_id is None and tokenizer.eos_token is not None:
        tokenizer.pad_token = tokenizer.eos_token  # what is padding is masked: any token will do
    if tokenizer.pad_token_id is None:
        raise ModelError(
            f"The tokenizer of {name!r} has no padding token, so rows of different length do not fit into one batch.",
            f"Use a text encoder: {', '.join(catalog.aliases('encoder'))}.",
        )
    return tokenizer
