"""What the frozen base makes of the rows, computed once and kept on disk."""

from __future__ import annotations

import numpy as np

from tunesmith.core.errors import ModelError
from tunesmith.engine import batching, hardware
from tunesmith.engine.inference import frozen_bottom, frozen_features, parts
from tunesmith.engine.probe import MAX_ROWS
from tunesmith.families.predictive import frozen_prefix
from tunesmith.families.predictive.context import PredictiveRun


def run_bottom_once(work: PredictiveRun) -> None:
    """Keep the token states after the blocks that do not move, where that pays and fits."""
    prefix, objective, rows, model = work.frozen_prefix, work.objective, work.rows, work.bundle.model
    token_bytes = model.head.in_features * (2 if work.precision == "bf16" else 4)
    asked, tokens = work.plan.engine.frozen_cache, int(rows.offsets[-1])
    depths = frozen_prefix.cache_depths(prefix, token_bytes, tokens, asked, work.folder, work.emit)
    if not depths:
        return
    batches = (
        frozen_prefix.batches_of(objective, work.watched, hardware.tokens_at_once(work.device))
        if objective.same_batches
        else list(batching.by_length(rows.lengths))
    )  # fmt: skip
    prefix.states = frozen_bottom(
        model, rows, batches, depths, folder=work.folder.cache, fingerprint=work.bundle.fingerprint,
        precision=work.precision, on=work.device, check=work.stop.check,
    )  # fmt: skip


def rows_of_features(work: PredictiveRun) -> np.ndarray:
    """Positions of the rows that need frozen features: all that are evaluated, and as many training rows
    as the linear solution (or a method that trains on them) reads."""
    splits = work.data.splits
    train = splits["train"]
    if not (work.plan.method.frozen_body and work.plan.engine.epochs):
        train = batching.sample(train, MAX_ROWS, work.plan.spec.seed)
    return np.sort(np.concatenate([train, splits["validation"], splits["test"]]))


def features_of_base(work: PredictiveRun) -> np.ndarray:
    """Frozen features, float32 [rows, hidden], from disk where they have been computed before. Raises ModelError where
    they are not finite."""
    needed = rows_of_features(work)
    features = frozen_features(
        work.bundle.model, work.rows, needed, folder=work.folder.cache, fingerprint=work.bundle.fingerprint,
        precision=work.precision, on=work.device, check=work.stop.check,
    )  # fmt: skip
    for part in parts(features, needed):
        if not np.isfinite(part).all():
            raise ModelError(
                f"What the base model {work.plan.spec.model!r} computes is not finite: its weights are damaged, or "
                "precision=bf16 is too coarse for it.",
                "Get the model anew, or set precision=fp32.",
            )
    return features
