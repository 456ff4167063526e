"""Pictures of DICOM (X-rays, scans) by pydicom, an optional package: what the first frame shows, as 8 bits a colour."""

from __future__ import annotations

import io
from typing import IO, Any

import numpy as np
from PIL import Image

from tunesmith.core.errors import MissingPackageError
from tunesmith.core.imports import require

_PREAMBLE = 128
_MARK = b"DICM"
ENDS = 0.005
"""Share of the pixels at either end that a window of our own leaves out, as single ones may be anything."""


class DicomFault(Exception):
    """Why a whole file shows no picture, in words that follow its path."""


def is_dicom(content: bytes) -> bool:
    """Whether the first 132 bytes of a file say that it is one."""
    return content[_PREAMBLE : _PREAMBLE + len(_MARK)] == _MARK


def read_dicom(file: IO[bytes], most: int) -> tuple[Image.Image, str]:
    """(picture in RGB, kind of the file) of one with `most` pixels at the most. Greys are seen through the file's own
    first window (DICOM PS3.3, C.11.2.1), or, where it has none, through one from the darkest to the brightest; where
    bright stands for little (MONOCHROME1) they are turned round. Raises DicomFault with why there is none, and whatever
    pydicom raises of a damaged file."""
    try:
        pydicom = require("pydicom", extra="image", why="a DICOM file")
        pixels = require("pydicom.pixels", extra="image", why="a DICOM file")
    except MissingPackageError as error:
        raise DicomFault(f"{str(error).splitlines()[0]} Install it with: pip install 'tunesmith[image]'") from None
    found = pydicom.dcmread(io.BytesIO(file.read()))
    if "PixelData" not in found:
        raise DicomFault("it is a DICOM file without a picture")
    if int(found.Rows) * int(found.Columns) > most:
        raise DicomFault(f"{int(found.Columns):,} x {int(found.Rows):,} pixels are too many: make it smaller")
    values = pixels.pixel_array(found, index=0)
    several = ", several frames" if int(found.get("NumberOfFrames", 1) or 1) > 1 else ""
    shades = str(found.PhotometricInterpretation)
    if values.ndim == 3:
        return Image.fromarray(_of_bits(values, int(found.BitsStored))).convert("RGB"), f"DICOM {shades}{several}"
    if shades == "PALETTE COLOR":
        colours = pixels.apply_color_lut(values, found)
        bits = int(found.RedPaletteColorLookupTableDescriptor[2])
        return Image.fromarray(_of_bits(colours[..., :3], bits)), f"DICOM {shades}{several}"
    grey, window = _windowed(found, pixels, np.asarray(pixels.apply_modality_lut(values, found), dtype=np.float64))
    if shades == "MONOCHROME1":
        grey = 1 - grey
    return Image.fromarray((255 * grey).round().astype(np.uint8)).convert("RGB"), f"DICOM {shades}{window}{several}"


def _windowed(found: Any, pixels: Any, values: np.ndarray) -> tuple[np.ndarray, str]:
    """Greys float64 [height, width] from 0 to 1, and which window they are seen through."""
    centre, width = _first(found.get("WindowCenter")), _first(found.get("WindowWidth"))
    if centre is None or width is None or width < 1:
        if found.get("VOILUTSequence"):
            bits = int(found.VOILUTSequence[0].LUTDescriptor[2])
            seen = np.asarray(pixels.apply_voi_lut(values.astype(np.int64), found), dtype=np.float64)
            return np.clip(seen / (2**bits - 1), 0, 1), ", its own window"
        low, high = np.quantile(values, (ENDS, 1 - ENDS))
        return np.clip((values - low) / max(high - low, 1e-9), 0, 1), ", no window of its own"
    function = str(found.get("VOILUTFunction", "LINEAR"))
    if function == "SIGMOID":
        return 1 / (1 + np.exp(-4 * (values - centre) / width)), ", its own window"
    if function == "LINEAR_EXACT":
        return np.clip((values - centre) / width + 0.5, 0, 1), ", its own window"
    return np.clip((values - (centre - 0.5)) / max(width - 1, 1e-9) + 0.5, 0, 1), ", its own window"


def _first(value: Any) -> float | None:
    """Of several windows the first."""
    if value is None or value == "":
        return None
    try:
        return float(value)
    except TypeError:
        return float(value[0]) if len(value) else None


def _of_bits(values: np.ndarray, bits: int) -> np.ndarray:
    return (values >> max(0, bits - 8)).astype(np.uint8)
