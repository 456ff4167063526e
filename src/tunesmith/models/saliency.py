"""Which parts of a picture an answer was made of: Grad-CAM for networks of maps (Selvaraju et al. 2017), attention
rollout for transformers whose patches all see each other (Abnar & Zuidema 2020), Grad-CAM over patches for others."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from tunesmith.models.types import Network

_LEAST_SIDE = 2
"""Places along each side of a map that says where."""


def saliency(network: Network, pixels: Tensor, outputs: Tensor) -> Tensor | None:
    """How much each part counted for the output `outputs` int64 [b] of pictures float32 [b, 3, height, width]: float32
    [b, h, w] from 0 to 1, over the whole picture; None where nothing in the network says where. The network is in
    evaluation mode."""
    found = _rollout(network, pixels)
    if found is None:
        found = _grad_cam(network, pixels, outputs)
    if found is None:
        return None
    low = found.amin((1, 2), keepdim=True)
    return (found - low) / (found.amax((1, 2), keepdim=True) - low).clamp_min(1e-12)


@torch.no_grad()
def _rollout(network: Network, pixels: Tensor) -> Tensor | None:
    """Attention from layer to layer, half of each for what a place was before; None where there is none to see."""
    set_attention: Callable[[str], None] | None = getattr(network, "set_attn_implementation", None)
    before = getattr(network.config, "_attn_implementation", None)
    patch, height, width = getattr(network.config, "patch_size", None), *pixels.shape[2:]
    if set_attention is None or before is None or not isinstance(patch, int):
        return None
    try:
        set_attention("eager")
        layers = getattr(network(pixel_values=pixels, output_attentions=True), "attentions", None)
    except (ValueError, TypeError):  # an architecture that can not
        return None
    finally:
        set_attention(before)
    high, wide = height // patch, width // patch
    if not layers or any(one is None or one.dim() != 4 or one.shape != layers[0].shape for one in layers):
        return None
    tokens = layers[0].shape[-1]
    extra = tokens - high * wide
    if layers[0].shape[0] != len(pixels) or extra < 0 or min(high, wide) < _LEAST_SIDE:
        return None
    seen = torch.eye(tokens).expand(len(pixels), tokens, tokens)
    for attention in layers:
        seen = (0.5 * attention.float().mean(1) + 0.5 * torch.eye(tokens)) @ seen
    looks = seen[:, 0] if extra else seen.mean(1)  # what the answer is read from: the first token, or all of them
    return looks[:, extra:].reshape(-1, high, wide)


def _grad_cam(network: Network, pixels: Tensor, outputs: Tensor) -> Tensor | None:
    """The last map of the network, its channels weighed by how much the output rises with them; what counts against
    it is left out."""
    place = _last_map(network, pixels)
    if place is None:
        return None
    module, size = place
    kept: list[Tensor] = []

    def hold(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
        kept.append(output.detach().requires_grad_())
        return kept[-1].clone()  # what comes next may write into it

    hook = module.register_forward_hook(hold)
    try:
        with torch.enable_grad():
            logits = network(pixel_values=pixels).logits
            chosen = logits.gather(1, outputs[:, None]).sum()
            (gradient,) = torch.autograd.grad(chosen, kept[-1], allow_unused=True)
    finally:
        hook.remove()
    if gradient is None:
        return None
    values = kept[-1].detach()
    if values.dim() == 3:  # patches in a row, perhaps after tokens of another kind
        count = size[0] * size[1]
        values, gradient = (one[:, -count:].transpose(1, 2).unflatten(2, size) for one in (values, gradient))
    return (values * gradient.mean((2, 3), keepdim=True)).sum(1).clamp_min(0).float()


@torch.no_grad()
def _last_map(network: Network, pixels: Tensor) -> tuple[nn.Module, tuple[int, int]] | None:
    """The last module whose output still says where, and the height and width of that."""
    found: list[tuple[nn.Module, tuple[int, int]]] = []
    ratio = pixels.shape[2] / pixels.shape[3]

    def look(module: nn.Module, _inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor) and (size := _size(output, ratio)) is not None:
            found.append((module, size))

    hooks = [module.register_forward_hook(look) for module in network.modules() if module is not network]
    try:
        network(pixel_values=pixels[:1])
    finally:
        for hook in hooks:
            hook.remove()
    return found[-1] if found else None


def _size(output: Tensor, ratio: float) -> tuple[int, int] | None:
    """Height and width of a map [b, channels, h, w], or of patches [b, n, channels] of a picture of that shape."""
    if output.dim() == 4:
        high, wide = int(output.shape[2]), int(output.shape[3])
        return (high, wide) if min(high, wide) >= _LEAST_SIDE and output.is_floating_point() else None
    if output.dim() != 3 or not output.is_floating_point():
        return None
    for extra in (0, 1, 2, 5):  # class, distillation and register tokens stand before the patches
        count = int(output.shape[1]) - extra
        high = round(math.sqrt(max(count, 0) * ratio))
        if high >= _LEAST_SIDE and count % high == 0 and abs(high / (count // high) - ratio) < 0.05:
            return high, count // high
    return None
