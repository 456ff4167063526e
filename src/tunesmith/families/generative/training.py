"""How a run that writes text learns: its batches, what the loop is given, and what it is expected to take."""

from __future__ import annotations

import time

import numpy as np

from tunesmith.core.events import Decided
from tunesmith.engine import batching, devices, loop, memory
from tunesmith.engine.meta_model import MetaModel
from tunesmith.engine.meta_network import Recipe
from tunesmith.engine.objective import Objective
from tunesmith.engine.protocols import Batches
from tunesmith.evaluate.measured import compute
from tunesmith.families.generative.context import GenerativeRun
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
