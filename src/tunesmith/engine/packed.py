"""Weights of matrix products laid out once as the processor's bf16 instructions read them.

A product lays its weights out anew in every call; over many small batches that is a sixth of the time. A GELU that
follows is computed while the product's results are still at hand. The operators are those that torch.compile uses for
constant weights on a processor (oneDNN).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn


@contextmanager
def packed(model: nn.Module, rows: int) -> Iterator[None]:
    """The bf16 `nn.Linear` layers of `model` on a processor compute with packed weights while the block lasts, where
    the processor knows bf16; without gradients only. `rows` is about how many rows (tokens) they are given at once.
    """
    layers: dict[nn.Module, tuple[Any, str]] = {
        layer: (layer, "none") for layer in model.modules() if type(layer) is nn.Linear and _fits(layer.weight)
    }
    for module in model.modules():
        first = getattr(module, "dense", None)
        if first in layers and _is_gelu(getattr(module, "intermediate_act_fn", None)):
            del layers[first]
            layers[module] = first, "gelu"
    try:
        for module, (layer, then) in layers.items():
            weight = torch.ops.mkldnn._reorder_linear_weight(layer.weight.detach(), rows)
            vars(module)["forward"] = partial(_product, weight, layer.bias, then)
        yield
    finally:
        for module in layers:
            vars(module).pop("forward", None)


def _fits(weight: Tensor) -> bool:
    bf16 = weight.dtype == torch.bfloat16 and weight.device.type == "cpu"
    return bf16 and torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()


def _is_gelu(function: Any) -> bool:
    """Whether it is the exact GELU, as transformers' encoders have it after the first layer of a block's MLP."""
    from transformers.activations import GELUActivation

    return type(function) is GELUActivation and function.act is nn.functional.gelu


def _product(weight: Tensor, bias: Tensor | None, then: str, x: Tensor) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, then, [], "none" if then == "gelu" else "")
