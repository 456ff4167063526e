"""What networks that are run on shapes have in common: what moves in them, and what a step holds in memory.

A network is built without storage (PyTorch's meta device), the method itself says what moves and adds what it adds,
one forward and backward pass is run on shapes only, and every tensor is followed from its birth to its death.
So gated or plain MLPs, grouped heads, recomputed blocks, additions and frozen parts count as what they are, for
any architecture.
"""

from __future__ import annotations

import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from transformers.pytorch_utils import Conv1D

from tunesmith.engine.optim import ParameterGroup
from tunesmith.engine.protocols import Method
from tunesmith.models.blocks import depths, freeze
from tunesmith.models.bundle import Bundle

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


class MetaNetwork(ABC):
    """The network of `bundle` as `method` trains it; without storage unless it was built on another device.

    Raises OptionError for blocks to freeze that it does not have, and what the method's `prepare` raises.
    """

    blocks: int

    def __init__(self, bundle: Bundle[Any], method: Method, recipe: Recipe, on: str):
        self.method, self.recipe, self.on, self.bundle = method, recipe, on, bundle
        self._steps: dict[tuple[int, ...], tuple[float, float]] = {}
        self.dtype = torch.bfloat16 if recipe.precision == "bf16" else torch.float32
        self.model: Any = bundle.model
        self.network = self.model.network
        self.head: Any = self.model.head
        self.tables = {id(m.weight): m.weight for m in self.network.modules() if isinstance(m, nn.Embedding)}
        self._linear = [
            module.weight.numel() for module in self.network.modules()
            if isinstance(module, nn.Linear | Conv1D) and module is not self.head
        ]  # fmt: skip
        self._total = sum(p.numel() for p in self.network.parameters())
        freeze(self.model, recipe.freeze)
        with Attention() if on == "meta" else nullcontext():
            method.prepare(self.bundle, 0)
        self._cast()
        self.weights = list(self.model.parameters())
        self.masters = sum(p.numel() for p in self.weights if p.requires_grad)
        """Weights that move in some epoch: their float32 masters are there from the start."""

    def _cast(self) -> None:
        """Into the number format of the recipe."""
        self.model.to(device=self.on, dtype=self.dtype).train()

    @abstractmethod
    def loss(self, rows: int, length: int) -> Tensor:
        """A loss of so many rows that cost `length` each; a scalar."""

    @property
    def head_weights(self) -> int:
        return sum(p.numel() for p in self.head.parameters())

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
            head=self.head_weights,
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
        key = rows, length, computed, self.parameters.trainable
        if key not in self._steps:
            self._steps[key] = self._step_bytes(rows, length, computed)
        return self._steps[key]

    def _step_bytes(self, rows: int, length: int, computed: int) -> tuple[float, float]:
        with Attention(), _Alive([*self.weights, *self.model.buffers()]) as alive:
            for _ in range(computed):
                self.loss(rows, length).backward()
        for weight in self.weights:
            weight.grad = None
        return float(alive.peak), alive.made / computed / self.blocks


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


class Attention(TorchFunctionMode):
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
