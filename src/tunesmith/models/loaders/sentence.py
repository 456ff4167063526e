"""Encoders that make a vector of each text, in the layout of `sentence-transformers`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from tunesmith.core.errors import ModelError
from tunesmith.core.events import Decided, Emit, ignore
from tunesmith.core.files import own_folder, write_text
from tunesmith.models import catalog
from tunesmith.models.additions import teach_additions
from tunesmith.models.bundle import Bundle
from tunesmith.models.guard import loading
from tunesmith.models.loaders.encoder import bundle_of, check_text_model, finished_bundle
from tunesmith.models.manifest import check_manifest
from tunesmith.models.model_json import read_object
from tunesmith.models.pretrained import load_network, quiet_transformers
from tunesmith.models.safety import check_folder
from tunesmith.models.sentence import Pooling, SentenceModel
from tunesmith.models.text import saved_pooling
from tunesmith.models.types import Network

_MODULES = "modules.json"
_PROMPTS = "config_sentence_transformers.json"
_POOLING, _DENSE, _NORMALIZE = "1_Pooling", "2_Dense", "3_Normalize"
_KIND = "sentence_transformers.models."
_READ = ("Transformer", "Pooling", "Dense", "Normalize")


def check_sentence_model(folder: Path, name: str, emit: Emit = ignore) -> dict[str, Any]:
    """The config, if this is a safe text encoder. Raises ModelError with what it is."""
    config = check_text_model(folder, name, emit)
    marks = config.get("tunesmith") or {}
    if marks.get("pooling"):
        raise ModelError(
            f"The model {name!r} was trained by a run to classify texts: its last layer is their mean.",
            "Give the base that the run began with.",
        )
    unknown = [kind for kind, _ in _modules(folder) if kind not in _READ]
    if unknown:
        raise ModelError(
            f"The model {name!r} has parts that are not read ({', '.join(unknown)}): its vectors would be others.",
            f"Choose one of {', '.join(_READ)}, such as {', '.join(catalog.aliases('encoder')[:3])}.",
        )
    return config


def load_base(name: str, *, dropout: float, emit: Emit = ignore) -> Bundle[SentenceModel]:
    """The base model called `name`, in float32, pooled as it was trained. Raises ModelError."""
    source = catalog.fetch(name, emit)
    assert source.folder is not None
    check_sentence_model(source.folder, name, emit)
    catalog.check_weights(source)
    teach_additions(source.folder)
    network = _network(source.folder, dropout)
    if saved_pooling(network.config):
        raise ModelError(f"The model {name!r} was trained by a run to classify texts.", "Give its base.")
    pooling, why = _pooling(source.folder, name)
    emit(Decided("pooling", pooling, why))
    model = SentenceModel(network, pooling)
    _read_projection(model, source.folder)
    bundle = bundle_of(model, source, emit, "head")
    bundle.max_length = min(bundle.max_length, _length(source.folder) or bundle.max_length)
    return bundle


def load_finished(folder: Path) -> Bundle[SentenceModel]:
    """A model that a run saved. Raises ModelError when its files are not whole, or not as they were saved."""
    check_manifest(folder)
    check_folder(folder, str(folder))
    with loading(folder):
        model = SentenceModel(_network(folder, None), _pooling(folder, str(folder))[0])
        _read_projection(model, folder)
    return finished_bundle(model, folder)


def _network(folder: Path, dropout: float | None) -> Network:
    from transformers import AutoConfig, AutoModel

    with quiet_transformers(), loading(folder, "config"):
        settings = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        settings.__dict__.pop("auto_map", None)
        for field in ("hidden_dropout_prob", "attention_probs_dropout_prob", "dropout", "attention_dropout"):
            if dropout is not None and hasattr(settings, field):
                setattr(settings, field, dropout)
    network, found = load_network(AutoModel, folder, settings, dtype="float32", output_loading_info=True)
    absent = sorted(key for key in found["missing_keys"] if "pooler" not in key)
    if absent:
        raise ModelError(
            f"{len(absent)} weights of the model are not in the files of {folder}: {', '.join(absent[:3])}.",
            "Get the model anew: its weights and its config.json do not belong together.",
        )
    return network


def _modules(folder: Path) -> list[tuple[str, str]]:
    """(kind, folder) of the parts that sentence-transformers puts together; [] of other models."""
    path = folder / _MODULES
    if not path.exists():
        return []
    with loading(folder, _MODULES):
        return [
            (str(one["type"]).rpartition(".")[2], str(one["path"]))
            for one in json.loads(path.read_text(encoding="utf-8"))
        ]


def _pooling(folder: Path, name: str) -> tuple[Pooling, str]:
    path = folder / _POOLING / "config.json"
    if not path.exists():
        return "mean", "of all tokens: the model says nothing of its own"
    config = read_object(path)
    mode = config.get("pooling_mode")
    if isinstance(mode, str):
        chosen = {mode}
    else:
        chosen = {key.removeprefix("pooling_mode_").removesuffix("_tokens").removesuffix("_token")
                  for key, value in config.items() if key.startswith("pooling_mode_") and value is True}  # fmt: skip
    if chosen == {"mean"} or not chosen:
        return "mean", "the sentence encoder was trained with it"
    if chosen == {"cls"}:
        return "cls", "the sentence encoder was trained with its first token"
    raise ModelError(
        f"The model {name!r} pools its tokens by {', '.join(sorted(chosen))}, which is not known here.",
        "Choose a sentence encoder with the mean or the first token.",
    )


def _read_projection(model: SentenceModel, folder: Path) -> None:
    """The linear layer that a saved model has behind its mean. Raises ModelError for one of another kind."""
    for kind, place in _modules(folder):
        if kind != "Dense":
            continue
        config = read_object(folder / place / "config.json")
        activation = str(config.get("activation_function", "")).rpartition(".")[2]
        shape = (config.get("out_features"), config.get("in_features"))
        weights = load_file(folder / place / "model.safetensors")
        if activation != "Identity" or set(weights) != {"linear.weight"} or shape[0] != shape[1]:
            raise ModelError(
                f"{folder / place} is a layer with an activation, a bias or another size, which is not known here.",
                "Choose a sentence encoder without one.",
            )
        with torch.no_grad():
            model.projection.weight.copy_(weights["linear.weight"])
        model.projected = True


def _length(folder: Path) -> int | None:
    path = folder / "sentence_bert_config.json"
    found = read_object(path).get("max_seq_length") if path.exists() else None
    return int(found) if isinstance(found, int) else None


def save(bundle: Bundle[SentenceModel], folder: Path, *, max_length: int, place: Path | None = None) -> None:
    """Write the finished model as a plain transformers folder (safetensors) with its tokenizer, and beside it what
    sentence-transformers reads: pooling, projection where there is one, and vectors of unit length."""
    model = bundle.model
    projected = model.projected or model.projection.weight.requires_grad
    with quiet_transformers():
        model.fold().save_pretrained(folder)
        before = bundle.tokenizer.model_max_length
        bundle.tokenizer.model_max_length = max_length
        bundle.tokenizer.save_pretrained(folder)
        bundle.tokenizer.model_max_length = before
    size = model.width
    parts = [("Transformer", ""), ("Pooling", _POOLING), *([("Dense", _DENSE)] if projected else []),
             ("Normalize", _NORMALIZE)]  # fmt: skip
    _json(folder / _MODULES, [
        {"idx": at, "name": str(at), "path": path, "type": f"{_KIND}{kind}"} for at, (kind, path) in enumerate(parts)
    ])  # fmt: skip
    _json(folder / "sentence_bert_config.json", {"max_seq_length": max_length, "do_lower_case": False})
    modes = ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens")
    asked = {"mean": "mean_tokens", "cls": "cls_token"}[model.pooling]
    own_folder(folder / _POOLING)
    _json(folder / _POOLING / "config.json", {
        "word_embedding_dimension": size, **{f"pooling_mode_{mode}": mode == asked for mode in modes},
        "include_prompt": True,
    })  # fmt: skip
    own_folder(folder / _NORMALIZE)
    if projected:
        own_folder(folder / _DENSE)
        words = {"in_features": size, "out_features": size, "bias": False}
        _json(folder / _DENSE / "config.json", {**words, "activation_function": "torch.nn.modules.linear.Identity"})
        weight = model.projection.weight.detach().cpu().float().contiguous()
        save_file({"linear.weight": weight}, folder / _DENSE / "model.safetensors")
    _write_prompts(folder, model.prompts)


def _write_prompts(folder: Path, prompts: Mapping[str, str]) -> None:
    """What sentence-transformers puts before queries and documents, and how it compares."""
    _json(folder / _PROMPTS, {
        "model_type": "SentenceTransformer", "prompts": dict(prompts), "default_prompt_name": None,
        "similarity_fn_name": "cosine",
    })  # fmt: skip


def _json(path: Path, value: object) -> None:
    write_text(path, json.dumps(value, indent=2) + "\n")


class Sentence:
    """See `models.bundle.Loader`."""

    bases = "encoder"
    fits = staticmethod(check_sentence_model)
    base = staticmethod(load_base)
    finished = staticmethod(load_finished)
    save = staticmethod(save)
