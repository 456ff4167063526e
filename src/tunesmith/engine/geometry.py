"""Where the parts of a picture go: affine maps, and pictures, boxes and masks that follow one.

A map is a matrix float64 [2, 3] from places in the new picture to places in the old one, in pixels from the upper left
corner, x before y (the middle of the first pixel is 0.5, 0.5). Maps are composed, so that a picture which is cut out,
turned and resized is read once.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

Size = tuple[int, int]
"""Height and width."""
IGNORED = 255
"""What a mask says of places that the old picture does not reach."""
_LEAST_SIDE = 1.0
"""Pixels of a side of a box below which nothing is left of it."""


def identity(count: int = 1) -> np.ndarray:
    """Maps that move nothing, float64 [count, 2, 3]."""
    return np.tile(np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]), (count, 1, 1))


def compose(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The maps that go through `first` and on through `second`, both [..., 2, 3]: `second` is nearer to the old
    picture."""
    linear = second[..., :2] @ first[..., :2]
    moved = second[..., :2] @ first[..., 2:] + second[..., 2:]
    return np.concatenate([linear, moved], axis=-1)


def invert(maps: np.ndarray) -> np.ndarray:
    """From old places to new ones, [..., 2, 3]."""
    linear = np.linalg.inv(maps[..., :2])
    return np.concatenate([linear, -linear @ maps[..., 2:]], axis=-1)


def resize(old: Size, new: Size) -> np.ndarray:
    """Both sides are made to fit, float64 [2, 3]."""
    return np.array([[old[1] / new[1], 0.0, 0.0], [0.0, old[0] / new[0], 0.0]])


def letterbox(old: Size, new: Size) -> np.ndarray:
    """The whole picture in the middle of the new one, its shape kept, float64 [2, 3]."""
    scale = max(old[0] / new[0], old[1] / new[1])
    left, top = (old[1] - scale * new[1]) / 2, (old[0] - scale * new[0]) / 2
    return np.array([[scale, 0.0, left], [0.0, scale, top]])


def crop(boxes: np.ndarray, new: Size) -> np.ndarray:
    """The parts float [n, 4] (left, top, right, bottom) of pictures, each made to fit, float64 [n, 2, 3]."""
    boxes = np.asarray(boxes, dtype=np.float64)
    maps = np.zeros((len(boxes), 2, 3))
    maps[:, 0, 0] = (boxes[:, 2] - boxes[:, 0]) / new[1]
    maps[:, 1, 1] = (boxes[:, 3] - boxes[:, 1]) / new[0]
    maps[:, :, 2] = boxes[:, :2]
    return maps


def flip(size: Size, *, horizontal: np.ndarray, vertical: np.ndarray) -> np.ndarray:
    """Left for right and top for bottom where bool [n] says so, float64 [n, 2, 3]."""
    maps = identity(len(horizontal))
    maps[horizontal, 0, 0], maps[horizontal, 0, 2] = -1.0, size[1]
    maps[vertical, 1, 1], maps[vertical, 1, 2] = -1.0, size[0]
    return maps


def turn(size: Size, degrees: np.ndarray, shear: np.ndarray | None = None) -> np.ndarray:
    """Turned counter-clockwise about the middle, and slanted sideways by `shear` degrees, float64 [n, 2, 3]."""
    angle = np.deg2rad(np.asarray(degrees, dtype=np.float64))
    slant = np.tan(np.deg2rad(np.zeros_like(angle) if shear is None else np.asarray(shear, dtype=np.float64)))
    cosine, sine = np.cos(angle), np.sin(angle)
    rotation = np.stack([np.stack([cosine, -sine], -1), np.stack([sine, cosine], -1)], -2)
    slanted = np.tile(np.eye(2), (len(angle), 1, 1))
    slanted[:, 0, 1] = slant
    linear = slanted @ rotation
    middle = np.array([size[1] / 2, size[0] / 2])
    return np.concatenate([linear, (middle - linear @ middle)[..., None]], axis=-1)


def warp(pixels: Tensor, maps: np.ndarray, new: Size) -> Tensor:
    """Pictures float32 [n, channels, height, width] as their maps say, float32 [n, channels, *new], between pixels
    linearly; the mean colour of a picture where the old one does not reach."""
    fill = pixels.mean((2, 3), keepdim=True)
    found = functional.grid_sample(
        pixels - fill, _grid(maps, tuple(pixels.shape), new), mode="bilinear", padding_mode="zeros", align_corners=False
    )  # fmt: skip
    return found + fill


def warp_masks(masks: Tensor, maps: np.ndarray, new: Size, fill: int = IGNORED) -> Tensor:
    """Masks uint8 [n, height, width] as their maps say, uint8 [n, *new]; no value is made up between two."""
    values = masks.to(torch.float32)[:, None] - fill
    found = functional.grid_sample(
        values, _grid(maps, tuple(values.shape), new), mode="nearest", padding_mode="zeros", align_corners=False
    )  # fmt: skip
    return (found[:, 0] + fill).to(torch.uint8)


def move_boxes(boxes: np.ndarray, given: np.ndarray, new: Size, visible: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Boxes float32 [k, 4] (left, top, right, bottom) of the old picture in the new one, [m, 4], and which of the k
    they are, int64 [m].

    `given`: the map float64 [2, 3] of the picture. A turned box becomes the upright one around it. What lies outside is
    cut off; a box of which less than the share `visible` is left, or less than a pixel, is gone.
    """
    boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    back = invert(given)
    corners = boxes[:, [[0, 1], [2, 1], [2, 3], [0, 3]]]
    moved = corners @ back[:, :2].T + back[:, 2]
    whole = np.concatenate([moved.min(1), moved.max(1)], axis=1)
    limits = np.array([new[1], new[0], new[1], new[0]], dtype=np.float64)
    cut = np.clip(whole, 0.0, limits)
    sides = cut[:, 2:] - cut[:, :2]
    area = np.prod(whole[:, 2:] - whole[:, :2], axis=1)
    kept = np.flatnonzero((sides >= _LEAST_SIDE).all(1) & (sides.prod(1) >= visible * area))
    return cut[kept].astype(np.float32), kept


def drawn(image: Image.Image, given: np.ndarray, new: Size, resample: int) -> Image.Image:
    """One picture in RGB, or a mask, at its full size, as a map without turns says; pixels that become fewer are
    averaged, and what the old one does not reach is grey (of a mask: ignored)."""
    (wide, _, left), (_, high, top) = given
    right, bottom = left + wide * new[1], top + high * new[0]
    inside = (max(0.0, left), max(0.0, top), min(image.width, right), min(image.height, bottom))
    places = [round((inside[0] - left) / wide), round((inside[1] - top) / high),
              round((inside[2] - left) / wide), round((inside[3] - top) / high)]  # fmt: skip
    size = (max(1, places[2] - places[0]), max(1, places[3] - places[1]))
    part = image.resize(size, Image.Resampling(resample), box=inside)
    if size == (new[1], new[0]):
        return part
    whole = Image.new(image.mode, (new[1], new[0]), (114, 114, 114) if image.mode == "RGB" else IGNORED)
    whole.paste(part, (places[0], places[1]))
    return whole


def cover(share: np.ndarray, aspect: np.ndarray, at: np.ndarray, size: Size) -> np.ndarray:
    """Parts of a picture, float64 [n, 4], of `share` of its area and `aspect` times its own width to height; `at`
    [n, 2] from 0 to 1 says where: inside it where they fit, and around it where they are larger."""
    root = np.sqrt(aspect)
    sides = np.sqrt(share)[:, None] * np.stack([root, 1 / root], 1)
    fits = share <= 1.0
    sides = np.where(fits[:, None], np.minimum(sides, 1.0), sides) * np.array([size[1], size[0]])
    room = np.array([size[1], size[0]]) - sides
    start = room * at
    return np.concatenate([start, start + sides], axis=1)


def _grid(maps: np.ndarray, shape: Sequence[int], new: Size) -> Tensor:
    """What grid_sample reads, float32 [n, *new, 2]: from -1 to 1 across the old picture."""
    height, width = shape[-2:]
    inner = np.array([[new[1] / 2, 0.0, new[1] / 2], [0.0, new[0] / 2, new[0] / 2]])
    outer = np.array([[2 / width, 0.0, -1.0], [0.0, 2 / height, -1.0]])
    theta = compose(compose(inner, maps), outer)
    return functional.affine_grid(
        torch.from_numpy(theta).to(torch.float32), [len(maps), shape[1], *new], align_corners=False
    )
