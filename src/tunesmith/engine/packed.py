"""Products and convolutions with weights that are laid out once, as the processor's instructions read them.

Done anew in every call that is a sixth of the time of many small batches of texts, and two fifths of pictures. What
follows (a GELU, a normalisation whose statistics stay, a ReLU) is computed while the results are still at hand. The
operators are those that torch.compile uses for constant weights on a processor (oneDNN).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn

from tunesmith.models.norms import folded

_CONVOLVED = (("conv", "norm", "activation"), ("convolution", "normalization", "activation"))
"""What transformers' networks call a convolution, what normalises its results and what follows, done in turn."""


@contextmanager
def packed(model: nn.Module, rows: int) -> Iterator[None]:
    """The bf16 `nn.Linear` layers of `model`, where the processor knows bf16, and its `nn.Conv2d` of any precision
    compute with packed weights while the block lasts; on a processor and without gradients only. `rows` is about how
    many rows (tokens) linear layers are given at once.
    """
    replaced: list[nn.Module] = []
    with _on_one_core():
        convolutions = list(_convolutions(model))
    try:
        for module, forward in [*_linear(model, rows), *convolutions]:
            vars(module)["forward"] = forward
            replaced.append(module)
        yield
    finally:
        for module in replaced:
            vars(module).pop("forward", None)


@contextmanager
def _on_one_core() -> Iterator[None]:
    """How weights of convolutions are laid out depends on how many cores there are, and each core computes batches of
    its own (`engine.inference`): laid out for two, a batch in bf16 took three times as long on one."""
    cores = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(cores)


def _fits(layer: nn.Module, kind: type[nn.Module]) -> bool:
    if type(layer) is not kind or "forward" in vars(layer) or not torch.backends.mkldnn.is_available():
        return False
    weight: Any = layer.weight
    if weight.device.type != "cpu":
        return False
    return bool(weight.dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported()) or (
        weight.dtype == torch.float32 and kind is nn.Conv2d
    )


def _linear(model: nn.Module, rows: int) -> Iterator[tuple[nn.Module, Callable[..., Any]]]:
    layers: dict[nn.Module, tuple[Any, str]] = {
        layer: (layer, "none") for layer in model.modules() if _fits(layer, nn.Linear)
    }
    for module in model.modules():
        first = getattr(module, "dense", None)
        if first in layers and _is_gelu(getattr(module, "intermediate_act_fn", None)):
            del layers[first]
            layers[module] = first, "gelu"
    for module, (layer, then) in layers.items():
        weight = torch.ops.mkldnn._reorder_linear_weight(layer.weight.detach(), rows)
        yield module, partial(_product, weight, layer.bias, then)


def _is_gelu(function: Any) -> bool:
    """Whether it is the exact GELU, as transformers' encoders have it after the first layer of a block's MLP."""
    from transformers.activations import GELUActivation

    return type(function) is GELUActivation and function.act is nn.functional.gelu


def _product(weight: Tensor, bias: Tensor | None, then: str, x: Tensor) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, then, [], "none" if then == "gelu" else "")


@torch.no_grad()
def _convolutions(model: nn.Module) -> Iterator[tuple[nn.Module, Callable[..., Any]]]:
    own: dict[nn.Module, tuple[Any, Any]] = {}
    done: set[nn.Module] = set()
    for module in cast(Iterator[Any], model.modules()):
        layer = cast(Any, getattr(module, "conv", None))
        if hasattr(module, "packed") and _fits(layer, nn.Conv2d) and (forward := module.packed(_laid)):
            done.add(layer)
            yield module, forward
        if type(module).__module__.startswith("transformers.models."):
            for names in _CONVOLVED:
                layer, norm, then = (cast(Any, getattr(module, name, None)) for name in names)
                if _fits(layer, nn.Conv2d) and _is_settled(norm):
                    own[layer] = norm, then
    for layer in cast(Iterator[Any], model.modules()):
        if (
            not _fits(layer, nn.Conv2d)
            or layer in done
            or layer.padding_mode != "zeros"
            or isinstance(layer.padding, str)
        ):
            continue
        weight, bias, norm, then = layer.weight, layer.bias, *own.get(layer, (None, None))
        if norm is not None:
            weight, bias = folded(layer, norm)
            yield norm, _same
            if _attribute(then)[0] != "none":
                yield then, _same
        yield layer, partial(_laid(weight, bias, layer, then), padding=layer.padding)


def _is_settled(norm: Any) -> bool:
    return type(norm) is nn.BatchNorm2d and not norm.training and norm.affine and norm.running_mean is not None


def _attribute(then: Any) -> tuple[str, list[float]]:
    """oneDNN's word for an activation, 'none' for what it does not have."""
    if type(then) is nn.ReLU:
        return "relu", []
    return ("hardtanh", [0.0, 6.0]) if type(then) is nn.ReLU6 else ("none", [])


def _same(x: Tensor) -> Tensor:
    return x


def _laid(weight: Tensor, bias: Tensor | None, layer: nn.Conv2d, then: nn.Module | None) -> Callable[..., Tensor]:
    """A function of an input and its padding that gives what `layer` would with other weights, and `then` of that."""
    shape, attribute = (layer.stride, layer.dilation, layer.groups), _attribute(then)
    laid = torch.ops.mkldnn._reorder_convolution_weight(weight.detach(), layer.padding, *shape)

    def convolved(x: Tensor, padding: tuple[int, int]) -> Tensor:
        found: Tensor = torch.ops.mkldnn._convolution_pointwise(x, laid, bias, padding, *shape, *attribute, "")
        return found

    return convolved
