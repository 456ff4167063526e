"""Pictures for a page: sheets of them, boxes with their labels, masks and heat laid over. All uint8 [height, width, 3].

Small on purpose: a page holds all of its pictures, and stays a few megabytes.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

COLOURS = (
    (47, 111, 224), (240, 169, 72), (22, 163, 74), (220, 38, 38), (168, 85, 247), (14, 165, 165), (219, 39, 119),
    (132, 94, 60), (100, 116, 139), (190, 200, 30),
)  # fmt: skip
"""One for each class, again from the first after the last."""


def hexadecimal(label: int) -> str:
    """The colour of a class as a page has it: '#2f6fe0'."""
    red, green, blue = COLOURS[label % len(COLOURS)]
    return f"#{red:02x}{green:02x}{blue:02x}"


TRUTH = (255, 255, 255)
"""Of boxes that are true, beside those that were found."""
_QUALITY = 80
_LETTERS = 15
"""Pixels that words in a picture are high."""
_IGNORED = 255


def to_uri(pixels: np.ndarray, side: int | None = None) -> str:
    """A JPEG as a data URI, its longer side at most `side` pixels."""
    image = Image.fromarray(np.ascontiguousarray(pixels))
    if side is not None:
        image.thumbnail((side, side))
    content = io.BytesIO()
    image.save(content, "JPEG", quality=_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(content.getvalue()).decode("ascii")


def resized(pixels: np.ndarray, side: int) -> np.ndarray:
    """With a longer side of `side` pixels, smaller or larger than it was."""
    share = side / max(pixels.shape[:2])
    height, width = (max(1, round(share * one)) for one in pixels.shape[:2])
    how = Image.Resampling.BOX if share < 1 else Image.Resampling.BICUBIC
    return np.asarray(Image.fromarray(np.ascontiguousarray(pixels)).resize((width, height), how))


def sheet(rows: Sequence[Sequence[np.ndarray]], side: int, gap: int = 4) -> np.ndarray:
    """Pictures in rows, each in the middle of a cell whose longer side has `side` pixels and whose shape is that of the
    first picture."""
    height, width = resized(rows[0][0], side).shape[:2]
    across = max(map(len, rows))
    whole = np.full((len(rows) * (height + gap) - gap, across * (width + gap) - gap, 3), 255, dtype=np.uint8)
    for line, pictures in enumerate(rows):
        for column, pixels in enumerate(pictures):
            share = min(height / pixels.shape[0], width / pixels.shape[1])
            one = resized(pixels, max(1, round(share * max(pixels.shape[:2]))))[:height, :width]
            top = line * (height + gap) + (height - one.shape[0]) // 2
            left = column * (width + gap) + (width - one.shape[1]) // 2
            whole[top : top + one.shape[0], left : left + one.shape[1]] = one
    return whole


def boxes(
    pixels: np.ndarray, found: np.ndarray, classes: Sequence[int], words: Sequence[str] = (),
    truth: np.ndarray | None = None,
) -> np.ndarray:  # fmt: skip
    """With the boxes `found` float [k, 4] (left, top, right, bottom, in pixels) in the colours of their classes and
    `words` above them; boxes that are true [m, 4] in thin white."""
    image = Image.fromarray(np.ascontiguousarray(pixels))
    draw = ImageDraw.Draw(image)
    width = max(1, round(max(image.size) / 220))
    for box in () if truth is None else truth:
        _frame(draw, box, (0, 0, 0), width + 2)
        _frame(draw, box, TRUTH, width)
    for at, box in enumerate(found):
        _frame(draw, box, _colour(classes[at]), width)
    for at, box in enumerate(found[: len(words)]):  # above all frames
        _tag(draw, box, words[at], _colour(classes[at]), image.size)
    return np.asarray(image)


def _colour(label: int) -> tuple[int, int, int]:
    return COLOURS[int(label) % len(COLOURS)]


def _tag(
    draw: ImageDraw.ImageDraw, box: np.ndarray, words: str, colour: tuple[int, int, int], size: tuple[int, int]
) -> None:
    """Words above the left upper corner of a box, within the picture."""
    _, _, width, height = draw.textbbox((0, 0), words, font_size=_LETTERS)
    left = min(max(0.0, float(box[0])), max(0.0, size[0] - width - 4.0))
    top = max(0.0, float(box[1]) - height - 3)
    draw.rectangle((left, top, left + width + 3, top + height + 2), fill=colour)
    bright = 0.3 * colour[0] + 0.59 * colour[1] + 0.11 * colour[2] > 140
    draw.text((left + 2, top), words, fill=(0, 0, 0) if bright else (255, 255, 255), font_size=_LETTERS)


def masks(pixels: np.ndarray, mask: np.ndarray, share: float = 0.5, plain: int | None = None) -> np.ndarray:
    """With each class of `mask` uint8 [height, width] in its colour, `share` of it; the class `plain` and what is
    ignored (255) stay as they are."""
    table = np.array([COLOURS[one % len(COLOURS)] for one in range(256)], dtype=np.float32)
    over = (mask != _IGNORED) & (True if plain is None else mask != plain)
    mixed = (1 - share) * pixels + share * table[mask]
    return np.where(over[..., None], mixed, pixels).round().astype(np.uint8)


def heat(pixels: np.ndarray, strength: np.ndarray) -> np.ndarray:
    """With `strength` float [h, w] from 0 to 1, of any size, laid over: red where it is high."""
    height, width = pixels.shape[:2]
    wide = Image.fromarray(strength.astype(np.float32)).resize((width, height), Image.Resampling.BICUBIC)
    share = 0.75 * np.clip(np.asarray(wide), 0, 1)[..., None]
    grey = pixels.mean(-1, keepdims=True).repeat(3, -1)
    colour = np.concatenate([np.full_like(share, 255.0), 200 * (1 - share), np.zeros_like(share)], -1)
    return ((1 - share) * (0.5 * pixels + 0.5 * grey) + share * colour).round().astype(np.uint8)


def _frame(draw: ImageDraw.ImageDraw, box: np.ndarray, colour: tuple[int, int, int], width: int) -> None:
    left, top, right, bottom = (float(one) for one in box)
    draw.rectangle((left, top, max(left, right - 1), max(top, bottom - 1)), outline=colour, width=width)
