"""chat: a conversation with the model of a run."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Unpack, cast

from tunesmith.core.errors import FolderError
from tunesmith.core.words import SamplingWords
from tunesmith.runs.load import predictor_of
from tunesmith.runs.protocols import Streams

if TYPE_CHECKING:
    from tunesmith.families.generative.session import ChatSession


def chat(run: str | os.PathLike[str], *, system: str | None = None, **sampling: Unpack[SamplingWords]) -> ChatSession:
    """A conversation with a model that writes: `chat(run).ask("Hello")`. Raises FolderError, OptionError."""
    kind, folder = predictor_of(run)
    if not issubclass(kind, Streams):
        fix = "Train one on conversations or pairs; see `tunesmith tasks`."
        raise FolderError(f"{run} holds no model that writes text.", fix)
    return cast("ChatSession", cast(Streams, kind.load(folder)).session(system=system, sampling=sampling))
