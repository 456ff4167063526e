"""The linear solution of a run's task on some features, and the model's head set to one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from tunesmith.core.events import Decided
from tunesmith.engine import batching
from tunesmith.engine.inference import gather, parts
from tunesmith.engine.probe import LinearSolution, Loss, best_scale, solve
from tunesmith.families.predictive.context import PredictiveRun
from tunesmith.models.blocks import frozen_names
from tunesmith.models.bundle import Bundle
from tunesmith.runs.settle import Plan


def solution(
    plan: Plan,
    bundle: Bundle,
    features: tuple[np.ndarray, np.ndarray],
    targets: tuple[np.ndarray, np.ndarray],
    check: Callable[[], None],
    choose_penalty: bool = True,
) -> LinearSolution:
    """The best head for the first `features` (float32 [n, hidden]) and `targets`, its penalty chosen on the second."""
    head = bundle.model.head
    assert plan.task.probe_loss is not None
    return solve(
        features[0], targets[0], features[1], targets[1], loss=plan.task.probe_loss, outputs=head.out_features,
        row_weights=plan.task.row_weights(targets[0]), intercept=head.bias is not None,
        choose_penalty=choose_penalty, check=check,
    )  # fmt: skip


def of_base(run: PredictiveRun, read: slice = slice(None)) -> tuple[LinearSolution, dict[str, np.ndarray]]:
    """The linear solution on the frozen base, chosen on the validation rows that are watched, and its logits on
    'validation' and 'test'. `read`: which of the features."""
    rows, validation, features = run.rows, run.watched, run.features_of_base
    assert rows.targets is not None
    train = rows.places(batching.sample(run.data.splits["train"], run.probe_rows, run.plan.spec.seed))
    watched = rows.places(validation)
    found = solution(
        run.plan, run.bundle, (gather(features, train)[:, read], gather(features, watched)[:, read]),
        (rows.targets[train], rows.targets[watched]), run.stop.check,
    )  # fmt: skip
    places = {name: rows.places(run.data.splits[name]) for name in ("validation", "test")}
    logits = {
        name: np.concatenate([found.logits(part[:, read]) for part in parts(features, some)])
        for name, some in places.items()
    }
    return found, logits


def judged(run: PredictiveRun, validation: np.ndarray) -> tuple[np.ndarray, float]:
    """(logits float32 [answers, outputs], their mean loss) by which the training is judged: the model's own, or, of a
    method that fits its head in the end, those of such a head."""
    if not run.has_probe:
        return run.logits_and_loss(validation)
    if _fits(run):
        found, features = _of_model(run, validation, choose_penalty=False)
        logits = functional.linear(torch.from_numpy(features), *found.start)
    else:
        logits = torch.from_numpy(run.logits(validation))
    targets = run.rows.batch_targets(validation)
    return logits.numpy(), float(run.plan.task.loss(logits, targets).mean())


def start(run: PredictiveRun, validation: np.ndarray) -> None:
    """The head before training, of a method that changes what it reads from the start: the soft solution on that."""
    if run.plan.method.changes_features and run.has_probe:
        found, _ = _of_model(run, validation, choose_penalty=False)
        set_head(run.bundle, *found.start)


def finish(run: PredictiveRun, validation: np.ndarray) -> None:
    """The head after training, as rows at `validation` want it: fitted to what the model has become, where its method
    does that, and calibrated. A head that `freeze` names stays as it is."""
    if not run.has_probe or not run.plan.engine.epochs or _head_is_frozen(run):
        return
    if _fits(run):
        found, _ = _of_model(run, validation, choose_penalty=True)
        set_head(run.bundle, found.weight, found.bias)
    elif (loss := run.plan.task.probe_loss) is not None and loss != "squared":
        _calibrate(run, validation, loss)


@torch.no_grad()
def _calibrate(run: PredictiveRun, validation: np.ndarray, loss: Loss) -> None:
    """Scale the head so that its probabilities are as often right as they say; no answer changes. Training with
    smoothed labels leaves them too low, training for long too high."""
    assert run.rows.targets is not None
    logits, targets = (
        torch.from_numpy(run.logits(validation)),
        torch.from_numpy(run.rows.targets[run.rows.places(validation)]),
    )
    scale = best_scale(logits, targets, loss)
    head = run.bundle.model.head
    set_head(run.bundle, scale * head.weight, None if head.bias is None else scale * head.bias)
    why = f"probabilities are calibrated on {len(validation)} validation rows (Guo et al. 2017)"
    run.emit(Decided("scale_of_logits", round(scale, 3), why))


def _fits(run: PredictiveRun) -> bool:
    return run.has_probe and run.plan.method.fits_head and not _head_is_frozen(run)


def _head_is_frozen(run: PredictiveRun) -> bool:
    model = run.bundle.model
    return any(model.get_parameter(name) is model.head.weight for name in frozen_names(model, run.plan.engine.freeze))


def _of_model(run: PredictiveRun, validation: np.ndarray, *, choose_penalty: bool) -> tuple[LinearSolution, np.ndarray]:
    """The solution on what the model as it is now makes of the training rows, and its features of those at
    `validation`."""
    targets = run.rows.targets
    assert targets is not None
    some = batching.sample(run.objective.positions, run.probe_rows, run.plan.spec.seed)
    both = run.features(run.rows, np.concatenate([some, validation]))
    seen, watched = run.rows.places(some), run.rows.places(validation)
    learned, others = both[: len(seen)], both[len(seen) :]
    found = solution(
        run.plan, run.bundle, (learned, others), (targets[seen], targets[watched]), run.stop.check, choose_penalty
    )  # fmt: skip
    return found, others


@torch.no_grad()
def set_head(bundle: Bundle, weight: Tensor, bias: Tensor | None) -> None:
    head = bundle.model.head
    head.weight.copy_(weight)
    if head.bias is not None and bias is not None:
        head.bias.copy_(bias)
