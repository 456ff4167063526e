"""How a run with one answer a row learns: its batches, where its head starts, what the loop is given."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tunesmith.core.events import Decided
from tunesmith.engine import batching, loop
from tunesmith.engine.objective import RowObjective
from tunesmith.engine.precision import working
from tunesmith.evaluate.measured import compute
from tunesmith.evaluate.metrics import higher_is_better
from tunesmith.families.predictive import effort, linear_head
from tunesmith.families.predictive.context import PredictiveRun


def objective(run: PredictiveRun) -> RowObjective:
    """The training rows, with the task's loss and the batches of this run."""
    plan, train = run.plan, run.data.splits["train"]
    batch_rows, batch_tokens = _batch(run, run.rows.training_lengths[train])
    plain = RowObjective(
        run.rows, train, plan.task.loss, batch_rows, batch_tokens, plan.spec.seed,
        same_batches=plan.method.same_batches, epochs=plan.engine.epochs or 0,
    )  # fmt: skip
    return plan.task.objective(plain, run.bundle)


def _batch(run: PredictiveRun, lengths: np.ndarray) -> tuple[int, int | None]:
    if run.plan.engine.batch_size is not None:
        return run.plan.engine.batch_size, None
    rows = run.plan.method.batch_rows or batching.usual_rows(len(lengths), *run.plan.task.batch_rows)
    size = f"{np.median(lengths):g} {run.rows.unit} (median)"
    why = f"{len(lengths)} training rows of {size}, at most {batching.TOKENS} a batch"
    run.emit(Decided("batch_size", rows, why))
    return rows, batching.TOKENS


def prepare_model(run: PredictiveRun) -> None:
    """Which weights move, and where the head starts: at the best solution if only it moves, at the
    fixed, soft one if the body has still to learn."""
    plan, bundle = run.plan, run.bundle
    if plan.method.starts_from_probe and run.has_probe:
        probe = run.probe
        linear_head.set_head(bundle, *((probe.weight, probe.bias) if plan.method.frozen_body else probe.start))
    plan.method.prepare(bundle, plan.init_seed)
    if plan.method.frozen_body and not run.has_probe:  # nothing else could move
        bundle.model.head.requires_grad_(True)


def setup(run: PredictiveRun) -> loop.Setup:
    plan, data = run.plan, run.data
    metric = plan.task.metrics[0]
    watched = run.watched
    if len(watched) < len(data.splits["validation"]):
        why = f"{len(data.splits['validation'])} rows would take longer than they tell"
        run.emit(Decided("validation_rows", len(watched), why))

    def evaluate() -> dict[str, float]:
        logits, loss = linear_head.judged(run, watched)
        if not np.isfinite(loss):
            return {"loss": loss}
        found = run.measured_at(watched, logits)
        if plan.task.target.tuned_early and (cuts := plan.task.target.tune(found)) is not None:
            found = run.measured_at(watched, logits, cuts)
        # where these rows leave it undefined, the loss alone tells which weights are better
        return {"loss": loss, metric: 0.0, **compute(found, plan.task.metrics)}

    def on_stage(stage: int) -> bool:
        last = plan.method.on_stage(stage, run.bundle)
        run.frozen_prefix.apply_stage(stage, run.bundle, run.rows)
        return last

    model = run.bundle.model
    with working(model, run.precision, model.float32_names):  # the states on disk are in this precision
        objective = plan.method.objective(run.objective, run.bundle, plan.task.label_names, run.emit)
    if last := effort.keeps_last(plan, len(watched)):
        why = "by design of this method: so few validation rows would choose by chance, and none stop it early"
        run.emit(Decided("kept_weights", "the last weights", why))
    return replace(
        run.setup(objective, evaluate), on_stage=on_stage, keeps_last=last,
        noise=lambda value: noise(metric, value, len(watched)),
    )  # fmt: skip


def noise(metric: str, value: float, rows: int) -> float:
    """Half a standard error of a share (accuracy, F1) of `rows` rows; errors and losses have none."""
    if not higher_is_better(metric):
        return 0.0
    return 0.5 * float(np.sqrt(max(0.0, value * (1 - value)) / rows))
