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


def write(run: PredictiveRun, aside: Path) -> None:
    """The trained model, into `aside`."""
    task = run.plan.task
    task.finish(run.bundle)
    with full_disk_as_oserror():
        if run.kept_method is None:
            run.plan.method.merge(run.bundle, aside)
        longest = max(8, int(run.rows.lengths.max()), _limit(run))
        choose.loader_of(task).save(run.bundle, aside, max_length=longest, place=run.folder.model)
    describe(aside, run.plan.spec.task, task, run.data.columns, run.thresholds)


def _limit(run: PredictiveRun) -> int:
    return int(run.plan.spec.options.get("max_length") or min(run.bundle.max_length, USUAL))


def read_back(run: PredictiveRun, aside: Path) -> None:
    """The saved model, read back, must answer like the one in memory. Raises RunFailed."""
    model, expected = Model.load(aside), run.ours["test"]
    some = run.data.splits["test"][:16]
    again = model.scores(run.data.rows.select(some))
    scale = 1.0 if model.task.kind != "number" else float(np.abs(expected.truth).max() or 1.0)
    allowed = (_TOLERANCE if run.precision == "fp32" else 0.1) * scale
    worst = float(np.abs(again - expected.scores[: len(some)]).max())
    if not worst <= allowed:
        raise RunFailed(
            f"The saved model answers differently from the trained one (by {worst:.4g}, allowed {allowed:.4g})."
        )


def write_predictions(run: PredictiveRun) -> None:
    """predictions.parquet: row_id, truth, predicted and scores of every test row."""
    test, rows = run.ours["test"], run.data.rows.select(run.data.splits["test"])
    table = pa.table({
        "row_id": pa.array(rows["row_id"][:], pa.int64()),
        "truth": pa.array(rows["target"][:]),
        "predicted": pa.array(test.named(test.predicted())),
        "scores": pa.array(list(np.atleast_2d(test.scores.T).T)),
    })  # fmt: skip
    write_table(table, run.folder.predictions)
