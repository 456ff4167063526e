"""How large a picture is, by what its file says of itself: nothing is decoded."""

from __future__ import annotations

import base64
import io
import os
import warnings
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from PIL import Image

from tunesmith.data.pictures import URI
from tunesmith.data.upright import turn_boxes, turned_size

_ORIENTATION = 0x0112
_KEPT = 100_000


class PictureSize(NamedTuple):
    """Pixels as the picture is looked at, and what its EXIF says of how it lies in the file (1: as it is looked at)."""

    width: int
    height: int
    orientation: int = 1

    @property
    def stored(self) -> tuple[int, int]:
        """Width and height as it lies in the file."""
        return turned_size((self.width, self.height), self.orientation)


def size_of(given: str) -> PictureSize | None:
    """Of a path or a data URI; None of what is no picture, which is told elsewhere."""
    if given.startswith(URI):
        return _read(given, 0, 0)
    try:
        found = os.stat(given)
    except OSError:
        return None
    return _read(given, found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=_KEPT)
def _read(given: str, _size: int, _time: int) -> PictureSize | None:
    try:
        source = io.BytesIO(base64.b64decode(given.partition(",")[2])) if given.startswith(URI) else given
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(source) as image:
                orientation = int(image.getexif().get(_ORIENTATION, 1) or 1)
                width, height = image.size
    except Exception:  # decoders raise whatever they like
        return None
    orientation = orientation if 1 <= orientation <= 8 else 1
    return PictureSize(*turned_size((width, height), orientation), orientation)


def upright(box: list[float], size: PictureSize) -> list[float]:
    """A box (left, top, right, bottom) that was drawn on the picture as it lies in the file, on it as it is looked
    at."""
    return [float(side) for side in turn_boxes(np.array([box]), size.stored, size.orientation)[0]]
