"""One contender of a comparison, started by a launcher.

rung.json in its folder is written last: seconds, peak memory, size; beside it measured.npz, what it made of the test
rows.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from tunesmith.core import registry
from tunesmith.core.events import Emit
from tunesmith.core.files import folder_bytes, new_file, write_json
from tunesmith.core.measured import Measured
from tunesmith.core.spec import Words
from tunesmith.evaluate.measured import from_arrays
from tunesmith.runs import choose
from tunesmith.runs.family import family_named
from tunesmith.runs.protocols import Contention, Family


def read_measured(folder: Path, kind: str, label_names: list[str] | None) -> Measured:
    """What the contender made of the test rows; `kind` and `label_names` where it answers each."""
    with np.load(next(folder.glob("*.npz"))) as file:
        return from_arrays(dict(file), kind, label_names)


def contend(job: Words, emit: Emit) -> None:
    """Do what the job says, and write rung.json into its folder."""
    from tunesmith.engine.hardware import peak_memory_bytes

    folder, name, words = Path(job["folder"]), job["rung"], job["words"]
    family = family_named(choose.family_of_task(words["task"]))
    started = time.perf_counter()
    if name in registry.names("methods"):
        told, measured = _trained(family, words, folder, emit)
    else:
        told, measured = family.contend(name, words, folder)
    if measured is not None:
        with new_file(folder / "measured.npz") as file:
            np.savez(file, **measured.arrays())  # type: ignore[arg-type]
    took = round(time.perf_counter() - started, 3)
    write_json(folder / "rung.json", {**told, "seconds": took, "peak_memory_bytes": peak_memory_bytes()})


def _trained(family: Family, words: Words, folder: Path, emit: Emit) -> Contention:
    import pyarrow.parquet as pq

    from tunesmith.runs.train import Run
    from tunesmith.studies.series import train_at

    train_at({"out": str(folder / "run"), "words": words}, emit)
    run = Run(folder / "run")
    lost = run.document.get("forgetting")
    told: Words = {} if lost is None else {"forgetting": {name: lost[name] for name in ("kept", "lost", "probe")}}
    told |= {"run": str(run.path), "size_bytes": folder_bytes(run.folder.model)}
    return told, family.read_predictions(run.path, pq.read_table(run.folder.predictions))
