"""A table called metadata beside the files that it is about, as `datasets` writes and reads them: metadata.csv,
metadata.jsonl or metadata.parquet with a column `file_name`, in the folder or in each of train, validation and test."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from tunesmith.core.events import Decided, Emit, Warned
from tunesmith.data import tables
from tunesmith.data.folders import files_in
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
        if "file_name" in part.table.column_names:
            _tell_unlisted(part, at, modality, emit)
        return part


def _tell_unlisted(part: Part, at: Path, modality: DataModality, emit: Emit) -> None:
    """Say which files beside a table it does not name."""
    named = {os.path.normpath(str(cell)) for cell in part.table.column("file_name").to_pylist() if cell}
    files = [file for file in files_in(at.parent, deep=True) if file.suffix.lower() in modality.suffixes]
    left = [file for file in files if str(file.relative_to(at.parent)) not in named]
    if left and len(left) < len(files):
        some = ", ".join(map(str, left[:3]))
        emit(Warned("files left out", f"{at} does not name {len(left):,} {modality.nouns} beside it, such as {some}"))


def _table(folder: Path) -> Path | None:
    return next((folder / name for name in _NAMES if (folder / name).is_file()), None)
