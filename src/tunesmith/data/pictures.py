"""Reading pictures: what a file shows, upright and in RGB, or why it shows nothing.

A picture is given as the path of its file, or as a data URI (`data:image/png;base64,...`), which holds it. Files are
read and never written. Only formats that Pillow decodes by itself are opened, so that no other program is
started for a file that only calls itself a picture; and DICOM (`data.dicom`).
"""

from __future__ import annotations

import base64
import io
import os
import re
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import IO, NamedTuple, TypeVar

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from tunesmith.core.errors import DataError, Problem, did_you_mean
from tunesmith.core.files import open_regular
from tunesmith.data.dicom import DicomFault, is_dicom, read_dicom
from tunesmith.data.upright import UPRIGHT, turned_size

URI = "data:image/"
"""What a data URI of a picture begins with."""
_ADDRESSES = ("http://", "https://", "ftp://", "s3://", "gs://", "file://")
SUFFIXES = frozenset({
    ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib", ".gif", ".webp", ".tif", ".tiff", ".avif", ".dcm",
    ".dicom",
})  # fmt: skip
MOST_PIXELS = 178_956_970
"""Pixels of a picture: 512 MB once decoded. Pillow refuses more, as such files are made to fill memory."""
_FORMATS = ("PNG", "JPEG", "BMP", "DIB", "GIF", "WEBP", "TIFF", "AVIF")
_BEGINS = ((b"\x89PNG\r\n\x1a\n", "png"), (b"\xff\xd8\xff", "jpeg"), (b"GIF8", "gif"), (b"BM", "bmp"),
           (b"II*\0", "tiff"), (b"MM\0*", "tiff"))  # fmt: skip
_BEGIN = 132
"""Bytes of a file that say what it is."""
_CHUNK = 512
_AHEAD = 3
"""Pictures that each thread may have read before they are asked for."""
_ADDRESS = "it is an address, and nothing is fetched: save the picture as a file (or `predict` with --allow-urls)"
T = TypeVar("T")


class Picture(NamedTuple):
    """A picture as it is read.

    image: RGB, upright. size: width and height once upright, in full; `image` is smaller where `least` was given.
    orientation: EXIF's number of how the file stores it, 1 for upright (`data.upright` turns boxes and masks with it).
    kind: format and colours of the file, such as 'JPEG CMYK', and whether it holds more pictures than the first.
    """

    image: Image.Image
    size: tuple[int, int]
    orientation: int
    kind: str


class PictureFault(Exception):
    """Why a file can not be read as a picture, in words that follow its path; `reason`: the same in short, one of
    few."""

    def __init__(self, message: str, reason: str = "damaged"):
        super().__init__(message)
        self.reason = reason


def is_picture(given: str) -> bool:
    """Whether a text is the name of a file with a picture, or holds one."""
    return given.startswith(URI) or Path(given).suffix.lower() in SUFFIXES


def is_address(given: str) -> bool:
    """Whether a text is the address of something elsewhere."""
    return given.lower().startswith(_ADDRESSES)


def open_picture(given: str | Path, least: int | None = None) -> Picture:
    """The picture upright, over white where it is transparent; of an animation its first frame. 16 bits a colour are
    read as 8.

    `least`: a JPEG may be decoded at a half, a quarter or an eighth of its size, as long as no side gets shorter than
    that, which takes a fraction of the time. Raises PictureFault.
    """
    if _is_uri(given):
        content = _content(str(given))
        return _decoded(io.BytesIO(content), len(content), least)
    if isinstance(given, str) and is_address(given):
        raise PictureFault(_ADDRESS, "an address")
    path = Path(given)
    try:
        file = open_regular(path)
    except FileNotFoundError:
        raise PictureFault(absent(path), "no such file") from None
    except IsADirectoryError:
        raise PictureFault("it is a folder, and a picture is needed", "no file") from None
    except OSError as error:
        raise PictureFault(error.strerror or str(error), "no file") from None
    with file:
        return _decoded(file, os.fstat(file.fileno()).st_size, least)


def read_picture(given: str | Path) -> Image.Image:
    """The picture in RGB, upright (see `open_picture`). Raises DataError where the file is absent, or shows none."""
    return next(read_pictures([given]))


def read_pictures(
    given: Sequence[str | Path], check: Callable[[], None] = lambda: None, least: int | None = None
) -> Iterator[Image.Image]:
    """`read_picture` of each, in order, on all cores; `least` as `open_picture` has it. Where some can not be read,
    DataError names them all in the end. `check` is called now and then and may raise."""

    def one(path: str | Path) -> Image.Image | Problem:
        try:
            return open_picture(path, least).image
        except PictureFault as fault:
            return Problem(str(fault), file=shown(path))

    problems: list[Problem] = []
    for found in on_all_cores(one, given, check):
        if isinstance(found, Problem):
            problems.append(found)
        elif not problems:
            yield found
    if problems:
        raise DataError(problems)


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
    return uri_of(content.getvalue())


def content_of(value: object) -> bytes | None:
    """A picture of Pillow, or pixels as uint8 [height, width], [height, width, 3] or [height, width, 4], as a PNG file;
    None for anything else."""
    if isinstance(value, np.ndarray):
        if value.dtype != np.uint8 or not (value.ndim == 2 or (value.ndim == 3 and value.shape[2] in (3, 4))):
            return None
        value = Image.fromarray(value)
    if not isinstance(value, Image.Image):
        return None
    content = io.BytesIO()
    to_rgb(value).save(content, "PNG")
    return content.getvalue()


def uri_of(content: bytes) -> str:
    """The content of a file with a picture as a data URI."""
    return f"{URI}{format_of(content) or 'unknown'};base64,{base64.b64encode(content).decode('ascii')}"


def format_of(content: bytes) -> str | None:
    """What the first bytes of a file say that it is; None for no picture."""
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "webp"
    if content[4:8] == b"ftyp" and content[8:12] in (b"avif", b"avis"):
        return "avif"
    if is_dicom(content):
        return "dicom"
    return next((name for begin, name in _BEGINS if content.startswith(begin)), None)


def on_all_cores(
    compute: Callable[[str | Path], T], given: Sequence[str | Path], check: Callable[[], None] = lambda: None
) -> Iterator[T]:
    """`compute` of each, in order. Decoding needs no interpreter, so threads share it out; they are a few ahead of what
    is asked for, so that few large pictures are in memory."""
    workers = max(1, len(os.sched_getaffinity(0)))
    waiting: deque[Future[T]] = deque()
    with _quiet(), ThreadPoolExecutor(workers) as pool:
        for number, one in enumerate(given):
            if number % _CHUNK == 0:
                check()
            waiting.append(pool.submit(compute, one))
            if len(waiting) > _AHEAD * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def to_rgb(image: Image.Image) -> Image.Image:
    """Any picture of Pillow's in RGB: upright, 16 bits as 8, over white where it is transparent. Raises
    PictureFault."""
    try:
        return _to_rgb(image)
    except (MemoryError, PictureFault):
        raise
    except Exception as error:  # decoders raise whatever they like
        raise PictureFault(f"its picture can not be decoded: {_in_words(error)}") from None


def fault_before_reading(given: str) -> PictureFault | None:
    """What can be told to be wrong with a picture without decoding it: an address, or a file that is not there."""
    if _is_uri(given):
        return None
    if is_address(given):
        return PictureFault(_ADDRESS, "an address")
    return None if os.path.lexists(given) else PictureFault(absent(Path(given)), "no such file")


def absent(path: Path) -> str:
    """Why there is no such file, with the nearest name in its folder."""
    folder = path.parent
    if not folder.is_dir():
        return f"there is no folder {folder}"
    names = _names_in(folder, folder.stat().st_mtime_ns)
    hint = did_you_mean(path.name, names)
    return "there is no such file." + (f" {hint}" if hint.startswith("Did") else f" Its folder is {folder}.")


def _is_uri(given: str | Path) -> bool:
    return isinstance(given, str) and given.startswith(URI)


def _content(given: str) -> bytes:
    try:
        return base64.b64decode(given.partition(",")[2], validate=True)
    except ValueError:
        raise PictureFault("it is no whole data URI: what follows the comma is not in base64") from None


def _decoded(file: IO[bytes], size: int, least: int | None) -> Picture:
    """The picture in a file of so many bytes."""
    try:
        begins = file.read(_BEGIN)
        file.seek(0)
        if is_dicom(begins):
            found, what = read_dicom(file, MOST_PIXELS)
            return Picture(found, found.size, UPRIGHT, what)
        with Image.open(file, formats=_FORMATS) as image:
            _check_size(image.size)
            whole, kind = image.size, _kind(image)
            orientation = _orientation(image)
            smaller = least is not None and image.format == "JPEG" and image.draft(None, (least, least))
            upright = _to_rgb(image)
            return Picture(upright, turned_size(whole, orientation) if smaller else upright.size, orientation, kind)
    except UnidentifiedImageError:
        raise PictureFault(_no_picture(size), "empty" if size == 0 else "no picture") from None
    except Image.DecompressionBombError as error:
        raise PictureFault(too_large(str(error)), "too large") from None
    except MemoryError:
        raise PictureFault("there is not enough memory to decode it", "too large") from None
    except PictureFault:
        raise
    except DicomFault as fault:
        raise PictureFault(str(fault), "DICOM") from None
    except Exception as error:  # decoders raise whatever they like of a damaged file
        raise PictureFault(f"it is damaged: {_in_words(error)}") from None


def _kind(image: Image.Image) -> str:
    """Format and mode; of a photograph with a preview beside it (MPO) only the photograph counts."""
    several = image.format != "MPO" and getattr(image, "n_frames", 1) > 1
    return f"{'JPEG' if image.format == 'MPO' else image.format} {image.mode}{', several frames' if several else ''}"


def _orientation(image: Image.Image) -> int:
    try:
        given = image.getexif().get(ExifTags.Base.Orientation, UPRIGHT)
        return given if given in range(1, 9) else UPRIGHT
    except Exception:  # data beside the picture that is damaged; the picture need not be
        return UPRIGHT


def _to_rgb(image: Image.Image) -> Image.Image:
    image.load()
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        image = _in_8_bits(image)
    if image.mode == "F":
        raise PictureFault("its pixels are numbers of any size (32-bit float), which are no colours", "no colours")
    if image.has_transparency_data:
        over = image.convert("RGBA")
        white = Image.new("RGBA", over.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, over)
    return image if image.mode == "RGB" else image.convert("RGB")


def _in_8_bits(image: Image.Image) -> Image.Image:
    """Grey values of 16 bits; Pillow itself would cut off all that is above 255."""
    values = np.asarray(image).astype(np.int64)
    if values.size and (values.min() < 0 or values.max() > 0xFFFF):
        raise PictureFault("its pixels are numbers of 32 bits, which are no colours", "no colours")
    return Image.fromarray((values >> 8).astype(np.uint8))


def _check_size(size: tuple[int, int]) -> None:
    if size[0] * size[1] > MOST_PIXELS:
        raise PictureFault(_would_take(f"{size[0]:,} x {size[1]:,} pixels"), "too large")


def too_large(error: str) -> str:
    """What Pillow's DecompressionBombError says, for people."""
    pixels = re.search(r"\((\d+) pixels\)", error)
    return _would_take(f"it is too large: {int(pixels[1]):,} pixels" if pixels else "its size")


def _would_take(shown: str) -> str:
    return f"{shown} would take more than {MOST_PIXELS * 3 / 1e6:.0f} MB of memory once decoded: make it smaller"


def _no_picture(size: int) -> str:
    if size == 0:
        return "it is empty: 0 bytes"
    kinds = "PNG, JPEG, BMP, GIF, WebP, AVIF, TIFF or DICOM"
    return f"it is no picture in spite of its name, or a damaged one: its content is none of {kinds}"


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
