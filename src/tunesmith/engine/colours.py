"""What changes the colours of pictures and leaves everything where it is: float32 [n, 3, height, width], 0 to 255."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

_LUMA = np.array([0.299, 0.587, 0.114])
"""Of red, green and blue in grey (ITU-R BT.601)."""
_RADIUS = 2.0
"""Deviations of a blur that are computed to either side."""


def adjust(
    pixels: Tensor, brightness: np.ndarray, contrast: np.ndarray, saturation: np.ndarray, hue: np.ndarray
) -> Tensor:
    """All in one product of matrices. Factors float64 [n] (1: as it is; contrast about the mean grey, saturation about
    each pixel's own); `hue` in degrees about the axis of grey."""
    axis = np.full(3, 1 / math.sqrt(3))
    cross = np.array([[0.0, -axis[2], axis[1]], [axis[2], 0.0, -axis[0]], [-axis[1], axis[0], 0.0]])
    angle = np.deg2rad(hue)[:, None, None]
    turned = np.cos(angle) * np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * np.outer(axis, axis)
    grey = np.tile(_LUMA, (3, 1))
    mixed = saturation[:, None, None] * np.eye(3) + (1 - saturation[:, None, None]) * grey
    factors = torch.from_numpy((brightness * contrast)[:, None, None] * (turned @ mixed)).to(torch.float32)
    means = pixels.mean((2, 3)) @ torch.from_numpy(_LUMA).to(torch.float32)
    shift = means * torch.from_numpy((1 - contrast) * brightness).to(torch.float32)
    flat = torch.baddbmm(shift[:, None, None], factors, pixels.flatten(2))
    return flat.view(pixels.shape).clamp_(0, 255)


def grey(pixels: Tensor) -> Tensor:
    """Without colour."""
    return torch.tensordot(pixels, torch.from_numpy(_LUMA).to(torch.float32), ([1], [0]))[:, None].expand_as(pixels)


def autocontrast(pixels: Tensor) -> Tensor:
    """Each channel stretched from 0 to 255."""
    low, high = pixels.amin((2, 3), keepdim=True), pixels.amax((2, 3), keepdim=True)
    return torch.where(high > low, (pixels - low) * (255 / (high - low).clamp_min(1e-3)), pixels).clamp_(0, 255)


def equalize(pixels: Tensor) -> Tensor:
    """Each channel with its levels used about equally often."""
    codes = pixels.round().clamp(0, 255).to(torch.int64).flatten(2).flatten(0, 1)
    counts = torch.zeros(len(codes), 256).scatter_add_(1, codes, torch.ones(codes.shape))
    below = counts.cumsum(1)
    first = below.gather(1, codes.amin(1, keepdim=True))
    table = 255 * (below - first) / (codes.shape[1] - first).clamp_min(1)
    return torch.where(first < codes.shape[1], table.gather(1, codes), codes.to(torch.float32)).view(pixels.shape)


def posterize(pixels: Tensor, bits: Tensor) -> Tensor:
    """`bits` float32 [n] of the eight a level has."""
    step = torch.exp2(8 - bits)[:, None, None, None]
    return (pixels / step).floor() * step


def solarize(pixels: Tensor, threshold: Tensor) -> Tensor:
    """Levels from `threshold` float32 [n] on are turned over."""
    return torch.where(pixels >= threshold[:, None, None, None], 255 - pixels, pixels)


def blur(pixels: Tensor, sigmas: Tensor) -> Tensor:
    """Blurred, each picture by its deviation in pixels, float32 [n]."""
    count, channels = pixels.shape[:2]
    radius = max(1, math.ceil(_RADIUS * float(sigmas.max())))
    radius = min(radius, *(side - 1 for side in pixels.shape[2:]))
    places = torch.arange(-radius, radius + 1, dtype=torch.float32)
    weights = torch.exp(-0.5 * (places / sigmas[:, None].clamp_min(1e-3)) ** 2)
    weights = (weights / weights.sum(1, keepdim=True)).repeat_interleave(channels, 0)[:, None]
    flat = functional.pad(pixels.reshape(1, -1, *pixels.shape[2:]), (radius,) * 4, mode="replicate")
    flat = functional.conv2d(flat, weights[..., None], groups=count * channels)
    return functional.conv2d(flat, weights[:, :, None], groups=count * channels).view(pixels.shape)


def sharpen(pixels: Tensor, factors: Tensor) -> Tensor:
    """Away from a slight blur of itself, or (below 1) towards it; `factors` float32 [n]."""
    soft = blur(pixels, torch.full((len(pixels),), 0.8))
    return torch.lerp(soft, pixels, factors[:, None, None, None]).clamp_(0, 255)
