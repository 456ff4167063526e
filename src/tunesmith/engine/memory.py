"""What a training step holds in memory, from a model's config alone.

Weights, moments and gradients are counted; activations are not guessed from a formula but taken from
the network itself: it is built without storage (PyTorch's meta device), one forward and backward pass
is run on shapes only, and every tensor is followed from its birth to its death. So gated or plain
MLPs, grouped heads, recomputed blocks and frozen parts count as what they are, for any architecture.
"""

from __future__ import annotations

import bisect
import copy
import functools
import math
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from transformers.pytorch_utils import Conv1D

from tunesmith.core.errors import ModelError, OptionError, did_you_mean
from tunesmith.models.additions import checkpoint_activations
from tunesmith.models.blocks import depths
from tunesmith.models.language import LanguageModel
from tunesmith.models.load import quiet_transformers
from tunesmith.models.text import TextModel

Kind = Literal["causal", "seq2seq", "classification"]

METHODS = ("full", "head", "lora", "qlora")
PROCESS_BYTES = 880e6
"""The interpreter with every library imported (590 MB of resident memory), their first kernels, and what a run
holds beside its training: rows, evaluation, report. Measured on models of 0.3 to 33 million weights."""
GPU_BYTES = 800e6
"""What a CUDA context and the libraries' workspaces take of a GPU."""
NF4_BYTES = (4 + 8 / 64 + 32 / (64 * 256)) / 8
"""Bytes of a weight in NF4 with double quantisation (Dettmers et al. 2023, section 3): 4.127 bits."""
_MOMENTS = 8  # bytes: AdamW's two moments in float32
_HOLES = 0.5
"""The heap of a processor keeps holes about this large a part of what one block makes and drops; measured."""
_MAPPED = 24 * 2**20  # larger tensors (chunks of logits among them) go back to the system and leave no holes
_GPU_SPARE = 0.1  # of gradients and activations: what PyTorch's allocator holds unused; assumed
MANY_ROWS = 1_024
"""Larger batches are not looked for."""


@dataclass(frozen=True)
class Recipe:
    """How a model is trained, as far as memory and time depend on it."""

    method: str = "full"
    rank: int = 16
    frozen_share: float = 0.0
    """Of 'full': embeddings and this share of the blocks, from the bottom, do not move (0: all moves)."""
    precision: str = "bf16"
    float32_base: bool = False
    """Weights that do not move are kept in float32 too, beside their bf16 copy."""
    attention: str = "sdpa"
    checkpointing: bool = False
    tokens_at_once: int | None = None
    """Larger batches are computed in parts whose gradients are added up."""

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise OptionError(f"There is no method called {self.method!r}.", did_you_mean(self.method, METHODS))


@dataclass(frozen=True)
class Parameters:
    """Numbers of weights. `linear`: those of linear layers inside blocks, the ones LoRA adds to."""

    total: int
    embedding: int
    linear: int
    head: int
    trainable: int
    largest_linear: int


@dataclass(frozen=True)
class Memory:
    """Bytes at the moment when most is held. `total` is their sum."""

    process: float
    weights: float
    optimizer: float
    gradients: float
    activations: float

    @property
    def total(self) -> float:
        return self.process + self.weights + self.optimizer + self.gradients + self.activations


def count_parameters(config: Any, kind: Kind, recipe: Recipe) -> Parameters:
    """The weights of the model that `config` describes, and those that move. Needs no storage.

    Raises ModelError when transformers has no such network.
    """
    return Skeleton(config, kind, recipe).parameters


class Skeleton:
    """The network of `config`, arranged as `recipe` trains it; without storage unless another device is given."""

    def __init__(self, config: Any, kind: Kind, recipe: Recipe, on: str = "meta"):
        self.kind, self.recipe, self.on = kind, recipe, on
        self.dtype = torch.bfloat16 if recipe.precision == "bf16" else torch.float32
        self.config = copy.deepcopy(config)
        self.network = _build(self.config, kind, recipe, on)
        head = _head(self.network, kind)
        linear = {
            name: module for name, module in self.network.named_modules()
            if isinstance(module, nn.Linear | Conv1D) and module is not head
        }  # fmt: skip
        tables = {id(m.weight): m.weight for m in self.network.modules() if isinstance(m, nn.Embedding)}
        self.tied = id(head.weight) in tables
        total = sum(p.numel() for p in self.network.parameters())
        _arrange(self.network, head, linear, recipe)
        self.network.to(self.dtype).train()
        self.weights = list(self.network.parameters())
        self.blocks = int(self.config.get_text_config().num_hidden_layers) * (2 if kind == "seq2seq" else 1)
        self.head = head
        self.language = None if kind == "classification" else LanguageModel(self.network)
        self.parameters = Parameters(
            total=total,
            embedding=sum(table.numel() for table in tables.values()),
            linear=sum(m.weight.numel() for m in linear.values()),
            head=head.weight.numel(),
            trainable=sum(p.numel() for p in self.weights if p.requires_grad),
            largest_linear=max((m.weight.numel() for m in linear.values()), default=0),
        )

    def step_bytes(self, rows: int, length: int) -> tuple[float, float]:
        """Most bytes that one forward and backward pass adds to weights and moments, gradients among them;
        and the bytes of all smaller tensors that one block makes, however soon it drops them."""
        limit = self.recipe.tokens_at_once
        parts = 1 if limit is None else min(rows, max(1, -(-rows * length // limit)))
        rows = -(-rows // parts)
        computed = min(parts, 2)  # the second part meets the gradients of the first
        with _Attention(), _Alive([*self.weights, *self.network.buffers()]) as alive:
            for _ in range(computed):
                self.loss(rows, length).backward()
        for weight in self.weights:
            weight.grad = None
        return float(alive.peak), alive.made / computed / self.blocks

    def loss(self, rows: int, length: int) -> Tensor:
        """The summed loss of rows that are all the same token, as the tasks compute theirs."""
        ids = torch.ones(rows, length, dtype=torch.long, device=self.on)
        batch = {"input_ids": ids, "attention_mask": ids}
        if self.kind == "classification":
            hidden = self.network.base_model(**batch).last_hidden_state
            pooled = hidden.float().mean(1).to(self.head.weight.dtype)
            return functional.cross_entropy(self.head(pooled).float(), ids[:, 0])
        if self.kind == "seq2seq":
            batch["decoder_input_ids"] = ids
        assert self.language is not None
        losses, _ = self.language(
            {**batch, "positions": torch.arange(ids.numel(), device=self.on), "labels": ids.flatten()}
        )
        return losses.sum()


def peak_bytes(skeleton: Skeleton, rows: int, length: int, *, gpu: bool = False) -> Memory:
    """Most memory that training holds at once, on batches of `rows` rows of `length` tokens.

    Either in the middle of the backward pass (activations, and the gradients that are there already)
    or when all gradients stand in float32 before the optimizer.
    """
    recipe, moving = skeleton.recipe, skeleton.parameters.trainable
    step, made = skeleton.step_bytes(rows, length)
    if recipe.method == "qlora":
        step += 2 * skeleton.parameters.largest_linear  # one layer at a time is unpacked
    whole = 4.0 * moving
    gradients = whole if whole >= step else min(step, moving * skeleton.dtype.itemsize)
    alive = max(whole, step)
    return Memory(
        process=GPU_BYTES if gpu else PROCESS_BYTES,
        weights=weight_bytes(skeleton),
        optimizer=_MOMENTS * moving,
        gradients=gradients,
        activations=alive - gradients + (_GPU_SPARE * alive if gpu else _HOLES * made),
    )


def weight_bytes(skeleton: Skeleton) -> float:
    """Weights as the products read them, and the float32 masters behind those that move."""
    counted, recipe = skeleton.parameters, skeleton.recipe
    everything = sum(p.numel() for p in skeleton.weights)
    if recipe.method == "qlora":
        packed = counted.linear * NF4_BYTES
        return packed + 2.0 * (everything - counted.linear) + 4.0 * counted.trainable
    if recipe.precision != "bf16":
        return 4.0 * everything
    return 2.0 * everything + 4.0 * (everything if recipe.float32_base else counted.trainable)


def largest_batch(skeleton: Skeleton, length: int, limit: float, *, gpu: bool = False) -> int:
    """Most rows of `length` tokens whose training stays below `limit` bytes, at most `MANY_ROWS`; 0 when
    one row does not. Memory grows ever steeper with rows, so one and two rows bound the search."""

    @functools.cache
    def need(rows: int) -> float:
        return peak_bytes(skeleton, rows, length, gpu=gpu).total

    bound = 1 + (limit - need(1)) / max(1.0, need(2) - need(1))
    return bisect.bisect_right(range(1, 1 + max(0, math.floor(min(bound, MANY_ROWS)))), limit, key=need)


def checkpoint_bytes(parameters: Parameters) -> float:
    """A checkpoint: the moving weights in float32 and their two moments."""
    return 12.0 * parameters.trainable


def operations_per_token(skeleton: Skeleton, length: int, learned: float = 1.0) -> tuple[float, float]:
    """Operations for each token of a forward pass alone, and of a training step.

    2 a weight forward, 2 for the gradient that goes on to the inputs, 2 for that of a weight that moves
    (Kaplan et al. 2020, table 1); logits and recomputed blocks count twice forward. `learned` is the share of
    tokens that have logits. For encoder-decoders a token is one that is read and one that is written.
    """
    counted, recipe = skeleton.parameters, skeleton.recipe
    text = skeleton.config.get_text_config()
    blocks = counted.total - counted.embedding - (0 if skeleton.tied else counted.head)
    # queries times keys, and scores times values; an encoder-decoder has three of them
    scores = 4.0 * length * int(text.num_hidden_layers) * int(text.hidden_size)
    through = 2.0 * blocks + scores * (3 if skeleton.kind == "seq2seq" else 1)
    logits = 2.0 * counted.head * learned if skeleton.kind != "classification" else 0.0
    if recipe.method == "head":
        return through, 0.0  # on features that are computed once
    moving = 1 - recipe.frozen_share
    # the frozen bottom of an encoder is run once, of a language model in every step
    forward = through * (moving if skeleton.kind == "classification" else 1)
    again = through * moving if recipe.checkpointing else 0.0
    everything = recipe.method == "full" and not recipe.frozen_share
    trained = counted.trainable - (counted.embedding if everything else 0)
    backward = (through + scores) * moving + 3 * logits
    if everything and skeleton.kind != "classification":
        trained -= 0 if skeleton.tied else counted.head
        backward += logits  # for the output layer's own gradient
    return through + logits, forward + again + backward + 2.0 * trained


def shrink(config: Any, layers: int, words: int) -> Any:
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


def _build(config: Any, kind: Kind, recipe: Recipe, on: str) -> Any:
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
        with quiet_transformers(), torch.device(on):
            network = makers[kind].from_config(config, attn_implementation=recipe.attention, dtype=torch.float32)
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


def _head(network: Any, kind: Kind) -> nn.Linear:
    head = TextModel(network, "own").head if kind == "classification" else network.get_output_embeddings()
    assert isinstance(head, nn.Linear)
    return head


def _arrange(network: Any, head: nn.Linear, linear: Mapping[str, nn.Linear | Conv1D], recipe: Recipe) -> None:
    """What moves, as the methods of the same names arrange it."""
    if recipe.method == "full":
        if recipe.frozen_share:
            depth_of, top = depths(network)
            lowest = 1 + round((top - 1) * recipe.frozen_share)
            for name, parameter in network.named_parameters():
                parameter.requires_grad_(depth_of[name] >= lowest)
        return
    network.requires_grad_(False)
    if recipe.method != "head":
        for name, module in linear.items():
            parent, _, own = name.rpartition(".")
            setattr(network.get_submodule(parent), own, _LowRank(module, recipe.rank))
    if isinstance(getattr(network, "num_labels", None), int) and head.out_features == network.num_labels:
        head.requires_grad_(True)


class _LowRank(nn.Module):
    """A frozen linear layer with its low-rank addition (Hu et al. 2021), shaped as PEFT's."""

    def __init__(self, base: nn.Linear | Conv1D, rank: int):
        super().__init__()
        self.base = base
        inputs, outputs = reversed(base.weight.shape) if isinstance(base, nn.Linear) else base.weight.shape
        self.down = nn.Linear(inputs, rank, bias=False, device=base.weight.device)
        self.up = nn.Linear(rank, outputs, bias=False, device=base.weight.device)

    @property
    def weight(self) -> Tensor:
        return self.base.weight  # some networks look at their layers' type

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + self.up(self.down(x)) * 2.0


class _Alive(TorchDispatchMode):
    """Bytes of the tensors made while it lasts that are still alive, and the most there ever were."""

    def __init__(self, before: Sequence[Tensor]) -> None:
        super().__init__()
        self._seen: dict[int, weakref.ref[Any]] = {}
        self.now = self.peak = self.made = 0
        for tensor in before:  # views of them are no new memory
            self._follow(tensor.untyped_storage(), counts=False)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for value in result if isinstance(result, tuple | list) else (result,):
            if isinstance(value, Tensor):
                self._follow(value.untyped_storage())
        return result

    def _follow(self, storage: Any, counts: bool = True) -> None:
        key = id(storage)
        known = self._seen.get(key)
        if known is not None and known() is storage:
            return
        size = storage.nbytes() if counts else 0

        def gone(_: Any) -> None:
            self.now -= size
            self._seen.pop(key, None)

        self._seen[key] = weakref.ref(storage, gone)
        self.now += size
        self.made += size if size < _MAPPED else 0
        self.peak = max(self.peak, self.now)


class _Attention(TorchFunctionMode):
    """Fused attention as the kernels of all devices hold it: no scores, only their row sums.

    Values do not exist, so questions to them are answered: a mask can be left out, nothing is padding.
    """

    def __torch_function__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is functional.scaled_dot_product_attention:
            return _Fused.apply(*args[:3])
        if func in (Tensor.__bool__, Tensor.__contains__):
            return func is Tensor.__bool__
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
