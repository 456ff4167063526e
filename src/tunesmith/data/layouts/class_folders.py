"""A sub-folder for each class, with files of one input each in it; or train, validation and test with such folders."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from tunesmith.core.errors import DataError, Problem
from tunesmith.core.events import Decided, Emit, Warned
from tunesmith.data import tables
from tunesmith.data.arrowfile import BATCH_ROWS
from tunesmith.data.folders import files_in, folders_in
from tunesmith.data.layout import Layout, divided
from tunesmith.data.modality import DataModality
from tunesmith.data.part import Hints, Part
from tunesmith.data.types import ReadOptions


class ClassFolders(Layout):
    def parts(self, folder: Path, modality: DataModality) -> Mapping[str, Path] | None:
        inside = divided(folder)
        if "train" in inside and any(_classes(part, modality) for part in inside.values()):
            return inside
        return {"": folder} if _classes(folder, modality) else None

    def read(self, at: Path, split: str, modality: DataModality, *, emit: Emit, cache_dir: Path, hints: Hints) -> Part:
        folders = _classes(at, modality)
        files = [file for folder in folders for file in _inputs(folder, modality)]
        _tell_empty([one for one in folders_in(at) if one not in folders], split, modality, emit)
        _tell_others(at, folders, modality, emit)
        rows = ((file, file.relative_to(at).parts[0]) for file in files)
        part = of_files(rows, at, modality, split, emit=emit, cache_dir=cache_dir, options=hints.options)
        part.row_files, part.labelled = [str(file) for file in files], True
        kinds = ", ".join(sorted({file.suffix.lower() for file in files}))
        why = f"{at} holds {len(folders)} sub-folders of {kinds} files; each is a class: "
        emit(Decided("layout", "folder per class", why + ", ".join(folder.name for folder in folders[:10])))
        return part


def of_files(
    rows: Iterator[tuple[Path, str | None]], folder: Path, modality: DataModality, split: str, *, emit: Emit,
    cache_dir: Path, options: ReadOptions,
) -> Part:  # fmt: skip
    """Files with one input each, a row each, with their labels where they have one."""

    def row(file: Path, label: str | None) -> dict[str, object]:
        cell = {modality.roles[0]: modality.file_cell(file, options)}
        return cell if label is None else {**cell, "label": label}

    def found() -> Iterator[pa.Table]:
        batch: list[dict[str, object]] = []
        for file, label in rows:
            batch.append(row(file, label))
            if len(batch) == BATCH_ROWS:
                yield tables.table_of_rows(batch)
                batch = []
        yield tables.table_of_rows(batch)

    return tables.read_tables(found(), split, str(folder), cache_dir, emit)


def _inputs(folder: Path, modality: DataModality) -> Iterator[Path]:
    """The files of a class; those that can not be taken for anything else also further down."""
    deep = not modality.suffixes & tables.SUFFIXES
    return (file for file in files_in(folder, deep=deep) if file.suffix.lower() in modality.suffixes)


def _classes(folder: Path, modality: DataModality) -> list[Path]:
    """The sub-folders that hold files with one input each."""
    return [one for one in folders_in(folder) if next(_inputs(one, modality), None) is not None]


def _tell_empty(folders: Sequence[Path], split: str, modality: DataModality, emit: Emit) -> None:
    """Raises DataError for classes of the training data without an input; warns of those of other parts."""
    if not folders or modality.suffixes & tables.SUFFIXES:
        return
    if split == "train":
        raise DataError(
            [Problem(f"this folder of a class holds no {modality.noun}", str(one)) for one in folders],
            f"Put {modality.nouns} into it, or take it out of the folder.",
        )
    emit(Warned("empty folders", f"no {modality.noun} in {', '.join(str(one) for one in folders[:12])}"))


def _tell_others(at: Path, folders: Sequence[Path], modality: DataModality, emit: Emit) -> None:
    """Say which files within are not read."""
    if modality.suffixes & tables.SUFFIXES:
        return
    others = [file for folder in (at, *folders) for file in files_in(folder, deep=folder != at)
              if file.suffix.lower() not in modality.suffixes or folder == at]  # fmt: skip
    if others:
        kinds = Counter(file.suffix.lower() or "no suffix" for file in others)
        told = ", ".join(f"{count} of {kind}" for kind, count in kinds.most_common(6))
        some = ", ".join(str(file) for file in others[:3])
        emit(Warned("files left out", f"{told}, such as {some}: not in the folder of a class, or no {modality.noun}"))
