"""Pictures of a batch in pairs: blended (mixup, Zhang et al. 2018), or one with a part of the other (CutMix, Yun et al.
2019). Targets are not touched: the loss of a pair is that of both targets, by their shares."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from tunesmith.engine import geometry


def mix(batch: dict[str, Tensor], mixup: float, cutmix: float, chance: np.random.Generator) -> None:
    """Mix 'pixel_values' [b, 3, height, width] in place, and add 'partners' int64 [b], the row of the batch that each
    was mixed with, and 'shares' float32 [b], how much of its own is left.

    `mixup`, `cutmix`: alpha of the Beta distribution of the shares, 0 for never.
    """
    pixels = batch["pixel_values"]
    count, size = len(pixels), (int(pixels.shape[2]), int(pixels.shape[3]))
    partners = torch.from_numpy(chance.permutation(count))
    cuts = cutmix > 0 and (not mixup or chance.random() < 0.5)
    alpha = cutmix if cuts else mixup
    drawn = chance.beta(alpha, alpha, count)
    shares = np.maximum(drawn, 1 - drawn)
    other = pixels[partners]
    if cuts:
        parts = geometry.cover(1 - shares, np.ones(count), chance.random((count, 2)), size).round().astype(int)
        for row, (left, top, right, bottom) in enumerate(parts):
            pixels[row, :, top:bottom, left:right] = other[row, :, top:bottom, left:right]
            shares[row] = 1 - (right - left) * (bottom - top) / (size[0] * size[1])
    else:
        own = torch.from_numpy(shares).to(pixels.dtype)[:, None, None, None]
        pixels.mul_(own).add_(other * (1 - own))
    batch["partners"], batch["shares"] = partners, torch.from_numpy(shares).to(torch.float32)
