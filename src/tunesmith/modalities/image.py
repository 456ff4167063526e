"""Pictures: paths of files, data URIs, or pictures of Pillow and arrays of pixels where a model is asked in Python."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from datasets import Dataset

from tunesmith.core.errors import DataError, Problem
from tunesmith.core.events import Emit
from tunesmith.data import pictures
from tunesmith.data.addresses import fetched
from tunesmith.data.images import ImageData, thumbs_of
from tunesmith.data.picture_features import cheap_features
from tunesmith.data.types import Columns
from tunesmith.engine.modality import Matrix, Modality
from tunesmith.engine.pixels import EncodedPictures, encode_pictures
from tunesmith.models.bundle import Bundle

_SHOWN = 96
"""Pixels of the longer side of a picture in the report."""


class Image(ImageData, Modality):
    in_pixels: ClassVar[bool] = True
    cheap: ClassVar[str | None] = "colours_and_edges"

    def encode(
        self, rows: Dataset, bundle: Bundle[Any], limit: int, folder: Path, check: Callable[[], None] = lambda: None
    ) -> EncodedPictures:
        assert bundle.processor is not None
        return encode_pictures(rows["image"][:], bundle.processor, folder, check)

    def from_columns(self, rows: Dataset, columns: Columns) -> Dataset:
        cells = rows[columns.inputs[0]][:]
        return Dataset.from_dict({"image": [None if cell is None else _cell(cell) for cell in cells]})

    def inputs(self, items: Sequence[object], columns: Columns) -> dict[str, list[Any]]:
        name = columns.inputs[0]
        cells: list[str] = []
        problems: list[Problem] = []
        for row, item in enumerate(items, 1):
            given = item.get(name) if isinstance(item, Mapping) else item
            try:
                cells.append(_cell(given))
            except pictures.PictureFault as fault:
                problems.append(Problem(str(fault), row=row))
        if not problems and self.fetches:
            found = fetched(cells)
            problems = [
                Problem(f"{cell}: {one}", row=row)
                for row, (cell, one) in enumerate(zip(cells, found, strict=True), 1)
                if isinstance(one, pictures.PictureFault)
            ]
            cells = [str(one) for one in found]
        if not problems:
            faults = enumerate(map(pictures.fault_before_reading, cells), 1)
            problems = [Problem(f"{pictures.shown(cells[row - 1])}: {why}", row=row) for row, why in faults if why]
        if problems:
            raise DataError(problems, fix="Give the path of a picture, or the picture itself (PIL.Image, uint8 array).")
        return {"image": cells}

    def cheap_features(self, train: Dataset, test: Dataset, emit: Emit) -> tuple[Matrix, Matrix]:
        first, second = (cheap_features(thumbs_of(rows.with_format("arrow")[:])) for rows in (train, test))
        return first, second

    def shown(self, rows: Dataset) -> list[str]:
        return ["/".join(Path(pictures.shown(path)).parts[-2:]) for path in rows["image"][:]]

    def typed(self, row: Mapping[str, object]) -> str | None:
        given = str(row["image"])
        return "picture.png" if given.startswith(pictures.URI) else given

    def picture(self, row: Mapping[str, Any]) -> str | None:
        try:
            return pictures.to_uri(pictures.open_picture(row["image"], 2 * _SHOWN).image, _SHOWN)
        except pictures.PictureFault:  # it was there when the run began
            return None


def _cell(given: object) -> str:
    """An input as a path or a data URI. Raises PictureFault."""
    if isinstance(given, Mapping) and {"bytes", "path"} == set(given):  # as `datasets` has them
        given = given["bytes"] or given["path"]
    content = given if isinstance(given, bytes) else pictures.content_of(given)
    if content is not None:
        return pictures.uri_of(content)
    if isinstance(given, np.ndarray):
        raise pictures.PictureFault(
            f"expected pixels as uint8 [height, width, 3], got {given.dtype} {list(given.shape)}"
        )
    if isinstance(given, str | os.PathLike):
        text = os.fspath(given)
        if text.startswith(pictures.URI) or pictures.is_address(text):
            return text
        return os.path.abspath(os.path.expanduser(text))
    raise pictures.PictureFault(f"expected a picture, got {type(given).__name__}")
