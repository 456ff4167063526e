"""Masks: pictures whose pixels say which class stands at each place of another picture, and what is wrong with one.

A mask is given as the path of a file, as a data URI, or as shapes (polygons or runs, as COCO writes them). In a file
the value of a pixel is the number of its class: a grey value, a place in the palette, or a colour (red, green, blue as
one number). 255 stands for places that do not count, as Pascal VOC, ADE20K and Cityscapes have it.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import warnings
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from tunesmith.core.files import open_regular
from tunesmith.data import shapes
from tunesmith.data.pictures import MOST_PIXELS, URI, absent, too_large

IGNORED = 255
"""Number of a place that does not count, in files of numbers and in class maps."""
MOST_CLASSES = 255
GREY = 0x010101
"""Times a grey value, that is its colour."""
_FORMATS = ("PNG", "BMP", "DIB", "GIF", "TIFF", "WEBP", "JPEG")
_MOST_COLOURS = 4_096
_FEW = 8
"""Values of a mask from which on it is asked whether they are classes at all."""
_SMEARED = 0.05
"""Share of the pixels, at the most, that all values but the usual ones have together where a mask is smeared."""
_KEPT = 50_000
_NO_PICTURE = "it is no picture in spite of its name, or a damaged one"


class MaskFault(Exception):
    """Why a mask can not be read or does not fit, in words that follow its path."""


@dataclass(frozen=True)
class Look:
    """What stands in a mask. size: width and height, upright; counts: pixels of each value; colours: whether values are
    colours; lossy: whether its format changes values (JPEG); digest: of the pixels."""

    size: tuple[int, int]
    counts: tuple[tuple[int, int], ...]
    colours: bool
    lossy: bool
    digest: str

    @property
    def values(self) -> list[int]:
        return [value for value, _ in self.counts]


@dataclass(frozen=True)
class Mask:
    """A mask that was checked, as a run keeps it: where it lies (`given`), the names of the values in it that are
    classes, whether the values are colours, and what is known of its pixels. Values without a name do not count."""

    given: str
    names: Mapping[int, str]
    colours: bool
    digest: str
    size: tuple[int, int] = (0, 0)
    """Width and height."""
    pixels: Mapping[str, int] = field(default_factory=dict)
    """Of each class in it."""

    def written(self) -> str:
        """As a text, which `of` reads."""
        names = {str(value): name for value, name in self.names.items()}
        facts = {"digest": self.digest, "size": self.size, "pixels": dict(self.pixels)}
        return json.dumps({"mask": self.given, "names": names, "colours": self.colours, **facts})

    @classmethod
    def of(cls, text: str) -> Mask:
        found = json.loads(text)
        names = {int(value): str(name) for value, name in found["names"].items()}
        size = found["size"]
        return cls(found["mask"], names, found["colours"], found["digest"], (size[0], size[1]), found["pixels"])

    @property
    def labels(self) -> list[str]:
        return sorted(set(self.names.values()))

    def read(self, index: Mapping[str, int]) -> np.ndarray:
        """Class numbers uint8 [height, width] by the name of each class, upright; 255 where nothing counts. Raises
        MaskFault."""
        values, colours, _ = _values(self.given)
        if self.colours and not colours:
            values = values.astype(np.int32) * GREY
        return to_classes(values, {value: index[name] for value, name in self.names.items() if name in index})


def drawn_from(shapes: Sequence[tuple[str, object]], classes: Sequence[str], size: tuple[int, int]) -> str:
    """Labels with COCO segmentations on a picture of `size` (width, height) as a mask that is not checked yet; what
    none covers is 'background'."""
    value = {name: number for number, name in enumerate(classes, 1)}
    given = {"size": [size[1], size[0]], "shapes": [[value[name], segmentation] for name, segmentation in shapes]}
    names = {0: "background", **{number: name for name, number in value.items()}}
    return Mask(json.dumps(given), names, False, "").written()


def is_written(cell: str) -> bool:
    """Whether a text is a checked mask (`Mask.written`)."""
    return cell.startswith('{"mask":')


def look(given: str) -> Look:
    """What stands in a mask. Raises MaskFault."""
    if given.startswith(("{", URI)):
        return _look(given, 0, 0)
    try:
        found = os.stat(given)
    except OSError:
        raise MaskFault(absent(Path(given))) from None
    return _look(given, found.st_size, found.st_mtime_ns)


def smeared(found: Look, known: Sequence[int] = ()) -> str | None:
    """Why the values of a mask are no classes but what a format with losses, or resizing between pixels, made of them;
    None where they look like classes. `known`: values that are surely classes."""
    others = [(value, count) for value, count in found.counts if value not in known and value != IGNORED]
    if found.lossy:
        if not others or (not known and len(found.counts) <= 2):
            return None
        return (
            f"it is a JPEG, which smears the numbers of classes into others ({len(found.counts)} different values): "
            "save masks as PNG"
        )
    if found.colours or len(found.counts) < _FEW:
        return None
    total = sum(count for _, count in found.counts)
    usual = sum(sorted((count for _, count in found.counts), reverse=True)[:2])
    rare = total - usual
    if len(others) >= _FEW and rare <= _SMEARED * total and not known:
        return (
            f"it has {len(found.counts)} different values, all but two of them rare: it was resized or saved with "
            "colours between those of the classes; resize masks to the nearest pixel"
        )
    return None


def to_classes(values: np.ndarray, numbers: Mapping[int, int]) -> np.ndarray:
    """Values of a mask [height, width] as class numbers uint8; 255 for values that `numbers` does not name."""
    if values.dtype == np.uint8:
        table = np.full(256, IGNORED, dtype=np.uint8)
        for value, number in numbers.items():
            if 0 <= value < 256:
                table[value] = number
        return table[values]
    known = np.array(sorted(numbers), dtype=np.int64)
    if not len(known):
        return np.full(values.shape, IGNORED, dtype=np.uint8)
    places = np.searchsorted(known, values).clip(max=len(known) - 1)
    classes = np.array([numbers[int(value)] for value in known], dtype=np.uint8)[places]
    return np.where(known[places] == values, classes, np.uint8(IGNORED))


@lru_cache(maxsize=_KEPT)
def _look(given: str, _size: int, _time: int) -> Look:
    values, colours, lossy = _values(given)
    if values.dtype == np.uint8:
        counted = np.bincount(values.ravel(), minlength=256)
        counts = [(int(value), int(counted[value])) for value in np.flatnonzero(counted)]
    else:
        different, times = np.unique(values, return_counts=True)
        counts = list(zip(different.tolist(), times.tolist(), strict=True))
    if len(counts) > _MOST_COLOURS:
        raise MaskFault(
            f"it has {len(counts):,} different {'colours' if colours else 'values'}, and is no mask: a mask has one "
            "for each class" + (" (a JPEG smears them: save masks as PNG)" if lossy else "")
        )
    digest = hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()[:24]
    return Look((values.shape[1], values.shape[0]), tuple(counts), colours, lossy, digest)


def _values(given: str) -> tuple[np.ndarray, bool, bool]:
    """Values [height, width], uint8 or int32, whether they are colours, and whether the format has losses."""
    if given.startswith("{"):
        found = json.loads(given)
        try:
            height, width = found["size"]
            return shapes.draw(found["shapes"], (height, width)), False, False
        except (KeyError, TypeError, ValueError) as error:
            raise MaskFault(f"its shapes can not be drawn: {error}") from None
    with _opened(given) as file:
        try:
            with _quiet(), Image.open(file, formats=_FORMATS) as image:
                if image.width * image.height > MOST_PIXELS:
                    raise MaskFault(f"{image.width:,} x {image.height:,} pixels are too many")
                lossy = image.format == "JPEG"
                return (*_decoded(image), lossy)
        except MaskFault:
            raise
        except UnidentifiedImageError:
            file.seek(0)
            raise MaskFault(_NO_PICTURE if file.read(1) else "it is empty: 0 bytes") from None
        except Image.DecompressionBombError as error:
            raise MaskFault(too_large(str(error))) from None
        except MemoryError:
            raise MaskFault("there is not enough memory to decode it") from None
        except Exception as error:  # decoders raise whatever they like of a damaged file
            raise MaskFault(f"it is damaged: {' '.join(str(error).split()).rstrip('.')}") from None


def _decoded(image: Image.Image) -> tuple[np.ndarray, bool]:
    image.load()
    image = ImageOps.exif_transpose(image)
    if image.mode in ("P", "L", "1"):  # of one bit: 0 and 1
        return np.asarray(image).astype(np.uint8), False
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.int64)
        if values.size and (values.min() < 0 or values.max() >= 2**24):
            raise MaskFault("it holds numbers below 0 or above 16 million, which are no classes")
        return (values.astype(np.uint8) if not values.size or values.max() < 256 else values.astype(np.int32)), False
    if image.mode in ("LA", "PA", "RGBA", "La", "RGBa"):
        image = image.convert("RGBA")
        if image.getchannel("A").getextrema()[0] < 255:  # type: ignore[operator]
            raise MaskFault("it is transparent in part, which says nothing of a class: save it without transparency")
        image = image.convert("RGB")
    if image.mode != "RGB":
        raise MaskFault(f"its pixels are of the kind {image.mode}, and neither numbers nor colours")
    pixels = np.asarray(image)
    if np.array_equal(pixels[..., 0], pixels[..., 1]) and np.array_equal(pixels[..., 0], pixels[..., 2]):
        return pixels[..., 0].copy(), False  # a grey picture that was saved with colours
    wide = pixels.astype(np.int32)
    return wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2], True


def _opened(given: str) -> AbstractContextManager[IO[bytes]]:
    """A file, or what a data URI holds. Raises MaskFault."""
    if given.startswith(URI):
        try:
            return io.BytesIO(base64.b64decode(given.partition(",")[2], validate=True))
        except ValueError:
            raise MaskFault("it is no whole data URI: what follows the comma is not in base64") from None
    path = Path(given)
    try:
        return cast(AbstractContextManager[Any], open_regular(path))
    except FileNotFoundError:
        raise MaskFault(absent(path)) from None
    except IsADirectoryError:
        raise MaskFault("it is a folder, and a mask is needed") from None
    except OSError as error:
        raise MaskFault(f"it can not be read: {error.strerror}") from None


def _quiet() -> warnings.catch_warnings[None]:
    """Without Pillow's warnings: of sizes, which are checked here, and of odd tags, which change no pixel."""
    return warnings.catch_warnings(action="ignore")
