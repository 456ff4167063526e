"""Encoders with a head that gives one answer for a whole text."""

from __future__ import annotations

import json
from collections.abc import Container, Sequence
from pathlib import Path
from typing import Any, TypeVar

from safetensors.torch import load_file, save_file
from torch import Tensor

from tunesmith.core.errors import ModelError
from tunesmith.core.events import Decided, Emit, ignore
from tunesmith.core.files import read_json, write_text
from tunesmith.models import catalog, virtual
from tunesmith.models.additions import teach_additions, virtual_tokens
from tunesmith.models.bundle import Bundle, TextBundle, ZeroShot
from tunesmith.models.guard import loading
from tunesmith.models.heads import network_with_head, own_order, settle_head
from tunesmith.models.lengths import longest_made_for, longest_text, position_limit
from tunesmith.models.manifest import check_manifest
from tunesmith.models.model import Model
from tunesmith.models.pretrained import fingerprint, load_network, quiet_transformers
from tunesmith.models.safety import check_adapter_folder, check_folder
from tunesmith.models.senses import refuse_other_sense
from tunesmith.models.text import TextModel, choose_pooling, is_sentence_encoder, saved_pooling, unfold
from tunesmith.models.tokenizer import check_tokenizer, load_tokenizer, needed_tokens
from tunesmith.models.types import Network, Tokenizer

M = TypeVar("M", bound=Model)
TABLE, TABLE_WEIGHTS = "table.json", "table.safetensors"
"""How the columns beside a text become numbers, and what each of these adds to the logits."""


def load_text_base(
    name: str, *, label_names: Sequence[str], problem_type: str, dropout: float, emit: Emit = ignore
) -> TextBundle:
    """The base model called `name` with a head of `len(label_names)` outputs, in float32: a new one, or its own
    in our order where it was trained on the same labels.

    `problem_type` is transformers' word for the kind of head. Raises ModelError when the model is
    unknown, unsafe, no text encoder, or its file lacks weights of its body.
    """
    from transformers import AutoModelForSequenceClassification

    source = catalog.fetch(name, emit)
    assert source.folder is not None
    config = check_text_model(source.folder, name, emit)
    network, new = read_network(AutoModelForSequenceClassification, source, label_names, problem_type, dropout)
    order = own_order(config, label_names, "ForSequenceClassification")
    if saved_pooling(network.config):
        model, why = unfold(network), "the run that made the model had it"
    elif order is not None:
        model, why = TextModel(network, "own"), "it was trained with it on the same labels"
    else:
        pooling, why = choose_pooling(source.folder, config["model_type"])
        model = TextModel(network, pooling)
    emit(Decided("pooling", model.pooling, why))
    if saved_pooling(network.config) or f"{model.head_name}.weight" not in new:
        settle_head(model, order)
    zero_shot: ZeroShot | None = None
    if order is not None:
        zero_shot = "head"
    elif is_sentence_encoder(source.folder) and model.pooling != "own":
        zero_shot = "names"
    return bundle_of(model, source, emit, zero_shot)


def read_network(
    kind: type[Network], source: catalog.Source, label_names: Sequence[str], problem_type: str | None, dropout: float
) -> tuple[Network, set[str]]:
    """The base as a network of an Auto class of transformers, and the names of its weights that are new. Raises
    ModelError where any of its body is."""
    assert source.folder is not None
    catalog.check_weights(source)
    teach_additions(source.folder)
    return network_with_head(kind, source, label_names, problem_type, dropout)


def bundle_of(model: M, source: catalog.Source, emit: Emit, zero_shot: ZeroShot | None = None) -> Bundle[M]:
    """The bundle of a base that was read, with its tokenizer."""
    assert source.folder is not None
    network, settings = model.network, model.network.config
    tokenizer = load_tokenizer(source.folder, source.name, emit)
    _check_words(tokenizer, network, source.name)
    text_config = settings.get_text_config()
    if text_config.pad_token_id is None:  # a decoder looks for its last token by it
        text_config.pad_token_id = settings.pad_token_id = tokenizer.pad_token_id
    return Bundle(
        model=model,
        tokenizer=tokenizer,
        name=source.name,
        fingerprint=fingerprint(source.folder),
        max_length=longest_made_for(source.folder, network.config, tokenizer),
        position_limit=position_limit(network.config),
        licence=source.entry.licence if source.entry else None,
        zero_shot=zero_shot,
    )


def _check_words(tokenizer: Tokenizer, network: Network, name: str) -> None:
    """Raises ModelError for a tokenizer with tokens that the network has no embeddings for."""
    rows, needed = getattr(network.config.get_text_config(), "vocab_size", None), needed_tokens(tokenizer)
    if rows is not None and needed > rows:
        raise ModelError(
            f"The tokenizer of {name!r} has {needed:,} tokens and the model embeddings for {rows:,}: they do not "
            "belong together.", "Get both from the same place.",
        )  # fmt: skip


def load_text_finished(folder: Path) -> TextBundle:
    """A model that a run saved. Raises ModelError when its files are not whole, or not as they were saved."""
    check_manifest(folder)
    beside = virtual.stands_beside(folder)
    if beside:
        check_adapter_folder(folder)
    where = folder / virtual.BASE if beside else folder
    check_folder(where, str(where))
    from transformers import AutoModelForSequenceClassification

    teach_additions(where)
    network = load_network(AutoModelForSequenceClassification, where, dtype="float32")
    if beside:  # what stands before the text is in the mean too, so this one runs as PEFT runs it
        with loading(folder, "adapter"):
            adapted = virtual.load(network, folder)
        model = TextModel(network, "own")
        model.prompted = adapted
    else:
        with loading(folder):
            model = unfold(network)
            if (folder / TABLE).exists():
                model.join_table(*_read_table(folder))
    return finished_bundle(model, folder)


def _read_table(folder: Path) -> tuple[list[dict[str, Any]], Tensor]:
    """How what stands beside a text becomes numbers, and its part of the head."""
    return read_json(folder / TABLE, list), load_file(folder / TABLE_WEIGHTS)["weight"]


def finished_bundle(model: M, folder: Path) -> Bundle[M]:
    """The bundle of a model that a run saved, with its tokenizer."""
    network = model.network
    tokenizer = load_tokenizer(folder, str(folder))
    _check_words(tokenizer, network, str(folder))
    limit = position_limit(network.config) - virtual_tokens(getattr(model, "prompted", None))
    length = min(longest_text(tokenizer, folder), limit)
    return Bundle(model.eval(), tokenizer, folder.name, fingerprint(folder), limit, folder, length)


def check_text_model(folder: Path, name: str, emit: Emit = ignore) -> dict[str, Any]:
    """The config, if this is a safe text model that can carry a classification head."""
    config = check_folder(folder, name, emit)
    refuse_other_sense(config, name, "texts", f"Models that fit: {', '.join(catalog.aliases('encoder'))}.")
    check_tokenizer(folder)
    return config


def save_text_model(bundle: TextBundle, folder: Path, *, max_length: int, place: Path | None = None) -> None:
    """Write the finished model as a plain transformers folder (safetensors) with its tokenizer, and what it reads
    beside a text in two files of their own; one with virtual tokens as a folder that PEFT reads, which will stand at
    `place`.

    Other software and our own reload cut rows at the tokenizer's `model_max_length`, so the length
    that the model was trained with is written there.
    """
    with quiet_transformers():
        if bundle.model.prompted is None:
            bundle.model.fold().save_pretrained(folder)
        else:
            virtual.save(bundle.model, folder, (place or folder).resolve())
        before = bundle.tokenizer.model_max_length
        bundle.tokenizer.model_max_length = max_length
        bundle.tokenizer.save_pretrained(folder)
        bundle.tokenizer.model_max_length = before
        if bundle.model.table is not None:
            weight = bundle.model.head.weight[:, bundle.model.hidden_size :]
            save_file({"weight": weight.detach().float().cpu().contiguous()}, folder / TABLE_WEIGHTS)
            write_text(folder / TABLE, json.dumps(bundle.model.table, ensure_ascii=False, indent=1) + "\n")
        if bundle.model.prompted is not None:  # the base is whole, and can be one of other runs
            bundle.tokenizer.save_pretrained(folder / virtual.BASE)


def check_token_model(folder: Path, name: str, emit: Emit, types: Container[str], lacks: str) -> dict[str, Any]:
    """The config, if this is a safe text model of one of the `types` that answer at tokens; else an error that says
    what it `lacks`. Raises ModelError."""
    config = check_text_model(folder, name, emit)
    if config["model_type"] not in types:
        raise ModelError(
            f"The model {name!r} ({config['model_type']}) has no form that {lacks}.",
            f"Models that fit: {', '.join(catalog.aliases('encoder'))}.",
        )
    if (config.get("tunesmith") or {}).get("pooling") == "mean":
        raise ModelError(
            f"The model {name!r} was trained by a run on whole texts: its last layer is their mean, and has no words.",
            "Give the base that the run began with.",
        )
    return config


def finished_token_model(maker: Any, model: type[M], folder: Path) -> Bundle[M]:
    """A model that a run saved: `maker` reads its network. Raises ModelError when its files are not whole, or not as
    they were saved."""
    check_manifest(folder)
    check_folder(folder, str(folder))
    with loading(folder):
        made = model(load_network(maker, folder, dtype="float32"))
    return finished_bundle(made, folder)


class Encoder:
    """See `models.bundle.Loader`."""

    bases = "encoder"
    fits = staticmethod(check_text_model)
    base = staticmethod(load_text_base)
    finished = staticmethod(load_text_finished)
    save = staticmethod(save_text_model)
