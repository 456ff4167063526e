"""A run from spec to trained model: every step once, in the order in which it happens."""

from __future__ import annotations

from functools import partial
from typing import cast

import numpy as np
import torch

from tunesmith.core.errors import ModelError
from tunesmith.core.events import Decided, Emit
from tunesmith.core.files import write_text
from tunesmith.core.run import RunFolder
from tunesmith.core.spec import RunSpec
from tunesmith.data.prepared import PreparedData
from tunesmith.engine import batching, hardware, loop
from tunesmith.engine.background import one_core_left
from tunesmith.engine.checkpoint import CheckpointStore
from tunesmith.engine.inference import frozen_bottom, frozen_features, parts
from tunesmith.engine.lesson import Lesson, RowLesson
from tunesmith.engine.precision import working
from tunesmith.engine.probe import MAX_ROWS, LinearSolution
from tunesmith.engine.protocols import begin_stage, stage_of
from tunesmith.engine.stop import StopRequest
from tunesmith.engine.tokens import EncodedRows
from tunesmith.evaluate import metrics as metric_table
from tunesmith.families.predictive import continued, effort, forgetting, frozen_prefix, linear_head, retained, zero_shot
from tunesmith.families.predictive.context import Work, cut_of, outcome_of
from tunesmith.families.predictive.settle import settled
from tunesmith.families.predictive.text_baselines import baselines_on_texts
from tunesmith.forgetting import retain
from tunesmith.models.additions import checkpoint_activations, trainable_parameters
from tunesmith.models.blocks import freeze
from tunesmith.models.load import Bundle, quiet_transformers
from tunesmith.models.virtual import make_room
from tunesmith.runs.clock import Clock
from tunesmith.runs.cut_texts import WORDS
from tunesmith.runs.identity import check_data, check_retained, identity
from tunesmith.runs.reading import read
from tunesmith.runs.settle import Plan

_EARLY_STOPPING = "early-stopping"
_VALIDATION_ROWS = 10_000
"""Most validation rows that are looked at while training."""


def run(folder: RunFolder, spec: RunSpec, emit: Emit, stop: StopRequest) -> Work:
    """All steps up to and including training. Raises the errors of `core.errors`."""
    hardware.prepare()
    torch.manual_seed(spec.seed)
    clock = Clock(emit)
    clock.phase("read", spec.data)
    data = read(spec.data, spec, folder.cache, emit=emit)
    check_data(folder, spec.data, data.fingerprint)
    stop.check()
    plan = settled(spec, data, emit)
    if effort.keeps_last(plan, len(_watched(plan, data))):  # where nothing is watched, nothing can stop early
        plan.spec = plan.spec.model_copy(
            update={"callbacks": [name for name in spec.callbacks if name != _EARLY_STOPPING]}
        )
    plan.make_callbacks(folder.path)
    kept = retained.read(folder, plan.spec)
    check_retained(folder, {str(one.path): one.fingerprint for one in kept})
    write_text(folder.spec, plan.spec.dump())

    clock.phase("load", plan.spec.model)
    bundle = plan.task.load(continued.base_source(folder, plan.spec), emit)
    bundle.name = plan.spec.model
    if count := getattr(plan.method, "virtual_tokens", 0):
        with quiet_transformers():
            plan.method.check_network(bundle)
        make_room(bundle, count, emit)
    freeze(bundle.model, plan.engine.freeze)
    rows = _encode(folder, plan, data, bundle, emit, stop)
    data.save(folder.data)
    device = hardware.device()
    bundle.model.to(device)
    precision = _precision(plan, bundle, device, emit)
    write_text(folder.spec, plan.spec.dump())

    clock.phase("bottom", "the layers that stay as they are, run once")
    lesson = _lesson(plan, data, rows, emit)
    rest = frozen_prefix.planned(plan.method, bundle, cast(int, plan.engine.epochs))
    _run_bottom_once(rest, lesson, _watched(plan, data), folder, plan, bundle, precision, emit, stop)
    # where they are the same in every epoch, the states come in the batches of the training, and so would the features
    if not lesson.same_batches:
        rest.throughout(bundle, rows)
        bundle.model.rest(0)
    clock.phase("features", f"{len(_rows_of_features(plan, data))} rows, once")
    features = _features(folder, plan, data, bundle, rows, device, precision, stop)
    of_texts = baselines_on_texts(plan.task, data, plan.spec.seed)
    clock.phase("probe", "a linear one, on what the base model makes of the texts")
    with one_core_left():
        probe, probe_logits = linear_head.of_base(plan, data, rows, features, bundle, _watched(plan, data), stop.check)
    emit(Decided("penalty", probe.penalty, probe.why))
    on_validation = outcome_of(plan, data, data.splits["validation"], probe_logits["validation"])
    if why := effort.enough(plan, on_validation):
        emit(Decided("method", "head", why))
        effort.only_head(plan)
        rest = frozen_prefix.planned(plan.method, bundle, 0)
        write_text(folder.spec, plan.spec.dump())

    work = Work(
        folder, emit, stop, plan, data, bundle, rows, device, precision, lesson, rest, of_texts, probe, probe_logits,
        retained=kept,
    )  # fmt: skip
    work.base_logits = zero_shot.logits(work, features)
    clock.phase("retain", "what the base model knows, to see later what was forgotten")
    work.keeping = forgetting.remember(work)

    if plan.engine.epochs:  # a training needs all cores
        of_texts.wait(stop.check)
    clock.phase("train", plan.spec.method)
    if plan.method.frozen_body:
        rows.features = features
    _arrange(plan, bundle, probe)
    work.trainable_parameters = trainable_parameters(bundle.model)
    hardware.check_disk(folder.path, 12 * work.trainable_parameters)
    rest.throughout(bundle, rows)
    linear_head.start(work, _watched(plan, data))
    work.state = retain.train(work, _setup)
    linear_head.finish(work, _watched(plan, data))
    rest.throughout(bundle, rows)
    effort.hand_over(work, _watched(plan, data), _noise)
    clock.end()
    return work


# the steps


def _encode(
    folder: RunFolder, plan: Plan, data: PreparedData, bundle: Bundle, emit: Emit, stop: StopRequest
) -> EncodedRows:
    rows = plan.task.encode(data.rows, bundle, folder.cache / "tokens", emit, stop.check)
    row_ids = np.asarray(data.rows.with_format("numpy")["row_id"][:], dtype=np.int64)
    if len(rows.cut):
        limit, share = int(rows.lengths.max()), len(rows.cut) / len(rows)
        data.ledger.cut(row_ids[rows.cut], f"longer than {limit} tokens: the end was cut off")
        told = (
            f"{share:.1%} of the rows are longer than {limit} tokens, about {round(limit * WORDS)} words; "
            "their end is not read; --max-length sets the limit"
        )
        cut = cut_of(plan, data, bundle, rows)
        emit(cut.warning if cut.much else Decided("cut", len(rows.cut), told))
    return rows.with_targets(plan.task.targets(data.rows["target"][:]), row_ids)


def _precision(plan: Plan, bundle: Bundle, device: torch.device, emit: Emit) -> str:
    hidden = bundle.model.head.in_features
    precision = hardware.choose_precision(plan.engine.precision, device, hidden, emit)
    plan.settle(precision=precision)
    if plan.engine.gradient_checkpointing:
        checkpoint_activations(bundle.model.network)
    return precision


def _run_bottom_once(
    rest: frozen_prefix.Resting, lesson: RowLesson, watched: np.ndarray,
    folder: RunFolder, plan: Plan, bundle: Bundle, precision: str, emit: Emit, stop: StopRequest,
) -> None:  # fmt: skip
    """Keep the token states after the blocks that do not move, where that pays and fits."""
    rows, device = lesson.rows, hardware.device()
    token_bytes = bundle.model.head.in_features * (2 if precision == "bf16" else 4)
    depths = frozen_prefix.chosen(rest, token_bytes, int(rows.offsets[-1]), plan.engine.frozen_cache, folder, emit)
    if not depths:
        return
    batches = (
        frozen_prefix.batches_of(lesson, watched, hardware.tokens_at_once(device)) if lesson.same_batches
        else list(batching.by_length(rows.lengths))
    )  # fmt: skip
    rest.states = frozen_bottom(
        bundle.model, rows, batches, depths, folder=folder.cache, fingerprint=bundle.fingerprint,
        precision=precision, on=device, check=stop.check,
    )  # fmt: skip


def _lesson(plan: Plan, data: PreparedData, rows: EncodedRows, emit: Emit) -> RowLesson:
    train = data.splits["train"]
    batch_rows, batch_tokens = _batch(plan, rows.lengths[train], emit)
    same = getattr(plan.method, "same_batches", False)
    return RowLesson(rows, train, plan.task.loss, batch_rows, batch_tokens, plan.spec.seed, same_batches=same)


def _watched(plan: Plan, data: PreparedData) -> np.ndarray:
    """Positions of the validation rows that are looked at while training."""
    return batching.sample(data.splits["validation"], _VALIDATION_ROWS, plan.spec.seed)


def _rows_of_features(plan: Plan, data: PreparedData) -> np.ndarray:
    """Positions of the rows that need frozen features: all that are evaluated, and as many training rows
    as the linear solution (or a method that trains on them) reads."""
    train = data.splits["train"]
    if not (plan.method.frozen_body and plan.engine.epochs):
        train = batching.sample(train, MAX_ROWS, plan.spec.seed)
    return np.sort(np.concatenate([train, data.splits["validation"], data.splits["test"]]))


def _features(
    folder: RunFolder, plan: Plan, data: PreparedData, bundle: Bundle, rows: EncodedRows,
    device: torch.device, precision: str, stop: StopRequest,
) -> np.ndarray:  # fmt: skip
    """Frozen features, from disk where they have been computed before."""
    needed = _rows_of_features(plan, data)
    features = frozen_features(
        bundle.model, rows, needed,
        folder=folder.cache, fingerprint=bundle.fingerprint, precision=precision, on=device, check=stop.check,
    )  # fmt: skip
    _refuse_nan(features, needed, plan.spec.model)
    return features


def _refuse_nan(features: np.ndarray, computed: np.ndarray, model: str) -> None:
    for part in parts(features, computed):
        if not np.isfinite(part).all():
            raise ModelError(
                f"What the base model {model!r} computes is not finite: its weights are damaged, or "
                "precision=bf16 is too coarse for it.",
                "Get the model anew, or set precision=fp32.",
            )


def _arrange(plan: Plan, bundle: Bundle, probe: LinearSolution) -> None:
    """Which weights move, and where the head starts: at the best solution if only it moves, at the
    fixed, soft one if the body has still to learn."""
    if plan.method.starts_from_probe:
        linear_head.place(bundle, *((probe.weight, probe.bias) if plan.method.frozen_body else probe.start))
    plan.method.prepare(bundle, plan.spec.seed)


def _setup(work: Work) -> loop.Setup:
    plan, data = work.plan, work.data
    metric = plan.task.metrics[0]
    watched = _watched(plan, data)
    if len(watched) < len(data.splits["validation"]):
        why = f"{len(data.splits['validation'])} rows would take longer than they tell"
        work.emit(Decided("validation_rows", len(watched), why))

    def evaluate() -> dict[str, float]:
        logits = linear_head.judged(work, watched)
        targets = torch.from_numpy(work.rows.targets[watched])  # type: ignore[index]
        loss = float(plan.task.loss(torch.from_numpy(logits), targets).mean())
        if not np.isfinite(loss):
            return {"loss": loss}
        return {"loss": loss, **metric_table.compute(work.outcome_at(watched, logits), plan.task.metrics)}

    def on_stage(stage: int) -> bool:
        last = begin_stage(plan.method, work.bundle, stage)
        work.resting.in_stage(stage, work.bundle, work.rows)
        return last

    model, lesson = work.bundle.model, cast(Lesson, work.lesson)
    if make := getattr(plan.method, "lesson", None):  # methods may have one of their own
        with working(model, work.precision, model.float32_names):  # the states on disk are in this precision
            lesson = make(work.lesson, work.bundle, plan.task.label_names, work.emit)
    made_of = identity(plan.spec, work.data.fingerprint, work.bundle.fingerprint)
    if last := effort.keeps_last(plan, len(watched)):
        why = "by design of this method: so few validation rows would choose by chance, and none stop it early"
        work.emit(Decided("kept_weights", "the last weights", why))
    return loop.Setup(
        model=model, lesson=lesson, keeps_last=last,
        evaluate=evaluate, metric=metric, higher_is_better=metric_table.higher_is_better(metric),
        groups=plan.method.groups(work.bundle, cast(float, plan.engine.learning_rate)),
        epochs=cast(int, plan.engine.epochs), precision=work.precision, options=plan.engine,
        checkpoints=CheckpointStore(work.folder.checkpoints, made_of, work.emit),
        callbacks=plan.callbacks, emit=work.emit, stop=work.stop, seed=plan.spec.seed, device=work.device,
        tokens_at_once=hardware.tokens_at_once(work.device),
        noise=lambda value: _noise(metric, value, len(watched)), float32_names=work.bundle.model.float32_names,
        stage=partial(stage_of, plan.method), on_stage=on_stage,
    )  # fmt: skip


def _noise(metric: str, value: float, rows: int) -> float:
    """Half a standard error of a share (accuracy, F1) of `rows` rows; errors and losses have none."""
    if not metric_table.higher_is_better(metric):
        return 0.0
    return 0.5 * float(np.sqrt(max(0.0, value * (1 - value)) / rows))


def _batch(plan: Plan, lengths: np.ndarray, emit: Emit) -> tuple[int, int | None]:
    if plan.engine.batch_size is not None:
        return plan.engine.batch_size, None
    # few rows still deserve enough steps to learn from
    rows = int(min(batching.ROWS, max(8, 2 ** int(np.log2(max(8, len(lengths) / 20))))))
    rows = getattr(plan.method, "batch_rows", rows)
    why = f"{len(lengths)} training rows of {np.median(lengths):g} tokens (median), at most {batching.TOKENS} a batch"
    emit(Decided("batch_size", rows, why))
    return rows, batching.TOKENS
