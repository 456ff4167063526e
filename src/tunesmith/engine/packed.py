"""Weights of matrix products laid out once as the processor's bf16 instructions read them.

A product lays its weights out anew in every call; over many small batches that is a sixth of the time.
The operators are those that torch.compile uses for constant weights on a processor (oneDNN).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn


@contextmanager
def packed(model: nn.Module, rows: int) -> Iterator[None]:
    """The bf16 `nn.Linear` layers of `model` on a processor compute with packed weights while the block lasts, where
    the processor knows bf16; without gradients only. `rows` is about how many rows (tokens) they are given at once.
    """
    layers = [layer for layer in model.modules() if type(layer) is nn.Linear and _fits(layer.weight)]
    try:
        for layer in layers:
            weight = torch.ops.mkldnn._reorder_linear_weight(layer.weight.detach(), rows)
            vars(layer)["forward"] = partial(_product, weight, layer.bias)
        yield
    finally:
        for layer in layers:
            vars(layer).pop("forward", None)


def _fits(weight: Tensor) -> bool:
    bf16 = weight.dtype == torch.bfloat16 and weight.device.type == "cpu"
    return bf16 and torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()


def _product(weight: Tensor, bias: Tensor | None, x: Tensor) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
