"""load: the finished model of a run, ready to answer, whatever its family."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from tunesmith.core import registry
from tunesmith.core.errors import FolderError, OptionError
from tunesmith.core.options import Options, resolve
from tunesmith.core.run import RunFolder, is_run, locate
from tunesmith.models.manifest import METADATA, check_manifest, read_metadata
from tunesmith.runs import choose
from tunesmith.runs.protocols import Predictor


def load(path: str | os.PathLike[str]) -> Predictor:
    """The model of a run folder (or of its `model` folder). Raises FolderError, ModelError."""
    kind, folder = predictor_of(path)
    return kind.load(folder)


def as_model(run: object) -> Predictor:
    """The model of a path or a Run; a model is one already. Raises FolderError, ModelError."""
    return load(run) if isinstance(run, str | os.PathLike) else cast(Predictor, run)


def predictor_of(path: str | os.PathLike[str]) -> tuple[type[Predictor], Path]:
    """What reads the model of a run, as its metadata say, and the folder that it lies in. Loads no weights.

    Raises FolderError, ModelError.
    """
    folder = model_folder(path)
    task = read_metadata(folder)["task"]
    name = getattr(registry.get("tasks", task), "predictor", None) or choose.family_of_task(task)
    return registry.get("families.predictors", name), folder


def model_folder(path: str | os.PathLike[str]) -> Path:
    """Where the finished model of a run lies; `path` may be that folder itself. Raises FolderError."""
    folder = locate(path)
    if is_run(folder):
        run = RunFolder.open(folder)
        if not run.result.exists():
            raise FolderError(
                f"The run {path} is not finished ({run.status()}), so it has no model yet.",
                f"Finish it with `tunesmith resume {path}`.",
            )
        folder = run.model
    if not folder.exists():
        raise FolderError(f"{path}: there is no such folder.", "Give a run folder; `tunesmith runs` lists them.")
    if not (folder / METADATA).exists():
        raise FolderError(
            f"{path} holds no model that Tunesmith saved (no {METADATA}).",
            "Give a run folder; `tunesmith runs` lists them.",
        )
    return folder


def options_of(kind: type[Predictor], words: Mapping[str, object]) -> Options:
    """How a model answers, from words of the user; None is none. Raises OptionError for what it does not know."""
    given = {name: value for name, value in words.items() if value is not None}
    known = kind.Options.model_fields
    if wrong := [name for name in given if name not in known]:
        raise OptionError(f"predict: {kind.summary} has no option {wrong[0]!r}.", f"Known: {', '.join(known)}.")
    return resolve(given, {"answers": kind.Options})["answers"]


def verify(path: str | os.PathLike[str]) -> None:
    """Compare every byte of a finished run's model with what the run saved. Raises FolderError, ModelError.

    Loading alone compares files of up to 1 GB as a whole, larger ones by samples.
    """
    folder = locate(path)
    check_manifest(RunFolder.open(folder).model if is_run(folder) else folder, whole=True)
