"""What a checkpoint must have been made of to be gone on with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from tunesmith.core import registry
from tunesmith.core.errors import DataError, Problem
from tunesmith.core.files import own_folder, read_json, write_json
from tunesmith.core.renamed import words_before
from tunesmith.core.run import RunFolder
from tunesmith.core.spec import RunSpec
from tunesmith.engine.setup import overrides

_LOOSE = ("patience", "save_steps", "keep_cache", "generate_rows", "max_new_tokens", "few_shot", "goal")
"""Words that may differ without changing a weight."""


def check_data(folder: RunFolder, data: str, fingerprint: str) -> None:
    """Raises DataError where the run has checkpoints that were made with other data than this; before anything is
    computed, while the checkpoint itself would tell only when it is loaded."""
    written = folder.data / "fingerprint.json"
    if _begun(folder) and written.exists():
        _same(folder, "the data", data, read_json(written).get("sha256"), fingerprint)


def check_retained(folder: RunFolder, found: Mapping[str, str]) -> None:
    """The same of what is retained: fingerprints by path, which are noted when the run begins. Raises DataError."""
    note = folder.data / "retained.json"
    if _begun(folder) and note.exists():
        before = read_json(note)
        for path, fingerprint in found.items():
            _same(folder, "what is retained", path, before.get(path), fingerprint)
    elif found:
        own_folder(note.parent)
        write_json(note, dict(found))


def _begun(folder: RunFolder) -> bool:
    return any(folder.checkpoints.glob("step-*"))


def _same(folder: RunFolder, what: str, path: str, before: str | None, now: str) -> None:
    if before != now:
        raise DataError(
            Problem(f"{what} is not what it was when the run {folder.path} began, so it can not be continued", path),
            "Put it back as it was and resume, or start a new run with another --out.",
        )


def identity(spec: RunSpec, data: str, base: str) -> dict[str, str]:
    """Hashes of spec, data and base model by name, of which the last two are given."""
    words: dict[str, Any] = {name: value for name, value in spec.words().items() if name not in _LOOSE}
    if words.get("effort") is None:  # runs of earlier versions have none
        words.pop("effort", None)
    words["callbacks"] = [name for name in spec.callbacks if _changes_weights(name)]
    text = json.dumps(words_before(words), sort_keys=True, default=str)
    return {"spec": hashlib.sha256(text.encode()).hexdigest(), "data": data, "base model": base}


def _changes_weights(callback: str) -> bool:
    """Others listen, and may at most stop a run."""
    plugin = registry.get("callbacks", callback)
    return overrides(plugin, "on_setup", "on_gradients", "on_trained", "stand_ins")
