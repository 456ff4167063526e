"""Shapes as COCO writes them (polygons, and runs of pixels column by column) as masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Size = tuple[int, int]
"""Height and width."""
_FINER = 5
"""Places for each pixel in which the edges of polygons are followed, as the COCO API has it."""


def fill(segmentation: object, size: Size) -> np.ndarray:
    """bool [height, width] of what a COCO segmentation covers: polygons [[x, y, x, y, ...], ...], or runs {"size",
    "counts"} with counts as numbers or in COCO's letters. Raises ValueError."""
    if isinstance(segmentation, Mapping):
        return _of_runs(segmentation, size)
    if not isinstance(segmentation, Sequence) or isinstance(segmentation, str) or not segmentation:
        raise ValueError("its segmentation is neither polygons nor runs")
    polygons = [segmentation] if isinstance(segmentation[0], int | float) else list(segmentation)
    whole = np.zeros(size, dtype=bool)
    for polygon in polygons:
        whole |= _of_polygon(polygon, size)
    return whole


def draw(shapes: Sequence[tuple[int, object]], size: Size) -> np.ndarray:
    """(class value, segmentation) each, drawn over 0, the largest first, so that none is hidden by a larger one: uint8
    or int32 [height, width]. Raises ValueError."""
    filled = [(value, fill(segmentation, size)) for value, segmentation in shapes]
    large = max((value for value, _ in filled), default=0) > 255
    values = np.zeros(size, dtype=np.int32 if large else np.uint8)
    for value, covered in sorted(filled, key=lambda one: -int(one[1].sum())):
        values[covered] = value
    return values


def _of_runs(runs: Mapping[str, Any], size: Size) -> np.ndarray:
    height, width = (int(side) for side in runs.get("size", size))
    if (height, width) != size:
        raise ValueError(f"its runs are of {width} x {height} pixels, and the picture of {size[1]} x {size[0]}")
    counts = runs.get("counts")
    if isinstance(counts, str | bytes):
        counts = _counts_of_letters(counts.encode("ascii") if isinstance(counts, str) else counts)
    if not isinstance(counts, Sequence) or sum(counts) != height * width or min(counts, default=0) < 0:
        raise ValueError("its runs do not add up to the pixels of the picture")
    values = np.repeat(np.arange(len(counts)) % 2 == 1, np.asarray(counts, dtype=np.int64))
    return values.reshape(width, height).T


def _counts_of_letters(letters: bytes) -> list[int]:
    """COCO's letters: 5 bits each, the lowest first, the sixth where more follow; from the third on the difference to
    the count before the last."""
    counts: list[int] = []
    place = 0
    while place < len(letters):
        value = shift = 0
        while True:
            if place >= len(letters) or not 48 <= letters[place] < 112:
                raise ValueError("its runs are not in the letters of COCO")
            bits = letters[place] - 48
            value |= (bits & 31) << shift
            place, shift = place + 1, shift + 5
            if not bits & 32:
                break
        if bits & 16:
            value -= 1 << shift
        counts.append(value + counts[-2] if len(counts) > 2 else value)
    return counts


def _of_polygon(polygon: object, size: Size) -> np.ndarray:
    """Pixels inside of one polygon, as the COCO API counts them (Lin et al. 2014): its edge is followed in fifths of a
    pixel, and each place where it enters another column changes inside into outside below it."""
    try:
        corners = np.asarray(polygon, dtype=np.float64).reshape(-1, 2)
    except (ValueError, TypeError):
        raise ValueError("a polygon of its segmentation is no list of x, y, x, y, ...") from None
    if len(corners) < 3 or not np.isfinite(corners).all():
        raise ValueError("a polygon of its segmentation has fewer than three corners")
    height, width = size
    fine = np.trunc(_FINER * corners + 0.5).astype(np.int64)
    across, down = _edge(np.concatenate([fine, fine[:1]]))
    entered = np.flatnonzero(across[1:] != across[:-1])
    left, right = across[entered], across[entered + 1]
    column = (np.where(right < left, right, right - 1) + 0.5) / _FINER - 0.5
    row = (np.minimum(down[entered], down[entered + 1]) + 0.5) / _FINER - 0.5
    kept = (np.floor(column) == column) & (column >= 0) & (column <= width - 1)
    rows = np.ceil(np.clip(row[kept], 0, height)).astype(np.int64)
    turns = np.bincount(column[kept].astype(np.int64) * height + rows, minlength=height * width + 1)
    inside = np.cumsum(turns)[: height * width] % 2 == 1
    return inside.reshape(width, height).T


def _edge(corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All places on the lines between corners int64 [n, 2], x and y."""
    across, down = [], []
    for (x, y), (to_x, to_y) in zip(corners[:-1].tolist(), corners[1:].tolist(), strict=True):
        wide, high = abs(to_x - x), abs(to_y - y)
        steps = np.arange(max(wide, high) + 1)
        back = (wide >= high and x > to_x) or (wide < high and y > to_y)
        if back:
            x, y, to_x, to_y = to_x, to_y, x, y
            steps = steps[::-1]
        if wide >= high:
            across.append(steps + x)
            down.append(np.trunc(y + (to_y - y) / max(wide, 1) * steps + 0.5).astype(np.int64))
        else:
            down.append(steps + y)
            across.append(np.trunc(x + (to_x - x) / high * steps + 0.5).astype(np.int64))
    return np.concatenate(across), np.concatenate(down)
