"""A generative run from spec to trained model: every step once, in the order in which it happens."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from tunesmith.core.events import Decided, Emit
from tunesmith.core.files import write_text
from tunesmith.core.run import RunFolder, is_run
from tunesmith.core.spec import RunSpec
from tunesmith.engine import batching, hardware, loop
from tunesmith.engine.checkpoint import CheckpointStore
from tunesmith.engine.generate import begin_with
from tunesmith.engine.lesson import Lesson
from tunesmith.engine.protocols import Batches, begin_stage, stage_of
from tunesmith.engine.stop import StopRequest
from tunesmith.evaluate import text_metrics
from tunesmith.families.generative import forgetting, retained
from tunesmith.families.generative.context import LanguageWork
from tunesmith.families.generative.corpus import read_corpus
from tunesmith.families.generative.cost import predict_cost
from tunesmith.families.generative.items import Items, encode_items
from tunesmith.families.generative.settle import fitted, packs, reader, settle_rate, settled
from tunesmith.forgetting import retain
from tunesmith.models import catalog
from tunesmith.models.additions import checkpoint_activations, trainable_parameters
from tunesmith.models.attention import LONGEST, use_for_short_rows
from tunesmith.models.load_language import LanguageBundle, load_language_base
from tunesmith.runs.clock import Clock
from tunesmith.runs.identity import check_data, check_retained, identity
from tunesmith.runs.reading import split_options
from tunesmith.runs.settle import Plan

_VALIDATION_ITEMS = 500
_WASTE = 0.1
"""Share of padding from which on packing is worth it."""


def run(folder: RunFolder, spec: RunSpec, emit: Emit, stop: StopRequest) -> LanguageWork:
    """All steps up to and including training. Raises the errors of `core.errors`."""
    from tunesmith.families.generative import finish

    clock = Clock(emit)
    work = prepared(folder, spec, emit, stop, clock)
    plan, bundle = work.plan, work.bundle
    clock.phase("base", "the base model as it is, on the test rows")
    work.measure_reference()
    work.base = finish.measure_base(work)
    work.keeping = forgetting.remember(work)

    clock.phase("train", plan.spec.method)
    plan.method.prepare(bundle, plan.spec.seed)
    if plan.engine.gradient_checkpointing:
        bundle.model.network.enable_input_require_grads()
    work.trainable_parameters = trainable_parameters(bundle.model)
    hardware.check_disk(folder.path, 12 * work.trainable_parameters)
    begun = time.perf_counter()
    work.state = retain.train(work, _setup)
    work.train_seconds += time.perf_counter() - begun
    clock.end()
    return work


def prepared(folder: RunFolder, spec: RunSpec, emit: Emit, stop: StopRequest, clock: Clock) -> LanguageWork:
    """The data as token ids and the base model, before anything is measured. Raises the errors of `core.errors`."""
    hardware.prepare()
    torch.manual_seed(spec.seed)
    clock.phase("read", spec.data)
    corpus = read_corpus(spec, split_options(spec), emit)
    check_data(folder, spec.data, corpus.fingerprint)
    plan = settled(spec, corpus.examples, emit)
    plan.make_callbacks(folder.path)
    kept = retained.read(plan.spec, plan.task.network)
    check_retained(folder, {str(one.path): one.corpus.fingerprint for one in kept})
    write_text(folder.spec, plan.spec.dump())

    clock.phase("load", plan.spec.model)
    device = hardware.device()
    bundle, precision = _load(plan, device, emit)
    settle_rate(plan, bundle, emit)
    codec, limit = reader(plan, bundle, emit)
    write_text(folder.spec, plan.spec.dump())
    if getattr(codec, "languages", None):
        begin_with(bundle.model.network, codec.first)
    items = encode_items(
        corpus, plan.task, codec, bundle,
        limit=limit, folder=folder.cache / "tokens", emit=emit, check=stop.check,
    )  # fmt: skip
    corpus.save(folder.data)
    if plan.engine.gradient_checkpointing:
        checkpoint_activations(bundle.model.network)
    _check_model(bundle, items, emit)

    return LanguageWork(folder, emit, stop, plan, corpus, bundle, codec, items, limit, device, precision, kept)


def _load(plan: Plan, device: torch.device, emit: Emit) -> tuple[LanguageBundle, str]:
    """The base in the number format that its use asks for: float32 where its own weights move."""
    earlier = is_run(Path(plan.spec.model).expanduser())
    source = None if earlier else catalog.fetch(plan.spec.model)  # said when it is loaded
    size = catalog.size_of(source) if source else None
    precision = hardware.choose_precision(plan.engine.precision, device, size.hidden_size if size else 512, emit)
    plan.settle(precision=precision)
    kwargs: dict[str, Any] = getattr(plan.method, "load_kwargs", dict)()
    keeps_base = bool(getattr(plan.method, "adds", False))
    dtype = "bfloat16" if precision == "bf16" and keeps_base else "float32"
    bundle = load_language_base(
        plan.spec.model, kind=plan.task.network, dtype=dtype, quantization=kwargs.get("quantization"),
        beside=plan.spec.continue_from is not None, emit=emit,
    )  # fmt: skip
    fitted(plan, bundle, emit)
    bundle.model.to(device)
    if device.type == "cpu" and bundle.kind == "causal" and use_for_short_rows(bundle.model.network):
        emit(Decided("attention", "blocks", f"rows of up to {LONGEST:,} tokens are faster so on a processor"))
    return bundle, precision


def _check_model(bundle: LanguageBundle, items: Items, emit: Emit) -> None:
    """That our log-probabilities are the network's own, on a few sequences."""
    some = items.splits["train"][:2]
    batch = items.rows.collate(some)
    device = next(bundle.model.parameters()).device
    apart = bundle.model.eval().check({name: tensor.to(device) for name, tensor in batch.items()}, tolerance=0.02)
    if bundle.model.whole_logits:
        emit(Decided("chunked_logits", False, f"the network does more after its output layer (differs by {apart:.3g})"))


def _setup(work: LanguageWork) -> loop.Setup:
    plan, items = work.plan, work.items
    metric = plan.task.metrics[0]
    watched = batching.sample(items.splits["validation"], _VALIDATION_ITEMS, plan.spec.seed)
    if len(watched) < len(items.splits["validation"]):
        work.emit(Decided("validation_rows", len(watched), "more would take longer than they tell"))
    higher = bool(text_metrics.higher_is_better(metric))

    def evaluate() -> dict[str, float]:
        return text_metrics.compute(work.statistics(watched))

    made_of = identity(plan.spec, work.corpus.fingerprint, work.bundle.fingerprint)
    setup = loop.Setup(
        model=work.bundle.model, lesson=lesson(work, items.splits["train"]), evaluate=evaluate,
        metric=metric, higher_is_better=higher,
        groups=plan.method.groups(work.bundle, cast(float, plan.engine.learning_rate)),
        epochs=cast(int, plan.engine.epochs), precision=work.precision, options=plan.engine,
        checkpoints=CheckpointStore(work.folder.checkpoints, made_of, work.emit),
        callbacks=plan.callbacks, emit=work.emit, stop=work.stop, seed=plan.spec.seed, device=work.device,
        tokens_at_once=hardware.tokens_at_once(work.device),
        float32_names=work.bundle.model.float32_names, stage=partial(stage_of, plan.method),
        on_stage=partial(begin_stage, plan.method, work.bundle),
    )  # fmt: skip
    work.predicted = work.predicted or predict_cost(work, setup)
    return setup


def lesson(work: LanguageWork, items: np.ndarray) -> Lesson:
    """The task's lesson on some items, its batches planned and said."""
    plan = work.plan
    sequences = work.sequences(items)
    lengths = work.items.rows.lengths[sequences]
    size = plan.engine.batch_size
    if size is None:
        size = int(min(16, max(2, 2 ** int(np.log2(max(2, len(items) / 20))))))
        why = f"{len(items)} training examples of {np.median(lengths):g} tokens (median)"
        work.emit(Decided("batch_size", size, f"{why}, at most {batching.LANGUAGE_TOKENS:,} tokens a batch"))
    packed = _packing(work, lengths, size)
    batches = Batches(size, None if plan.engine.batch_size else batching.LANGUAGE_TOKENS, plan.spec.seed, packed)
    extra: dict[str, Any] = {}
    if work.reference is not None:
        extra = {"reference": work.reference, "good": work.items.good}
    return cast(Lesson, plan.task.lesson(work.items.rows, items, batches, **extra))


def _packing(work: LanguageWork, lengths: np.ndarray, size: int) -> bool:
    asked = work.plan.task.options.packing
    if not packs(work.plan.task):
        return False
    if getattr(work.plan.method, "virtual_tokens", 0):
        work.emit(Decided("packing", False, f"method={work.plan.spec.method} puts its tokens before every row"))
        return False
    if asked is not None:
        work.emit(Decided("packing", asked, "asked for"))
        return bool(asked)
    plan = batching.plan_epoch(lengths, seed=0, epoch=0, rows=size, tokens=batching.LANGUAGE_TOKENS)
    waste = batching.padding_share(plan, lengths)
    work.emit(Decided("packing", waste > _WASTE, f"batches of similar length are {waste:.0%} padding"))
    return waste > _WASTE
