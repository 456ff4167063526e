"""Pictures whose boxes lie in files of their own, as the usual tools write them: COCO, Pascal VOC, YOLO, Label
Studio."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tunesmith.core.events import Decided, Emit
from tunesmith.data.annotations import coco, label_studio, voc, yolo
from tunesmith.data.annotations.rows import Rows

_READERS: tuple[tuple[Any, str], ...] = (
    (coco, "COCO"), (voc, "Pascal VOC"), (yolo, "YOLO"), (label_studio, "Label Studio"),
)  # fmt: skip
"""Each with `find`, the places of its parts, and `read`, the rows of one."""


def read(path: Path, split: str, emit: Emit) -> dict[str, Rows] | None:
    """Rows by split ('train', 'validation', 'test'), where a file or folder holds such boxes; one that is not divided
    is `split`. None of all else. Raises DataError with every file that names a picture which is not there, and so on.
    """
    for reader, name in _READERS:
        if (found := reader.find(path, split)) is not None:
            rows = {part: reader.read(place, emit) for part, place in found.items()}
            told = {part: len(some) for part, some in rows.items()}
            emit(Decided("layout", name, f"{path}: boxes as {name} writes them, pictures: {told}"))
            return rows
    return None
