"""What a training will take, said before it begins and kept beside what it took."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from tunesmith.core.events import Decided
from tunesmith.engine import devices, loop, memory
from tunesmith.engine.meta_model import MetaModel, Recipe

if TYPE_CHECKING:
    from tunesmith.families.generative.context import GenerativeRun


def predict_cost(run: GenerativeRun, setup: loop.Setup) -> dict[str, float]:
    """{"peak_memory_bytes", "train_seconds"} as `tunesmith plan` reckons them, from the batches as they are."""
    plan, begun = run.plan, time.perf_counter()
    recipe = Recipe(
        precision=run.precision,
        float32_base=not plan.method.adds,
        packed=run.bundle.quantization is not None,
        checkpointing=plan.engine.gradient_checkpointing,
        freeze=tuple(plan.engine.freeze),
        tokens_at_once=setup.tokens_at_once,
    )
    meta_model = MetaModel(
        run.bundle.model.network.config, plan.task.network, type(plan.method)(plan.method.options), recipe
    )
    batches = setup.objective.plan(0)
    lengths = setup.objective.lengths
    longest = max(batches, key=lambda items: len(items) * int(lengths[items].max()))
    mean = float(np.mean(lengths))
    rows = run.items.rows
    some = run.sequences(run.items.splits["train"])
    learned = float(rows.learned_counts[some].sum() / max(1, rows.lengths[some].sum()))
    read = float(run.items.rows.lengths[run.sequences(run.items.splits["validation"])].sum())
    pace, trained = devices.pace(meta_model, round(mean), None), float(sum(map(setup.objective.tokens, batches)))
    # of judged answers the half that answers other prompts is read only
    again = 0.0 if run.items.good is None else trained / 2

    def spent(epochs: int) -> float:
        return devices.seconds(
            meta_model, pace, length=mean, trained=epochs * (trained - again), read=read + epochs * again,
            steps=epochs * len(batches), learned=min(1.0, learned),
        )  # fmt: skip

    seconds = spent(0)
    for epoch in range(setup.epochs):
        meta_model.begin(epoch)
        seconds += spent(1)
    on_gpu = run.device.type == "cuda"  # most moves in the last epoch
    peak = memory.peak_bytes(meta_model, len(longest), int(lengths[longest].max()), gpu=on_gpu).total
    found = {"peak_memory_bytes": round(peak), "train_seconds": round(seconds, 1)}
    why = "from the model's shape and a second of measuring; metrics.json has what it really took beside it"
    run.train_seconds -= time.perf_counter() - begun  # predicting is no training
    run.emit(Decided("predicted", f"{seconds:,.0f} s of training, {peak / 1e9:.2f} GB at the peak", why))
    return found
