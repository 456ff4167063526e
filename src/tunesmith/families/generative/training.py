"""How a run that writes text learns: its batches, and what the loop is given."""

from __future__ import annotations

import numpy as np

from tunesmith.core.events import Decided
from tunesmith.engine import batching, loop
from tunesmith.engine.objective import Objective
from tunesmith.engine.protocols import Batches
from tunesmith.evaluate.measured import compute
from tunesmith.families.generative.context import GenerativeRun
from tunesmith.families.generative.cost import predict_cost
from tunesmith.families.generative.settle import packs

BATCH_ROWS = (2, 16)
"""The least rows of a batch where nothing is asked, and the most."""
_VALIDATION_ITEMS = 500
_WASTE = 0.1
"""Share of padding from which on packing is worth it."""


def setup(run: GenerativeRun) -> loop.Setup:
    plan, items = run.plan, run.items
    watched = batching.sample(items.splits["validation"], _VALIDATION_ITEMS, plan.spec.seed)
    if len(watched) < len(items.splits["validation"]):
        run.emit(Decided("validation_rows", len(watched), "more would take longer than they tell"))

    def evaluate() -> dict[str, float]:
        return compute(run.statistics(watched))

    setup = run.setup(objective(run, items.splits["train"]), evaluate)
    run.predicted = run.predicted or predict_cost(run, setup)
    return setup


def objective(run: GenerativeRun, items: np.ndarray) -> Objective:
    """The task's objective on some items, its batches planned and said."""
    plan = run.plan
    sequences = run.sequences(items)
    lengths = run.items.rows.lengths[sequences]
    size = plan.engine.batch_size
    if size is None:
        size = batching.usual_rows(len(items), *BATCH_ROWS)
        why = f"{len(items)} training examples of {np.median(lengths):g} tokens (median)"
        run.emit(Decided("batch_size", size, f"{why}, at most {batching.LANGUAGE_TOKENS:,} tokens a batch"))
    packed = _packing(run, lengths, size)
    batches = Batches(size, None if plan.engine.batch_size else batching.LANGUAGE_TOKENS, plan.spec.seed, packed)
    return plan.task.objective(run.items.rows, items, batches, reference=run.reference, good=run.items.good)


def _packing(run: GenerativeRun, lengths: np.ndarray, size: int) -> bool:
    asked = run.plan.task.options.packing
    if not packs(run.plan.task):
        return False
    if run.plan.method.virtual_tokens:
        run.emit(Decided("packing", False, f"method={run.plan.spec.method} puts its tokens before every row"))
        return False
    if asked is not None:
        run.emit(Decided("packing", asked, "asked for"))
        return bool(asked)
    plan = batching.plan_epoch(lengths, seed=0, epoch=0, rows=size, tokens=batching.LANGUAGE_TOKENS)
    waste = batching.padding_share(plan, lengths)
    run.emit(Decided("packing", waste > _WASTE, f"batches of similar length are {waste:.0%} padding"))
    return waste > _WASTE
