"""What a saved model says of itself beside its weights: the manifest and the metadata.

The manifest has what its files were when the run saved them, and is compared whenever it is loaded. It finds damage (a
flipped bit, half a copy, a file of another run), not malice: who can change the weights can change the manifest. Models
saved before there was one load as they are. The metadata have what transformers' own files have no place for: the task,
and what its family needs to answer.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from tunesmith.core.errors import ModelError
from tunesmith.core.files import open_regular, write_json
from tunesmith.models.model_json import read_object

MANIFEST = "MANIFEST.json"
_PARTS = ("", "base")
"""Folders, within that of the model, whose files are loaded."""
_LEFT_OUT = (MANIFEST, "README.md")
_WHOLE_BYTES = 1 << 30
_SAMPLES, _SAMPLE_BYTES = 256, 1 << 16
_FIX = (
    "Put the file back from a copy of the run, or train again. If you changed it yourself and want it so, delete "
    f"{MANIFEST} beside it."
)


def write_manifest(folder: Path) -> None:
    """Write down size, sha256 and a sampled sha256 of each file of a finished model. Raises OSError."""
    found = {}
    for path in _files(folder):
        found[str(path.relative_to(folder))] = {
            "bytes": path.stat().st_size, "sha256": digest(path), "sample": _sample(path),
        }  # fmt: skip
    write_json(folder / MANIFEST, {"format": 1, "files": found})


def check_manifest(folder: Path, *, whole: bool = False) -> None:
    """Raises ModelError where a file of a finished model is gone, or is not as the run saved it.

    Files of up to 1 GB are compared as a whole, larger ones by their size and 16 MB spread over them; with `whole`
    every byte of every file.
    """
    if not os.path.lexists(folder / MANIFEST):
        return
    listed = read_object(folder / MANIFEST).get("files")
    if not isinstance(listed, dict):
        raise ModelError(f"{folder / MANIFEST} is damaged: it lists no files.", _FIX)
    for name, entry in listed.items():
        path = folder / name
        if not isinstance(entry, dict) or path.parent not in (folder / part for part in _PARTS):
            raise ModelError(f"{folder / MANIFEST} is damaged: {name!r} is no file of a model.", _FIX)
        try:
            size = path.stat().st_size
            if size != entry.get("bytes"):
                fault = f"it holds {size:,} bytes, and held {entry.get('bytes')}"
            elif whole or size <= _WHOLE_BYTES:
                fault = "" if digest(path) == entry.get("sha256") else "its content has changed"
            else:
                fault = "" if _sample(path) == entry.get("sample") else "its content has changed"
        except OSError as error:
            fault = f"it can not be read ({error.strerror})"
        if fault:
            raise ModelError(f"{path} is not as the run saved it: {fault}.", _FIX)


def digest(path: Path) -> str:
    """sha256 of a file's content, as hex; of a file that is read again unchanged, what was found before."""
    found = path.stat()
    return _digest(path, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)


@lru_cache(maxsize=256)
def _digest(path: Path, *_: float) -> str:
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]


def _sample(path: Path) -> str:
    """sha256 of the size of a file and of pieces that are spread evenly over it, its first and last among them."""
    size = path.stat().st_size
    found = hashlib.sha256(str(size).encode())
    with open_regular(path) as file:
        for number in range(_SAMPLES):
            file.seek(max(0, size - _SAMPLE_BYTES) * number // (_SAMPLES - 1))
            found.update(file.read(_SAMPLE_BYTES))
            if size <= _SAMPLE_BYTES:
                break
    return found.hexdigest()


def _files(folder: Path) -> list[Path]:
    places = [folder / part for part in _PARTS if (folder / part).is_dir()]
    return sorted(path for place in places for path in place.iterdir() if path.is_file() and path.name not in _LEFT_OUT)


METADATA = "tunesmith.json"
_FORMAT = 1
_OF_A_WRITER = ("task", "network", "base", "base_fingerprint", "form")


def write_metadata(folder: Path, words: Mapping[str, object]) -> None:
    """Beside the weights in `folder`; `words` have at least the name of the task."""
    write_json(folder / METADATA, {"format": _FORMAT, **words})


def read_metadata(folder: Path) -> dict[str, Any]:
    """What a run wrote beside its model. Raises ModelError where that is damaged, or of a later version."""
    found = read_object(folder / METADATA)
    version = found.get("format", _FORMAT)
    if isinstance(version, int) and version > _FORMAT:
        raise ModelError(
            f"{folder / METADATA} has the format {version}, and this version of Tunesmith reads {_FORMAT}.",
            "A later version saved the model: pip install --upgrade tunesmith",
        )
    needed = _OF_A_WRITER if "network" in found else ("task",)
    wrong = [name for name in needed if not isinstance(found.get(name), str)]
    if not wrong and "network" in found and not isinstance(found.get("max_length"), int):
        wrong = ["max_length"]
    if wrong or found.get("network", "causal") not in ("causal", "seq2seq"):
        raise ModelError(
            f"{folder / METADATA} is damaged: {', '.join(wrong) or 'network'} is absent or no such value as a run "
            "writes.",
            "Put it back from a copy of the run, or train again.",
        )
    return found
