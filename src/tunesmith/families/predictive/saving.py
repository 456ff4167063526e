"""The finished model with one answer a row as a folder, read back and asked again; and its answers to the test rows."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
from datasets import Dataset

from tunesmith.core.errors import RunFailed
from tunesmith.core.files import full_disk_as_oserror, write_table
from tunesmith.core.measured import Measured
from tunesmith.families.predictive.context import PredictiveRun
from tunesmith.families.predictive.document import READ_BACK
from tunesmith.families.predictive.predictor import Model, describe, settled_in
from tunesmith.models.lengths import USUAL
from tunesmith.runs import choose
from tunesmith.runs.load import model_folder

_TOLERANCE = 1e-3
"""Largest difference of a score between the model trained and the model read back (float32)."""


def write(run: PredictiveRun, aside: Path) -> None:
    """The trained model, into `aside`."""
    task = run.plan.task
    task.finish(run.bundle)
    with full_disk_as_oserror():
        if run.kept_method is None:
            run.plan.method.merge(run.bundle, aside)
        longest = max(8, run.rows.longest, _limit(run))
        choose.loader_of(task).save(run.bundle, aside, max_length=longest, place=run.folder.model)
    describe(aside, run.plan.spec.task, task, run.data.columns, run.thresholds)


def _limit(run: PredictiveRun) -> int:
    return int(run.plan.spec.options.get("max_length") or min(run.bundle.max_length, USUAL))


def read_back(run: PredictiveRun, aside: Path) -> None:
    """The saved model, read back, must answer like the one in memory. Raises RunFailed."""
    model, test = Model.load(aside), run.data.splits["test"]
    again = model.scores(run.data.rows.select(test[:READ_BACK]))
    spread = model.task.target.spread(model.task.truth(run.data.targets(test)))
    allowed = (_TOLERANCE if run.precision == "fp32" else 0.1) * spread
    assert run.expected is not None
    worst = model.task.target.difference(again, run.expected)
    if not worst <= allowed:
        raise RunFailed(
            f"The saved model answers differently from the trained one (by {worst:.4g}, allowed {allowed:.4g})."
        )


def write_predictions(run: PredictiveRun) -> None:
    """predictions.parquet: row_id and truth of every test row, and what was made of it."""
    rows = run.data.rows.select(run.data.splits["test"])
    shown = {"truth": rows["target"][:], **run.ours["test"].columns()}
    columns = {name: pa.array(cells) for name, cells in shown.items()}
    write_table(pa.table({"row_id": pa.array(rows["row_id"][:], pa.int64()), **columns}), run.folder.predictions)


def read_predictions(path: Path, table: pa.Table) -> Measured:
    """See `runs.protocols.Family`."""
    task, thresholds = settled_in(model_folder(path))
    columns = table.to_pydict()
    return task.measure(task.target.from_columns(columns), task.truth_of(columns["truth"], Dataset(table)), thresholds)
