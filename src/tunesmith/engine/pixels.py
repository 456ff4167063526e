"""Rows as pictures of one size: a flat, memory-mapped file of 8-bit colours however many there are.

Knows nothing of tasks; a batch touches only its own rows. Pictures are decoded once, so that a step reads them as
numbers, and are kept with the edge that a network's own crop would cut off, for crops elsewhere. Those that would fill
the disk are decoded for each batch.
"""

from __future__ import annotations

import hashlib
import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from torch import Tensor

from tunesmith.core.files import new_file, own_folder
from tunesmith.data.pictures import read_pictures
from tunesmith.engine.augment import Augmentation, Pictured, Pictures
from tunesmith.engine.encoded import EncodedItems
from tunesmith.engine.mix import mix
from tunesmith.models.processor import PictureProcessor

CACHE_BYTES = 50_000_000_000
"""Most of decoded pictures on disk: 250,000 of 256 x 256 pixels."""


@dataclass
class EncodedPictures(EncodedItems):
    """`pixels` uint8 [n, *processor.stored, 3] as `processor` made them, or what stands for them; `digest` uint8 [32],
    the sha256 of all."""

    unit: ClassVar[str] = "squares of 16 x 16 pixels"
    pixels: np.ndarray | DecodedAnew
    processor: PictureProcessor
    digest: np.ndarray
    augmentation: Augmentation = field(default_factory=Augmentation)
    """How the batches of a training are changed."""
    mixup: float = 0.0
    cutmix: float = 0.0
    """As `engine.mix` has them."""
    mirror: int | None = None
    """The axis of `pixels` that is turned over."""

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def lengths(self) -> np.ndarray:
        return np.full(len(self), self.processor.cost, dtype=np.int64)

    @property
    def compared(self) -> bool:
        return bool(self.mixup or self.cutmix)

    @property
    def content(self) -> tuple[np.ndarray, ...]:
        return (self.digest,)

    def seen(self, positions: np.ndarray) -> np.ndarray:
        """What the network reads of them, as pictures, uint8 [b, height, width, 3]."""
        return self.processor.middle(self.stored(positions))

    def stored(self, positions: np.ndarray) -> np.ndarray:
        """The same with the edge that the network's own crop cuts off, uint8 [b, *processor.stored, 3]."""
        found = self.pixels[positions]
        return found if self.mirror is None else np.flip(found, self.mirror)

    def inputs(self, positions: np.ndarray) -> dict[str, Tensor]:
        """'pixel_values' float32 [b, 3, height, width]."""
        return {"pixel_values": self.processor.normalise(self.seen(positions))}

    def whole(self, positions: np.ndarray) -> Pictures:
        """As `stored`, with what lies on them."""
        return Pictures(self.stored(positions))

    def changed(self, positions: np.ndarray, seed: int, epoch: int, how: Augmentation | None = None) -> Pictures:
        """Pictures as a step of training sees them, [b, height, width, 3], with what lies on them. `how`: where that is
        not `augmentation`."""
        rows = positions if self.row_ids is None else self.row_ids[positions]
        size = self.processor.height, self.processor.width
        chosen = self.augmentation if how is None else how
        return chosen.apply(self.whole(positions), size, seed=seed, epoch=epoch, rows=rows)

    def training_batch(self, positions: np.ndarray, seed: int, epoch: int) -> dict[str, Tensor]:
        """'pixel_values' and 'targets', and where pictures are mixed 'partners' and 'shares' as `engine.mix` has
        them."""
        if self.features is not None:
            return self.collate(positions)
        if self.augmentation.changes:
            batch = {"pixel_values": self.processor.normalise(self.changed(positions, seed, epoch).pixels)}
        else:
            batch = self.inputs(positions)
        if self.targets is not None:
            batch["targets"] = self.batch_targets(positions)
        if self.mixup or self.cutmix:
            mix(batch, self.mixup, self.cutmix, np.random.default_rng([seed, epoch, *map(int, positions)]))
        return batch

    def preview(self, positions: np.ndarray, seed: int, epochs: int) -> list[list[Pictured]]:
        if self.features is not None or not self.augmentation.changes:
            return []
        made = [self.changed(positions, seed, 0, Augmentation())]
        made += [self.changed(positions, seed, epoch) for epoch in range(epochs)]
        return [list(one) for one in zip(*(self.pictured(positions, some) for some in made), strict=True)]

    def pictured(self, positions: np.ndarray, found: Pictures) -> list[Pictured]:
        """`found`, made of the rows at `positions`, one by one, with what is learned of them."""
        return [Pictured(pixels) for pixels in found.pixels]

    def mirrored(self, axis: int) -> Self:
        """The same pictures left for right (`axis` 2) or upside down (1)."""
        return replace(self, mirror=axis)


class DecodedAnew:
    """Pictures that do not fit on the disk once decoded: read from their files whenever they are asked for, on all
    cores. Looks like the array uint8 [n, *processor.stored, 3] that they would be."""

    def __init__(self, given: Sequence[str], processor: PictureProcessor):
        self._given, self._processor = given, processor
        self.shape = (len(given), *processor.stored, 3)

    def __len__(self) -> int:
        return len(self._given)

    def __getitem__(self, positions: np.ndarray) -> np.ndarray:
        """Those at int64 [b]. Raises DataError for a file that has gone since it was read first."""
        found = np.empty((len(positions), *self.shape[1:]), dtype=np.uint8)
        wanted = [self._given[at] for at in positions]
        for row, image in enumerate(read_pictures(wanted, least=least_side(self._processor))):
            found[row] = self._processor.stored_pixels(image)
        return found


def least_side(processor: PictureProcessor) -> int:
    """Pixels of a side below which a picture is not decoded: twice what is kept, so that resizing still averages."""
    return 2 * max(processor.stored)


def encode_pictures(
    given: Sequence[str], processor: PictureProcessor, folder: Path, check: Callable[[], None] = lambda: None,
    most: int = CACHE_BYTES,
) -> EncodedPictures:  # fmt: skip
    """Pictures, by their paths or as data URIs, at one size: decoded once into a file below `folder`, or, where that
    would take more than `most` bytes or half of what is free on the disk, anew for each batch. `check` is called before
    each and may raise."""
    own_folder(folder)
    shape = (len(given), *processor.stored, 3)
    if math.prod(shape) > min(most, shutil.disk_usage(folder).free // 2):
        digest = hashlib.sha256("\0".join(given).encode()).digest()
        return EncodedPictures(DecodedAnew(given, processor), processor, np.frombuffer(digest, dtype=np.uint8))
    path, content = folder / "pixels.bin", hashlib.sha256()
    with new_file(path, durable=False) as file:
        for image in read_pictures(given, check, least_side(processor)):
            check()
            pixels = np.ascontiguousarray(processor.stored_pixels(image))
            # not `tofile`, which forgets why it could not write: a full disk pauses a run, other faults end it
            file.write(pixels.data)
            content.update(pixels.data)
    kept = np.memmap(path, dtype=np.uint8, mode="r", shape=shape) if given else np.zeros(shape, dtype=np.uint8)
    return EncodedPictures(kept, processor, np.frombuffer(content.digest(), dtype=np.uint8))
