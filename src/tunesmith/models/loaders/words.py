"""Encoders with a head that answers at every word."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tunesmith.core.events import Emit, ignore
from tunesmith.models import catalog
from tunesmith.models.bundle import Bundle
from tunesmith.models.heads import own_order, settle_head
from tunesmith.models.loaders.encoder import (
    bundle_of,
    check_token_model,
    finished_token_model,
    read_network,
    save_text_model,
)
from tunesmith.models.words import WordModel


def load_base(
    name: str, *, label_names: Sequence[str], problem_type: str, dropout: float, emit: Emit = ignore
) -> Bundle[WordModel]:
    """The base model called `name` with a head of `len(label_names)` outputs at every token, in float32. Raises
    ModelError."""
    from transformers import AutoModelForTokenClassification

    source = catalog.fetch(name, emit)
    assert source.folder is not None
    config = check_word_model(source.folder, name, emit)
    network, new = read_network(AutoModelForTokenClassification, source, label_names, problem_type, dropout)
    order = own_order(config, label_names, "ForTokenClassification")
    model = WordModel(network)
    if f"{model.head_name}.weight" not in new:
        settle_head(model, order)
    return bundle_of(model, source, emit, None if order is None else "head")


def load_finished(folder: Path) -> Bundle[WordModel]:
    """A model that a run saved. Raises ModelError when its files are not whole, or not as they were saved."""
    from transformers import AutoModelForTokenClassification

    return finished_token_model(AutoModelForTokenClassification, WordModel, folder)


def check_word_model(folder: Path, name: str, emit: Emit = ignore) -> dict[str, Any]:
    """The config, if this is a safe text model that can answer at every word."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES as NAMES

    return check_token_model(folder, name, emit, NAMES, "gives an answer for each word")


class Words:
    """See `models.bundle.Loader`."""

    bases = "encoder"
    fits = staticmethod(check_word_model)
    base = staticmethod(load_base)
    finished = staticmethod(load_finished)
    save = staticmethod(save_text_model)
