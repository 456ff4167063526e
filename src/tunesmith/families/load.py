"""load: a finished run, ready to answer."""

from __future__ import annotations

from pathlib import Path

from tunesmith.core.errors import FolderError
from tunesmith.core.run import RunFolder, is_run, located
from tunesmith.families.generative.predictor import TextGenerator
from tunesmith.families.predictive.predictor import MARK, Model
from tunesmith.models.manifest import check_manifest
from tunesmith.models.model_json import read_object


def load(path: str | Path) -> Model | TextGenerator:
    """The model of a run folder (or of its `model` folder). Raises FolderError, ModelError."""
    folder = language_folder(path, wanted=False)
    return Model.load(path) if folder is None else TextGenerator.load(folder)


def verify(path: str | Path) -> None:
    """Compare every byte of a finished run's model with what the run saved. Raises FolderError, ModelError.

    Loading alone compares files of up to 1 GB as a whole, larger ones by samples.
    """
    folder = located(path)
    model = RunFolder.open(folder).model if is_run(folder) else folder
    check_manifest(model, whole=True)


def language_folder(path: str | Path, *, wanted: bool = True) -> Path:
    """The model folder of a run that writes text. Raises FolderError where there is none; without
    `wanted` the answer is None then."""
    folder = located(path)
    if is_run(folder):
        run = RunFolder.open(folder)
        if wanted and not run.result.exists():
            raise FolderError(
                f"The run {path} is not finished ({run.status()}), so it has no model yet.",
                f"Finish it with `tunesmith resume {path}`.",
            )
        folder = run.model
    mark = folder / MARK
    if mark.exists() and "network" in read_object(mark):
        return folder
    if wanted:
        raise FolderError(
            f"{path} holds no model that writes text.", "Train one on conversations or pairs; see `tunesmith tasks`."
        )
    return None  # type: ignore[return-value]
