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
TRUTH = (255, 255, 255)
"""Of boxes that are true, beside those that were found."""
_QUALITY = 80
_IGNORED = 255


def to_uri(pixels: np.ndarray, side: int | None = None) -> str:
    """A JPEG as a data URI, its longer side at most `side` pixels."""
    image = Image.fromarray(np.ascontiguousarray(pixels))
    if side is not None:
        image.thumbnail((side, side))
    content = io.BytesIO()
    image.save(content, "JPEG", quality=_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(content.getvalue()).decode("ascii")


def thumbnail(pixels: np.ndarray, side: int) -> np.ndarray:
    """The whole picture in the middle of a white square, uint8 [side, side, 3]."""
    image = Image.fromarray(np.ascontiguousarray(pixels))
    image.thumbnail((side, side))
    square = Image.new("RGB", (side, side), (255, 255, 255))
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return np.asarray(square)


def smaller(pixels: np.ndarray, share: float) -> np.ndarray:
    """With `share` of the pixels of each side."""
    height, width = (max(1, round(side * share)) for side in pixels.shape[:2])
    return np.asarray(Image.fromarray(np.ascontiguousarray(pixels)).resize((width, height), Image.Resampling.BOX))


def sheet(rows: Sequence[Sequence[np.ndarray]], side: int, gap: int = 2) -> np.ndarray:
    """Pictures of any size in rows, each in a square of `side` pixels."""
    across = max(map(len, rows))
    whole = np.full((len(rows) * (side + gap) - gap, across * (side + gap) - gap, 3), 255, dtype=np.uint8)
    for line, pictures in enumerate(rows):
        for column, pixels in enumerate(pictures):
            top, left = line * (side + gap), column * (side + gap)
            whole[top : top + side, left : left + side] = thumbnail(pixels, side)
    return whole


def boxes(
    pixels: np.ndarray, found: np.ndarray, classes: Sequence[int], words: Sequence[str] = (),
    truth: np.ndarray | None = None,
) -> np.ndarray:  # fmt: skip
    """With the boxes `found` float [k, 4] (left, top, right, bottom, in pixels) in the colours of their classes and
    `words` above them; boxes that are true [m, 4] in thin white."""
    image = Image.fromarray(np.ascontiguousarray(pixels))
    draw = ImageDraw.Draw(image)
    width = max(1, round(max(image.size) / 160))
    for box in () if truth is None else truth:
        _frame(draw, box, (0, 0, 0), width + 2)
        _frame(draw, box, TRUTH, width)
    for at, box in enumerate(found):
        colour = COLOURS[int(classes[at]) % len(COLOURS)]
        _frame(draw, box, colour, width)
        if at < len(words):
            left, top, right, bottom = draw.textbbox((float(box[0]), float(box[1])), words[at], anchor="lb")
            down = max(0.0, -top)
            draw.rectangle((left - 1, top + down - 1, right + 1, bottom + down + 1), fill=colour)
            draw.text((float(box[0]), float(box[1]) + down), words[at], fill=(255, 255, 255), anchor="lb")
    return np.asarray(image)


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
