"""An answer for each row: a label, several, a number."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tunesmith.core.events import Emit
from tunesmith.core.run import RunFolder
from tunesmith.core.spec import RunSpec
from tunesmith.engine.stop import StopRequest


class Predictive:
    @staticmethod
    def run(folder: RunFolder, spec: RunSpec, emit: Emit, stop: StopRequest, started: float) -> None:
        """The whole run, up to `result.json`. Raises the errors of `core.errors`."""
        from tunesmith.families.predictive import finish, pipeline

        finish.finish(pipeline.run(folder, spec, emit, stop), started)

    @staticmethod
    def load(path: Path) -> Any:
        """The model of a finished run. Raises FolderError, ModelError."""
        from tunesmith.families.predictive.predictor import Model

        return Model.load(path)
