"""Reading pictures: what a file shows, what is wrong with one that shows nothing, and what pictures are compared by.

A picture is given as the path of its file, or as a data URI (`data:image/png;base64,...`), which holds it. Files are
read and never written. Only formats that Pillow decodes by itself are opened, so that no other program is
started for a file that only calls itself a picture.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import IO, NamedTuple, TypeVar

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from tunesmith.core.errors import DataError, Problem, did_you_mean
from tunesmith.core.files import open_regular

URI = "data:image/"
"""What a data URI of a picture begins with."""
SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff"})
MOST_PIXELS = 178_956_970
"""Pixels of a picture: 512 MB once decoded. Pillow refuses more, as such files are made to fill memory."""
THUMB = 48
"""Side of the small square that is kept of each picture."""
_FORMATS = ("PNG", "JPEG", "BMP", "DIB", "GIF", "WEBP", "TIFF")
_KEPT = 20_000
"""Pictures that are remembered, of 7 KB each, so that one which is asked for again is not decoded again."""
_CHUNK = 512
T = TypeVar("T")


class Look(NamedTuple):
    """What is kept of a picture: `digest`, the sha256 of its pixels; `mark`, its difference hash; `thumb` uint8
    [THUMB, THUMB, 3]; `size`, its width and height."""

    digest: bytes
    mark: int
    thumb: np.ndarray
    size: tuple[int, int]


class PictureFault(Exception):
    """Why a file can not be read as a picture, in words that follow its path."""


def is_picture(given: str) -> bool:
    """Whether a text is the name of a file with a picture, or holds one."""
    return given.startswith(URI) or Path(given).suffix.lower() in SUFFIXES


def read_picture(given: str | Path) -> Image.Image:
    """The picture in RGB, upright, over white where it is transparent; of an animation its first frame.

    Raises DataError where the file is absent, or shows no picture.
    """
    return next(read_pictures([given]))


def read_pictures(given: Sequence[str | Path], check: Callable[[], None] = lambda: None) -> Iterator[Image.Image]:
    """`read_picture` of each, in order, on all cores. `check` is called now and then and may raise."""

    def one(path: str | Path) -> Image.Image:
        try:
            return _read(path)
        except PictureFault as fault:
            raise DataError(Problem(str(fault), file=shown(path))) from None

    return _on_all_cores(one, given, check)


def look(given: str | Path) -> Look:
    """What is kept of a picture. Raises PictureFault."""
    if _is_uri(given):
        return _look(given, 0, 0)
    try:
        found = Path(given).stat()
    except OSError:
        raise PictureFault(_absent(Path(given))) from None
    return _look(given, found.st_size, found.st_mtime_ns)


def looks(given: Sequence[str | Path], check: Callable[[], None] = lambda: None) -> list[Look | PictureFault]:
    """What is kept of each picture, or why it can not be read; on all cores. `check` is called now and then and may
    raise."""

    def one(path: str | Path) -> Look | PictureFault:
        try:
            return look(path)
        except PictureFault as fault:
            return fault

    return list(_on_all_cores(one, given, check))


def faults_of(given: Sequence[str | Path], check: Callable[[], None] = lambda: None) -> list[str | None]:
    """For each picture what is wrong with it, in words; None where there is nothing."""
    return [str(one) if isinstance(one, PictureFault) else None for one in looks(given, check)]


def shown(given: str | Path) -> str:
    """A picture for people: the path, without what a data URI holds."""
    return f"{str(given)[:24]}..." if _is_uri(given) else str(given)


def to_uri(image: Image.Image, side: int | None = None) -> str:
    """The picture as a data URI: all of it (PNG), or a JPEG for a page, its longer side at most `side` pixels."""
    content = io.BytesIO()
    if side is None:
        image.save(content, "PNG")
    else:
        image = image.copy()
        image.thumbnail((side, side))
        image.save(content, "JPEG", quality=80)
    kind = "png" if side is None else "jpeg"
    return f"{URI}{kind};base64,{base64.b64encode(content.getvalue()).decode('ascii')}"


def _on_all_cores(
    compute: Callable[[str | Path], T], given: Sequence[str | Path], check: Callable[[], None]
) -> Iterator[T]:
    """Decoding needs no interpreter, so threads share it out."""
    with _quiet(), ThreadPoolExecutor(max(1, len(os.sched_getaffinity(0)))) as pool:
        for start in range(0, len(given), _CHUNK):
            check()
            yield from pool.map(compute, given[start : start + _CHUNK])


def to_rgb(image: Image.Image) -> Image.Image:
    """Any picture of Pillow's in RGB: upright, 16 bits as 8, over white where it is transparent. Raises
    PictureFault."""
    try:
        return _to_rgb(image)
    except (MemoryError, PictureFault):
        raise
    except Exception as error:  # decoders raise whatever they like
        raise PictureFault(f"its picture can not be decoded: {_in_words(error)}") from None


def difference_hash(image: Image.Image) -> int:
    """64 bits, each whether a part of the picture is lighter than the one to its right: pictures that were saved
    smaller, or with losses, differ in few of them."""
    grey = np.asarray(image.convert("L").resize((9, 8), Image.Resampling.BOX))
    bits = np.packbits(grey[:, 1:] > grey[:, :-1])
    return int.from_bytes(bits.tobytes(), "big")


def cheap_features(thumbs: np.ndarray) -> np.ndarray:
    """What a baseline learns from: colours and edges of `thumbs` uint8 [n, THUMB, THUMB, 3], float32 [n, 964].

    A histogram of 64 colours, and histograms of oriented gradients (Dalal & Triggs 2005): 9 directions in cells of
    8 by 8 pixels, in blocks of 2 by 2 cells.
    """
    parts = [_features(thumbs[start : start + _CHUNK]) for start in range(0, len(thumbs), _CHUNK)]
    return np.concatenate(parts) if parts else np.zeros((0, 964), dtype=np.float32)


def _features(thumbs: np.ndarray) -> np.ndarray:
    count = len(thumbs)
    codes = (thumbs >> 6).astype(np.int64) @ np.array([16, 4, 1])
    places = codes.reshape(count, -1) + 64 * np.arange(count)[:, None]
    colours = np.sqrt(np.bincount(places.ravel(), minlength=64 * count).reshape(count, 64) / (THUMB * THUMB))
    light = thumbs.astype(np.float32) @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    down, right = np.gradient(light, axis=(1, 2))
    strength = np.hypot(down, right)
    turn = np.mod(np.arctan2(down, right), np.pi) * (9 / np.pi)  # light and dark sides are one edge
    first = np.floor(turn).astype(np.int64) % 9
    share = turn - np.floor(turn)
    cells = THUMB // 8
    rows = np.arange(THUMB) // 8
    cell = (rows[:, None] * cells + rows[None, :]).ravel()
    base = (np.arange(count)[:, None] * cells * cells + cell) * 9
    found = np.zeros(count * cells * cells * 9)
    for direction, weight in ((first, 1 - share), ((first + 1) % 9, share)):
        at = (base + direction.reshape(count, -1)).ravel()
        found += np.bincount(at, weights=(strength * weight).ravel(), minlength=len(found))
    grid = found.reshape(count, cells, cells, 9)
    blocks = np.concatenate(
        [grid[:, :-1, :-1], grid[:, :-1, 1:], grid[:, 1:, :-1], grid[:, 1:, 1:]], axis=-1
    )  # fmt: skip
    blocks /= np.sqrt((blocks**2).sum(-1, keepdims=True) + 1.0)
    edges = blocks.reshape(count, -1) / (cells - 1)
    return np.concatenate([colours, edges], axis=1).astype(np.float32)


@lru_cache(maxsize=_KEPT)
def _look(given: str | Path, _size: int, _time: int) -> Look:
    image = _read(given)
    thumb = np.asarray(image.resize((THUMB, THUMB), Image.Resampling.BOX))
    content = hashlib.sha256(f"{image.width}x{image.height} ".encode())
    content.update(image.tobytes())
    return Look(content.digest(), difference_hash(image), thumb, image.size)


def _is_uri(given: str | Path) -> bool:
    return isinstance(given, str) and given.startswith(URI)


def _read(given: str | Path) -> Image.Image:
    if _is_uri(given):
        try:
            content = base64.b64decode(str(given).partition(",")[2], validate=True)
        except ValueError:
            raise PictureFault("it is no whole data URI: what follows the comma is not in base64") from None
        return _decoded(io.BytesIO(content), len(content))
    path = Path(given)
    try:
        file = open_regular(path)
    except FileNotFoundError:
        raise PictureFault(_absent(path)) from None
    except IsADirectoryError:
        raise PictureFault("it is a folder, and a picture is needed") from None
    except OSError as error:
        raise PictureFault(f"it can not be read: {error.strerror}") from None
    with file:
        return _decoded(file, os.fstat(file.fileno()).st_size)


def _decoded(file: IO[bytes], size: int) -> Image.Image:
    """The picture in a file of so many bytes."""
    try:
        with Image.open(file, formats=_FORMATS) as image:
            _check_size(image.size)
            return _to_rgb(image)
    except UnidentifiedImageError:
        raise PictureFault(_no_picture(size)) from None
    except Image.DecompressionBombError:
        raise PictureFault(_too_large()) from None
    except MemoryError:
        raise PictureFault("there is not enough memory to decode it") from None
    except PictureFault:
        raise
    except Exception as error:  # decoders raise whatever they like of a damaged file
        raise PictureFault(f"it is damaged: {_in_words(error)}") from None


def _to_rgb(image: Image.Image) -> Image.Image:
    image.load()
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        image = _in_8_bits(image)
    if image.mode == "F":
        raise PictureFault("its pixels are numbers of any size (32-bit float), which are no colours")
    if image.has_transparency_data:
        over = image.convert("RGBA")
        white = Image.new("RGBA", over.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, over)
    return image if image.mode == "RGB" else image.convert("RGB")


def _in_8_bits(image: Image.Image) -> Image.Image:
    """Grey values of 16 bits; Pillow itself would cut off all that is above 255."""
    values = np.asarray(image).astype(np.int64)
    if values.size and (values.min() < 0 or values.max() > 0xFFFF):
        raise PictureFault("its pixels are numbers of 32 bits, which are no colours")
    return Image.fromarray((values >> 8).astype(np.uint8))


def _check_size(size: tuple[int, int]) -> None:
    if size[0] * size[1] > MOST_PIXELS:
        raise PictureFault(_too_large(size))


def _too_large(size: tuple[int, int] | None = None) -> str:
    shown = f"{size[0]:,} x {size[1]:,} pixels" if size else "its size"
    return f"{shown} would take more than {MOST_PIXELS * 3 / 1e6:.0f} MB of memory once decoded: make it smaller"


def _no_picture(size: int) -> str:
    if size == 0:
        return "it is empty: 0 bytes"
    kinds = "PNG, JPEG, BMP, GIF, WebP or TIFF"
    return f"it is no picture in spite of its name, or a damaged one: its content is neither {kinds}"


def _absent(path: Path) -> str:
    """Why there is no such file, with the nearest name in its folder."""
    folder = path.parent
    if not folder.is_dir():
        return f"there is no folder {folder}"
    names = _names_in(folder, folder.stat().st_mtime_ns)
    hint = did_you_mean(path.name, names)
    return "there is no such file." + (f" {hint}" if hint.startswith("Did") else f" Its folder is {folder}.")


@lru_cache(maxsize=8)
def _names_in(folder: Path, _time: int) -> tuple[str, ...]:
    return tuple(sorted(entry.name for entry in os.scandir(folder))[:20_000])


def _in_words(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Pillow's warnings: of sizes, which are checked here, and of odd tags, which change no pixel."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
