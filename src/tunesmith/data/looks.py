"""What is kept of each picture of a data set: enough to tell whether it can be read, and which are the same."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from tunesmith.data.picture_features import THUMB, difference_hash
from tunesmith.data.pictures import URI, PictureFault, on_all_cores, open_picture

_KEPT = 20_000
"""Pictures that are remembered, of 7 KB each, so that one which is asked for again is not decoded again."""


class Look(NamedTuple):
    """What is kept of a picture: `digest`, the sha256 of its pixels (of a JPEG at the size that is decoded for this);
    `mark`, its difference hash; `thumb` uint8 [THUMB, THUMB, 3]; `size`, `orientation` and `kind` as of a
    `pictures.Picture`."""

    digest: bytes
    mark: int
    thumb: np.ndarray
    size: tuple[int, int] = (0, 0)
    orientation: int = 1
    kind: str = ""


def look(given: str | Path) -> Look:
    """What is kept of a picture. Raises PictureFault."""
    if isinstance(given, str) and given.startswith(URI):
        return _look_at(given)
    try:
        found = Path(given).stat()
    except OSError:
        return _look_at(given)  # which says what is wrong
    return _look(given, found.st_size, found.st_mtime_ns)


def looks(given: Sequence[str | Path], check: Callable[[], None] = lambda: None) -> list[Look | PictureFault]:
    """What is kept of each picture, or why it can not be read; on all cores. `check` is called now and then and may
    raise."""

    def one(path: str | Path) -> Look | PictureFault:
        try:
            return look(path)
        except PictureFault as fault:
            return fault

    return list(on_all_cores(one, given, check))


def faults_of(given: Sequence[str | Path], check: Callable[[], None] = lambda: None) -> list[str | None]:
    """For each picture what is wrong with it, in words; None where there is nothing."""
    return [str(one) if isinstance(one, PictureFault) else None for one in looks(given, check)]


@lru_cache(maxsize=_KEPT)
def _look(given: str | Path, _size: int, _time: int) -> Look:
    return _look_at(given)


def _look_at(given: str | Path) -> Look:
    found = open_picture(given, least=4 * THUMB)
    thumb = np.asarray(found.image.resize((THUMB, THUMB), Image.Resampling.BOX))
    content = hashlib.sha256(f"{found.size[0]}x{found.size[1]} ".encode())
    content.update(found.image.tobytes())
    mark = difference_hash(found.image)
    return Look(content.digest(), mark, thumb, found.size, found.orientation, found.kind)
