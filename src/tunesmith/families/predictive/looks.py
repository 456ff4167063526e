"""Where a network that reads pictures looks for its answers to test rows."""

from __future__ import annotations

import numpy as np
import torch

from tunesmith.core.measured import Measured
from tunesmith.engine.inference import evaluating
from tunesmith.engine.pixels import EncodedPictures
from tunesmith.evaluate.errors import examples_of
from tunesmith.evaluate.evidence import Look
from tunesmith.evaluate.types import Outcome
from tunesmith.families.predictive.context import PredictiveRun
from tunesmith.models.vision import VisionModel

_SHOWN = 6
"""Rows that were answered rightly, and of those that were not."""


def looks(run: PredictiveRun, test: Measured) -> list[Look]:
    """For the likeliest output of some test rows; none where the network does not say where."""
    rows, model = run.rows, run.bundle.model
    if not isinstance(rows, EncodedPictures) or not isinstance(model, VisionModel) or not isinstance(test, Outcome):
        return []
    wrong, right = examples_of(test, _SHOWN, run.plan.spec.seed)
    at = np.array([one["row"] for one in (*wrong, *right)], dtype=np.int64)
    if not len(at):
        return []
    positions = run.data.splits["test"][at]
    scores = test.scores[at]
    outputs = np.zeros(len(at), dtype=np.int64) if scores.ndim == 1 else scores.argmax(1)
    with evaluating(model):
        found = model.saliency(
            rows.inputs(positions)["pixel_values"].to(run.device), torch.from_numpy(outputs).to(run.device)
        )  # fmt: skip
    if found is None:
        return []
    heat, seen = found.cpu().numpy(), rows.seen(positions)
    return [Look(int(row), seen[number], heat[number]) for number, row in enumerate(at)]
