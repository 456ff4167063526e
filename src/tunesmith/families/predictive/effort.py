"""How far `auto` goes: from the linear head on the frozen base, which takes seconds, up, and only while that pays.

What is handed over is never less, on validation rows, than that head.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tunesmith.core import registry
from tunesmith.core.events import Decided, ignore
from tunesmith.core.measured import Measured
from tunesmith.evaluate import words
from tunesmith.evaluate.measured import compute, value_of
from tunesmith.evaluate.metrics import higher_is_better
from tunesmith.families.predictive import continued, linear_head
from tunesmith.families.predictive.context import PredictiveRun
from tunesmith.families.predictive.frozen_prefix import set_prefix
from tunesmith.runs.settle import Plan

WATCHED = 100
"""Validation rows from which on the best epoch of any method is kept; fewer would choose by chance (docs/log.md)."""
_LEFT = 0.02
"""Share of the rows that are still wrong, at the most, below which no training can show that it helped."""


def enough(plan: Plan, measured: Measured) -> str | None:
    """Why training more than the head could not show that it helped; None where it could. `measured`: of the linear
    head on the validation rows."""
    accuracy = value_of(measured, "accuracy")
    if accuracy is None or not plan.spec.effort or not plan.engine.epochs:
        return None
    from scipy.special import betaincinv

    rows = len(measured)
    wrong = rows - round(rows * accuracy)
    left = float(betaincinv(wrong + 1, max(rows - wrong, 1e-9), 0.95))
    if left > _LEFT:
        return None
    return (
        f"the linear head on the frozen base gets {rows - wrong:,} of {rows:,} validation rows right: training "
        "more than the head could not show that it helped"
    )


def only_head(plan: Plan) -> None:
    """From here on the plan is one of method `head`, in its spec as well."""
    own = type(plan.method).Options.model_fields
    head = registry.get("methods", "head")
    plan.method = head(head.Options())
    plan.engine = plan.engine.model_copy(update={"epochs": head.epochs, "learning_rate": head.learning_rate})
    options = {name: value for name, value in plan.spec.options.items() if name not in own}
    plan.spec = plan.spec.model_copy(update={"method": "head", "options": {**options, **plan.engine.model_dump()}})


def keeps_last(plan: Plan, watched: int) -> bool:
    """Whether the last weights are kept whatever validation says of them."""
    few = watched < WATCHED
    if plan.task.trusts_few_rows:
        return plan.method.keeps_last and not (plan.spec.effort and not few)
    return few and not plan.method.frozen_body


@dataclass(frozen=True)
class Score:
    """What validation rows say: the first metric, its noise (half a standard error), and the price of the answers."""

    value: float
    noise: float
    loss: float

    def better(self, other: Score, higher: bool) -> bool:
        """By the metric; where it can not tell them apart, by the loss, which is less a matter of chance."""
        gain = self.value - other.value if higher else other.value - self.value
        return self.loss < other.loss if abs(gain) <= max(self.noise, other.noise) else gain > 0


def hand_over(run: PredictiveRun, watched: np.ndarray, noise: Callable[[str, float, int], float]) -> None:
    """Put the linear head on the base as it was in place of what was trained, where validation rows prefer that.

    `watched`: positions of those rows. Only where `effort` is asked for or was chosen.
    """
    plan = run.plan
    if not plan.spec.effort or not plan.engine.epochs or not run.has_probe:
        return
    metric = plan.task.metrics[0]
    higher = higher_is_better(metric)
    validation = run.data.splits["validation"]
    chosen, counts = np.isin(validation, watched), run.rows.counts(validation)
    held = validation[chosen]
    of_probe = run.probe_logits["validation"][chosen if counts is None else np.repeat(chosen, counts)]
    ours = _score(run, held, run.logits(held), metric, noise)
    simple = _score(run, held, of_probe, metric, noise)
    name, rows = words.metric(metric), f"{len(held):,} validation rows"
    numbers = f"{name} {words.number(ours.value)} against {words.number(simple.value)}"
    if higher and abs(ours.value - simple.value) <= max(ours.noise, simple.noise):
        numbers += f", which so few rows can not tell apart, and log loss {words.number(ours.loss)} against "
        numbers += words.number(simple.loss)
    untrained = run.state.best_step == 0 and not keeps_last(plan, len(watched))
    if not simple.better(ours, higher) and not untrained:
        why = f"on {rows} it is no worse than the linear head on the frozen base: {numbers}"
        run.emit(Decided("model_kept", plan.spec.method, why))
        return
    bundle = plan.task.loaded(continued.base_source(run.folder, plan.spec), ignore)
    bundle.name = plan.spec.model
    bundle.model.to(run.device)
    linear_head.set_head(bundle, run.probe.weight, run.probe.bias)
    set_prefix(bundle.model, run.rows, 0)
    run.bundle, run.kept_method = bundle, "head"
    if run.monitor is not None:
        run.monitor.moves = False  # the base is as it was
    why = f"on {rows} the linear head on the frozen base is better than what {plan.spec.method} made of it: {numbers}"
    if untrained:
        why = f"no epoch of {plan.spec.method} was better on {rows} than the linear head on the frozen base"
    run.emit(Decided("model_kept", "head", why))


def _score(
    run: PredictiveRun, held: np.ndarray, logits: np.ndarray, metric: str, noise: Callable[[str, float, int], float]
) -> Score:
    target = run.plan.task.target
    measured = run.measured_at(held, logits, target.tune(run.measured_at(held, logits)))
    priced = target.price or metric
    found = compute(measured, [metric, priced])
    value = found.get(metric, -np.inf if higher_is_better(metric) else np.inf)
    return Score(value, noise(metric, value, len(held)) if np.isfinite(value) else 0.0, found.get(priced, np.inf))
