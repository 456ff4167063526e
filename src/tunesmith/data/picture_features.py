"""What pictures are compared by, and learned from without a network: a hash of 64 bits, colours and edges."""

from __future__ import annotations

import numpy as np
from PIL import Image

THUMB = 48
"""Side of the small square that is kept of each picture."""
_CHUNK = 512


def difference_hash(image: Image.Image) -> int:
    """64 bits, each whether a part of the picture is lighter than the one to its right: pictures that were saved
    smaller, or with losses, differ in few of them."""
    grey = np.asarray(image.convert("L").resize((9, 8), Image.Resampling.BOX))
    bits = np.packbits(grey[:, 1:] > grey[:, :-1])
    return int.from_bytes(bits.tobytes(), "big")


def cheap_features(thumbs: np.ndarray) -> np.ndarray:
    """What a baseline learns from: colours and edges of `thumbs` uint8 [n, THUMB, THUMB, 3], float32 [n, 964].

    A histogram of 64 colours, and histograms of oriented gradients (Dalal & Triggs 2005): 9 directions in cells of
    8 by 8 pixels, in blocks of 2 by 2 cells.
    """
    parts = [_features(thumbs[start : start + _CHUNK]) for start in range(0, len(thumbs), _CHUNK)]
    return np.concatenate(parts) if parts else np.zeros((0, 964), dtype=np.float32)


def _features(thumbs: np.ndarray) -> np.ndarray:
    count = len(thumbs)
    codes = (thumbs >> 6).astype(np.int64) @ np.array([16, 4, 1])
    places = codes.reshape(count, -1) + 64 * np.arange(count)[:, None]
    colours = np.sqrt(np.bincount(places.ravel(), minlength=64 * count).reshape(count, 64) / (THUMB * THUMB))
    light = thumbs.astype(np.float32) @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    down, right = np.gradient(light, axis=(1, 2))
    strength = np.hypot(down, right)
    turn = np.mod(np.arctan2(down, right), np.pi) * (9 / np.pi)  # light and dark sides are one edge
    first = np.floor(turn).astype(np.int64) % 9
    share = turn - np.floor(turn)
    cells = THUMB // 8
    rows = np.arange(THUMB) // 8
    cell = (rows[:, None] * cells + rows[None, :]).ravel()
    base = (np.arange(count)[:, None] * cells * cells + cell) * 9
    found = np.zeros(count * cells * cells * 9)
    for direction, weight in ((first, 1 - share), ((first + 1) % 9, share)):
        at = (base + direction.reshape(count, -1)).ravel()
        found += np.bincount(at, weights=(strength * weight).ravel(), minlength=len(found))
    grid = found.reshape(count, cells, cells, 9)
    blocks = np.concatenate(
        [grid[:, :-1, :-1], grid[:, :-1, 1:], grid[:, 1:, :-1], grid[:, 1:, 1:]], axis=-1
    )  # fmt: skip
    blocks /= np.sqrt((blocks**2).sum(-1, keepdims=True) + 1.0)
    edges = blocks.reshape(count, -1) / (cells - 1)
    return np.concatenate([colours, edges], axis=1).astype(np.float32)
