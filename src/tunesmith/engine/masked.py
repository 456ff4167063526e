"""Rows as pictures with their masks: a flat, memory-mapped file of class numbers beside that of the pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from tunesmith.core.files import new_file
from tunesmith.engine.augment import Pictured, Pictures
from tunesmith.engine.pixels import EncodedPictures

IGNORED = 255
"""Class number of places that do not count."""
_LEAST = 1.0
"""Pixels that Dice is never less than measured on, so that a class of a few counts little."""


@dataclass
class EncodedMasks(EncodedPictures):
    """`masks` uint8 [n, *processor.stored]: the class of each pixel, 255 where it does not count."""

    unit: ClassVar[str] = EncodedPictures.unit
    masks: np.ndarray = field(default_factory=lambda: np.zeros((0, 0, 0), dtype=np.uint8))

    @classmethod
    def of(cls, pictures: EncodedPictures, masks: np.ndarray) -> Self:
        return cls(**{one.name: getattr(pictures, one.name) for one in fields(pictures)}, masks=masks)

    def batch_targets(self, positions: np.ndarray) -> Tensor:
        """Class numbers uint8 [b, height, width]."""
        return torch.from_numpy(np.ascontiguousarray(self.processor.middle(self.masks[positions])))

    def training_batch(self, positions: np.ndarray, seed: int, epoch: int) -> dict[str, Tensor]:
        """Pictures changed at random, and their masks in the same way."""
        if not self.augmentation.changes:
            return self.collate(positions)
        found = self.changed(positions, seed, epoch)
        assert found.masks is not None
        return {
            "pixel_values": self.processor.normalise(found.pixels),
            "targets": torch.from_numpy(np.ascontiguousarray(found.masks)),
        }

    def whole(self, positions: np.ndarray) -> Pictures:
        found = super().whole(positions)
        found.masks = self.masks[positions]
        return found

    def pictured(self, positions: np.ndarray, found: Pictures) -> list[Pictured]:
        assert found.masks is not None
        return [Pictured(pixels, mask=mask) for pixels, mask in zip(found.pixels, found.masks, strict=True)]


def encode_masks(
    maps: Callable[[], Any], count: int, pictures: EncodedPictures, folder: Path, check: Callable[[], None]
) -> EncodedMasks:
    """`maps` gives `count` class maps uint8 [height, width] of any size, in the order of `pictures`; they are kept in a
    file below `folder`, at the size of the pictures, each pixel that of the place in its middle."""
    height, width = pictures.processor.stored
    path = folder / "masks.bin"
    with new_file(path, durable=False) as file:
        for one in maps():
            check()
            small = Image.fromarray(one).resize((width, height), Image.Resampling.NEAREST)
            file.write(np.ascontiguousarray(np.asarray(small)).data)
    shape = (count, height, width)
    masks = np.memmap(path, dtype=np.uint8, mode="r", shape=shape) if count else np.zeros(shape, dtype=np.uint8)
    return EncodedMasks.of(pictures, masks)


def mask_loss(logits: Tensor, targets: Tensor, weights: Tensor | None, dice: float) -> Tensor:
    """One loss per picture, float32 [b]: (1 - dice) of the cross entropy of its pixels and `dice` of the soft Dice loss
    (Milletari et al. 2016, V-Net) of the classes in it. logits [b, classes, height, width]; targets uint8 [b, height,
    width]; weights float32 [classes]."""
    wanted = targets.long()
    counted = wanted != IGNORED
    each = functional.cross_entropy(logits, wanted, weight=weights, ignore_index=IGNORED, reduction="none")
    entropy = each.sum((1, 2)) / counted.sum((1, 2)).clamp_min(1)
    if dice == 0:
        return entropy
    shares = logits.softmax(1) * counted[:, None]
    right = functional.one_hot(wanted.masked_fill(~counted, 0), logits.shape[1]).permute(0, 3, 1, 2) * counted[:, None]
    both = (shares * right).sum((2, 3))
    whole = shares.sum((2, 3)) + right.sum((2, 3))
    there = right.sum((2, 3)) > 0
    apart = (1 - (2 * both + _LEAST) / (whole + _LEAST)) * there
    return (1 - dice) * entropy + dice * apart.sum(1) / there.sum(1).clamp_min(1)


def as_sets(targets: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """For each picture the classes in it, int64 [k], and where each is, float32 [k, height, width]."""
    classes: Sequence[Tensor] = [one.unique() for one in targets]
    known = [one[one != IGNORED].long() for one in classes]
    masks = [(one[None] == which[:, None, None]).float() for one, which in zip(targets, known, strict=True)]
    return masks, known
