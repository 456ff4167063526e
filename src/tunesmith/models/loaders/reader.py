"""Encoders with a head that finds answers in a context."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tunesmith.core.errors import ModelError
from tunesmith.core.events import Emit, ignore
from tunesmith.models import catalog
from tunesmith.models.bundle import Bundle
from tunesmith.models.guard import loading
from tunesmith.models.heads import settle_head
from tunesmith.models.loaders.encoder import (
    bundle_of,
    check_text_model,
    finished_bundle,
    read_network,
    refuse_whole_texts,
    save_text_model,
)
from tunesmith.models.manifest import check_manifest
from tunesmith.models.pretrained import load_network
from tunesmith.models.reader import ReaderModel
from tunesmith.models.safety import check_folder

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

    check_manifest(folder)
    check_folder(folder, str(folder))
    with loading(folder):
        model = ReaderModel(load_network(AutoModelForQuestionAnswering, folder, dtype="float32"))
    return finished_bundle(model, folder)


def check_reader(folder: Path, name: str, emit: Emit = ignore) -> dict[str, Any]:
    """The config, if this is a safe text model that can say where an answer begins and ends."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_QUESTION_ANSWERING_MAPPING_NAMES

    config = check_text_model(folder, name, emit)
    if config["model_type"] not in MODEL_FOR_QUESTION_ANSWERING_MAPPING_NAMES:
        raise ModelError(
            f"The model {name!r} ({config['model_type']}) has no form that finds answers in a context.",
            f"Models that fit: {', '.join(catalog.aliases('encoder'))}.",
        )
    refuse_whole_texts(config, name)
    return config


class Reader:
    """See `models.bundle.Loader`."""

    bases = "encoder"
    fits = staticmethod(check_reader)
    base = staticmethod(load_base)
    finished = staticmethod(load_finished)
    save = staticmethod(save_text_model)
