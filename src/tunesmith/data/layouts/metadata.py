"""A table called metadata beside the files that it is about, as `datasets` writes and reads them: metadata.csv,
metadata.jsonl or metadata.parquet with a column `file_name`, in the folder or in each of train, validation and test."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tunesmith.core.events import Decided, Emit
from tunesmith.data import tables
from tunesmith.data.layout import Layout, divided
from tunesmith.data.modality import DataModality
from tunesmith.data.part import Hints, Part

_NAMES = tuple(f"metadata{suffix}" for suffix in (".csv", ".jsonl", ".parquet", ".tsv", ".json"))


class Metadata(Layout):
    def parts(self, folder: Path, modality: DataModality) -> Mapping[str, Path] | None:
        if modality.suffixes & tables.SUFFIXES:  # files that hold one input each look like tables
            return None
        inside = {name: table for name, part in divided(folder).items() if (table := _table(part)) is not None}
        if "train" in inside:
            return inside
        table = _table(folder)
        return None if table is None else {"": table}

    def read(self, at: Path, split: str, modality: DataModality, *, emit: Emit, cache_dir: Path, hints: Hints) -> Part:
        emit(Decided("layout", at.name, f"{at} says what its columns hold of the files beside it"))
        part = tables.read_file(at, split, emit=emit, cache_dir=cache_dir, hints=hints)
        part.folder = at.parent
        return part


def _table(folder: Path) -> Path | None:
    return next((folder / name for name in _NAMES if (folder / name).is_file()), None)
