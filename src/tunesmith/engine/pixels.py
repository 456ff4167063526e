"""Rows as pictures of one size: a flat, memory-mapped file of 8-bit colours however many there are.

Knows nothing of tasks; a batch touches only its own rows. Pictures are decoded once, so that a step reads them as
numbers, and are kept with the edge that a network's own crop would cut off, for crops elsewhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from PIL import Image
from torch import Tensor

from tunesmith.core.files import new_file, own_folder
from tunesmith.engine.augment import Augmentation, Pictures
from tunesmith.engine.encoded import EncodedItems
from tunesmith.engine.mix import mix
from tunesmith.models.processor import PictureProcessor


@dataclass
class EncodedPictures(EncodedItems):
    """`pixels` uint8 [n, *processor.stored, 3] as `processor` made them; `digest` uint8 [32], the sha256 of all."""

    unit: ClassVar[str] = "squares of 16 x 16 pixels"
    pixels: np.ndarray
    processor: PictureProcessor
    digest: np.ndarray
    augmentation: Augmentation = field(default_factory=Augmentation)
    """How the batches of a training are changed."""
    mixup: float = 0.0
    cutmix: float = 0.0
    """As `engine.mix` has them."""

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def lengths(self) -> np.ndarray:
        return np.full(len(self), self.processor.cost, dtype=np.int64)

    @property
    def content(self) -> tuple[np.ndarray, ...]:
        return (self.digest,)

    def seen(self, positions: np.ndarray) -> np.ndarray:
        """What the network reads of them, as pictures, uint8 [b, height, width, 3]."""
        return self.processor.middle(self.pixels[positions])

    def inputs(self, positions: np.ndarray) -> dict[str, Tensor]:
        """'pixel_values' float32 [b, 3, height, width]."""
        return {"pixel_values": self.processor.normalise(self.seen(positions))}

    def changed(self, positions: np.ndarray, seed: int, epoch: int) -> np.ndarray:
        """Pictures as a step of training sees them, uint8 [b, height, width, 3]."""
        rows = positions if self.row_ids is None else self.row_ids[positions]
        size = self.processor.height, self.processor.width
        return self.augmentation.apply(
            Pictures(self.pixels[positions]), size, seed=seed, epoch=epoch, rows=rows
        ).pixels  # fmt: skip

    def training_batch(self, positions: np.ndarray, seed: int, epoch: int) -> dict[str, Tensor]:
        """'pixel_values' and 'targets', and where pictures are mixed 'partners' and 'shares' as `engine.mix` has
        them."""
        if self.features is not None:
            return self.collate(positions)
        if self.augmentation.changes:
            batch = {"pixel_values": self.processor.normalise(self.changed(positions, seed, epoch))}
        else:
            batch = self.inputs(positions)
        if self.targets is not None:
            batch["targets"] = self.batch_targets(positions)
        if self.mixup or self.cutmix:
            mix(batch, self.mixup, self.cutmix, np.random.default_rng([seed, epoch, *map(int, positions)]))
        return batch

    def preview(self, positions: np.ndarray, seed: int, epochs: int) -> list[list[np.ndarray]]:
        if self.features is not None or not self.augmentation.changes:
            return []
        made = [self.seen(positions)]
        made += [self.changed(positions, seed, epoch) for epoch in range(epochs)]
        return [list(one) for one in zip(*made, strict=True)]

    def mirrored(self, axis: int) -> Self:
        """The same pictures left for right (`axis` 2) or upside down (1)."""
        return replace(self, pixels=np.flip(self.pixels, axis))


def encode_pictures(
    images: Iterable[Image.Image], processor: PictureProcessor, folder: Path, check: Callable[[], None] = lambda: None
) -> EncodedPictures:
    """Pictures in RGB to one size, in a file below `folder`. `check` is called before each and may raise."""
    own_folder(folder)
    path, count, content = folder / "pixels.bin", 0, hashlib.sha256()
    with new_file(path, durable=False) as file:
        for image in images:
            check()
            pixels = np.ascontiguousarray(processor.stored_pixels(image))
            # not `tofile`, which forgets why it could not write: a full disk pauses a run, other faults end it
            file.write(pixels.data)
            content.update(pixels.data)
            count += 1
    shape = (count, *processor.stored, 3)
    pixels = np.memmap(path, dtype=np.uint8, mode="r", shape=shape) if count else np.zeros(shape, dtype=np.uint8)
    return EncodedPictures(pixels, processor, np.frombuffer(content.digest(), dtype=np.uint8))
