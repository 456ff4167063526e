"""One contender of a comparison, started by a launcher.

rung.json in its folder is written last: seconds, peak memory, size; beside it outcome.npz or statistics.npz, what it
made of the test rows.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, cast

import numpy as np

from tunesmith.core import registry
from tunesmith.core.events import Emit
from tunesmith.core.files import folder_bytes, new_file, write_json
from tunesmith.evaluate.measured import Measured, RowStatistics
from tunesmith.evaluate.types import Outcome
from tunesmith.runs import choose
from tunesmith.runs.family import family_named
from tunesmith.runs.protocols import Contention, Words


def read_measured(folder: Path, kind: Any, label_names: list[str] | None) -> Measured:
    """What the contender made of the test rows; `kind` and `label_names` where it answers each."""
    summed = folder / "statistics.npz"
    with np.load(summed if summed.exists() else folder / "outcome.npz") as file:
        if summed.exists():
            return RowStatistics(dict(file))
        return Outcome(kind, file["truth"], file["scores"], label_names, file.get("thresholds"))


def contend(job: Words, emit: Emit) -> None:
    """Do what the job says, and write rung.json into its folder."""
    from tunesmith.engine.hardware import peak_memory_bytes

    folder, name, words = Path(job["folder"]), job["rung"], job["words"]
    family = family_named(choose.family_of_task(words["task"]))
    started = time.perf_counter()
    if name in registry.names("methods"):
        told, measured = _trained(words, folder, emit)
    else:
        told, measured = family.contend(name, words, folder)
    if measured is not None:
        _save(folder, measured)
    took = round(time.perf_counter() - started, 3)
    write_json(folder / "rung.json", {**told, "seconds": took, "peak_memory_bytes": peak_memory_bytes()})


def _save(folder: Path, measured: Measured) -> None:
    if isinstance(measured, RowStatistics):
        name, arrays = "statistics.npz", dict(measured.sums)
    else:
        outcome = cast(Outcome, measured)
        name, arrays = "outcome.npz", {"truth": outcome.truth, "scores": outcome.scores}
        if outcome.thresholds is not None:
            arrays["thresholds"] = outcome.thresholds
    with new_file(folder / name) as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def _trained(words: Words, folder: Path, emit: Emit) -> Contention:
    import pyarrow.parquet as pq

    from tunesmith.runs.train import Run
    from tunesmith.studies.series import saved_measured, train_at

    train_at({"out": str(folder / "run"), "words": words}, emit)
    run = Run(folder / "run")
    lost = run.document.get("forgetting")
    told: Words = {} if lost is None else {"forgetting": {name: lost[name] for name in ("kept", "lost", "probe")}}
    told |= {"run": str(run.path), "size_bytes": folder_bytes(run.folder.model)}
    return told, saved_measured(run, pq.read_table(run.folder.predictions))
