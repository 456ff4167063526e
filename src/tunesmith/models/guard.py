"""One guard around what libraries do with a model folder: whatever they raise becomes one clear ModelError.

It stands around loading only. What is raised anywhere else is a fault of ours and stays one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from tunesmith.core.errors import ModelError, Stopped, TunesmithError
from tunesmith.core.text import shortened
from tunesmith.models.types import Tokenizer

if TYPE_CHECKING:
    from transformers import BatchEncoding

_SHOWN = 300


@contextmanager
def loading(folder: Path | str, what: str = "model") -> Iterator[None]:
    """Turn errors of transformers, PEFT, tokenizers, safetensors and torch into ModelError, with the folder's name.

    `what` is read: 'model', 'config', 'tokenizer', 'adapter'. Errors of our own and Ctrl-C pass; so does a lack of
    memory, as a ModelError that says so.
    """
    try:
        yield
    except (TunesmithError, Stopped, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:  # tokenizers panics with what is no Exception
        if isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error):
            raise ModelError(f"There is not enough memory to load the {what} in {folder}.", _SMALLER) from error
        raise ModelError(
            f"The {what} in {folder} can not be read: {in_one_line(error)}.",
            "Its files do not belong together, or one of them is damaged or made for other software: get the folder "
            "anew, or choose another model.",
        ) from error


def tokens(tokenizer: Tokenizer, *texts: object, **words: object) -> BatchEncoding:
    """`tokenizer(*texts, **words)`. Raises ModelError where it fails: a tokenizer may do so on some texts only, and
    panics then, which no `except Exception` sees."""
    try:
        return tokenizer(*texts, **words)
    except (Stopped, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:
        name = getattr(tokenizer, "name_or_path", "the model")
        raise ModelError(
            f"The tokenizer of {name} fails on a text: {in_one_line(error)}.",
            "Its tokenizer.json is damaged, or made for other texts: get it anew, or choose another model.",
        ) from error


_SMALLER = "Choose a smaller model, or free some memory."


def in_one_line(error: BaseException) -> str:
    """What an error says, without line breaks, without hints for programmers, not too long."""
    words = " ".join(str(error).split())
    if isinstance(error, KeyError | IndexError | AttributeError | TypeError | ZeroDivisionError):
        words = f"{type(error).__name__}: {words}"
    return shortened(words.rstrip(".:") or type(error).__name__, _SHOWN)
