"""What turning a picture upright does to what was measured in it as its file stores it: boxes, points and masks.

A file may say in its EXIF data how the camera was held, as a number from 1 (upright) to 8. Pictures are read upright;
boxes of tools that showed the file as it is stored have to be turned with it.
"""

from __future__ import annotations

import numpy as np

UPRIGHT = 1
_SIDEWAYS = frozenset({5, 6, 7, 8})


def turned_size(size: tuple[int, int], orientation: int) -> tuple[int, int]:
    """Width and height once upright."""
    return (size[1], size[0]) if orientation in _SIDEWAYS else size


def turn_points(points: np.ndarray, size: tuple[int, int], orientation: int) -> np.ndarray:
    """Points float [..., 2] (x, y) in pixels of the stored picture of `size` (width, height), in the upright one."""
    x, y = points[..., 0], points[..., 1]
    across, down = size[0] - x, size[1] - y
    turned = {
        2: (across, y), 3: (across, down), 4: (x, down), 5: (y, x), 6: (down, x), 7: (down, across), 8: (y, across),
    }.get(orientation, (x, y))  # fmt: skip
    return np.stack(turned, axis=-1)


def turn_boxes(boxes: np.ndarray, size: tuple[int, int], orientation: int) -> np.ndarray:
    """Boxes float [n, 4] (left, top, right, bottom) in pixels of the stored picture, in the upright one."""
    corners = turn_points(boxes.reshape(-1, 2, 2), size, orientation)
    return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)


def turn_pixels(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Pixels or a mask [height, width, ...] of the stored picture, upright; a view."""
    if orientation in (3, 7):
        pixels = pixels[::-1, ::-1]
    if orientation in (5, 7):
        return pixels.swapaxes(0, 1)
    if orientation in (6, 8):
        return np.rot90(pixels, -1 if orientation == 6 else 1)
    return {2: pixels[:, ::-1], 4: pixels[::-1]}.get(orientation, pixels)
