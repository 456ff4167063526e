"""export: one plain model out of a run, checked to answer as the run does."""

from __future__ import annotations

import os
from pathlib import Path
from typing import cast

from tunesmith.core.errors import FolderError, OptionError
from tunesmith.core.files import full_disk_as_oserror, new_folder, own_folder, written_to
from tunesmith.core.run import RunFolder
from tunesmith.models.additions import ADAPTER
from tunesmith.models.virtual import can_merge, stands_beside
from tunesmith.runs.load import predictor_of
from tunesmith.runs.protocols import Exports

TARGETS = ("merged",)


def export(
    run: str | os.PathLike[str], *, to: str = "merged", out: str | os.PathLike[str] | None = None
) -> dict[str, object]:
    """Write the run's model with its adapter merged into the weights, as plain transformers folder; a run without an
    adapter is whole already, and gets a copy.

    Adapter, merged and reloaded model must give the same logits (within 1e-4 in float32) and the same
    greedy answers; the export fails if not. Returns {"out", "largest_difference", "answers"}. Raises
    OptionError, FolderError, RunFailed.
    """
    if to not in TARGETS:
        raise OptionError(f"--to {to}: expected one of {', '.join(TARGETS)}.")
    folder = RunFolder.open(Path(run))
    if not folder.result.exists():
        raise FolderError(f"The run {run} is not finished ({folder.status()}).", f"tunesmith resume {run}")
    target = Path(out) if out else folder.path / "export" / to
    if target.exists() and not target.is_dir():
        raise FolderError(f"{target} is a file; expected a folder that does not exist yet.", "Give another --out.")
    if target.exists() and any(target.iterdir()):
        raise FolderError(f"The folder {target} is not empty.", "Give another one with --out.")
    kind, model = predictor_of(folder.model)
    if not issubclass(kind, Exports):
        reader = "peft" if stands_beside(folder.model) else "transformers"
        told = f"The run {run} writes no text: {folder.model} is a plain {reader} folder already."
        raise OptionError(told, "Use it as it is.")
    if (folder.model / ADAPTER).exists() and not can_merge(folder.model):
        told = f"What the run {run} has learned (method {folder.load_spec().method}) stands beside the weights of its "
        told += "base and is no change of them, so there is nothing that could be merged."
        fix = f"Use {folder.model} as it is: it is read beside its base. For one plain model train with method=lora."
        raise OptionError(told, fix)
    if not out:
        own_folder(target.parent)
    with written_to(target), new_folder(target, private=False) as aside, full_disk_as_oserror():
        compared = cast(Exports, kind.load(model)).write_plain(aside)
    return {"out": str(target), **compared}
