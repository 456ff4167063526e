"""What a saved model says of itself beside its weights, as transformers' own files have no place for it: its task, and
what its family needs to answer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tunesmith.core.errors import ModelError
from tunesmith.core.files import write_json
from tunesmith.models.model_json import read_object

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
