"""Pictures as data: which column holds them, what a run keeps of each, which are the same."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from tunesmith.core.errors import DataError, Problem
from tunesmith.core.events import Emit, Warned
from tunesmith.data import pictures
from tunesmith.data.annotations import read as read_annotations
from tunesmith.data.annotations.rows import label_column, tables_of
from tunesmith.data.duplicates import Duplicates
from tunesmith.data.folders import folders_in
from tunesmith.data.looks import Look, looks
from tunesmith.data.modality import SURE, Cells, DataModality, Flags
from tunesmith.data.near_pictures import find_duplicates
from tunesmith.data.nothing import nothing_in_text
from tunesmith.data.picture_features import THUMB
from tunesmith.data.pictures import PictureFault
from tunesmith.data.profile import Profile, holds_files

_MOSTLY = 0.9
"""Share of the cells of a column that name pictures, from which on it holds them; the others are faults."""
_THUMB_BYTES = THUMB * THUMB * 3
TINY = 16
"""Pixels of the shorter side, below which a picture shows next to nothing."""
_EXAMPLES = 3
_LOOKED_AT = 200
_USUAL = (".jpg", ".png", ".jpeg", ".JPG", ".PNG", ".webp", ".tif", ".bmp")


class ImageData(DataModality):
    name: ClassVar[str] = "image"
    roles: ClassVar[tuple[str, ...]] = ("image",)
    places: ClassVar[tuple[str, ...]] = ("image",)
    noun: ClassVar[str] = "picture"
    usual_task: ClassVar[str] = "image-classification"
    suffixes: ClassVar[frozenset[str]] = pictures.SUFFIXES
    batch_rows: ClassVar[int] = 1_000
    fetches: bool = False
    """Whether pictures at addresses are asked for (`data.addresses`)."""

    def claims(self, profile: Profile) -> float:
        if not profile.cells:
            return 0.0
        if profile.kind == "other":
            return SURE if sum(map(_is_file, profile.cells)) >= _MOSTLY * len(profile.cells) else 0.0
        if profile.kind != "string":
            return 0.0
        named = sum(times for cell, times in profile.counts.items() if pictures.is_picture(cell))
        return SURE if named >= _MOSTLY * profile.counts.total() else 0.0

    def annotated(
        self, path: Path, split: str, emit: Emit, whole: Sequence[str] | None = None
    ) -> Mapping[str, Iterator[pa.Table]] | None:
        found = read_annotations(path, split, emit)
        if found is None:
            return None
        name = label_column(found.values(), whole)
        return {part: tables_of(rows, name) for part, rows in found.items()}

    def is_input(self, value: object) -> bool:
        return isinstance(value, Image.Image | bytes) or (
            isinstance(value, np.ndarray) and value.ndim in (2, 3) and value.dtype != object
        )

    def are_inputs(self, value: Any) -> bool:
        return isinstance(value, np.ndarray) and value.dtype == np.uint8 and value.ndim == 4

    def refuse(self, table: pa.Table, source: str) -> None:
        """Columns that hold neither pictures nor texts."""
        problems = [
            Problem(f"this column holds {column.type}, and no pictures or paths of some", source, column=name)
            for name, column in zip(table.column_names, table.columns, strict=True)
            if not (_is_text(column.type) or holds_files(column.type))
        ]
        if problems:
            raise DataError(problems, fix="Save each picture as a file and write its path into the cell.")

    def base(self, column: pa.ChunkedArray, folder: Path) -> Path:
        if holds_files(column.type):
            return folder
        cells = (str(cell).strip() for cell in column[:_LOOKED_AT].to_pylist() if cell is not None)
        paths = [cell for cell in cells if cell and not _is_whole(cell)]
        if not paths or any((folder / path).exists() for path in paths):
            return folder
        below = [one for one in _folders_below(folder) if all((one / path).exists() for path in paths[:3])]
        fitting = [one for one in below if sum((one / path).exists() for path in paths) >= _MOSTLY * len(paths)]
        return fitting[0] if len(fitting) == 1 else folder

    def anchored(self, column: pa.ChunkedArray, folder: Path) -> pa.ChunkedArray:
        if holds_files(column.type) or str(next(iter(column[:1].to_pylist()), "")).startswith(pictures.URI):
            return column
        return pa.chunked_array([pa.array([_absolute(cell, folder) for cell in column.to_pylist()], pa.string())])

    def read(self, role: str, column: pa.ChunkedArray, folder: Path) -> Cells:
        """What is kept of a picture: where it lies, the digest of its pixels, its difference hash, its thumb, and how
        large and of what kind it is."""
        cells, blank, nothing = _cells(column, folder)
        rows = np.flatnonzero(~(blank | nothing))
        found: list[Look | None] = [None] * len(cells)
        faults, reasons = [], {}
        for row, look in zip(rows, looks([str(cells[row]) for row in rows]), strict=True):
            if isinstance(look, PictureFault):
                faults.append((int(row), f"{pictures.shown(str(cells[row]))}: {look}"))
                reasons[int(row)] = look.reason
            else:
                found[row] = look
        columns = {
            role: pa.array(cells, pa.string()),
            f"{role}_digest": pa.array([look and look.digest.hex() for look in found], pa.string()),
            f"{role}_mark": pa.array([look and look.mark for look in found], pa.uint64()),
            f"{role}_thumb": _thumbs(found),
            f"{role}_width": pa.array([look and look.size[0] for look in found], pa.int32()),
            f"{role}_height": pa.array([look and look.size[1] for look in found], pa.int32()),
            f"{role}_orientation": pa.array([look and look.orientation for look in found], pa.int8()),
            f"{role}_kind": pa.array([look and look.kind for look in found], pa.string()),
        }
        return Cells(columns, blank, nothing, faults, reasons)

    def faults(self, role: str, column: pa.ChunkedArray, folder: Path) -> Cells:
        cells, blank, nothing = _cells(column, folder)
        faults = [
            (int(row), f"{pictures.shown(str(cells[row]))}: {fault}")
            for row in np.flatnonzero(~(blank | nothing))
            if not (self.fetches and pictures.is_address(str(cells[row])))
            and (fault := pictures.fault_before_reading(str(cells[row]))) is not None
        ]
        return Cells({role: pa.array(cells, pa.string())}, blank, nothing, faults)

    def duplicates(self, table: pa.Table, threshold: float) -> Duplicates:
        return find_duplicates(looks_of(table), near=threshold > 0)

    def hashes(self, table: pa.Table) -> npt.NDArray[np.uint64]:
        if "image_digest" in table.column_names:
            digests = [bytes.fromhex(one) for one in table.column("image_digest").to_pylist()]
        else:
            digests = [b"" if isinstance(one, PictureFault) else one.digest
                       for one in looks(table.column("image").to_pylist())]  # fmt: skip
        return np.array([int.from_bytes(one[:8], "little") for one in digests], dtype=np.uint64)

    def facts(self, table: pa.Table) -> dict[str, Any]:
        """Sizes and kinds of the pictures, and how many are tiny or turned."""
        width, height = (np.asarray(table.column(f"image_{side}")) for side in ("width", "height"))
        kinds = Counter(table.column("image_kind").to_pylist())
        sizes = Counter(zip(width.tolist(), height.tolist(), strict=True))
        return {
            "shorter_side": _spread(np.minimum(width, height)),
            "longer_side": _spread(np.maximum(width, height)),
            "sizes": {f"{wide} x {high}": rows for (wide, high), rows in sizes.most_common(5)},
            "different_sizes": len(sizes),
            "kinds": dict(kinds.most_common(12)),
            "tiny": int((np.minimum(width, height) < TINY).sum()),
            "turned_upright": int((np.asarray(table.column("image_orientation")) != 1).sum()),
        }

    def warn(self, table: pa.Table, names: Sequence[str], place: Callable[[int], Problem], emit: Emit) -> None:
        shorter = pc.min_element_wise(table.column("image_width"), table.column("image_height"))
        for what, rows, message in (
            ("tiny pictures", pc.less(shorter, TINY), f"have a side of less than {TINY} pixels"),
            (
                "several frames", pc.match_substring(table.column("image_kind"), "several frames"),
                "hold several pictures (an animation, or pages): the first is read",
            ),
            (
                "no window", pc.match_substring(table.column("image_kind"), "no window of its own"),
                "are DICOM without a window of grey values: from the darkest to the brightest is seen of each",
            ),
        ):  # fmt: skip
            found = np.flatnonzero(np.asarray(rows))
            if found.size:
                some = table.column("image").take(pa.array(found[:_EXAMPLES])).to_pylist()
                told = f"{found.size:,} pictures {message}, such as {', '.join(map(pictures.shown, some))}"
                emit(Warned(what, told))


def looks_of(table: pa.Table) -> list[Look]:
    """What a table with the columns of `read` keeps of its pictures; the thumbs stay where the table is."""
    digests, marks = table.column("image_digest").to_pylist(), table.column("image_mark").to_pylist()
    thumbs = (thumb for chunk in table.column("image_thumb").chunks for thumb in _of_chunk(chunk))
    return [
        Look(bytes.fromhex(digest), mark, thumb) for digest, mark, thumb in zip(digests, marks, thumbs, strict=True)
    ]  # fmt: skip


def thumbs_of(table: pa.Table) -> np.ndarray:
    """The thumbs of a table with the columns of `read`, uint8 [rows, THUMB, THUMB, 3]."""
    parts = [_of_chunk(chunk) for chunk in table.column("image_thumb").chunks]
    return np.concatenate(parts) if parts else np.zeros((0, THUMB, THUMB, 3), dtype=np.uint8)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind))


def _content_of(cell: object) -> bytes | None:
    """The content of a file in a cell; None for a cell that holds none."""
    content = cell.get("bytes") if isinstance(cell, Mapping) else cell
    return content if isinstance(content, bytes) else None


def _is_file(cell: object) -> bool:
    """Whether a cell holds the content of a file with a picture, or as `datasets` has it, the path of one."""
    content = _content_of(cell)
    if content is not None:
        return pictures.format_of(content) is not None
    return isinstance(cell, Mapping) and pictures.is_picture(str(cell.get("path")))


def _of_chunk(chunk: pa.Array) -> np.ndarray:
    return np.asarray(chunk.flatten()).reshape(-1, THUMB, THUMB, 3)


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


def _spread(values: np.ndarray) -> dict[str, int]:
    if not values.size:
        return {}
    return {"least": int(values.min()), "median": int(np.median(values)), "most": int(values.max())}


def _cells(column: pa.ChunkedArray, folder: Path) -> tuple[list[str | None], Flags, Flags]:
    """What the cells of a column name, which are blank, and which hold but a word for nothing."""
    given = column.to_pylist()
    cells = [_cell(cell, folder) for cell in given]
    blank = np.array([not (cell or "").strip() for cell in cells], dtype=bool)
    nothing = np.array([
        not empty and not pictures.is_picture(str(cell)) and nothing_in_text(str(one))
        for empty, cell, one in zip(blank, cells, given, strict=True)
    ], dtype=bool)  # fmt: skip
    return cells, blank, nothing


def _cell(cell: object, folder: Path) -> str | None:
    """Where the picture of a cell lies, or the picture itself as a data URI."""
    content = _content_of(cell)
    if content is not None:
        return pictures.uri_of(content)
    return _absolute(cell.get("path") if isinstance(cell, Mapping) else cell, folder)


def _absolute(cell: object, folder: Path) -> str | None:
    if cell is None:
        return None
    given = str(cell).strip()
    if not given or given.startswith(pictures.URI) or pictures.is_address(given):
        return given
    path = os.path.abspath(os.path.join(folder, os.path.expanduser(given)))
    if pictures.is_picture(path) or os.path.lexists(path):
        return path
    # a name without its suffix, as tables of ids have them
    return next((f"{path}{suffix}" for suffix in _USUAL if os.path.lexists(f"{path}{suffix}")), path)


def _is_whole(given: str) -> bool:
    """Whether a cell means the same wherever its table lies."""
    return given.startswith((pictures.URI, "~")) or pictures.is_address(given) or os.path.isabs(given)


def _folders_below(folder: Path) -> list[Path]:
    """The sub-folders of a folder, and theirs, as far as they are few."""
    first = folders_in(folder) if folder.is_dir() else []
    return [*first, *(inner for one in first for inner in folders_in(one))][:_LOOKED_AT]
