"""Encoders with a head that finds answers in a context."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tunesmith.core.events import Emit, ignore
from tunesmith.models import catalog
from tunesmith.models.bundle import Bundle
from tunesmith.models.heads import settle_head
from tunesmith.models.loaders.encoder import (
    bundle_of,
    check_token_model,
    finished_token_model,
    read_network,
    save_text_model,
)
from tunesmith.models.reader import ReaderModel

_OUTPUTS = ("start", "end")


def load_base(name: str, *, dropout: float, emit: Emit = ignore) -> Bundle[ReaderModel]:
    """The base model called `name` with a head of two outputs at every token, in float32: its own where it was trained
    to answer questions. Raises ModelError."""
    from transformers import AutoModelForQuestionAnswering

    source = catalog.fetch(name, emit)
    assert source.folder is not None
    check_reader(source.folder, name, emit)
    network, new = read_network(AutoModelForQuestionAnswering, source, _OUTPUTS, None, dropout)
    model = ReaderModel(network)
    trained = f"{model.head_name}.weight" not in new
    if not trained:
        settle_head(model, None)
    return bundle_of(model, source, emit, "head" if trained else None)


def load_finished(folder: Path) -> Bundle[ReaderModel]:
    """A model that a run saved. Raises ModelError when its files are not whole, or not as they were saved."""
    from transformers import AutoModelForQuestionAnswering

    return finished_token_model(AutoModelForQuestionAnswering, ReaderModel, folder)


def check_reader(folder: Path, name: str, emit: Emit = ignore) -> dict[str, Any]:
    """The config, if this is a safe text model that can say where an answer begins and ends."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_QUESTION_ANSWERING_MAPPING_NAMES as NAMES

    return check_token_model(folder, name, emit, NAMES, "finds answers in a context")


class Reader:
    """See `models.bundle.Loader`."""

    bases = "encoder"
    fits = staticmethod(check_reader)
    base = staticmethod(load_base)
    finished = staticmethod(load_finished)
    save = staticmethod(save_text_model)
