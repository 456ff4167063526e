"""plan for pictures: what a run takes of memory, time and disk, from the network that it would train, without its
weights."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from tunesmith.core.events import ignore
from tunesmith.core.run import is_run
from tunesmith.data.pictures import read_pictures
from tunesmith.engine import batching, devices, hardware, memory
from tunesmith.engine.devices import Device, Pace
from tunesmith.engine.meta_network import Recipe
from tunesmith.engine.meta_pictures import MetaPictures
from tunesmith.engine.pixels import CACHE_BYTES, least_side
from tunesmith.families.plan_data import Summary
from tunesmith.families.plan_words import Plan, with_doubts
from tunesmith.models import bare
from tunesmith.models.bundle import Bundle
from tunesmith.models.processor import PictureProcessor

DECODED = 8
"""Pictures that are read to see how long that takes."""


@dataclass(frozen=True)
class Pictures(Summary):
    """Rows of pictures; `some` of them have 'image', a path or a data URI."""


def forecast(summary: Pictures, free_disk: float, *, gpu: Device | None = None) -> Plan:
    """As `families.plan.forecast`, of a run on pictures. `free_disk`: bytes that may be written."""
    plan, splits = summary.settled, summary.splits
    method, engine = type(plan.method)(plan.method.options), plan.engine
    bundle = _bare(summary)
    processor, model = cast(PictureProcessor, bundle.processor), bundle.model
    recipe = _recipe(gpu, bundle, summary)
    meta = MetaPictures(bundle, method, recipe)
    asked, cost = engine.batch_size, processor.cost
    usual = method.batch_rows or batching.usual_rows(splits["train"], *plan.task.batch_rows)
    size = asked if isinstance(asked, int) else max(1, min(usual, batching.TOKENS // cost))
    epochs, steps = cast(int, engine.epochs), math.ceil(splits["train"] / size)
    has_probe = plan.task.probe_loss is not None
    cached = method.frozen_body and has_probe  # the body is run once, over all rows
    looked = (summary.rows if has_probe else 0) + (0 if cached else epochs * splits["validation"])
    learned = [(0.0, 0)] * epochs if cached else _by_epoch(meta, epochs)
    operations = meta.operations()
    looking, at = _pace(gpu, meta, operations, summary)
    seconds = summary.rows * _seconds_to_read(summary, processor) + looked * operations[0] / looking
    for each, moving in learned:
        computed = splits["train"] * each / at.operations
        seconds += max(computed, steps * meta.blocks * at.block_seconds) + steps * moving * at.update_seconds
    on_gpu, available = devices.on_gpu(gpu), devices.usable_bytes(gpu)
    peak = memory.peak_bytes(meta, size, cost, gpu=on_gpu)
    largest = memory.largest_batch(meta, cost, available, gpu=on_gpu)
    counted, pixels = meta.parameters, float(summary.rows * math.prod(processor.stored) * 3)
    disk = memory.disk_bytes(
        counted, counted.total,
        (pixels if pixels <= CACHE_BYTES else 0.0) + (4.0 * model.width * summary.rows if has_probe else 0.0),
    )  # fmt: skip
    made = Plan(
        data=plan.spec.data, form=summary.form, model=plan.spec.model, method=plan.spec.method,
        device=devices.HERE if gpu is None else gpu.name, splits=splits, precision=recipe.precision,
        attention=recipe.attention, parameters=dataclasses.asdict(counted), tokens=None, max_length=None,
        image_size=[processor.height, processor.width], batch_size=size, batch_length=cost, epochs=epochs,
        steps=0 if cached else epochs * steps, memory={**dataclasses.asdict(peak), "total": peak.total},
        memory_available=available, fits=peak.total <= available, largest_batch=largest,
        largest_batch_is_at_least=largest >= memory.MANY_ROWS, seconds=seconds, seconds_how=at.how, disk=disk,
        notes=[], unchecked=[],
    )  # fmt: skip
    smaller = "a smaller image_size" if hasattr(plan.task.options, "image_size") else "smaller batches"
    return with_doubts(made, free_disk, smaller=smaller, checkpointing=engine.gradient_checkpointing)


def _bare(summary: Pictures, on: str = "meta") -> Bundle[Any]:
    """The network of the run, without its weights."""
    name = summary.settled.spec.model
    with bare.without_weights(on):
        path = Path(name).expanduser()
        bundle: Bundle[Any] = summary.settled.task.load(str(path / "model") if is_run(path) else name, ignore)
    return bundle


def _recipe(gpu: Device | None, bundle: Bundle[Any], summary: Pictures) -> Recipe:
    model, engine = bundle.model, summary.settled.engine
    if len(model.float32_names) == len(list(model.parameters())):
        precision = "fp32"
    elif gpu is not None:
        precision = "bf16" if gpu.bf16 else "fp32"
    else:
        by_channel = getattr(model, "by_channel", False)
        precision = hardware.choose_precision(
            engine.precision, hardware.device(), model.width, ignore, by_channel=by_channel
        )
    return Recipe(
        precision=precision, float32_base=True, checkpointing=engine.gradient_checkpointing,
        freeze=tuple(engine.freeze),
        tokens_at_once=hardware.tokens_at_once(hardware.device()) if gpu is None else None,
    )  # fmt: skip


def _by_epoch(meta: MetaPictures, epochs: int) -> list[tuple[float, int]]:
    """Operations for a picture that is learned from in each epoch, and the weights that move in it."""
    found: dict[int, float] = {}
    each = []
    for epoch in range(epochs):
        meta.begin(epoch)
        moving = meta.parameters.trainable
        if moving not in found:
            found[moving] = meta.operations()[1]
        each.append((found[moving], moving))
    return each


def _pace(
    gpu: Device | None, meta: MetaPictures, operations: tuple[float, float], summary: Pictures
) -> tuple[float, Pace]:
    """Operations per second of looking at pictures, and how fast they are learned from."""
    if gpu is not None:
        at = devices.of_data_sheet(gpu)
        return at.operations, at
    plan, on = summary.settled, str(hardware.device())
    method = type(plan.method)(plan.method.options)
    real = MetaPictures(_bare(summary, on), method, dataclasses.replace(meta.recipe, checkpointing=False), on)
    real.begin(max(0, cast(int, plan.engine.epochs) - 1))
    looked, learned = real.seconds(operations, meta.recipe.tokens_at_once)
    how = "measured here, on blank pictures and this network with random weights"
    rates = devices.WHOLE_STEPS * operations[0] / looked, devices.WHOLE_STEPS * operations[1] / learned
    return rates[0], Pace(rates[1], devices.measured_update(), how)


def _seconds_to_read(summary: Pictures, processor: PictureProcessor) -> float:
    """Of each picture, as measured on some: its file is decoded and brought to size."""
    given: Sequence[str] = [row["image"] for row in summary.some[:DECODED]]
    start = time.perf_counter()
    for image in read_pictures(given, least=least_side(processor)):
        processor.stored_pixels(image)
    return (time.perf_counter() - start) / max(1, len(given)) if given else float(np.nan)
