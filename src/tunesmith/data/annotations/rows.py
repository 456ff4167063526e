"""What the readers of annotations have in common: a row a picture, and the problems that files have with pictures."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from tunesmith.core.errors import DataError, Problem
from tunesmith.core.events import Emit, Warned
from tunesmith.data.folders import files_in, visible
from tunesmith.data.picture_sizes import PictureSize, size_of, upright
from tunesmith.data.pictures import SUFFIXES

SPLITS = {
    "train": ("train", "training"), "validation": ("validation", "valid", "val", "dev"), "test": ("test", "testing"),
}  # fmt: skip
"""What the parts are called."""
LABEL_COLUMNS = ("label", "labels")
"""What the labels of whole pictures are called: one each, or several."""
_EXAMPLES = 5
_BATCH = 5_000
OBJECTS = pa.list_(pa.struct([("label", pa.string()), ("box", pa.list_(pa.float64())), ("crowd", pa.bool_())]))


@dataclass
class Row:
    """A picture and its boxes (left, top, right, bottom) as a file has them; `file` and `line` say where."""

    image: Path
    file: Path
    boxes: list[dict[str, Any]] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    """Of annotations without a box, which are of the whole picture."""
    mask: str | None = None
    """What its shapes cover, as `data.masks.drawn_from` writes it."""
    line: int | None = None


Rows = list[Row]


def label_column(parts: Iterable[Rows], whole: Sequence[str] | None) -> str | None:
    """'label' where pictures have one each, else 'labels'; None where boxes can be learned. `whole` as
    `DataModality.annotated` has it."""
    rows = [row for part in parts for row in part]
    boxless = any(row.labels for row in rows) and not any(row.boxes for row in rows)
    if whole is None and not boxless:
        return None
    if whole and whole[0] in LABEL_COLUMNS:
        return whole[0]
    return LABEL_COLUMNS[any(len(_labels_of(row)) > 1 for row in rows)]


def _labels_of(row: Row) -> list[str]:
    return sorted(set(row.labels or [one["label"] for one in row.boxes]))


def tables_of(rows: Rows, labels: str | None = None) -> Iterator[pa.Table]:
    """Columns 'image' and 'objects'; where there are shapes also 'mask'. With `labels` (`label_column`) the labels of
    the whole picture in their place."""
    for start in range(0, max(1, len(rows)), _BATCH):
        some = rows[start : start + _BATCH]
        columns = {"image": pa.array([str(row.image) for row in some], pa.string())}
        if labels is not None:
            known = [_labels_of(row) for row in some]
            one = labels == LABEL_COLUMNS[0]
            columns[labels] = (
                pa.array([", ".join(each) or None for each in known], pa.string())
                if one
                else pa.array(known, pa.list_(pa.string()))
            )
            yield pa.table(columns)
            continue
        columns["objects"] = pa.array([row.boxes for row in some], OBJECTS)
        if any(row.mask is not None for row in rows):
            columns["mask"] = pa.array([row.mask for row in some], pa.string())
        yield pa.table(columns)


def pictures_in(folder: Path) -> list[Path]:
    """The pictures of a folder and those below it, by name; no hidden ones."""
    return sorted(path for path in files_in(folder, deep=True) if path.suffix.lower() in SUFFIXES)


def notes_in(folder: Path, suffix: str) -> list[Path]:
    """The files of a folder with a suffix, by name; no hidden ones."""
    return sorted(file for file in folder.glob(f"*{suffix}") if visible(file.name))


def text_of(file: Path) -> str:
    """Raises DataError for what is no text."""
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(Problem(f"this is no text in UTF-8: {error}", str(file)), "Write the file again.") from None


def size_said(width: object, height: object) -> tuple[int, int]:
    """Pixels that a file says, or (0, 0) where it says none. Raises ValueError."""
    if width is None or height is None:
        return 0, 0
    try:
        return int(float(str(width))), int(float(str(height)))
    except (ValueError, OverflowError):
        shown = f"{str(width)[:20]!r} and {str(height)[:20]!r}"
        raise ValueError(f"{shown} are no width and height in pixels") from None


def box(label: str, corners: Sequence[float], crowd: bool = False) -> dict[str, Any]:
    return {"label": label, "box": [float(number) for number in corners], "crowd": crowd}


def fitted(row: Row, said: tuple[int, int] | None) -> Problem | None:
    """The boxes of a row on the picture as it is looked at, given the size that the file says it has; what is wrong
    where that is another."""
    size = size_of(str(row.image))
    if size is None or said is None or min(said) <= 0 or said == (size.width, size.height):
        return None
    if said == size.stored and size.orientation != 1:
        for one in row.boxes:
            one["box"] = upright(one["box"], size)
        return None
    return Problem(_other_size(row.image, said, size), file=str(row.file), line=row.line)


def _other_size(image: Path, said: tuple[int, int], size: PictureSize) -> str:
    told = f"the picture {image} has {size.width} x {size.height} pixels, and the file says {said[0]} x {said[1]}"
    return told + ": its boxes may be of another picture, or of this one before it was resized"


def refuse(problems: Sequence[Problem], fix: str) -> None:
    """Raises DataError where there are any."""
    if problems:
        raise DataError(list(problems), fix=fix)


def absent(image: Path | str, file: Path, line: int | None = None) -> Problem:
    return Problem(f"it names the picture {image}, which is not there", file=str(file), line=line)


def tell(what: str, files: Iterable[Path], message: str, emit: Emit) -> None:
    """A warning about some files, where there are any."""
    listed = sorted(files)
    if listed:
        shown = ", ".join(map(str, listed[:_EXAMPLES])) + (", ..." if len(listed) > _EXAMPLES else "")
        emit(Warned(what, f"{len(listed):,} {message}: {shown}"))


def load_json(path: Path) -> Any:
    """Raises DataError for what is no JSON."""
    try:
        return json.loads(text_of(path))
    except (json.JSONDecodeError, RecursionError) as error:
        line = getattr(error, "lineno", None)
        raise DataError(Problem(f"this is no JSON: {error}", str(path), line=line), "Write the file again.") from None


def split_of(name: str) -> str | None:
    """'validation' of 'instances_val2017', where a word of a name says it."""
    words = "".join(letter if letter.isalpha() else " " for letter in name.lower()).split()
    return next((split for split, names in SPLITS.items() if any(word in names for word in words)), None)


def by_split(parts: Mapping[str | None, Path], only: str) -> dict[str, Path]:
    """Places by split; a single one is `only`."""
    if len(parts) == 1 and "train" not in parts:
        return {only: next(iter(parts.values()))}
    return {split: place for split, place in parts.items() if split is not None}
