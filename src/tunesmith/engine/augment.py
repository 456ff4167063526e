"""Random changes of training pictures, their boxes and masks: what is drawn, and how it is done to a batch at once.

What happens to a row follows from (seed, epoch, row) alone, whatever batch it is in, so that a training that goes on
after an interruption sees what it would have seen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from tunesmith.engine import colours, geometry
from tunesmith.engine.geometry import Size

Level = Literal["none", "light", "standard", "strong"]
Flip = Literal["none", "horizontal", "vertical", "both"]
LEVELS: tuple[str, ...] = get_args(Level)
FLIPS: tuple[str, ...] = get_args(Flip)
_OPERATIONS = (
    "identity", "autocontrast", "equalize", "posterize", "solarize", "brightness", "contrast", "saturation",
    "sharpness", "degrees", "shear", "right", "down",
)  # fmt: skip
"""RandAugment's (Cubuk et al. 2020), without a second shear, which a turn and the first one give."""
_PER_OPERATION = 2
_FIXED = 24


@dataclass(frozen=True)
class Augmentation:
    """How far training pictures may be changed. Without arguments: not at all."""

    flip: Flip = "none"
    """The ways in which a picture is mirrored, each in half of all cases."""
    crop: tuple[float, float] = (1.0, 1.0)
    """Least and largest share of the picture's area that is seen; above 1 there is an edge around it."""
    aspect: float = 1.0
    """The part that is seen is up to so many times wider or higher than the picture's shape."""
    degrees: float = 0.0
    """Turned by at most this, either way."""
    shear: float = 0.0
    """Slanted by at most this many degrees, either way."""
    brightness: float = 0.0
    """Factors from 1 - this to 1 + this; `contrast` and `saturation` as well."""
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    """Degrees of the colour circle, either way."""
    grey: float = 0.0
    """Share of the pictures that lose their colours; `blur`, `noise` and `erase` as well."""
    blur: float = 0.0
    """By a deviation of up to 1 % of the longer side."""
    noise: float = 0.0
    """By a deviation of up to 20 of 255 levels."""
    erase: float = 0.0
    """A rectangle of 2 to 20 % of the area gets the picture's mean colour (Zhong et al. 2020)."""
    operations: int = 0
    """So many of RandAugment's operations (Cubuk et al. 2020) are done to each picture."""
    magnitude: float = 0.5
    """How far these go, 0 to 1."""
    visible: float = 0.25
    """Share of a box that must be left of it."""

    @property
    def changes(self) -> bool:
        """Whether it does anything."""
        return self != replace(Augmentation(), magnitude=self.magnitude, visible=self.visible)

    def apply(self, pictures: Pictures, size: Size, *, seed: int, epoch: int, rows: np.ndarray) -> Pictures:
        """The pictures changed, `size` pixels high and wide; `rows` int64 [n] tells them apart for good.

        Where nothing is drawn, the middle of the picture is what is seen.
        """
        old = pictures.pixels.shape[1:3]
        drawn = _Drawn(self, seed, epoch, rows)
        maps = drawn.maps((old[0], old[1]), size)
        pixels = torch.from_numpy(np.require(pictures.pixels, requirements=["C", "W"])).permute(0, 3, 1, 2)
        painted = drawn.painted(geometry.warp(pixels.to(torch.float32), maps, size))
        found = Pictures(painted.round_().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy())
        if pictures.boxes is not None:
            moved = [
                geometry.move_boxes(boxes, given, size, self.visible)
                for boxes, given in zip(pictures.boxes, maps, strict=True)
            ]
            found.boxes, found.kept = [boxes for boxes, _ in moved], [kept for _, kept in moved]
        if pictures.masks is not None:
            masks = torch.from_numpy(np.require(pictures.masks, requirements=["C", "W"]))
            found.masks = geometry.warp_masks(masks, maps, size).numpy()
        return found


@dataclass
class Pictures:
    """Pictures uint8 [n, height, width, 3] and what lies on them: `boxes`, for each float32 [k, 4] (left, top, right,
    bottom, in pixels); `masks` uint8 [n, height, width]. `kept`: after a change, which of its boxes before each of the
    boxes is, int64 [k]."""

    pixels: np.ndarray
    boxes: Sequence[np.ndarray] | None = None
    masks: np.ndarray | None = None
    kept: Sequence[np.ndarray] | None = None


@dataclass
class Pictured:
    """One picture to be looked at, uint8 [height, width, 3], with the boxes on it float32 [k, 4] (left, top, right,
    bottom, in pixels) and their labels int64 [k], or its mask uint8 [height, width]."""

    pixels: np.ndarray
    boxes: np.ndarray | None = None
    labels: np.ndarray | None = None
    mask: np.ndarray | None = None


class _Drawn:
    """What is drawn for some rows: numbers from 0 to 1, each with its own meaning, and what follows from them."""

    def __init__(self, how: Augmentation, seed: int, epoch: int, rows: np.ndarray):
        self.how = how
        self.chances = [np.random.default_rng([seed, epoch, int(row)]) for row in rows]
        count = _FIXED + _PER_OPERATION * how.operations
        drawn = np.stack([chance.random(count) for chance in self.chances]) if len(rows) else np.zeros((0, count))
        self.fixed, self.free = drawn[:, :_FIXED], drawn[:, _FIXED:]
        self.next = 0
        self.steps = {name: np.zeros(len(rows)) for name in _OPERATIONS}
        for number in range(how.operations):
            self._operate(self.free[:, _PER_OPERATION * number : _PER_OPERATION * (number + 1)])

    def _operate(self, drawn: np.ndarray) -> None:
        """One of RandAugment's operations for each row: which, and which way."""
        chosen = np.minimum((drawn[:, 0] * len(_OPERATIONS)).astype(np.int64), len(_OPERATIONS) - 1)
        way = np.where(drawn[:, 1] < 0.5, -1.0, 1.0) * self.how.magnitude
        for number, name in enumerate(_OPERATIONS):
            self.steps[name] += np.where(chosen == number, way, 0.0)

    def _even(self) -> np.ndarray:
        """The next number of each row, from 0 to 1."""
        self.next += 1
        return self.fixed[:, self.next - 1]

    def _around(self, reach: float) -> np.ndarray:
        return reach * (2 * self._even() - 1)

    def maps(self, old: Size, new: Size) -> np.ndarray:
        """Where each new picture is read from the old one, float64 [n, 2, 3]."""
        how, steps = self.how, self.steps
        low, high = how.crop
        share = low + (high - low) * self._even()
        aspect = np.exp(self._around(float(np.log(how.aspect))))
        at = np.stack([self._even(), self._even()], 1)
        sides = np.array([self._even(), self._even()]) < 0.5
        degrees = self._around(how.degrees) + 30 * steps["degrees"]
        shear = self._around(how.shear) + 17 * steps["shear"]
        if how.crop == (1.0, 1.0) and how.aspect == 1.0:  # the middle, at its own size where the old one is larger
            left, top = (old[1] - new[1]) / 2, (old[0] - new[0]) / 2
            part = (left, top, left + new[1], top + new[0]) if min(left, top) >= 0 else (0, 0, old[1], old[0])
            parts = np.tile(np.array(part, dtype=np.float64), (len(share), 1))
        else:
            parts = geometry.cover(share, aspect, at, old)
        moved = 0.25 * np.stack([steps["right"], steps["down"]], 1) * (parts[:, 2:] - parts[:, :2])
        parts = parts + np.concatenate([moved, moved], 1)
        horizontal = how.flip in ("horizontal", "both")
        vertical = how.flip in ("vertical", "both")
        maps = geometry.flip(new, horizontal=sides[0] & horizontal, vertical=sides[1] & vertical)
        maps = geometry.compose(maps, geometry.turn(new, degrees, shear))
        return geometry.compose(maps, geometry.crop(parts, new))

    def painted(self, pixels: Tensor) -> Tensor:
        """Pictures float32 [n, 3, height, width] in other colours, and in part covered."""
        how, steps = self.how, self.steps
        strength = {name: torch.from_numpy(np.abs(values)).to(torch.float32) for name, values in steps.items()}
        bits, levels = 8 - 4 * strength["posterize"], 256 - 128 * strength["solarize"]
        pixels = _where(pixels, steps["autocontrast"] != 0, lambda some, _: colours.autocontrast(some))
        pixels = _where(pixels, steps["equalize"] != 0, lambda some, _: colours.equalize(some))
        pixels = _where(pixels, steps["posterize"] != 0, lambda some, at: colours.posterize(some, bits[at]))
        pixels = _where(pixels, steps["solarize"] != 0, lambda some, at: colours.solarize(some, levels[at]))
        factors = [
            np.clip(1 + self._around(getattr(how, name)) + 0.9 * steps[name], 0.05, None)
            for name in ("brightness", "contrast", "saturation")
        ]
        hue = self._around(how.hue)
        if any(np.any(one != 1) for one in factors) or hue.any():
            pixels = colours.adjust(pixels, factors[0], factors[1], factors[2], hue)
        pixels = _where(pixels, self._even() < how.grey, lambda some, _: colours.grey(some))
        sharp = torch.from_numpy(1 + 0.9 * steps["sharpness"]).to(torch.float32)
        pixels = _where(pixels, steps["sharpness"] != 0, lambda some, at: colours.sharpen(some, sharp[at]))
        blurred, sigma = self._even() < how.blur, self._even() * max(pixels.shape[2:]) / 100
        sigmas = torch.from_numpy(sigma).to(torch.float32)
        pixels = _where(pixels, blurred, lambda some, at: colours.blur(some, sigmas[at]))
        noisy, deviation = self._even() < how.noise, 20 * self._even()
        pixels = _where(pixels, noisy, lambda some, at: (some + self._noise(some, at, deviation)).clamp_(0, 255))
        return self._erased(pixels)

    def _noise(self, some: Tensor, at: np.ndarray, deviation: np.ndarray) -> Tensor:
        shape = tuple(some.shape[1:])
        made = [float(deviation[row]) * self.chances[row].standard_normal(shape, dtype=np.float32) for row in at]
        return torch.from_numpy(np.stack(made))

    def _erased(self, pixels: Tensor) -> Tensor:
        """With a rectangle in the mean colour of its picture, where that is drawn."""
        height, width = pixels.shape[2:]
        erased, share, shape = self._even() < self.how.erase, 0.02 + 0.18 * self._even(), self._around(np.log(3))
        parts = geometry.cover(share, np.exp(shape), np.stack([self._even(), self._even()], 1), (height, width))
        for row in np.flatnonzero(erased):
            left, top, right, bottom = (round(float(one)) for one in parts[row])
            pixels[row, :, top:bottom, left:right] = pixels[row].mean((1, 2))[:, None, None]
        return pixels


def _where(pixels: Tensor, chosen: np.ndarray, change: Callable[[Tensor, np.ndarray], Tensor]) -> Tensor:
    """`pixels` with some of its pictures changed; `change` is given those, and which they are."""
    at = np.flatnonzero(chosen)
    if not len(at):
        return pixels
    if len(at) == len(pixels):
        return change(pixels, at)
    places = torch.from_numpy(at)
    pixels[places] = change(pixels[places], at)
    return pixels


def of_level(level: Level, flip: Flip = "none") -> Augmentation:
    """The changes called `level`, for pictures whose meaning stays under `flip`."""
    return replace(_OF_LEVEL[level], flip=flip if level != "none" else "none")


_OF_LEVEL: dict[Level, Augmentation] = {
    "none": Augmentation(),
    "light": Augmentation(crop=(0.8, 1.0), aspect=1.1, brightness=0.1, contrast=0.1),
    "standard": Augmentation(
        crop=(0.5, 1.0), aspect=1.25, degrees=10, brightness=0.25, contrast=0.25, saturation=0.25, hue=6, erase=0.1
    ),
    "strong": Augmentation(
        crop=(0.3, 1.0), aspect=4 / 3, degrees=10, brightness=0.25, contrast=0.25, saturation=0.25, hue=6, erase=0.25,
        operations=2, magnitude=0.5, blur=0.1, noise=0.1, grey=0.05,
    ),
}  # fmt: skip
