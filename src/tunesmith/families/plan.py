"""plan: memory, time, disk and tokens of a run, here and on other machines, before any weight is there."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import cast

import numpy as np

from tunesmith.core.errors import OptionError
from tunesmith.core.events import Event, Warned, ignore
from tunesmith.core.files import scratch
from tunesmith.engine import batching, devices, hardware, memory
from tunesmith.engine.devices import Device
from tunesmith.engine.meta_model import MetaModel
from tunesmith.engine.meta_network import Recipe
from tunesmith.engine.options import EngineOptions
from tunesmith.engine.protocols import Method
from tunesmith.families import plan_pictures
from tunesmith.families.plan_data import DataSummary, count_lengths, token_lengths
from tunesmith.families.plan_pictures import Pictures
from tunesmith.families.plan_words import Plan, with_doubts
from tunesmith.models.attention import LONGEST
from tunesmith.models.config import read_config
from tunesmith.models.loaders.language import position_limit
from tunesmith.models.types import Config, Tokenizer
from tunesmith.runs import cut_texts
from tunesmith.runs.family import family_named, family_of
from tunesmith.runs.train import make_spec

_TOKEN_BYTES = 5


def plan(data: object, *, device: str | None = None, **words: object) -> Plan:
    """Peak memory, time, disk, tokens and the largest batch of `train(data, **words)`.

    `words` are those of `train` (model, method, text, target, epochs, batch_size, max_length, rank, ...); of the
    model only the config and the tokenizer are read. device: a name from `engine.devices`, None for this machine.
    Nothing is trained and no weight is loaded. Raises DataError, ModelError (unknown or unreachable model),
    OptionError (unknown method, option or device), each where `train` would.
    """
    hardware.prepare()
    gpu = None if device is None or device == devices.HERE else devices.resolve(device)
    spec, source = make_spec(data, words)
    warnings: list[str] = []

    def listen(event: Event) -> None:
        if isinstance(event, Warned):
            warnings.append(f"{event.what}: {event.message}")

    with scratch() as folder:
        summary: DataSummary | Pictures = family_named(family_of(spec, source)).look(source, spec, folder, listen)
        if isinstance(summary, Pictures):
            made, notes = plan_pictures.forecast(summary, free_disk(gpu), gpu=gpu), list[str]()
        else:
            config, tokenizer, notes = read_config(summary.settled.spec.model)
            made = forecast(summary, config, tokenizer, gpu=gpu)
    fresh = [note for note in dict.fromkeys([*warnings, *notes]) if note not in made.notes]
    named = spec.data if source is spec.data else type(data).__name__
    return dataclasses.replace(made, data=named, notes=[*made.notes, *fresh], unchecked=list(summary.unchecked))


def forecast(
    summary: DataSummary, config: Config, tokenizer: Tokenizer | None, *, gpu: Device | None = None,
    quick: float | None = None,
) -> Plan:  # fmt: skip
    """What a run on `summary` takes with the base of `config`; the tokenizer may be None.

    gpu: None for this machine. quick: weights from which on nothing is measured here and
    the time is left out. Raises OptionError, ModelError.
    """
    plan, notes = summary.settled, []
    method, engine = type(plan.method)(plan.method.options), plan.engine
    read = summary.read(config, tokenizer)
    lengths, how = token_lengths(read.texts, tokenizer)
    known = cut_texts.limits_for(lengths, plan.spec.model, tokenizer)
    limit, reads = _limit(config, plan.spec.options["max_length"], summary, known)
    added = method.virtual_tokens  # before every row
    tokens = count_lengths(lengths, how, rows=read.rows, limit=limit - added)
    longest, mean = min(tokens.longest + added, limit), float(np.minimum(lengths + added, limit).mean())
    train_rows = max(1, round(summary.trained * read.rows))
    size = _batch_size(engine.batch_size, method.batch_rows, summary, train_rows, longest)
    recipe = _recipe(gpu, config, summary, method, engine, longest)
    meta_model = MetaModel(config, read.kind, method, recipe)
    steps, checked = math.ceil(train_rows / size), mean * (read.rows - train_rows)
    at = None if quick and meta_model.parameters.total >= quick else devices.pace(meta_model, round(mean), gpu)

    def spent(epochs: int, predicted: float) -> float:
        return 0.0 if at is None else devices.seconds(
            meta_model, at, length=mean, trained=epochs * mean * train_rows, read=predicted, steps=epochs * steps,
            learned=read.learned,
        )  # fmt: skip

    took = spent(0, mean * read.rows if method.frozen_body else checked)  # before training
    frozen: list[float] = []  # share of the blocks, by epoch
    for epoch in range(epochs := cast(int, engine.epochs)):
        meta_model.begin(epoch)
        frozen.append(meta_model.frozen)
        took += spent(1, 0 if method.frozen_body else checked + read.again * mean * train_rows)
    on_gpu, available = devices.on_gpu(gpu), devices.usable_bytes(gpu)
    peak = memory.peak_bytes(meta_model, size, longest, gpu=on_gpu)
    largest = memory.largest_batch(meta_model, longest, available, gpu=on_gpu)
    read_tokens = min(tokens.total, tokens.rows * limit)
    disk = memory.disk_bytes(
        meta_model.parameters, summary.saved(meta_model.parameters, method),
        _TOKEN_BYTES * read_tokens + summary.feature_bytes(meta_model, read_tokens, frozen),
    )  # fmt: skip
    notes += read.notes
    cut = cut_texts.Cut(lengths, read.rows, limit, plan.spec.model, reads, read.texts)
    if summary.cuts_unasked and cut.much:
        notes.append(f"{cut.evidence} {cut.advice}")
    made = Plan(
        data=plan.spec.data, form=summary.form, model=plan.spec.model, method=plan.spec.method,
        device=devices.HERE if gpu is None else gpu.name, splits=summary.splits,
        precision=recipe.precision, attention=recipe.attention, parameters=dataclasses.asdict(meta_model.parameters),
        tokens=tokens, max_length=limit, image_size=None, batch_size=size, batch_length=longest, epochs=epochs,
        steps=epochs * steps,
        memory={**dataclasses.asdict(peak), "total": peak.total}, memory_available=available,
        fits=peak.total <= available, largest_batch=largest,
        largest_batch_is_at_least=largest >= memory.MANY_ROWS,
        seconds=None if at is None else took, seconds_how="" if at is None else at.how, disk=disk, notes=notes,
        unchecked=[],
    )  # fmt: skip
    return with_doubts(
        made, free_disk(gpu), smaller="a smaller max_length", checkpointing=engine.gradient_checkpointing
    )


def free_disk(gpu: Device | None) -> float:
    """Bytes that may be written here; elsewhere that is not known."""
    return devices.free_disk(Path.cwd()) if gpu is None else math.inf


def _recipe(
    gpu: Device | None, config: Config, summary: DataSummary, method: Method, engine: EngineOptions, longest: int
) -> Recipe:
    precision = _precision(gpu, config)
    plain = gpu is None and summary.plain_attention and precision == "bf16" and longest <= LONGEST
    return Recipe(
        precision=precision,
        float32_base=summary.float32_base(method),
        packed=bool(method.load_kwargs()),
        attention="eager" if plain else "sdpa",
        checkpointing=engine.gradient_checkpointing,
        freeze=tuple(engine.freeze),
        tokens_at_once=hardware.tokens_at_once(hardware.device()) if gpu is None else None,
    )


def _limit(
    config: Config, asked: int | None, summary: DataSummary, known: tuple[int | None, int | None]
) -> tuple[int, int]:
    """(tokens that a run reads of a row, the most that the model can read). `known`: both of a model whose files are
    here, where nothing is asked. Raises OptionError."""
    reads = position_limit(config) - (2 if "roberta" in config.model_type else 0)
    if asked is not None and asked > reads:
        raise OptionError(f"max_length={asked} is more than the model can read.", f"Set it to at most {reads}.")
    usual, most = known
    return asked or summary.limit(reads, usual), most or reads


def _batch_size(asked: int | str | None, usual: int | None, summary: DataSummary, rows: int, longest: int) -> int:
    """Rows of a batch as a run of `rows` training rows chooses them, with not too many tokens."""
    if isinstance(asked, int):
        return asked
    size = batching.usual_rows(rows, *summary.batch_rows)
    return max(1, min(usual or size, summary.batch_tokens // longest))


def _precision(gpu: Device | None, config: Config) -> str:
    if gpu is not None:
        return "bf16" if gpu.bf16 else "fp32"
    return hardware.choose_precision("auto", hardware.device(), int(config.get_text_config().hidden_size), ignore)
