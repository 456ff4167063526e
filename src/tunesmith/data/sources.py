"""From what the user gave to the parts it holds: path, folder, DataFrame, dataset, rows or hub id."""

from __future__ import annotations

import difflib
import os
import re
import socket
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies

import datasets
import pyarrow as pa

from tunesmith.core.errors import DataError, Problem
from tunesmith.core.events import Decided, Emit, Warned
from tunesmith.core.files import DISK_FULL
from tunesmith.data import archive, tables
from tunesmith.data.folders import files_in, folders_in
from tunesmith.data.jsonlayout import SPLIT_WORDS
from tunesmith.data.layout import Layout, layout_of
from tunesmith.data.layouts.class_folders import of_files
from tunesmith.data.modality import DataModality
from tunesmith.data.part import Hints, Part, is_frame

SPLITS = ("train", "validation", "test")
_HUB_SECONDS = 5.0
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+$")
_ALTERNATIVES = (
    "Without the hub, give data of this machine: a CSV, TSV, JSON, JSONL, Parquet or Arrow file, a folder "
    "with one sub-folder of .txt files per class, or a folder written by datasets' save_to_disk."
)


def read_source(source: object, split: str, *, emit: Emit, cache_dir: Path, hints: Hints | None = None) -> list[Part]:
    """All parts of the source; a single part is called `split`.

    A DatasetDict, hub id or folder that is already divided gives one part for each of 'train',
    'validation' and 'test' that it has. Raises DataError if there is nothing to read or it is broken.
    """
    hints = hints or Hints()
    if isinstance(source, (datasets.DatasetDict, dict)):
        return _of_dict(source, emit, cache_dir, hints)
    if isinstance(source, datasets.Dataset):
        return [tables.read_tables(tables.dataset_tables(source), split, "datasets.Dataset", cache_dir, emit)]
    if is_frame(source):
        return [tables.read_tables(tables.frame_tables(source), split, "DataFrame", cache_dir, emit)]
    if isinstance(source, (list, tuple)):
        return [tables.read_tables(tables.list_tables(source), split, "list of rows", cache_dir, emit)]
    if not isinstance(source, (str, os.PathLike)):
        fix = "Give a path, a pandas DataFrame, a datasets.Dataset, a list of dicts or a hub id."
        raise DataError(Problem(f"can not read data from a {type(source).__name__}"), fix)
    path = Path(source).expanduser()
    try:
        if path.exists():
            if path.suffix.lower() in archive.SUFFIXES and path.is_file():
                path = archive.unpacked(path)
            for modality in hints.modalities:
                whole = None if hints.kinds else hints.target
                if (annotated := modality.annotated(path, split, emit, whole)) is not None:
                    return _of_annotated(annotated, path, cache_dir, emit)
            read = _of_folder if path.is_dir() else tables.read_parts
            parts = read(path, split, emit=emit, cache_dir=cache_dir, hints=hints)
            for part in parts:
                if part.folder == Path():
                    part.folder = path if path.is_dir() else path.parent
            return parts
    except OSError as error:
        if error.errno in DISK_FULL:  # of what is written meanwhile
            raise
        what, fix = "can not be read", "Check the name of the file, and the disk that it lies on."
        if isinstance(error, PermissionError):
            what, fix = "may not be read here", "Allow yourself to read it (chmod u+r), or give a copy."
        problem = Problem(f"it {what}: {error.strerror or error}", str(error.filename or path))
        raise DataError(problem, fix) from error
    if isinstance(source, str) and looks_like_hub_id(source):
        return _of_hub(source, emit, cache_dir)
    raise missing_file(path)


def looks_like_hub_id(source: str) -> bool:
    """'owner/name' without a file suffix, and no such folder `owner` here."""
    owner, _, name = source.partition("/")
    file = tables.data_suffix(name) in tables.SUFFIXES or name.endswith(".gz")
    return bool(_HUB_ID.match(source)) and not (file or owner.startswith(".") or Path(owner).is_dir())


def is_arrow_folder(path: Path) -> bool:
    """Whether datasets' `save_to_disk` wrote it."""
    return (path / "dataset_dict.json").exists() or (path / "state.json").exists()


def files_by_part(files: Iterable[Path]) -> dict[str, list[Path]]:
    """The files with a word for train, validation or test in their names."""
    parts: dict[str, list[Path]] = {}
    for file in files:
        words = re.split(r"[^a-z]+", file.name.lower())
        name = next((SPLIT_WORDS[word] for word in words if word in SPLIT_WORDS), None)
        if name is not None:
            parts.setdefault(name, []).append(file)
    return parts


def missing_file(path: Path) -> DataError:
    """The error for a path that does not exist, with the nearest names in its folder."""
    folder = path.parent
    if not folder.is_dir():
        return DataError(Problem(f"there is no folder {str(folder)!r}", str(path)), fix="Check the path.")
    names = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
    near = difflib.get_close_matches(path.name, names, n=3, cutoff=0.5)
    if near:
        fix = f"Did you mean {' or '.join(repr(str(folder / name)) for name in near)}?"
    else:
        data = [name for name in names if tables.data_suffix(name) in tables.SUFFIXES][:8]
        fix = f"Data files in that folder: {', '.join(data)}." if data else "That folder holds no data files."
    return DataError(Problem("there is no such file", str(path)), fix=fix)


def _of_annotated(
    parts: Mapping[str, Iterator[pa.Table]], path: Path, cache_dir: Path, emit: Emit
) -> list[Part]:  # fmt: skip
    found = [tables.read_tables(rows, split, str(path), cache_dir, emit) for split, rows in parts.items()]
    for part in found:
        part.row_files = part.table.column(0).to_pylist()
    return found


def _of_dict(source: Mapping[str, object], emit: Emit, cache_dir: Path, hints: Hints) -> list[Part]:
    parts = {SPLIT_WORDS.get(str(name).lower()): data for name, data in source.items()}
    if "train" not in parts and len(source) == 1:
        parts = {"train": next(iter(source.values()))}
    found = []
    for split in SPLITS:
        if split not in parts:
            continue
        part = read_source(parts[split], split, emit=emit, cache_dir=cache_dir, hints=hints)[0]
        part.name = f"{part.name} ({split})"
        found.append(part)
    left_out = [str(name) for name in source if str(name).lower() not in SPLIT_WORDS]
    if found and left_out and len(source) > 1:
        emit(Warned("parts left out", f"{', '.join(left_out)}: only train, validation and test are read"))
    if not found:
        raise no_parts(source, " Lists by column are given as datasets.Dataset.from_dict(data).")
    return found


def no_parts(source: Iterable[object], more: str = "") -> DataError:
    message = f"none of the parts {', '.join(map(repr, source))} is called train, validation or test"
    return DataError(Problem(message), f"Name the parts 'train', 'validation' and 'test', or give one of them.{more}")


def _of_folder(path: Path, split: str, emit: Emit, cache_dir: Path, hints: Hints) -> list[Part]:
    if is_arrow_folder(path):
        loaded = load_folder(path)
        parts = read_source(loaded, split, emit=emit, cache_dir=cache_dir)
        for part in parts:
            part.name = str(path) if isinstance(loaded, datasets.Dataset) else str(path / part.split)
        return parts
    by_files = {modality.suffixes: modality for modality in reversed(hints.modalities)}
    laid = [(modality, found) for modality in by_files.values() if (found := _by_layout(path, modality))]
    if laid:  # a note among the pictures makes no texts of them
        modality, (layout, places) = max(laid, key=lambda one: _amount(path, one[0])) if len(laid) > 1 else laid[0]
        return [
            layout.read(at, name or split, modality, emit=emit, cache_dir=cache_dir, hints=hints)
            for name, at in places.items()
        ]
    for modality in hints.modalities:
        if files := _bare(path, modality):
            return [_of_bare(files, path, modality, split, emit, cache_dir, hints)]
    return _of_files(path, split, emit, cache_dir, hints)


def load_folder(path: Path) -> datasets.Dataset | datasets.DatasetDict:
    """What `save_to_disk` wrote. Raises DataError if that can not be read."""
    try:
        return datasets.load_from_disk(str(path))
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        problem = Problem(f"this is not a readable folder of datasets' save_to_disk: {reason}", str(path))
        raise DataError(problem, fix="Write it again with save_to_disk, or give the rows as Parquet or CSV.") from error


def _of_files(path: Path, split: str, emit: Emit, cache_dir: Path, hints: Hints) -> list[Part]:
    readable = (tables.SUFFIXES - {".txt"}).union(*(modality.formats for modality in hints.modalities))
    files = [file for file in sorted(path.iterdir()) if tables.data_suffix(file.name) in readable and file.is_file()]
    if len(files) == 1:
        _tell_unread(path, files, ["train"], emit)
        return tables.read_parts(files[0], split, emit=emit, cache_dir=cache_dir, hints=hints)
    parts = files_by_part(files)
    if "train" not in parts or any(len(found) > 1 for found in parts.values()):
        raise no_training_file(
            files, path,
            "Give one file, with --validation FILE and --test FILE if there are more, or a folder that holds train.csv "
            "(test.csv, validation.csv), or one sub-folder of .txt files per class.",
        )  # fmt: skip
    chosen = {name: parts[name][0] for name in SPLITS if name in parts}
    told = {name: file.name for name, file in chosen.items()}
    emit(Decided("files", told, f"the folder {path} holds files with these names"))
    left_out = [file.name for file in files if file not in chosen.values()]
    if left_out:
        emit(Warned("files left out", f"{', '.join(left_out[:12])}: not called train, validation or test"))
    _tell_unread(path, files, chosen, emit)
    found: list[Part] = []
    for name, file in chosen.items():
        known = replace(hints, header=found[0].header) if found else hints
        found.append(tables.read_file(file, name, emit=emit, cache_dir=cache_dir, hints=known))
    return found


def _tell_unread(folder: Path, files: Sequence[Path], known: Collection[str], emit: Emit) -> None:
    """Say which files are called as a part that is not `known`, and are of no kind that is read."""
    others = files_by_part(file for file in sorted(folder.iterdir()) if file not in files and file.is_file())
    names = [file.name for part, some in others.items() if part not in known for file in some]
    if names:
        told = "their names end in nothing that is read, so that they are not. Rename them if they are data"
        emit(Warned("files left out", f"{', '.join(names[:12])}: {told}"))


def no_training_file(files: Sequence[Path], folder: Path, fix: str) -> DataError:
    names = ", ".join(file.name for file in files[:12]) or "none"
    message = f"can not tell which file of this folder is the training data (data files: {names})"
    return DataError(Problem(message, str(folder)), fix)


def _by_layout(path: Path, modality: DataModality) -> tuple[Layout, Mapping[str, Path]] | None:
    """The layout of a folder; where it holds but one folder, as archives do, also of that."""
    inside = folders_in(path)
    if len(inside) == 1 and next(files_in(path), None) is None and not modality.suffixes & tables.SUFFIXES:
        own = any(file.suffix.lower() in modality.suffixes for file in files_in(inside[0]))
        if not own and (found := _by_layout(inside[0], modality)):
            return found
    return layout_of(path, modality)


def _amount(path: Path, modality: DataModality) -> int:
    """How many files of a modality are in a folder."""
    return sum(file.suffix.lower() in modality.suffixes for file in files_in(path, deep=True))


def _bare(path: Path, modality: DataModality) -> list[Path]:
    """The files of a folder that holds nothing but one input each, which have no labels; none where a table lies among
    them, or where a file of such a suffix may be one."""
    files = list(files_in(path))
    table = any(file.suffix.lower() in tables.SUFFIXES for file in files)
    if table or modality.suffixes & tables.SUFFIXES:
        return []
    return [file for file in files if file.suffix.lower() in modality.suffixes]


def _of_bare(
    files: Sequence[Path], path: Path, modality: DataModality, split: str, emit: Emit, cache_dir: Path, hints: Hints
) -> Part:
    rows = ((file, None) for file in files)
    part = of_files(rows, path, modality, split, emit=emit, cache_dir=cache_dir, options=hints.options)
    part.row_files = [str(file) for file in files]
    return part


def _of_hub(name: str, emit: Emit, cache_dir: Path) -> list[Part]:
    try:
        if not Path(datasets.config.HF_DATASETS_CACHE, name.replace("/", "___").lower()).exists():
            _check_reachable()
        loaded = datasets.load_dataset(name)
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        message = f"there is no file or folder {name!r} here, and the hub can not give it: {reason[:300]}"
        raise DataError(Problem(message), fix=_ALTERNATIVES) from error
    emit(Decided("source", f"hub: {name}", "no such file here, and the name has the form owner/name"))
    parts = _of_dict(loaded, emit, cache_dir, Hints())
    for part in parts:
        part.name = f"{name} ({part.split})"
    return parts


def _check_reachable() -> None:
    """Raises OSError at once where the hub's own client would try again for half a minute."""
    if datasets.config.HF_HUB_OFFLINE:
        raise OSError("working offline, as HF_HUB_OFFLINE asks")
    if getproxies():
        return
    address = urlsplit(datasets.config.HF_ENDPOINT)
    with socket.create_connection((address.hostname, address.port or 443), timeout=_HUB_SECONDS):
        return
