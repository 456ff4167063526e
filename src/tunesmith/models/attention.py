"""Attention for the rows of up to a few hundred tokens that a processor computes with.

torch's fused kernel for processors saves memory on long rows; on short ones it reaches a third of the speed of
plain matrix products. So these are used, and the probabilities kept for the backward pass:

- to all tokens, in bf16: at once. The fused kernel's backward pass is slowest there, and with dropout there is no
  fused kernel.
- to what stands before: the queries go through in blocks, each with the keys up to its end, which spares the half of
  the scores that causal rows never use.

All else (windows, caches, long rows, dropout in causal rows) stays with the fused kernel.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from tunesmith.models.types import Network

NAME = "tunesmith"
"""What it is called among transformers' attention functions."""
LONGEST = 1_024
"""Above it the kept probabilities would outweigh the other activations."""
_BLOCK = 128
"""Queries at once: fewer skip more of the unused half, more make better products."""


def use_for_short_rows(network: Network) -> bool:
    """Let a transformers network that uses the fused kernel use this; whether it does."""
    from transformers import AttentionInterface, AttentionMaskInterface

    if getattr(network.config, "_attn_implementation", None) != "sdpa" or not network._can_set_attn_implementation():
        return False
    AttentionInterface.register(NAME, _attend)
    AttentionMaskInterface.register(NAME, _mask)
    network.set_attn_implementation(NAME)
    return True


def _attend(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None,
    dropout: float = 0.0, scaling: float | None = None, is_causal: bool | None = None, **words: object,
) -> tuple[Tensor, None]:  # fmt: skip
    """As transformers calls it: query [rows, heads, length, size], key and value of as many or fewer heads."""
    causal = is_causal if is_causal is not None else getattr(module, "is_causal", True)
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    short = (
        query.device.type == "cpu" and 1 < query.shape[2] <= LONGEST
        and all(words.get(name) is None for name in ("softcap", "position_bias", "cache", "s_aux"))
        and not words.get("output_attentions")
    )  # fmt: skip
    if short and causal and attention_mask is None and not dropout and query.shape[2] == key.shape[2]:
        attended: Tensor = _Causal.apply(query, key, value, scale)
    elif short and not causal and query.dtype == torch.bfloat16 and query.shape[1] == key.shape[1]:
        attended = _to_all(query, key, value, attention_mask, scale, dropout)
    else:
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        found, _ = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, is_causal=is_causal, **words
        )
        return found, None
    return attended.transpose(1, 2), None


def _to_all(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scale: float, dropout: float
) -> Tensor:  # fmt: skip
    """softmax(scale * q k^T + mask) v; a mask of booleans says which keys are seen."""
    rows, heads, length, _ = query.shape
    q, k, v = (part.reshape(rows * heads, part.shape[2], -1) for part in (query * scale, key, value))
    scores = torch.bmm(q, k.transpose(1, 2)).view(rows, heads, length, -1)
    if mask is not None:
        if mask.dtype == torch.bool:
            mask = scores.new_zeros(mask.shape).masked_fill_(~mask, torch.finfo(scores.dtype).min)
        scores = scores + mask
    weights = torch.softmax(scores, -1)
    if dropout:  # torch's own draws bf16 numbers one by one
        weights = weights * ((torch.rand(weights.shape) >= dropout).to(weights.dtype) / (1 - dropout))
    return torch.bmm(weights.view(rows * heads, length, -1), v).view(rows, heads, length, -1)


def _mask(*positional: object, attention_mask: Tensor | None = None, **words: object) -> Tensor | None:
    """The fused kernel's mask, which is none for causal rows; nor is padding at their end one, as no token
    looks there and nobody reads what the padding itself becomes."""
    from transformers.masking_utils import sdpa_mask

    at_end = attention_mask is not None and attention_mask.ndim == 2 and words.get("allow_is_causal_skip", True)
    if at_end and attention_mask is not None and bool((attention_mask[:, 1:] <= attention_mask[:, :-1]).all()):
        attention_mask = None
    return sdpa_mask(*positional, attention_mask=attention_mask, **words)


class _Causal(torch.autograd.Function):
    """softmax(scale * q k^T) v where each query sees the keys up to its own place."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        rows, heads, length, size = query.shape
        groups, shared = rows * key.shape[1], heads // key.shape[1]
        q = query.reshape(groups, shared, length, size)
        k, v = key.reshape(groups, length, size), value.reshape(groups, length, -1)
        out = q.new_empty(groups, shared, length, v.shape[-1])
        ahead = torch.full((_BLOCK, _BLOCK), float("-inf"), dtype=q.dtype).triu(1)
        kept = []
        for start in range(0, length, _BLOCK):
            end = min(length, start + _BLOCK)
            block = q[:, :, start:end].reshape(groups, -1, size) * scale
            scores = torch.bmm(block, k[:, :end].transpose(1, 2))
            scores.view(groups, shared, end - start, end)[..., start:] += ahead[: end - start, : end - start]
            weights = torch.softmax(scores, -1)
            out[:, :, start:end] = torch.bmm(weights, v[:, :end]).view(groups, shared, end - start, -1)
            kept.append(weights)
        ctx.scale = scale
        ctx.save_for_backward(q, k, v, *kept)
        return out.view(rows, heads, length, -1)

    @staticmethod
    def backward(ctx: Any, *received: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, *kept = ctx.saved_tensors
        groups, shared, length, size = q.shape
        rows, heads = received[0].shape[:2]
        given = received[0].reshape(groups, shared, length, -1)
        to_q, to_k, to_v = torch.empty_like(q), torch.zeros_like(k), torch.zeros_like(v)
        for number, weights in enumerate(kept):
            start, end = number * _BLOCK, min(length, (number + 1) * _BLOCK)
            some = given[:, :, start:end].reshape(groups, -1, v.shape[-1])
            to_v[:, :end] += torch.bmm(weights.transpose(1, 2), some)
            slopes = torch.bmm(some, v[:, :end].transpose(1, 2))
            slopes = torch._softmax_backward_data(slopes, weights, -1, weights.dtype)
            to_q[:, :, start:end] = (torch.bmm(slopes, k[:, :end]) * ctx.scale).view(groups, shared, end - start, size)
            block = q[:, :, start:end].reshape(groups, -1, size) * ctx.scale
            to_k[:, :end] += torch.bmm(slopes.transpose(1, 2), block)
        shape = (rows, heads // shared, length, -1)
        return to_q.view(rows, heads, length, size), to_k.view(shape), to_v.view(shape), None
