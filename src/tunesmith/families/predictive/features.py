"""What the frozen base makes of the rows, computed once and kept on disk."""

from __future__ import annotations

import numpy as np

from tunesmith.core.errors import ModelError
from tunesmith.core.events import Decided
from tunesmith.engine import batching, hardware
from tunesmith.engine.inference import frozen_bottom, frozen_features, parts
from tunesmith.engine.tokens import EncodedRows
from tunesmith.families.predictive import frozen_prefix
from tunesmith.families.predictive.context import PredictiveRun


def run_bottom_once(run: PredictiveRun) -> None:
    """Keep the token states after the blocks that do not move, where that pays and fits."""
    prefix, objective, rows, model = run.frozen_prefix, run.objective, run.rows, run.bundle.model
    token_bytes = model.width * (2 if run.precision == "bf16" else 4)
    asked = run.plan.engine.frozen_cache
    if not isinstance(rows, EncodedRows):
        if asked:
            run.emit(Decided("frozen_cache", False, "only the states of tokens can be kept"))
        return
    tokens = int(rows.offsets[-1])
    depths = frozen_prefix.cache_depths(prefix, token_bytes, tokens, asked, run.folder, run.emit)
    if not depths:
        return
    batches = (
        frozen_prefix.batches_of(objective, run.watched, hardware.tokens_at_once(run.device))
        if objective.same_batches
        else list(batching.by_length(rows.lengths))
    )  # fmt: skip
    prefix.states = frozen_bottom(
        model, rows, batches, depths, folder=run.folder.cache, fingerprint=run.bundle.fingerprint,
        precision=run.precision, on=run.device, check=run.stop.check,
    )  # fmt: skip


def rows_of_features(run: PredictiveRun) -> np.ndarray:
    """Positions of the rows that need frozen features: all that are evaluated, and as many training rows
    as the linear solution (or a method that trains on them) reads."""
    splits = run.data.splits
    train = splits["train"]
    if not (run.plan.method.frozen_body and run.plan.engine.epochs):
        train = batching.sample(train, run.probe_rows, run.plan.spec.seed)
    return np.sort(np.concatenate([train, splits["validation"], splits["test"]]))


def features_of_base(run: PredictiveRun) -> np.ndarray:
    """Frozen features, float32 [answers, hidden], from disk where they have been computed before. Raises ModelError
    where they are not finite."""
    needed = rows_of_features(run)
    features = frozen_features(
        run.bundle.model, run.rows, needed, folder=run.folder.cache, fingerprint=run.bundle.fingerprint,
        precision=run.precision, on=run.device, check=run.stop.check,
    )  # fmt: skip
    for part in parts(features, run.rows.places(needed)):
        if not np.isfinite(part).all():
            raise ModelError(
                f"What the base model {run.plan.spec.model!r} computes is not finite: its weights are damaged, or "
                "precision=bf16 is too coarse for it.",
                "Get the model anew, or set precision=fp32.",
            )
    return features
