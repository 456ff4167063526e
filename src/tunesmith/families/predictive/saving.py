"""The finished model with one answer a row as a folder, read back and asked again; and its answers to the test rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from tunesmith.core.errors import RunFailed
from tunesmith.core.files import full_disk_as_oserror, write_table
from tunesmith.families.predictive.context import PredictiveRun
from tunesmith.families.predictive.predictor import Model, describe
from tunesmith.models.lengths import USUAL
from tunesmith.runs import choose

_TOLERANCE = 1e-3
"""Largest difference of a score between the model trained and the model read back (float32)."""


def write(work: PredictiveRun, aside: Path) -> None:
    """The trained model, into `aside`."""
    task = work.plan.task
    task.finish(work.bundle)
    with full_disk_as_oserror():
        if work.kept_method is None:
            work.plan.method.merge(work.bundle, aside)
        longest = max(8, int(work.rows.lengths.max()), _limit(work))
        choose.loader_of(task).save(work.bundle, aside, max_length=longest, place=work.folder.model)
    describe(aside, work.plan.spec.task, task, work.data.columns, work.thresholds)


def _limit(work: PredictiveRun) -> int:
    return int(work.plan.spec.options.get("max_length") or min(work.bundle.max_length, USUAL))


def read_back(work: PredictiveRun, aside: Path) -> None:
    """The saved model, read back, must answer like the one in memory. Raises RunFailed."""
    model, expected = Model.load(aside), work.ours["test"]
    some = work.data.splits["test"][:16]
    again = model.scores(work.data.rows.select(some))
    scale = 1.0 if model.task.kind != "number" else float(np.abs(expected.truth).max() or 1.0)
    allowed = (_TOLERANCE if work.precision == "fp32" else 0.1) * scale
    worst = float(np.abs(again - expected.scores[: len(some)]).max())
    if not worst <= allowed:
        raise RunFailed(
            f"The saved model answers differently from the trained one (by {worst:.4g}, allowed {allowed:.4g})."
        )


def write_predictions(work: PredictiveRun) -> None:
    """predictions.parquet: row_id, truth, predicted and scores of every test row."""
    test, rows = work.ours["test"], work.data.rows.select(work.data.splits["test"])
    table = pa.table({
        "row_id": pa.array(rows["row_id"][:], pa.int64()),
        "truth": pa.array(rows["target"][:]),
        "predicted": pa.array(test.named(test.predicted())),
        "scores": pa.array(list(np.atleast_2d(test.scores.T).T)),
    })  # fmt: skip
    write_table(table, work.folder.predictions)
