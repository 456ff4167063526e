"""The finished model: written aside, read back, and only then given its name."""

from __future__ import annotations

from tunesmith.core.files import new_folder
from tunesmith.models.manifest import write_manifest
from tunesmith.runs.protocols import Family, R


def save(run: R, family: Family[R]) -> None:
    """Raises RunFailed where the model that was read back answers differently."""
    run.clock.phase("save", str(run.folder.model))
    with new_folder(run.folder.model, replace=True) as aside:
        family.write(run, aside)
        family.read_back(run, aside)
        write_manifest(aside)
