"""load: the model of a run, ready to answer."""

from __future__ import annotations

import os
from typing import Any

from tunesmith.runs import load as loading


def load(run: str | os.PathLike[str]) -> Any:
    """The model of a run (or of its `model` folder): a Model, or a TextGenerator where text is written.

    Raises FolderError, ModelError.
    """
    return loading.load(run)
