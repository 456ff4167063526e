"""`from_pretrained` of transformers: from safe files alone, quiet, and told apart from others by what it read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tunesmith.models.guard import loading
from tunesmith.models.manifest import digest
from tunesmith.models.outline import check_outline
from tunesmith.models.types import Config, Network
from tunesmith.models.weight_files import read_weights

_READ = ("config.json", "tokenizer.json", "vocab.txt", "preprocessor_config.json")


def load_network(maker: type[Network], folder: Path, settings: Config | None = None, **words: object) -> Any:
    """What `maker.from_pretrained` gives for a folder that `check_folder` has seen, with `settings` in place of its
    own config, and `words` for the call. Raises ModelError for whatever goes wrong in it."""
    from transformers import AutoConfig

    given = {} if settings is None else {"config": settings}
    with quiet_transformers(), loading(folder):
        config = settings if given else AutoConfig.from_pretrained(folder, trust_remote_code=False)
        check_outline(maker, config, folder, read_weights(folder))
        return maker.from_pretrained(folder, use_safetensors=True, trust_remote_code=False, **given, **words)


def fingerprint(folder: Path) -> str:
    """sha256 over the contents that change what a model computes."""
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
