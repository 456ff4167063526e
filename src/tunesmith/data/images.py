"""Pictures as data: which column holds them, what a run keeps of each, which are the same."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from PIL import Image

from tunesmith.core.errors import DataError, Problem
from tunesmith.data import pictures
from tunesmith.data.duplicates import Duplicates
from tunesmith.data.modality import SURE, Cells, DataModality
from tunesmith.data.near_pictures import find_duplicates
from tunesmith.data.nothing import nothing_in_text
from tunesmith.data.pictures import THUMB, Look, PictureFault
from tunesmith.data.profile import Profile

_MOSTLY = 0.9
"""Share of the cells of a column that name pictures, from which on it holds them; the others are faults."""
_THUMB_BYTES = THUMB * THUMB * 3


class ImageData(DataModality):
    name: ClassVar[str] = "image"
    roles: ClassVar[tuple[str, ...]] = ("image",)
    noun: ClassVar[str] = "picture"
    usual_task: ClassVar[str] = "image-classification"
    suffixes: ClassVar[frozenset[str]] = pictures.SUFFIXES

    def claims(self, profile: Profile) -> float:
        if profile.kind != "string" or not profile.cells:
            return 0.0
        named = sum(times for cell, times in profile.counts.items() if pictures.is_picture(cell))
        return SURE if named >= _MOSTLY * profile.counts.total() else 0.0

    def is_input(self, value: object) -> bool:
        return isinstance(value, Image.Image) or (isinstance(value, np.ndarray) and value.ndim == 3)

    def refuse(self, table: pa.Table, source: str) -> None:
        """Columns that hold pictures themselves, or anything but texts."""
        problems = [
            Problem(f"this column holds {column.type}, and no paths of pictures", source, column=name)
            for name, column in zip(table.column_names, table.columns, strict=True)
            if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type))
        ]
        if problems:
            raise DataError(problems, fix="Save each picture as a file and write its path into the cell.")

    def anchored(self, column: pa.ChunkedArray, folder: Path) -> pa.ChunkedArray:
        return pa.chunked_array([pa.array([_absolute(cell, folder) for cell in column.to_pylist()], pa.string())])

    def read(self, role: str, column: pa.ChunkedArray, folder: Path) -> Cells:
        """What is kept of a picture: where it lies, the digest of its pixels, its difference hash and its thumb."""
        cells = [_absolute(cell, folder) for cell in column.to_pylist()]
        blank = np.array([not (cell or "").strip() for cell in cells], dtype=bool)
        nothing = np.array([
            not empty and not pictures.is_picture(str(cell)) and nothing_in_text(str(given))
            for empty, cell, given in zip(blank, cells, column.to_pylist(), strict=True)
        ], dtype=bool)  # fmt: skip
        rows = np.flatnonzero(~(blank | nothing))
        found: list[Look | None] = [None] * len(cells)
        faults = []
        for row, look in zip(rows, pictures.looks([str(cells[row]) for row in rows]), strict=True):
            if isinstance(look, PictureFault):
                faults.append((int(row), f"{pictures.shown(str(cells[row]))}: {look}"))
            else:
                found[row] = look
        columns = {
            role: pa.array(cells, pa.string()),
            f"{role}_digest": pa.array([look and look.digest.hex() for look in found], pa.string()),
            f"{role}_mark": pa.array([look and look.mark for look in found], pa.uint64()),
            f"{role}_thumb": _thumbs(found),
        }
        return Cells(columns, blank, nothing, faults)

    def duplicates(self, table: pa.Table, threshold: float) -> Duplicates:
        return find_duplicates(looks_of(table), near=threshold > 0)

    def hashes(self, table: pa.Table) -> npt.NDArray[np.uint64]:
        if "image_digest" in table.column_names:
            digests = [bytes.fromhex(one) for one in table.column("image_digest").to_pylist()]
        else:
            digests = [b"" if isinstance(one, PictureFault) else one.digest
                       for one in pictures.looks(table.column("image").to_pylist())]  # fmt: skip
        return np.array([int.from_bytes(one[:8], "little") for one in digests], dtype=np.uint64)


def looks_of(table: pa.Table) -> list[Look]:
    """What a table with the columns of `read` keeps of its pictures; the thumbs stay where the table is."""
    thumbs = thumbs_of(table)
    digests, marks = table.column("image_digest").to_pylist(), table.column("image_mark").to_pylist()
    return [
        Look(bytes.fromhex(digest), mark, thumb, (0, 0))
        for digest, mark, thumb in zip(digests, marks, thumbs, strict=True)
    ]  # fmt: skip


def thumbs_of(table: pa.Table) -> np.ndarray:
    """The thumbs of a table with the columns of `read`, uint8 [rows, THUMB, THUMB, 3]."""
    parts = [np.asarray(chunk.flatten()).reshape(-1, THUMB, THUMB, 3) for chunk in table.column("image_thumb").chunks]
    return np.concatenate(parts) if parts else np.zeros((0, THUMB, THUMB, 3), dtype=np.uint8)


def _thumbs(found: Sequence[Look | None]) -> pa.Array:
    """One list of bytes a row, None where there is no picture."""
    offsets, whole = [0], []
    for look in found:
        if look is not None:
            whole.append(look.thumb.reshape(-1))
        offsets.append(len(whole) * _THUMB_BYTES)
    values = np.concatenate(whole) if whole else np.zeros(0, dtype=np.uint8)
    missing = pa.array([look is None for look in found], pa.bool_())
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(values), mask=missing)


def _absolute(cell: object, folder: Path) -> str | None:
    if cell is None:
        return None
    given = str(cell).strip()
    if not given or given.startswith(pictures.URI):
        return given
    return os.path.abspath(folder / Path(given).expanduser())
