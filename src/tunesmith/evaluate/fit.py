"""Over-fitted, under-fitted or fine: what the training and validation curves prove.

A rule that can not be sure says nothing. Curves are lists of points with "step", "loss" and, on the
validation side, metrics; points without a finite value are passed over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from tunesmith.evaluate.metrics import TABLE, higher_is_better
from tunesmith.evaluate.types import Finding
from tunesmith.evaluate.words import metric as named
from tunesmith.evaluate.words import number

Curves = Mapping[str, Sequence[Mapping[str, Any]]]
Points = list[tuple[int, float]]

RISE = 0.10
"""Over-fitted: validation loss this share above its best ..."""

FALL = 0.10
"""... while training loss fell by this share since."""

STILL_FALLING = 0.10
"""Under-fitted: the last evaluation lowered the validation loss by this share ..."""

STILL_GAINING = 0.02
"""... and gained this much in the first metric (of an error: this share of it)."""

NEAR_PRIOR = 0.90
"""Nothing learned: training loss ends above this share of the prior's log loss."""


def fit_state(
    curves: Curves, first_metric: str, prior_loss: float | None = None, test_loss: float | None = None
) -> list[Finding]:
    """One finding on the fit, or [] where there are too few points to tell.

    `prior_loss` is the log loss of the majority baseline: what is reached without reading the text;
    `test_loss` is the model's own, which rules out that weights or smoothing inflate the training loss.
    """
    train = _points(curves.get("train", ()), "loss")
    validation = _points(curves.get("validation", ()), "loss")
    scores = _points(curves.get("validation", ()), first_metric)
    return (
        _learned_nothing(train, prior_loss, test_loss)
        or _over_fitted(train, validation, scores, first_metric)
        or _still_improving(validation, scores, first_metric)
        or _fine(train, validation)
    )


def _points(curve: Sequence[Mapping[str, Any]], key: str) -> Points:
    known = ((point.get("step", 0), point.get(key)) for point in curve)
    return [(int(step), float(value)) for step, value in known if value is not None and np.isfinite(value)]


def _train_level(train: Points, step: int, window: int) -> float | None:
    """Mean training loss over the `window` steps up to `step`; single steps are too noisy to compare."""
    near = [loss for at, loss in train if step - window < at <= step]
    return float(np.mean(near)) if near else None


def _learned_nothing(train: Points, prior_loss: float | None, test_loss: float | None) -> list[Finding]:
    if prior_loss is None or len(train) < 5:
        return []
    if test_loss is not None and test_loss < NEAR_PRIOR * prior_loss:
        return []
    last = train[-1][0]
    level = _train_level(train, last, max(last // 5, 1))
    if level is None or level < NEAR_PRIOR * prior_loss:
        return []
    evidence = (
        f"Training loss ends at {number(level)}; the overall shares of the labels, without reading a text, "
        f"have {number(prior_loss)}."
    )
    action = (
        "Raise the learning rate or the number of epochs, let more weights move (method full or lora), and "
        "check that the text and label columns are the right ones."
    )
    return [{"name": "under_fitted", "severity": "problem", "evidence": evidence, "action": action}]


def _over_fitted(train: Points, validation: Points, scores: Points, first: str) -> list[Finding]:
    if len(validation) < 2 or not train:
        return []
    best_step, best = min(validation, key=lambda point: point[1])
    last_step, last = validation[-1]
    if best_step >= last_step or last - best < max(RISE * abs(best), 0.01):
        return []
    window = max(last_step - best_step, 1)
    before, after = _train_level(train, best_step, window), _train_level(train, last_step, window)
    if before is None or after is None or before - after < FALL * abs(before):
        return []
    evidence = (
        f"Validation loss rose from {number(best)} (step {best_step:,}) to {number(last)} "
        f"(step {last_step:,}), while training loss fell from {number(before)} to {number(after)}."
    )
    harmless = bool(scores) and _best_at_end(scores, first)
    if harmless:
        evidence += f" {named(first)} did not suffer: it is best at the end."
    action = (
        "The best checkpoint was kept. Train fewer epochs or with a smaller learning rate, add dropout or "
        "weight decay, or add more and more varied rows."
    )
    severity: Literal["info", "warning"] = "info" if harmless else "warning"
    return [{"name": "over_fitted", "severity": severity, "evidence": evidence, "action": action}]


def _best_at_end(scores: Points, first: str) -> bool:
    if first not in TABLE:
        return False
    values = [value for _, value in scores]
    return values[-1] >= max(values) if higher_is_better(first) else values[-1] <= min(values)


def _still_improving(validation: Points, scores: Points, first: str) -> list[Finding]:
    if len(validation) < 2 or len(scores) < 2 or first not in TABLE:
        return []
    (_, earlier), (step, loss) = validation[-2:]
    (_, before), (_, after) = scores[-2:]
    gain = after - before if higher_is_better(first) else before - after
    enough = STILL_GAINING if TABLE[first].range[1] == 1.0 else STILL_GAINING * abs(before)
    if earlier - loss < STILL_FALLING * abs(earlier) or gain < enough:
        return []
    evidence = (
        f"Still improving at the end: the last evaluation (step {step:,}) lowered validation loss from "
        f"{number(earlier)} to {number(loss)} and moved {named(first)} from {number(before)} to "
        f"{number(after)}."
    )
    action = "Train for more epochs, or with a larger learning rate."
    return [{"name": "under_fitted", "severity": "warning", "evidence": evidence, "action": action}]


def _fine(train: Points, validation: Points) -> list[Finding]:
    if len(validation) < 2 or not train:
        return []
    best_step, best = min(validation, key=lambda point: point[1])
    if best_step == validation[0][0] and validation[-1][1] > best:
        evidence = (
            f"Training did not help: validation loss was lowest at step {best_step:,} with {number(best)} and "
            f"{number(validation[-1][1])} at the end; the weights of step {best_step:,} were kept."
        )
        action = "Use method=head, which costs seconds, or add rows; a smaller learning rate may also help."
        return [{"name": "training_did_not_help", "severity": "warning", "evidence": evidence, "action": action}]
    evidence = (
        f"Validation loss is {number(validation[-1][1])} at the end and was best with {number(best)} "
        f"(step {best_step:,}): neither over- nor under-fitted."
    )
    action = "For more, add rows like the worst errors, or try a larger base model."
    return [{"name": "fit_fine", "severity": "info", "evidence": evidence, "action": action}]
