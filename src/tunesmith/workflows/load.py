"""load: a finished run, ready to answer."""

from __future__ import annotations

from pathlib import Path

from tunesmith.workflows.model import Model


def load(path: str | Path) -> Model:
    """The model of a run folder (or of its `model` folder). Raises FolderError, ModelError."""
    return Model.load(path)
