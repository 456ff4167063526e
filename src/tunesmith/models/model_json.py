"""The JSON files of a model folder, read before any library reads them: what is in them is somebody else's.

Each value that decides how much memory or time a network takes is bounded, against the weight files where there are
some. What is only wrong is left to `guard`: the library that reads it says so.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeGuard

from tunesmith.core.errors import ModelError
from tunesmith.core.files import read_bytes
from tunesmith.core.text import shortened

_MOST_BYTES = 20 << 20
_MOST_VOCABULARY = 256 << 20
_DEEPEST = 64
_MOST = 1 << 24
"""Entries of any one dimension, and positions, of a network that nobody has the weights of."""
_MOST_LAYERS = 10_000
_FEWEST_LAYERS = 200
"""Always allowed: blocks that share their weights (ALBERT) are more than their tensors."""
_MOST_LABELS = 1 << 16
_MOST_NUMBER = 1 << 53
_SIZES = re.compile(
    r"(hidden|embedding|intermediate|vocab|head|model|inner|ffn|state|conv|kernel|mlp|d)_?(size|dim|dims)$"
    r"|^(dim|hidden_dim|d_\w+|n_embd|n_inner|n_ctx|head_dim|rank|\w+_ffn_dim|\w+_rank)$"
)
_POSITIONS = re.compile(r"position_embeddings$|^n_positions$|^n_ctx$|(seq|sequence)_len(gth)?$|_window$")
_LAYERS = re.compile(r"layers?$|^n_layer|blocks?$|^depth$|groups?$|_group_num$")
_COUNTS = re.compile(r"^(num|n)_|_(num|count|heads)$|^type_vocab_size$")
_NEEDED = frozenset({"hidden_size", "d_model", "n_embd", "vocab_size", "num_hidden_layers", "num_attention_heads",
                     "n_layer", "n_head", "encoder_layers", "decoder_layers"})  # fmt: skip
"""What can not be null."""
_ATTENTION = ("attn_implementation", "experts_implementation")
_IMPLEMENTATIONS = frozenset({
    None, "eager", "sdpa", "flash_attention_2", "flash_attention_3", "flash_attention_4", "flex_attention",
    "grouped_mm", "batched_mm",
})  # fmt: skip
"""What transformers itself has; any other word would be got from a hub as native code and run."""
_TOKENS = re.compile(r"^(forced_)?(pad|bos|eos|sep|unk|cls|mask|decoder_start)_token_id$")


def read_object(path: Path, *, large: bool = False) -> dict[str, Any]:
    """The JSON object in a file of a model folder, a `large` one if it holds a vocabulary. Raises ModelError: no
    regular file, too large, not an object, or nested too deeply."""
    try:
        value = json.loads(read_bytes(path, _MOST_VOCABULARY if large else _MOST_BYTES))
    except OSError as error:
        raise ModelError(f"{path} can not be read: {error.strerror}.", _ANEW) from None
    except RecursionError:
        raise ModelError(f"{path} is nested too deeply to be read.", _ANEW) from None
    except ValueError as error:
        raise ModelError(f"{path} is not valid JSON: {error}.", _ANEW) from None
    if not isinstance(value, dict):
        raise ModelError(f"{path} holds a {type(value).__name__} in JSON: expected an object.", _ANEW)
    if _too_deep(value):
        raise ModelError(f"{path} is nested more than {_DEEPEST} deep.", _ANEW)
    return value


_ANEW = "Get the file anew from where the model came from."


def check_config(
    path: Path, config: Mapping[str, object], longest: int | None = None, tensors: int | None = None
) -> None:
    """Raises ModelError, naming the key, for a value of config.json that no network of these files can have.

    `longest` is the longest side of any tensor of the folder and `tensors` their number; None where only the config
    is at hand.
    """
    most = longest or _MOST
    layers = max(tensors, _FEWEST_LAYERS) if tensors is not None else _MOST_LAYERS
    for where, key, value in _entries(config):
        fault = Fault(path, where + key, value)
        if key.lstrip("_").removesuffix("_internal") in _ATTENTION:
            _check_implementation(fault)
        elif key == "quantization_config":
            _check_quantization(fault)
        elif key == "transformers_weights" and value is not None:
            fault.refuse("no other weights than model.safetensors")
        elif key == "architectures":
            fault.demand(value is None or texts(value), "a list of names")
        elif key in ("id2label", "label2id"):
            _check_labels(fault, numbers_first=key == "id2label")
        elif _TOKENS.match(key):
            ids = value if isinstance(value, list) else [value]
            fault.demand(all(one is None or (_whole(one) and -1 <= one < _MOST) for one in ids), "a number of a token")
        elif key in _NEEDED and value is None:
            fault.refuse("a whole number from 1 on")
        elif isinstance(value, bool):
            continue
        elif (limit := _limit(key, most, layers)) is not None:
            _check_number(fault, limit, least=1 if key in _NEEDED else 0)
        elif isinstance(value, int):
            fault.demand(abs(value) < _MOST_NUMBER, "a smaller number")


class Fault:
    """A value of a file, and how to say that it is wrong."""

    def __init__(self, path: Path, key: str, value: object):
        self.path, self.key, self.value = path, key, value

    def demand(self, holds: bool, expected: str) -> None:
        if not holds:
            self.refuse(expected)

    def refuse(self, expected: str) -> None:
        shown = shortened(json.dumps(self.value, ensure_ascii=True, default=str), 80)
        raise ModelError(f"{self.path}: {self.key} is {shown}; expected {expected}.", _ANEW)


def _limit(key: str, longest: int, layers: int) -> int | None:
    """The largest number that a key may have; None of a key that says nothing of size."""
    if key == "num_labels":
        return _MOST_LABELS
    for pattern, limit in ((_POSITIONS, _MOST), (_LAYERS, layers), (_SIZES, longest), (_COUNTS, longest)):
        if pattern.search(key):
            return limit
    return None


def _check_number(fault: Fault, most: int, least: int) -> None:
    """Numbers, and those in lists; anything that is no number at all is left to the library."""
    values = fault.value if isinstance(fault.value, list) else [fault.value]
    for value in values:
        if isinstance(value, str):
            fault.refuse(f"a whole number from {least} to {most:,}")
        if isinstance(value, int | float) and not isinstance(value, bool) and not least <= value <= most:
            if value == -1 and least == 0:
                continue  # 'none', in some families
            fault.refuse(f"a whole number from {least} to {most:,}" + (
                ", the longest side of a tensor in its files" if most not in (_MOST, _MOST_LABELS, _MOST_LAYERS) else ""
            ))  # fmt: skip


def _check_implementation(fault: Fault) -> None:
    values = fault.value.values() if isinstance(fault.value, dict) else [fault.value]
    known = sorted(str(one) for one in _IMPLEMENTATIONS if one)
    for value in values:
        fault.demand(value is None or (isinstance(value, str) and value in _IMPLEMENTATIONS),
                     f"one of {', '.join(known)}: any other is native code from a hub, which is not run")  # fmt: skip


def _check_quantization(fault: Fault) -> None:
    named = fault.value.get("quant_method", "") if isinstance(fault.value, dict) else fault.value
    holds = fault.value is None or (isinstance(named, str) and named.startswith("bitsandbytes"))
    fault.demand(holds, "weights that are not quantised, or are by bitsandbytes: nothing else is read")


def _check_labels(fault: Fault, *, numbers_first: bool) -> None:
    value: Any = fault.value
    if value is None:
        return
    expected = "an object of numbers and names, at most 65,536"
    fault.demand(isinstance(value, dict) and len(value) <= _MOST_LABELS, expected)
    for pair in value.items():
        number, name = pair if numbers_first else pair[::-1]
        fault.demand(bool(re.fullmatch(r"\d{1,9}", str(number))) and not isinstance(name, dict | list), expected)


def _entries(value: Mapping[str, object], where: str = "") -> Iterator[tuple[str, str, object]]:
    """(place, key, value) of an object and of the objects in it."""
    for key, inner in value.items():
        yield where, key, inner
        if isinstance(inner, dict) and key not in ("id2label", "label2id"):
            yield from _entries(inner, f"{where}{key}.")


def _whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def texts(value: object) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _too_deep(value: object) -> bool:
    level = [value]
    for _ in range(_DEEPEST):
        level = [
            inner for one in level if isinstance(one, dict | list)
            for inner in (one.values() if isinstance(one, dict) else one) if isinstance(inner, dict | list)
        ]  # fmt: skip
        if not level:
            return False
    return True
