"""A model that reads texts as a method trains it, built from its config alone and run on shapes."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any, Literal, cast

import torch
from torch import Tensor
from torch.nn import functional

from tunesmith.core.errors import ModelError
from tunesmith.core.options import Options
from tunesmith.engine.meta_network import Attention, Everything, MetaNetwork, Recipe
from tunesmith.engine.protocols import Method
from tunesmith.models.additions import checkpoint_activations
from tunesmith.models.bundle import Bundle, LanguageBundle
from tunesmith.models.config import read_config
from tunesmith.models.language import LanguageModel
from tunesmith.models.pretrained import few_parts, quiet_transformers
from tunesmith.models.text import TextModel, usual_pooling
from tunesmith.models.types import Config, Network

Kind = Literal["causal", "seq2seq", "classification"]


class MetaModel(MetaNetwork):
    """The network of `config` as `method` trains it; without storage unless another device is given.

    Raises ModelError when transformers has no such network, OptionError for blocks to freeze that it does not have,
    and what the method's `prepare` raises.
    """

    def __init__(self, config: Config, kind: Kind, method: Method, recipe: Recipe, on: str = "meta"):
        self.kind: Kind = kind
        self.config = copy.deepcopy(config)
        bundle = _bundle(_build(self.config, kind, recipe, on), kind)
        self.blocks = int(self.config.get_text_config().num_hidden_layers) * (2 if kind == "seq2seq" else 1)
        super().__init__(bundle, method, recipe, on)
        self.tied = id(self.head.weight) in self.tables

    @property
    def head_weights(self) -> int:
        return int(self.head.weight.numel())

    def loss(self, rows: int, length: int) -> Tensor:
        """The summed loss of rows that are all the same token, as the tasks compute theirs. `length` is that of what
        is computed, with the virtual tokens that a method puts before a row."""
        length = max(1, length - self.method.virtual_tokens)
        ids = torch.ones(rows, length, dtype=torch.long, device=self.on)
        batch = {"input_ids": ids, "attention_mask": ids}
        if self.kind == "classification":
            if self.model.prompted is None:
                pooled = self.network.base_model(**batch).last_hidden_state.float().mean(1)
            else:  # PEFT's wrapper says what else is read
                pooled = self.model.features(batch)
            pooled = pooled.to(self.head.weight.dtype)
            return functional.cross_entropy(self.head(pooled).float(), ids[:, 0])
        if self.kind == "seq2seq":
            batch["decoder_input_ids"] = ids
        positions = torch.arange(ids.numel(), device=self.on)
        losses, _ = self.model({**batch, "positions": positions, "labels": ids.flatten()})
        return losses.sum()


def shrink(config: Config, layers: int, words: int) -> Config:
    """`config` with fewer blocks and a smaller vocabulary, for a measurement in seconds."""
    small = copy.deepcopy(config)
    text = small.get_text_config()
    for field in ("num_hidden_layers", "decoder_layers", "encoder_layers", "num_decoder_layers"):
        if hasattr(text, field):
            setattr(text, field, layers)
    if getattr(text, "layer_types", None):
        text.layer_types = [text.layer_types[i % len(text.layer_types)] for i in range(layers)]
    text.vocab_size = words
    for field in ("pad_token_id", "bos_token_id", "eos_token_id"):
        if isinstance(getattr(text, field, None), int):
            setattr(text, field, 0)
    return small


def _build(config: Config, kind: Kind, recipe: Recipe, on: str) -> Network:
    import transformers

    makers = {
        "causal": transformers.AutoModelForCausalLM,
        "seq2seq": transformers.AutoModelForSeq2SeqLM,
        "classification": transformers.AutoModelForSequenceClassification,
    }
    for field in ("attention_dropout", "hidden_dropout_prob", "attention_probs_dropout_prob", "dropout"):
        if hasattr(config, field):
            setattr(config, field, 0.0)
    try:
        with quiet_transformers(), few_parts("The model's config"), torch.device(on):
            network = makers[kind].from_config(
                config, attn_implementation=recipe.attention, dtype=torch.float32, trust_remote_code=False
            )
    except ValueError as error:
        if recipe.attention != "eager":  # some families have no fused form
            return _build(config, kind, replace(recipe, attention="eager"), on)
        reason = str(error).splitlines()[0]
        raise ModelError(f"A {config.model_type!r} model has no form for this task: {reason}") from None
    if recipe.checkpointing:
        checkpoint_activations(
            network, **({"context_fn": lambda: (nullcontext(), Attention())} if on == "meta" else {})
        )
    return network


def _bundle(network: Network, kind: Kind) -> Bundle:
    name = network.config.model_type
    words: Any = _Words(int(network.config.get_text_config().vocab_size))
    if kind == "classification":
        return Bundle(TextModel(network, usual_pooling(name)), words, name, "", 0)
    return LanguageBundle(LanguageModel(network), words, name, "", 0, kind=kind)


class _Words:
    """A tokenizer for methods that begin with some words: here it does not matter which."""

    all_special_ids = ()

    def __init__(self, count: int):
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __call__(self, text: str, **_: object) -> dict[str, list[int]]:
        return {"input_ids": [0]}

    def get_added_vocab(self) -> dict[str, int]:
        return {}


def check_blocks(model: str, patterns: Sequence[str], network: str = "classification") -> None:
    """Raises OptionError for blocks to freeze that a model of this machine does not have; reads no weights."""
    MetaModel(read_config(model)[0], cast(Any, network), Everything(Options()), Recipe(freeze=tuple(patterns)))
