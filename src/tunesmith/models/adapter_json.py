"""adapter_config.json of a model folder, read before PEFT reads it.

Only what a run of Tunesmith writes is taken: no other adapter lies beside a model of ours.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tunesmith.models.model_json import Fault, read_object, texts

_TYPES = ("LORA", "IA3", "PROMPT_TUNING", "PREFIX_TUNING", "BOTTLENECK", "COLUMN")
_NAME = re.compile(r"[\w.\-]+")


def _names(value: object) -> bool:
    return texts(value) and all(_NAME.fullmatch(one) for one in value)


def _numbers(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, int) for one in value)


_NAMES: dict[str, Callable[[Any], bool]] = {
    "target_modules": lambda value: value in (None, "all-linear") or _names(value),
    "layers_pattern": lambda value: not value or _names(value if isinstance(value, list) else [value]),
    **dict.fromkeys(
        ("rank_pattern", "alpha_pattern"), lambda value: not value or (isinstance(value, dict) and _names([*value]))
    ),
    **dict.fromkeys(
        ("exclude_modules", "feedforward_modules", "modules_to_save", "target_parameters"),
        lambda value: value is None or _names(value),
    ),
}
"""Names of layers. PEFT takes any other text there for a regular expression, and may be for ever at matching it."""
_OTHERS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "init_lora_weights": (lambda value: value in (None, True, False, "gaussian"), "true, false or 'gaussian'"),
    "trainable_token_indices": (
        lambda value: not value or all(map(_numbers, value.values() if isinstance(value, dict) else [value])),
        "numbers of tokens",
    ),
    "layers_to_transform": (lambda value: value is None or isinstance(value, int) or _numbers(value), "numbers"),
    "auto_mapping": (lambda value: value is None or isinstance(value, dict), "an object"),  # read by nobody here
}
_WIDTHS = ("r", "num_virtual_tokens", "columns", "token_dim", "num_layers", "num_attention_heads", "reduction_factor",
           "num_transformer_submodules")  # fmt: skip


def check_adapter(path: Path, longest: int) -> dict[str, Any]:
    """What `path` holds, if a run may have written it; `longest` is the longest side of any tensor of the adapter.

    Raises ModelError for another kind of adapter, names of layers that are regular expressions, numbers that no
    tensor bears out, and parts of PEFT that import packages, repeat blocks or read data.
    """
    config = read_object(path)
    kind = config.get("peft_type")
    Fault(path, "peft_type", kind).demand(kind in _TYPES, f"one of {', '.join(_TYPES)}")
    for key, value in config.items():
        fault = Fault(path, key, value)
        if key in _NAMES:
            fault.demand(_NAMES[key](value), "a list of names of layers, and no regular expressions")
        elif key in _OTHERS:
            holds, expected = _OTHERS[key]
            fault.demand(holds(value), expected)
        elif key in _WIDTHS and value is not None:
            number = isinstance(value, int | float) and not isinstance(value, bool)
            fault.demand(number and 0 < value <= max(longest, 128), f"a number from 1 to {max(longest, 128):,}")
        elif isinstance(value, dict | list):
            fault.demand(not value, "nothing there")
        elif isinstance(value, int | float):
            fault.demand(abs(value) <= 1 << 20, "a smaller number")
    return config
