"""chat: a conversation with the model of a run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, cast

from tunesmith.core.errors import FolderError
from tunesmith.runs.load import predictor_of
from tunesmith.runs.protocols import Streams


def chat(run: str | os.PathLike[str], *, system: str | None = None, sampling: Mapping[str, Any] | None = None) -> Any:
    """A `ChatSession` with the model. Raises FolderError where the run writes no text, OptionError."""
    kind, folder = predictor_of(run)
    if not issubclass(kind, Streams):
        raise FolderError(
            f"{run} holds no model that writes text.", "Train one on conversations or pairs; see `tunesmith tasks`."
        )
    return cast(Streams, kind.load(folder)).session(system=system, sampling=sampling)
