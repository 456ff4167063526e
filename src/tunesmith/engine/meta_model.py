"""A model as a method trains it, built from its config alone and run on shapes.

It is built without storage (PyTorch's meta device), the method itself says what moves and adds what it adds,
one forward and backward pass is run on shapes only, and every tensor is followed from its birth to its death.
So gated or plain MLPs, grouped heads, recomputed blocks, additions and frozen parts count as what they are, for
any architecture.
"""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from transformers.pytorch_utils import Conv1D

from tunesmith.core.errors import ModelError
from tunesmith.core.options import Options
from tunesmith.engine.optim import ParameterGroup
from tunesmith.engine.protocols import Method
from tunesmith.models.additions import checkpoint_activations
from tunesmith.models.blocks import depths, freeze
from tunesmith.models.bundle import Bundle, LanguageBundle
from tunesmith.models.config import read_config
from tunesmith.models.language import LanguageModel
from tunesmith.models.pretrained import few_parts, quiet_transformers
from tunesmith.models.text import TextModel, usual_pooling
from tunesmith.models.types import Config, Network

Kind = Literal["causal", "seq2seq", "classification"]

_MAPPED = 24 * 2**20  # larger tensors (chunks of logits among them) go back to the system and leave no holes


class Everything(Method):
    """All weights move."""

    summary = "all weights move"
    learning_rate, epochs = 0.0, 0

    def prepare(self, bundle: Bundle, seed: int) -> None: ...

    def groups(self, bundle: Bundle, learning_rate: float) -> list[ParameterGroup]:
        return []


@dataclass(frozen=True)
class Recipe:
    """How a model is trained, as far as memory and time depend on it, beside the method."""

    precision: str = "bf16"
    float32_base: bool = False
    """Weights that do not move are kept in float32 too, beside their bf16 copy."""
    packed: bool = False
    """Linear layers that do not move are in 4 bits."""
    attention: str = "sdpa"
    checkpointing: bool = False
    tokens_at_once: int | None = None
    """Larger batches are computed in parts whose gradients are added up."""
    freeze: tuple[str, ...] = ()
    """Blocks that stay as they are, whatever the method moves."""


@dataclass(frozen=True)
class Parameters:
    """Numbers of weights. `linear`: those of linear layers inside blocks, without additions; `trainable`: those
    that move, in or beside the `total`."""

    total: int
    embedding: int
    linear: int
    head: int
    trainable: int
    largest_linear: int


class MetaModel:
    """The network of `config` as `method` trains it; without storage unless another device is given.

    Raises ModelError when transformers has no such network, OptionError for blocks to freeze that it does not have,
    and what the method's `prepare` raises.
    """

    def __init__(self, config: Config, kind: Kind, method: Method, recipe: Recipe, on: str = "meta"):
        self.kind, self.method, self.recipe, self.on = kind, method, recipe, on
        self.dtype = torch.bfloat16 if recipe.precision == "bf16" else torch.float32
        self.config = copy.deepcopy(config)
        self.network = _build(self.config, kind, recipe, on)
        self.bundle = _bundle(self.network, kind)
        self.model: Any = self.bundle.model
        self.head: Any = self.model.head
        self.tables = {id(m.weight): m.weight for m in self.network.modules() if isinstance(m, nn.Embedding)}
        self.tied = id(self.head.weight) in self.tables
        self._linear = [
            module.weight.numel() for module in self.network.modules()
            if isinstance(module, nn.Linear | Conv1D) and module is not self.head
        ]  # fmt: skip
        self._total = sum(p.numel() for p in self.network.parameters())
        freeze(self.model, recipe.freeze)
        self.blocks = int(self.config.get_text_config().num_hidden_layers) * (2 if kind == "seq2seq" else 1)
        with _Attention() if on == "meta" else nullcontext():
            method.prepare(self.bundle, 0)
        self.model.to(device=on, dtype=self.dtype).train()
        self.weights = list(self.model.parameters())
        self.masters = sum(p.numel() for p in self.weights if p.requires_grad)
        """Weights that move in some epoch: their float32 masters are there from the start."""

    def begin(self, epoch: int) -> None:
        """What moves in that epoch (from 0), where a method changes it on the way."""
        self.method.on_stage(self.method.stage(epoch, epoch - 1, True), self.bundle)

    @property
    def parameters(self) -> Parameters:
        """Counted as they are in this epoch."""
        return Parameters(
            total=self._total,
            embedding=sum(table.numel() for table in self.tables.values()),
            linear=sum(self._linear),
            head=self.head.weight.numel(),
            trainable=sum(p.numel() for p in self.weights if p.requires_grad),
            largest_linear=max(self._linear, default=0),
        )

    @property
    def frozen(self) -> float:
        """Share of the blocks, from the bottom, below all that moves: no gradient goes through them."""
        depth_of, top = depths(self.model)
        lowest = min((depth_of[name] for name, p in self.model.named_parameters() if p.requires_grad), default=top)
        return max(0, lowest - 1) / max(1, top - 1)

    def step_bytes(self, rows: int, length: int) -> tuple[float, float]:
        """Most bytes that one forward and backward pass adds to weights and moments, gradients among them;
        and the bytes of all smaller tensors that one block makes, however soon it drops them."""
        limit = self.recipe.tokens_at_once
        parts = 1 if limit is None else min(rows, max(1, -(-rows * length // limit)))
        rows = -(-rows // parts)
        computed = min(parts, 2)  # the second part meets the gradients of the first
        with _Attention(), _Alive([*self.weights, *self.model.buffers()]) as alive:
            for _ in range(computed):
                self.loss(rows, length).backward()
        for weight in self.weights:
            weight.grad = None
        return float(alive.peak), alive.made / computed / self.blocks

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
            network, **({"context_fn": lambda: (nullcontext(), _Attention())} if on == "meta" else {})
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


class _Alive(TorchDispatchMode):
    """Bytes of the tensors made while it lasts that are still alive, and the most there ever were."""

    def __init__(self, before: Sequence[Tensor]) -> None:
        super().__init__()
        self._seen: dict[int, weakref.ref[Any]] = {}
        self.now = self.peak = self.made = 0
        for tensor in before:  # views of them are no new memory
            self._follow(tensor.untyped_storage(), counts=False)

    def __torch_dispatch__(
        self, func: Callable[..., object], types: object, args: Sequence[object] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:  # fmt: skip
        result = func(*args, **(kwargs or {}))
        for value in result if isinstance(result, tuple | list) else (result,):
            if isinstance(value, Tensor):
                self._follow(value.untyped_storage())
        return result

    def _follow(self, storage: torch.UntypedStorage, counts: bool = True) -> None:
        key = id(storage)
        known = self._seen.get(key)
        if known is not None and known() is storage:
            return
        size = storage.nbytes() if counts else 0

        def gone(_: object) -> None:
            self.now -= size
            self._seen.pop(key, None)

        self._seen[key] = weakref.ref(storage, gone)
        self.now += size
        self.made += size if size < _MAPPED else 0
        self.peak = max(self.peak, self.now)


_ANSWERS: dict[Any, Any] = {Tensor.__bool__: True, Tensor.__contains__: False, Tensor.__float__: 1.0}


class _Attention(TorchFunctionMode):
    """Fused attention as the kernels of all devices hold it: no scores, only their row sums.

    Values do not exist, so questions to them are answered: a mask can be left out, nothing is padding, sizes are 1.
    """

    def __torch_function__(
        self, func: Callable[..., object], types: object, args: Sequence[Any] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:  # fmt: skip
        if func is functional.scaled_dot_product_attention:
            return _Fused.apply(*args[:3])
        if func in _ANSWERS:
            return _ANSWERS[func]
        return func(*args, **(kwargs or {}))


class _Fused(torch.autograd.Function):
    """Shapes only. q [..., length, size]; what FlashAttention (Dao et al. 2022) keeps for its backward pass."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        out = torch.empty((*q.shape[:-1], v.shape[-1]), dtype=q.dtype, device=q.device)
        sums = torch.empty(q.shape[:-1], dtype=torch.float32, device=q.device)
        ctx.save_for_backward(q, k, v, out, sums)
        return out

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> tuple[Tensor, ...]:
        q, k, v, *_rest = ctx.saved_tensors
        return torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)


def check_blocks(model: str, patterns: Sequence[str], network: str = "classification") -> None:
    """Raises OptionError for blocks to freeze that a model of this machine does not have; reads no weights."""
    MetaModel(read_config(model)[0], cast(Any, network), Everything(Options()), Recipe(freeze=tuple(patterns)))
