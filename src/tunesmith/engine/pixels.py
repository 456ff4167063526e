"""Rows as pictures of one size: a flat, memory-mapped file of 8-bit colours however many there are.

Knows nothing of tasks; a batch touches only its own rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from PIL import Image
from torch import Tensor

from tunesmith.core.files import new_file, own_folder
from tunesmith.engine.encoded import EncodedItems
from tunesmith.models.processor import PictureProcessor


@dataclass
class EncodedPictures(EncodedItems):
    """`pixels` uint8 [n, height, width, 3] as `processor` made them; `digest` uint8 [32], the sha256 of all."""

    unit: ClassVar[str] = "squares of 16 x 16 pixels"
    pixels: np.ndarray
    processor: PictureProcessor
    digest: np.ndarray

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def lengths(self) -> np.ndarray:
        return np.full(len(self), self.processor.cost, dtype=np.int64)

    @property
    def content(self) -> tuple[np.ndarray, ...]:
        return (self.digest,)

    def inputs(self, positions: np.ndarray) -> dict[str, Tensor]:
        """'pixel_values' float32 [b, 3, height, width]."""
        return {"pixel_values": self.processor.normalise(self.pixels[positions])}


def encode_pictures(
    images: Iterable[Image.Image], processor: PictureProcessor, folder: Path, check: Callable[[], None] = lambda: None
) -> EncodedPictures:
    """Pictures in RGB to one size, in a file below `folder`. `check` is called before each and may raise."""
    own_folder(folder)
    path, count, content = folder / "pixels.bin", 0, hashlib.sha256()
    with new_file(path, durable=False) as file:
        for image in images:
            check()
            pixels = np.ascontiguousarray(processor.pixels(image))
            # not `tofile`, which forgets why it could not write: a full disk pauses a run, other faults end it
            file.write(pixels.data)
            content.update(pixels.data)
            count += 1
    shape = (count, processor.height, processor.width, 3)
    pixels = np.memmap(path, dtype=np.uint8, mode="r", shape=shape) if count else np.zeros(shape, dtype=np.uint8)
    return EncodedPictures(pixels, processor, np.frombuffer(content.digest(), dtype=np.uint8))
