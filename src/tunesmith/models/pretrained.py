"""`from_pretrained` of transformers: from safe files alone, quiet, no larger than these bear out, and known by them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch.nn.modules.module import register_module_module_registration_hook

from tunesmith.core.errors import ModelError
from tunesmith.models import bare
from tunesmith.models.guard import loading
from tunesmith.models.manifest import digest
from tunesmith.models.types import Config, Network
from tunesmith.models.weight_files import Tensors, read_weights

_READ = ("config.json", "tokenizer.json", "vocab.txt", "preprocessor_config.json")


def load_network(maker: type[Network], folder: Path, settings: Config | None = None, **words: object) -> Any:
    """What `maker.from_pretrained` gives for a folder that `check_folder` has seen, with `settings` in place of its
    own config, and `words` for the call. Raises ModelError for whatever goes wrong in it."""
    from transformers import AutoConfig

    given = {} if settings is None else {"config": settings}
    with quiet_transformers(), loading(folder):
        config = settings if given else AutoConfig.from_pretrained(folder, trust_remote_code=False)
        if bare.device() is not None:
            return _made(maker, config, folder, with_absent=bool(words.get("output_loading_info")))
        check_outline(maker, config, folder, read_weights(folder))
        return maker.from_pretrained(folder, use_safetensors=True, trust_remote_code=False, **given, **words)


def _made(maker: type[Network], config: Config, folder: Path, *, with_absent: bool) -> Any:
    """The same without weights (`models.bare`)."""
    with few_parts(folder / "config.json"):
        network = maker.from_config(config, dtype=torch.float32, trust_remote_code=False)
    return (network, {"missing_keys": set(), "mismatched_keys": set()}) if with_absent else network


def fingerprint(folder: Path) -> str:
    """sha256 over the contents that change what a model computes; "" of one without weights."""
    if bare.device() is not None:
        return ""
    found = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix == ".safetensors" or path.name in _READ:
            found.update(f"{path.name} {digest(path)}\n".encode())
    return found.hexdigest()


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """No progress bars, no 'newly initialized' notes and no questions: the run says what happens in its own words."""
    from transformers import dynamic_module_utils
    from transformers.utils import logging

    # seconds that it waits for a person's answer to "run the custom code?": with 0 it never asks, and refuses
    dynamic_module_utils.TIME_OUT_REMOTE_CODE = 0
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


_ENTRIES = 1 << 24
"""Weights that may be new: a head, a pooler, tables of positions."""
_PARTS, _PARTS_EACH = 3_000, 20
"""Layers of a network may be so many, and so many for each tensor in its files."""
_MOST_PARTS = 200_000


class _TooMany(Exception):
    pass


def check_outline(maker: type[Network], config: Config, folder: Path, tensors: Tensors) -> None:
    """Raises ModelError for a config whose network would be far larger than what the folder's files hold.

    `maker` is a class of transformers such as AutoModel.
    """
    with few_parts(folder / "config.json", tensors), torch.device("meta"):
        network = maker.from_config(config, trust_remote_code=False)
    entries = sum(one.numel() for one in chain(network.parameters(), network.buffers()))
    packed = 4 if getattr(config, "quantization_config", None) else 1
    if entries > 2 * packed * tensors.entries + _ENTRIES:
        raise ModelError(
            f"{folder / 'config.json'} describes a network of {entries:,} weights, and its files hold "
            f"{tensors.entries:,}: they do not belong together.", _ANEW,
        )  # fmt: skip


_ANEW = "Get the model anew."


@contextmanager
def few_parts(config: Path | str, tensors: Tensors | None = None) -> Iterator[None]:
    """Raises ModelError as soon as a network is made of far more modules than there are tensors for."""
    most = _MOST_PARTS if tensors is None else _PARTS + _PARTS_EACH * len(tensors.shapes)
    count = 0

    def counted(*_: object) -> None:
        nonlocal count
        count += 1
        if count > most:
            raise _TooMany

    handle = register_module_module_registration_hook(counted)
    try:
        yield
    except _TooMany:
        held = "" if tensors is None else f", and its files hold {len(tensors.shapes):,} tensors"
        raise ModelError(f"{config} describes a network of more than {most:,} parts{held}.", _ANEW) from None
    finally:
        handle.remove()
