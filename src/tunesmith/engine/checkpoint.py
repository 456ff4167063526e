"""Checkpoints that are whole or do not exist.

A checkpoint is written into a folder aside, every file fsynced, a manifest with every file's
sha256 written last, the folder fsynced, renamed into place and the parent fsynced. Whatever the
moment of a crash, the newest folder whose manifest verifies is the one to load. Only safetensors
and JSON: nothing in a checkpoint can run code.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from tunesmith.core import files
from tunesmith.core.errors import CorruptCheckpoint
from tunesmith.core.events import Emit, Warned

MANIFEST = "MANIFEST.json"
_NAME = re.compile(r"step-(\d{8})")


class CheckpointStore:
    """The checkpoints of one run. `identity` (hashes of spec, data, base model) must match to load."""

    def __init__(self, folder: Path, identity: Mapping[str, str], emit: Emit = lambda _: None):
        self.folder = folder
        self.identity = dict(identity)
        self.emit = emit

    def save(self, step: int, tensors: Mapping[str, Mapping[str, Tensor]], state: Mapping[str, object]) -> Path:
        """Write the checkpoint of `step` durably; `tensors` is one safetensors file per name.

        A valid checkpoint of the same step is replaced. Raises OSError (a full disk) with everything
        that was there before still in place.
        """
        files.own_folder(self.folder)
        aside = self.folder / f".tmp-{step:08d}-{uuid.uuid4().hex}"
        final = self.folder / f"step-{step:08d}"
        try:
            aside.mkdir(mode=0o700)
            for name, content in tensors.items():
                with files.full_disk_as_oserror():
                    save_file(
                        {key: tensor.contiguous() for key, tensor in content.items()},
                        aside / f"{name}.safetensors",
                    )
            files.write_text(aside / "state.json", json.dumps(state))
            for path in sorted(aside.iterdir()):
                files.fsync_file(path)
            _write_manifest(aside, step, self.identity)
            files.fsync_folder(aside)
            if final.exists():
                files.move(final, self.folder / f".old-{step:08d}-{uuid.uuid4().hex[:8]}")
            files.move(aside, final)
            files.fsync_folder(self.folder)
        except BaseException:
            files.remove(aside)
            raise
        for leftover in self.folder.glob(".old-*"):
            files.remove(leftover)
        return final

    def newest(self) -> Path | None:
        """The newest checkpoint that verifies; broken ones on the way are set aside as `.bad-*`.

        Raises CorruptCheckpoint when a whole checkpoint belongs to another spec, data or base model.
        """
        self._sweep()
        for path in reversed(self._all()):
            fault = verify(path)
            if fault is None:
                self._check_identity(path)
                return path
            aside = self.folder / f".bad-{path.name}-{uuid.uuid4().hex[:8]}"
            files.move(path, aside)
            rest = "training goes on from the one before it" if self._all() else "training starts anew"
            self.emit(Warned("damaged checkpoint", f"{path} is set aside as {aside.name}: {fault}; {rest}"))
        return None

    def load(self, path: Path) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
        """Tensors by file, and the state. Verifies first: raises CorruptCheckpoint for any flipped byte."""
        fault = verify(path)
        if fault is not None:
            raise CorruptCheckpoint(f"The checkpoint {path} is damaged: {fault}.")
        tensors = {file.stem: load_file(file) for file in sorted(path.glob("*.safetensors"))}
        return tensors, json.loads((path / "state.json").read_text(encoding="utf-8"))

    def path_of(self, step: int) -> Path:
        return self.folder / f"step-{step:08d}"

    def prune(self, best_step: int | None) -> None:
        """Delete old checkpoints, never the two newest and never the best."""
        for path in self._all()[:-2]:
            if best_step is None or path != self.path_of(best_step):
                files.remove(path)

    def _all(self) -> list[Path]:
        return sorted(path for path in self.folder.glob("step-*") if _NAME.fullmatch(path.name))

    def _sweep(self) -> None:
        """Remove what a crash left half-written; bring back a checkpoint caught between two renames."""
        for path in self.folder.glob(".tmp-*"):
            files.remove(path)
        for path in self.folder.glob(".old-*"):
            final = self.folder / f"step-{path.name.split('-')[1]}"
            if final.exists() or verify(path) is not None:
                files.remove(path)
            else:
                files.move(path, final)

    def _check_identity(self, path: Path) -> None:
        found = _read_manifest(path)["identity"]
        for name, expected in self.identity.items():
            if found.get(name) != expected:
                raise CorruptCheckpoint(
                    f"The {name} changed after the checkpoint {path} was made: it can not be continued.",
                    f"Put the {name} back as it was and resume, go on with the version of Tunesmith that began the "
                    "run, or start a new one with another --out.",
                )


def verify(path: Path) -> str | None:
    """None if every byte of the checkpoint is as it was written, else what is wrong."""
    try:
        manifest = _read_manifest(path)
    except (OSError, ValueError, KeyError) as error:
        return f"its manifest is missing or damaged ({error})"
    listed = manifest["files"]
    present = {file.name for file in path.iterdir()} - {MANIFEST}
    if present != set(listed):
        return f"its files are {sorted(present)}, the manifest lists {sorted(listed)}"
    for name, expected in listed.items():
        if (path / name).stat().st_size != expected["size"] or files.sha256(path / name) != expected["sha256"]:
            return f"{name} differs from its checksum"
    return None


def _write_manifest(folder: Path, step: int, identity: Mapping[str, str]) -> None:
    import torch
    import transformers

    listed = {
        path.name: {"sha256": files.sha256(path), "size": path.stat().st_size} for path in sorted(folder.iterdir())
    }
    versions = {"torch": torch.__version__, "transformers": transformers.__version__}
    body = json.dumps({"format": 1, "step": step, "files": listed, "identity": identity, "versions": versions})
    # the second line seals the first, so that no byte of the manifest itself can change unseen
    text = f"{body}\n{hashlib.sha256(body.encode()).hexdigest()}\n"
    files.write_text(folder / MANIFEST, text)


def _read_manifest(folder: Path) -> dict[str, Any]:
    raw = files.read_bytes(folder / MANIFEST)
    body, _, rest = raw.partition(b"\n")
    if rest != hashlib.sha256(body).hexdigest().encode() + b"\n":
        raise ValueError("its seal does not match")
    manifest: dict[str, Any] = json.loads(body)
    if set(manifest) != {"format", "step", "files", "identity", "versions"} or manifest["format"] != 1:
        raise ValueError("unknown format")
    return manifest
