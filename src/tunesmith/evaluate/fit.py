"""Over-fitted, under-fitted or fine, too fast, too slow, too short or too long: what the curves prove.

A rule that can not be sure says nothing. Curves are lists of points: "train" with "step", "loss",
"learning_rate" and "gradient_norm", "validation" with "step", "loss", metrics and "best" (its weights are those to
keep, so far), "rolled_back" with "step" and "to_step". Points without a finite value are passed over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tunesmith.evaluate.metrics import TABLE, higher_is_better
from tunesmith.evaluate.types import Finding, Severity, finding
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


BLOCKS = 20
"""Training loss is looked at in this many stretches ..."""

STRETCH = 5
"""... of at least so many steps each; single steps are too noisy to compare."""

RISE = 0.5
"""Rate too high: training loss takes back this share of what it had gained ..."""

RISE_OF_START = 0.25
"""... and at least this share of where it started ..."""

STANDARD_ERRORS = 4.0
"""... and more than so many standard errors of the two stretches."""

BARELY = 0.10
"""Rate too low: validation loss fell by less than this share of its start ..."""

STRAIGHT = 0.7
"""... and its second half of learning (sum of the learning rates) brought this share of the first ..."""

STEEP = 0.7
"""... and the gradients ended at this share of the norm that they began with."""

UNBENT = 0.8
"""Too short: as STRAIGHT, for a loss that did fall. Three healthy epochs with a falling rate have about 0.65."""

EARLY = 0.4
"""Too long: the best evaluation lies in this first share of the training."""


def fit_state(
    curves: Curves, first_metric: str, prior_loss: float | None = None, test_loss: float | None = None
) -> list[Finding]:
    """Findings on the fit, or [] where there are too few points to tell.

    Where the learning rate is proven too high or too low, that is said in place of its consequences.

    `prior_loss` is the log loss of the majority baseline: what is reached without reading the text;
    `test_loss` is the model's own, which rules out that weights or smoothing inflate the training loss.
    """
    train = _points(curves.get("train", ()), "loss")
    validation = _points(curves.get("validation", ()), "loss")
    scores = _points(curves.get("validation", ()), first_metric)
    norms = _points(curves.get("train", ()), "gradient_norm")
    learned = _learned(_points(curves.get("train", ()), "learning_rate"), validation)
    best = [step for step, best in _points(curves.get("validation", ()), "best") if best]
    keeps_last = bool(best and validation) and best[-1] == validation[-1][0]
    over = _over_fitted(train, validation, scores, first_metric, keeps_last)
    high = _rate_too_high(train, validation, curves.get("rolled_back", ()))
    if high:
        return high + over
    return (
        _rate_too_low(validation, learned, norms)
        or _learned_nothing(train, prior_loss, test_loss)
        or over
        or _still_improving(validation, scores, first_metric)
        or _too_short(validation, learned)
        or _too_long(validation, scores, first_metric, keeps_last)
        or _fine(train, validation, keeps_last)
    )


def _points(curve: Sequence[Mapping[str, Any]], key: str) -> Points:
    known = ((point.get("step", 0), point.get(key)) for point in curve)
    return [(int(step), float(value)) for step, value in known if value is not None and np.isfinite(value)]


def _train_level(train: Points, step: int, window: int) -> float | None:
    """Mean training loss over the `window` steps up to `step`; single steps are too noisy to compare."""
    near = [loss for at, loss in train if step - window < at <= step]
    return float(np.mean(near)) if near else None


def _stretches(points: Points) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(last step, mean, squared standard error) of each of up to BLOCKS equal stretches of the curve."""
    count = min(BLOCKS, len(points) // STRETCH)
    parts = np.array_split(np.array(points, dtype=float).reshape(-1, 2), count) if count else []
    values = [part[:, 1] for part in parts]
    return (
        np.array([part[-1, 0] for part in parts]),
        np.array([value.mean() for value in values]),
        np.array([value.var(ddof=1) / len(value) for value in values]),
    )


def _rate_too_high(
    train: Points, validation: Points, rolled_back: Sequence[Mapping[str, Any]]
) -> list[Finding]:  # fmt: skip
    """Training stopped being finite, or its loss climbed back up: far beyond noise, and not for one batch; or it
    left a good start at once and did not come back."""
    said, lasting = "", bool(rolled_back)
    if rolled_back:
        said = f"Loss or gradients stopped being finite (rollbacks: {len(rolled_back)}); the rate was halved. "
    steps, levels, errors = _stretches(train)
    if len(levels) >= 4:
        at = np.array([levels[: i + 1].argmin() for i in range(len(levels))])  # the lowest stretch so far
        rises = levels - levels[at]
        enough = np.maximum(RISE * (levels[0] - levels[at]), RISE_OF_START * abs(levels[0]))
        proven = (rises > enough) & (rises > STANDARD_ERRORS * np.sqrt(errors + errors[at]))
        if proven.any():
            peak = int(np.where(proven, rises, 0.0).argmax())
            low = int(at[peak])
            said += (
                f"Training loss rose from {number(levels[low])} (around step {int(steps[low]):,}) to "
                f"{number(levels[peak])} (around step {int(steps[peak]):,})."
            )
            lasting = lasting or bool(rises[-1] > enough[-1])
        elif _thrown_off(train, levels[-1], errors[-1], validation):
            said += (
                f"The first steps threw away where it began: validation loss was {number(validation[0][1])} before "
                f"the first step and never less than {number(min(loss for _, loss in validation[1:]))} after it, and "
                f"training loss went from {number(train[0][1])} to {number(levels[-1])}."
            )
            lasting = True
    if not said:
        return []
    severity: Severity = "problem" if lasting else "warning"
    action = "Lower the learning rate to a third or less, or warm it up for longer (warmup_ratio=0.2)."
    return finding("learning_rate_too_high", severity, said.strip(), action)


def _thrown_off(train: Points, level: float, error: float, validation: Points) -> bool:
    """Both losses stay far above where they began, so fast that no stretch of training shows the low start.

    `level`, `error`: mean and squared standard error of the last stretch of the training loss.
    """
    if len(validation) < 2 or validation[0][0] >= train[0][0]:
        return False
    start, first = validation[0][1], train[0][1]
    risen = min(loss for _, loss in validation[1:]) - start > RISE * abs(start)
    return risen and level - first > max(RISE * abs(first), STANDARD_ERRORS / 2 * float(np.sqrt(error)))


def _learned(rates: Points, validation: Points) -> np.ndarray:
    """Sum of the learning rates up to each validation point: how much learning had been asked for by then."""
    if not rates:
        return np.array([step for step, _ in validation], dtype=float)
    steps, values = np.array(rates, dtype=float).T
    return np.array([values[steps <= step].sum() for step, _ in validation])


def _bend(validation: Points, learned: np.ndarray) -> float | None:
    """What the second half of the learning took off the validation loss, as a share of what the first took."""
    losses = np.array([loss for _, loss in validation])
    # a preference loss below zero has no floor that it could bend towards
    if len(losses) < 3 or losses[-1] < 0 or (np.diff(losses) >= 0).any() or (np.diff(learned) <= 0).any():
        return None
    half = float(np.interp((learned[0] + learned[-1]) / 2, learned, losses))
    return float((half - losses[-1]) / (losses[0] - half)) if losses[0] > half else None


def _rate_too_low(validation: Points, learned: np.ndarray, norms: Points) -> list[Finding]:
    """The loss falls in a straight line, by next to nothing, and the slope stays as steep as it began."""
    bend = _bend(validation, learned)
    _, steepness, _ = _stretches(norms)
    if bend is None or bend < STRAIGHT or len(steepness) < 4 or steepness[-1] < STEEP * steepness[0]:
        return []
    first, last = validation[0][1], validation[-1][1]
    if first - last >= BARELY * abs(first):
        return []
    evidence = (
        f"Validation loss fell at an even pace, but only from {number(first)} to {number(last)}, and the gradient "
        f"norm is still {number(steepness[-1])} (at the start {number(steepness[0])}): no minimum is near."
    )
    return finding("learning_rate_too_low", "warning", evidence, "Raise the learning rate three- to tenfold.")


def _too_short(validation: Points, learned: np.ndarray) -> list[Finding]:
    bend = _bend(validation, learned)
    if bend is None or bend < UNBENT or validation[0][1] - validation[-1][1] < BARELY * abs(validation[0][1]):
        return []
    evidence = (
        f"Validation loss fell at every evaluation, from {number(validation[0][1])} to {number(validation[-1][1])} "
        f"(step {validation[-1][0]:,}), and the second half of the learning still took off "
        f"{bend:.0%} of what the first half did."
    )
    return finding("training_too_short", "warning", evidence, "Train for two to three times as many epochs.")


def _too_long(validation: Points, scores: Points, first: str, keeps_last: bool) -> list[Finding]:
    """Nothing came after an early best. Where the best checkpoint is kept, it costs time only."""
    if len(validation) < 5 or not _judged(first):
        return []
    best_step, best = min(validation, key=lambda point: point[1])
    last_step = validation[-1][0]
    until = [value for step, value in scores if step <= best_step]
    after = [value for step, value in scores if step > best_step]
    if best_step == validation[0][0] or best_step > EARLY * last_step or not until or not after:
        return []
    gain = max(after) - max(until) if higher_is_better(first) else min(until) - min(after)
    if gain > STILL_GAINING / 2 * (1.0 if TABLE[first].range[1] == 1.0 else abs(min(until))):
        return []
    evidence = (
        f"Validation loss was best with {number(best)} at step {best_step:,} of {last_step:,}; the "
        f"{last_step - best_step:,} steps after it improved neither it nor {named(first)}."
    )
    early = "" if keeps_last else ", or let early stopping end it (patience=2)"
    action = f"Train for {best_step / last_step:.0%} of the epochs{early}."
    return finding("training_too_long", "info", evidence, action)


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
        f"Training loss ends at {number(level)}; the overall shares of the labels, without reading a row, "
        f"have {number(prior_loss)}."
    )
    action = (
        "Raise the learning rate or the number of epochs, let more weights move (method full or lora), and "
        "check that what is read and what is learned are the right columns."
    )
    return finding("under_fitted", "problem", evidence, action)


def _over_fitted(
    train: Points, validation: Points, scores: Points, first: str, keeps_last: bool
) -> list[Finding]:  # fmt: skip
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
        f"The {'last weights were' if keeps_last else 'best checkpoint was'} kept. Train fewer epochs or with a "
        "smaller learning rate, add dropout or weight decay, or add more and more varied rows."
    )
    return finding("over_fitted", "info" if harmless else "warning", evidence, action)


def _judged(first: str) -> bool:
    """Whether runs are judged by it beside the loss; those that write are by the loss alone."""
    return first in TABLE and "text" not in TABLE[first].kinds


def _best_at_end(scores: Points, first: str) -> bool:
    if not _judged(first):
        return False
    values = [value for _, value in scores]
    return values[-1] >= max(values) if higher_is_better(first) else values[-1] <= min(values)


def _still_improving(validation: Points, scores: Points, first: str) -> list[Finding]:
    if len(validation) < 2 or len(scores) < 2 or not _judged(first):
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
    return finding("under_fitted", "warning", evidence, "Train for more epochs, or with a larger learning rate.")


def _fine(train: Points, validation: Points, keeps_last: bool) -> list[Finding]:
    if len(validation) < 2 or not train:
        return []
    best_step, best = min(validation, key=lambda point: point[1])
    if best_step == validation[0][0] and validation[-1][1] > best:
        evidence = (
            f"Training did not help: validation loss was lowest at step {best_step:,} with {number(best)} and "
            f"{number(validation[-1][1])} at the end; the weights of step "
            f"{validation[-1][0] if keeps_last else best_step:,} were kept."
        )
        action = "Use method=head, which costs seconds, or add rows; a smaller learning rate may also help."
        return finding("training_did_not_help", "warning", evidence, action)
    evidence = (
        f"Validation loss is {number(validation[-1][1])} at the end and was best with {number(best)} "
        f"(step {best_step:,})."
    )
    action = "For more, add rows like the worst errors, or try a larger base model."
    return finding("fit_fine", "info", evidence, action)


def of_set_aside(method: str, fit: Sequence[Finding]) -> list[Finding]:
    """What curves prove (`fit`) of a training that was not handed over: told as that, and as no fault of the model."""
    evidence = f"What {method} learned was set aside: on the validation rows the linear head on the base was better."
    action = f"Nothing to do. --method {method} hands over what it trains, whatever comes out."
    if {"under_fitted", "training_too_short"} & {one["name"] for one in fit}:
        evidence += " It was still learning when it ended."
        action = "Give it more epochs (--epochs) if there is time; --effort best tries that too."
    return finding("training_did_not_help", "info", evidence, action)
