"""Base and finished models into memory: safe files only, quiet, checked against the task."""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tunesmith.core.errors import MissingPackageError, ModelError
from tunesmith.core.events import Decided, Emit, ignore
from tunesmith.models import catalog, virtual
from tunesmith.models.additions import described
from tunesmith.models.guard import in_one_line, loading, tokens
from tunesmith.models.lengths import longest_made_for, longest_text, position_limit
from tunesmith.models.manifest import check_manifest, digest
from tunesmith.models.outline import check_outline
from tunesmith.models.safety import check_adapter_folder, check_files, check_folder, foreign_code
from tunesmith.models.text import TextModel, choose_pooling, is_sentence_encoder, marked, unfold
from tunesmith.models.tokenizer_json import check_tokenizer_files
from tunesmith.models.weight_files import read_weights

_TOKENIZERS = ("tokenizer.json", "vocab.txt", "vocab.json", "spiece.model", "source.spm", "sentencepiece.bpe.model",
               "tokenizer.model")  # fmt: skip
_SPACE, _GPT2_END = "Ġ", "<|endoftext|>"
"""A space, as vocabularies of GPT-2's kind write it, and the token that ends their texts."""

Answers = Literal["head", "names"]
"""By its own 'head', trained on the same labels; or, of a sentence encoder, by which of the labels' 'names' is the
nearest to the text."""


@dataclass
class Bundle:
    """A model and what belongs to it."""

    model: TextModel
    tokenizer: Any
    name: str
    """What the user called the base model."""
    fingerprint: str
    """sha256 over weights, config and tokenizer of the base model."""
    max_length: int
    """Longest row, in tokens, that the model was made for."""
    position_limit: int
    """Longest row that it can read at all."""
    licence: str | None = None
    answers: Answers | None = None
    """How the base model could answer before any training."""


def load_text_base(
    name: str, *, label_names: Sequence[str], problem_type: str, dropout: float, emit: Emit = ignore
) -> Bundle:
    """The base model called `name` with a head of `len(label_names)` outputs, in float32: a new one, or its own
    in our order where it was trained on the same labels.

    `problem_type` is transformers' word for the kind of head. Raises ModelError when the model is
    unknown, unsafe, no text encoder, or its file lacks weights of its body.
    """
    source = catalog.fetch(name, emit)
    assert source.folder is not None
    config = check_text_model(source.folder, name, emit)
    catalog.check_weights(source)
    from transformers import AutoConfig, AutoModelForSequenceClassification

    _teach_peft(source.folder)
    with quiet_transformers(), loading(source.folder, "config"):
        settings = AutoConfig.from_pretrained(source.folder, trust_remote_code=False)
        settings.id2label = dict(enumerate(label_names))
        settings.label2id = {label: index for index, label in enumerate(label_names)}
        settings.problem_type = problem_type
        settings.__dict__.pop("auto_map", None)  # nor does what a run saves name code
        for field in ("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout", "dropout",
                      "attention_dropout", "embedding_dropout", "mlp_dropout", "seq_classif_dropout",
                      "pooler_dropout"):  # fmt: skip
            if hasattr(settings, field):
                setattr(settings, field, dropout)
        if getattr(settings, "use_cache", False):
            settings.use_cache = False  # of keys and values: nothing is written here
    network, found = load_network(
        AutoModelForSequenceClassification, source.folder, settings, dtype="float32", output_loading_info=True,
        ignore_mismatched_sizes=True,  # a head for other labels; the body is checked below
    )  # fmt: skip
    new = {*found["missing_keys"], *(key for key, *_ in found["mismatched_keys"])}
    _check_body(network, new, source.folder, name)
    order = own_order(config, label_names)
    if marked(network.config):
        model, why = unfold(network), "the run that made the model had it"
    elif order is not None:
        model, why = TextModel(network, "own"), "it was trained with it on the same labels"
    else:
        pooling, why = choose_pooling(source.folder, config["model_type"])
        model = TextModel(network, pooling)
    emit(Decided("pooling", model.pooling, why))
    if marked(network.config) or f"{model.head_name}.weight" not in new:
        _settle_head(model, order, settings)
    answers: Answers | None = None
    if order is not None:
        answers = "head"
    elif is_sentence_encoder(source.folder) and model.pooling != "own":
        answers = "names"
    tokenizer = load_tokenizer(source.folder, name, emit)
    _check_words(tokenizer, network, name)
    text_config = network.config.get_text_config()
    if text_config.pad_token_id is None:  # a decoder looks for its last token by it
        text_config.pad_token_id = network.config.pad_token_id = tokenizer.pad_token_id
    return Bundle(
        model=model,
        tokenizer=tokenizer,
        name=source.name,
        fingerprint=fingerprint(source.folder),
        max_length=longest_made_for(source.folder, settings, tokenizer),
        position_limit=position_limit(settings),
        licence=source.entry.licence if source.entry else None,
        answers=answers,
    )


def load_network(maker: Any, folder: Path, settings: Any = None, **words: Any) -> Any:
    """What `maker.from_pretrained` gives for a folder that `check_folder` has seen, with `settings` in place of its
    own config, and `words` for the call. Raises ModelError for whatever goes wrong in it."""
    from transformers import AutoConfig

    given = {} if settings is None else {"config": settings}
    with quiet_transformers(), loading(folder):
        config = settings if given else AutoConfig.from_pretrained(folder, trust_remote_code=False)
        check_outline(maker, config, folder, read_weights(folder))
        return maker.from_pretrained(folder, use_safetensors=True, trust_remote_code=False, **given, **words)


def _check_words(tokenizer: Any, network: Any, name: str) -> None:
    """Raises ModelError for a tokenizer with tokens that the network has no embeddings for."""
    rows, needed = getattr(network.config.get_text_config(), "vocab_size", None), needed_tokens(tokenizer)
    if rows is not None and needed > rows:
        raise ModelError(
            f"The tokenizer of {name!r} has {needed:,} tokens and the model embeddings for {rows:,}: they do not "
            "belong together.", "Get both from the same place.",
        )  # fmt: skip


def _teach_peft(folder: Path) -> None:
    """transformers asks PEFT for what a model folder holds beside the base; ours are among it after this."""
    if described(folder):
        for name in ("bottleneck", "column"):
            importlib.import_module(f"tunesmith.models.{name}")


def own_order(config: dict[str, Any], label_names: Sequence[str]) -> list[int] | None:
    """For each of `label_names` the output of a checkpoint's trained head that stands for it; None where it has
    no such head or one for other labels. Names count without case."""
    if not str((config.get("architectures") or [""])[0]).endswith("ForSequenceClassification"):
        return None
    theirs = {str(name).strip().casefold(): int(index) for index, name in (config.get("id2label") or {}).items()}
    ours = [name.strip().casefold() for name in label_names]
    if len(ours) == len(theirs) == 1:  # a number, whatever it is called
        return [0]
    if len(theirs) != len(ours) or set(theirs) != set(ours):
        return None
    return [theirs[name] for name in ours]


def _check_body(network: Any, new: set[str], folder: Path, name: str) -> None:
    """Raises ModelError where weights of the body would have been made up. A pooler may be absent: it belongs
    to the head."""
    body = f"{network.base_model_prefix}."
    absent = sorted(key for key in new if key.startswith(body) and "pooler" not in key)
    if absent:
        raise ModelError(
            f"{len(absent)} weights of the model {name!r} are not in the files of {folder}, or have other sizes there "
            f"than its config.json says: {', '.join(absent[:3])}{', ...' if len(absent) > 3 else ''}.",
            "Get the model anew: its weights and its config.json do not belong together.",
        )


def _settle_head(model: TextModel, order: list[int] | None, settings: Any) -> None:
    """A trained head in the order of our labels; a head of other labels that happens to fit starts anew."""
    import torch

    with torch.no_grad():
        if order is None:
            model.head.weight.normal_(0.0, getattr(settings, "initializer_range", None) or 0.02)
            if model.head.bias is not None:
                model.head.bias.zero_()
            return
        for part in (model.head.weight, model.head.bias):
            if part is not None:
                part.copy_(part[order].clone())


def load_text_finished(folder: Path) -> Bundle:
    """A model that a run saved. Raises ModelError when its files are not whole, or not as they were saved."""
    check_manifest(folder)
    beside = virtual.stands_beside(folder)
    if beside:
        check_adapter_folder(folder)
    where = folder / virtual.BASE if beside else folder
    check_folder(where, str(where))
    from transformers import AutoModelForSequenceClassification

    _teach_peft(where)
    network = load_network(AutoModelForSequenceClassification, where, dtype="float32")
    if beside:  # what stands before the text is in the mean too, so this one runs as PEFT runs it
        with loading(folder, "adapter"):
            adapted = virtual.load(network, folder)
        model = TextModel(network, "own")
        model.prompted = adapted
    else:
        with loading(folder):
            model = unfold(network)
    tokenizer = load_tokenizer(folder, str(folder))
    _check_words(tokenizer, network, str(folder))
    limit = position_limit(network.config) - virtual.virtual_tokens(model.prompted)
    length = min(longest_text(tokenizer, folder), limit)
    return Bundle(model.eval(), tokenizer, folder.name, fingerprint(folder), length, limit)


def check_text_model(folder: Path, name: str, emit: Emit = ignore) -> dict[str, Any]:
    """The config, if this is a safe text model that can carry a classification head."""
    config = check_folder(folder, name, emit)
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING
    from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES

    model_type = config["model_type"]
    would_fit = f"Models that fit: {', '.join(catalog.aliases('encoder'))}."
    if model_type not in CONFIG_MAPPING:
        needs_code = " and its own code is not run" if "auto_map" in config else ""
        raise ModelError(
            f"transformers does not know the model type {model_type!r} of {name!r}{needs_code}.", would_fit
        )
    if model_type not in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES:
        raise ModelError(
            f"The model {name!r} ({model_type}) has no form that gives one answer for a whole text.",
            would_fit,
        )
    _check_tokenizer(folder)
    return config


def _check_tokenizer(folder: Path) -> None:
    if not any((folder / file).exists() for file in _TOKENIZERS):
        raise ModelError(f"The model folder {folder} has no tokenizer.", "Expected tokenizer.json in it.")


def read_tokenizer(folder: Path, emit: Emit = ignore) -> Any:
    """The tokenizer of a model folder. Raises ModelError where there is none that can be read."""
    from transformers import AutoTokenizer, GPT2Tokenizer

    check_files(folder)
    _check_tokenizer(folder)
    check_tokenizer_files(folder)
    tokenizer, fault = None, ""
    with quiet_transformers():
        try:
            with loading(folder, "tokenizer"):
                tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
                tokenizer.init_kwargs.pop("auto_map", None)
        except ModelError as error:
            tokenizer, fault = None, in_one_line(error.__cause__ or error)
        words = _bare_words(folder)
        if tokenizer is not None and 2 * len(tokenizer) >= len(words):
            return tokenizer
        # types of model that usually have another tokenizer: it is refused, or made without a single word
        if {_SPACE, _GPT2_END} <= words and (folder / "merges.txt").exists():
            with loading(folder, "tokenizer"):
                tokenizer = GPT2Tokenizer.from_pretrained(folder, trust_remote_code=False)
            emit(Decided("tokenizer", "GPT-2's", f"{folder} has vocab.json and merges.txt, but no tokenizer.json"))
            return tokenizer
    if "sentencepiece library" in fault.lower():
        raise MissingPackageError(
            f"The tokenizer of the model folder {folder} needs the package sentencepiece.",
            "Install it: pip install sentencepiece",
        )
    if foreign_code(folder).get("tokenizer_config.json") and "custom code" in fault:
        fault = "tokenizer_config.json asks for code of its own, which is never run"
    elif words:
        fault = "there is vocab.json without tokenizer.json, and transformers does not read it for this type of model"
    raise ModelError(
        f"The tokenizer of the model folder {folder} can not be read: {fault.rstrip('.')}.",
        "Expected the tokenizer.json that belongs to the model, and its tokenizer_config.json"
        + (f"; or GPT-2's pair of vocab.json, with {_GPT2_END} in it, and merges.txt." if words else "."),
    )


def _bare_words(folder: Path) -> set[str]:
    """The tokens of a vocab.json that is all there is of a tokenizer."""
    path = folder / "vocab.json"
    if (folder / "tokenizer.json").exists() or not path.exists():
        return set()
    try:
        return set(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError, RecursionError):  # transformers has told what is wrong with it
        return set()


def needed_tokens(tokenizer: Any) -> int:
    """How many embeddings text takes. Special tokens behind all others that mark no start, end or padding stand for
    images and the like (Gemma 3 has one): a text that holds one is refused by its row."""
    marks = {tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id}
    special = {number for number, token in tokenizer.added_tokens_decoder.items() if token.special} - marks
    around = tokens(tokenizer, "a").input_ids
    return 1 + max(around + [number for number in tokenizer.get_vocab().values() if number not in special])


def load_tokenizer(folder: Path, name: str, emit: Emit = ignore) -> Any:
    tokenizer = read_tokenizer(folder, emit)
    if tokenizer.pad_token_id is None and tokenizer.eos_token is not None:
        tokenizer.pad_token = tokenizer.eos_token  # what is padding is masked: any token will do
    if tokenizer.pad_token_id is None:
        raise ModelError(
            f"The tokenizer of {name!r} has no padding token, so rows of different length do not fit into one batch.",
            f"Use a text encoder: {', '.join(catalog.aliases('encoder'))}.",
        )
    return tokenizer


def save_text_model(bundle: Bundle, folder: Path, *, max_length: int, place: Path | None = None) -> None:
    """Write the finished model as a plain transformers folder (safetensors) with its tokenizer; one with virtual
    tokens as a folder that PEFT reads, which will stand at `place`.

    Other software and our own reload cut rows at the tokenizer's `model_max_length`, so the length
    that the model was trained with is written there.
    """
    with quiet_transformers():
        if bundle.model.prompted is None:
            bundle.model.fold().save_pretrained(folder)  # type: ignore[operator]
        else:
            virtual.save(bundle.model, folder, (place or folder).resolve())
        before = bundle.tokenizer.model_max_length
        bundle.tokenizer.model_max_length = max_length
        bundle.tokenizer.save_pretrained(folder)
        bundle.tokenizer.model_max_length = before
        if bundle.model.prompted is not None:  # the base is whole, and can be one of other runs
            bundle.tokenizer.save_pretrained(folder / virtual.BASE)


def fingerprint(folder: Path) -> str:
    """sha256 over the contents that change what a model computes."""
    found = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix == ".safetensors" or path.name in ("config.json", "tokenizer.json", "vocab.txt"):
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
