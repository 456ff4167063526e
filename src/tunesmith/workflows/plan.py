"""plan: memory, time, disk and tokens of a run, here and on other machines, before any weight is there."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import numpy as np

from tunesmith.core.errors import DataError, ModelError, OptionError, Problem, did_you_mean
from tunesmith.core.events import ignore

SAMPLE = 2_000
"""Rows that are tokenised; of more rows, evenly spread ones stand for all."""
_CHARACTERS_PER_TOKEN = 4.2  # English, where there is no tokenizer to ask
_LONGEST_ROW = 512
_FROZEN_SHARE = 1 / 3  # of a text encoder, where the method is full
_CHECKPOINTS = 3  # the two newest and the best
_TOKEN_BYTES = 5


@dataclass(frozen=True)
class Tokens:
    """Of one kind of row. `total` is extrapolated where `sampled` is less than `rows`."""

    rows: int
    sampled: int
    mean: float
    longest: int
    total: int
    how: str


@dataclass(frozen=True)
class Plan:
    """What a run would take. Bytes, seconds and tokens; `as_dict` is what --json prints."""

    data: str
    form: str
    model: str
    method: str
    device: str
    precision: str
    attention: str
    parameters: dict[str, int]
    tokens: Tokens
    max_length: int
    batch_size: int
    batch_length: int
    """Tokens of the longest row, which the batch of the peak is made of."""
    epochs: int
    steps: int
    memory: dict[str, float]
    memory_available: float
    fits: bool
    largest_batch: int
    largest_batch_is_at_least: bool
    seconds: float
    seconds_how: str
    disk: dict[str, float]
    notes: list[str]

    def as_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class _Texts:
    """What the data says: how many rows, some of their texts, and how the run would learn from them."""

    form: str
    family: str
    kind: str
    rows: int
    texts: list[str]
    method: str
    notes: list[str]
    learned: float = 1.0
    """About the share of tokens that are learned."""


def plan(
    data: Any,
    *,
    model: str,
    method: str = "auto",
    device: str | None = None,
    max_length: int | None = None,
    batch_size: int | None = None,
    epochs: int | None = None,
    gradient_checkpointing: bool = False,
) -> Plan:
    """Peak memory, time, disk, tokens and the largest batch of `train(data, model=model, method=method)`.

    model: an alias, a hub id or a folder; only its config and tokenizer are read. device: a name from
    `engine.devices`, None for this machine. Nothing is trained and no weight is loaded. Raises DataError,
    ModelError (unknown or unreachable model), OptionError (unknown method or device).
    """
    from tunesmith.engine import devices, hardware, memory
    from tunesmith.engine.batching import TOKENS_AT_ONCE
    from tunesmith.workflows import choose

    gpu = None if device is None or device == devices.HERE else devices.resolve(device)
    _check_method(method, memory.METHODS)
    config, tokenizer, notes = read_config(model)
    found = _texts(data, config, method, tokenizer)
    tokens = count_tokens(found.texts, tokenizer, rows=found.rows)
    limit = _limit(config, max_length, found.family, notes)
    longest, mean = min(tokens.longest, limit), min(tokens.mean, limit)
    size = batch_size or _batch_size(found, longest)
    recipe = memory.Recipe(
        method=found.method,
        frozen_share=_FROZEN_SHARE if found.method == "full" and found.family == "rows" else 0.0,
        precision=_precision(gpu, config),
        float32_base=found.family == "rows" or found.method == "full",
        attention=_attention(gpu, found.family, longest),
        checkpointing=gradient_checkpointing,
        tokens_at_once=TOKENS_AT_ONCE if gpu is None and hardware.device().type == "cpu" else None,
    )
    skeleton = memory.Skeleton(config, cast(memory.Kind, found.kind), recipe)
    on_gpu, available = devices.on_gpu(gpu), devices.usable_bytes(gpu)
    peak = memory.peak_bytes(skeleton, size, longest, gpu=on_gpu)
    largest = memory.largest_batch(skeleton, longest, available, gpu=on_gpu)
    count = choose.epochs_of(found.method, found.family) if epochs is None else epochs
    train_rows = max(1, round(0.8 * found.rows))
    steps = count * math.ceil(train_rows / size)
    at = devices.pace(skeleton, round(mean), gpu)
    read = mean * (found.rows if found.method == "head" else (found.rows - train_rows) * (count + 1))
    took = devices.seconds(
        skeleton, at, length=mean, trained=mean * train_rows * count, read=read, steps=steps, learned=found.learned
    )
    disk = _disk(skeleton, found, min(tokens.total, tokens.rows * limit))
    notes += found.notes
    if tokens.longest > limit:
        notes.append(f"rows longer than {limit} tokens are cut; the longest seen has {tokens.longest:,}")
    if gpu is None and disk["total"] > devices.free_disk(Path.cwd()):
        notes.append("the disk of this folder has less free than the run would write")
    if peak.total > available:
        notes.append(_remedy(found.method, gradient_checkpointing, largest))
    return Plan(
        data=str(data) if isinstance(data, str | Path) else type(data).__name__,
        form=found.form, model=model, method=found.method, device=devices.HERE if gpu is None else gpu.name,
        precision=recipe.precision, attention=recipe.attention, parameters=dataclasses.asdict(skeleton.parameters),
        tokens=tokens, max_length=limit, batch_size=size, batch_length=longest, epochs=count, steps=steps,
        memory={**dataclasses.asdict(peak), "total": peak.total}, memory_available=available,
        fits=peak.total <= available, largest_batch=largest,
        largest_batch_is_at_least=largest >= memory.MANY_ROWS,
        seconds=took, seconds_how=at.how, disk=disk, notes=notes,
    )  # fmt: skip


def count_tokens(texts: Iterable[str], tokenizer: Any, *, rows: int | None = None) -> Tokens:
    """Tokens of each text, special ones included. `rows`: how many rows the texts stand for, if for more.

    Without a tokenizer (None) they are guessed from the letters, and `how` says so.
    """
    some = list(texts)
    if tokenizer is None:
        lengths = np.array([len(text) / _CHARACTERS_PER_TOKEN + 2 for text in some])
        how = f"guessed from letters ({_CHARACTERS_PER_TOKEN} to a token): no tokenizer beside the config"
    else:
        lengths = np.array([len(ids) for ids in tokenizer(some, verbose=False)["input_ids"]]) if some else np.zeros(0)
        how = "tokenised"
    if not len(lengths):
        raise DataError(Problem("there is no text to count tokens of"), fix="Give data with rows in it.")
    rows = len(some) if rows is None else rows
    if rows > len(some):
        how += f"; {len(some):,} of {rows:,} rows, the rest extrapolated"
    mean = float(lengths.mean())
    return Tokens(rows, len(some), round(mean, 1), math.ceil(lengths.max()), round(mean * rows), how)


def read_config(model: str) -> tuple[Any, Any, list[str]]:
    """The config of a model, its tokenizer (None where there is none), and what to know about them.

    Only these files are got from the hub. Raises ModelError.
    """
    from transformers import AutoConfig, AutoTokenizer

    from tunesmith.models import catalog
    from tunesmith.models.load import quiet_transformers

    source = catalog.find(model)
    where = str(source.folder) if source.folder is not None else cast(str, source.hub_id)
    if source.folder is not None and not (source.folder / "config.json").exists():
        raise ModelError(f"The model folder {source.folder} has no config.json.", "A plan needs that file only.")
    with quiet_transformers():
        try:
            config = AutoConfig.from_pretrained(where)
        except ValueError as error:
            raise ModelError(f"The config of {model!r} can not be read: {str(error).splitlines()[0]}") from None
        except OSError as error:
            raise ModelError(
                f"The config of {model!r} is not on this machine and the hub did not give it ({type(error).__name__}).",
                "Check the name and the connection, or pass a folder that holds the model's config.json.",
            ) from None
        try:
            return config, AutoTokenizer.from_pretrained(where), []
        except (OSError, ValueError, KeyError):
            return config, None, ["no tokenizer was found for the model: tokens are guessed from letters"]


def render(made: Plan) -> str:
    """The plan as a table of plain text."""
    bound = "at least " if made.largest_batch_is_at_least else ""
    largest = f"{bound}{made.largest_batch:,} rows of {made.batch_length:,} tokens" if made.largest_batch else "none"
    memory, tokens = made.memory, made.tokens
    parts = ", ".join(f"{name} {_size(memory[name])}" for name in memory if name != "total" and memory[name])
    lines = [
        ("model", f"{made.model}: {made.parameters['total'] / 1e6:,.1f} M weights, "
                  f"{made.parameters['trainable'] / 1e6:,.2f} M of them or beside them move"),
        ("method", f"{made.method}, {made.precision}, {made.attention} attention"),
        ("device", f"{made.device}, {_size(made.memory_available)} of memory to use"),
        ("data", f"{tokens.rows:,} rows ({made.form}), {tokens.mean:g} tokens on average, "
                 f"longest {tokens.longest:,}, {tokens.total:,} in all ({tokens.how})"),
        ("training", f"{made.epochs} epochs, {made.steps:,} steps of {made.batch_size} rows"),
        ("memory", f"{_size(memory['total'])} at the peak ({'fits' if made.fits else 'DOES NOT FIT'})"),
        ("", parts),
        ("largest batch", largest),
        ("time", f"about {_duration(made.seconds)} of training ({made.seconds_how})"),
        ("disk", f"{_size(made.disk['total'])}: " + ", ".join(
            f"{name} {_size(size)}" for name, size in made.disk.items() if name != "total")),
        *(("note", note) for note in made.notes),
    ]  # fmt: skip
    return "\n".join([*(f"{name:13}  {text}" for name, text in lines), "An estimate. Nothing was trained."])


def _check_method(method: str, known: Iterable[str]) -> None:
    if method not in ("auto", *known):
        raise OptionError(f"--method {method}: there is no plan for it.", did_you_mean(method, [*known, "auto"]))


def _texts(data: Any, config: Any, method: str, tokenizer: Any) -> _Texts:
    from tunesmith.data.conversations import peek

    return _rows(data, method) if peek(data) is None else _language(data, config, method, tokenizer)


def _rows(data: Any, method: str) -> _Texts:
    from tunesmith.data.prepare import prepare
    from tunesmith.data.types import SplitOptions
    from tunesmith.workflows import choose
    from tunesmith.workflows.pipeline import median_per_label

    with TemporaryDirectory(prefix="tunesmith-") as folder:
        prepared = prepare(
            data, validation=None, test=None, text=None, target=None, kinds=choose.kinds_for("auto"),
            options=SplitOptions(), seed=0, emit=ignore, cache_dir=Path(folder),
        )  # fmt: skip
        kind, train, pairs = prepared.columns.kind, prepared.splits["train"], prepared.columns.text_pair is not None
        median = median_per_label(kind, prepared.rows.select(train)["target"])
        chosen = choose.method_for(method, kind, len(train), median, pairs, ignore)
        some = prepared.rows.select(_spread(len(prepared.rows)))
        texts = [" ".join(row[name] for name in ("text", "text_pair") if row.get(name)) for row in some]
        return _Texts(kind, "rows", "classification", len(prepared.rows), texts, chosen, [])


def _language(data: Any, config: Any, method: str, tokenizer: Any) -> _Texts:
    from tunesmith.data.conversations import read_examples

    if method == "head":
        raise OptionError("--method head: a language model has no new head.", "Use lora, qlora or full.")
    with TemporaryDirectory(prefix="tunesmith-", ignore_cleanup_errors=True) as folder:
        examples = read_examples(data, emit=ignore, cache_dir=Path(folder))
        picked = [examples[int(number)] for number in _spread(len(examples))]
        texts = [text for example in picked for text in _written(example, tokenizer)]
        many = len(texts) / max(1, len(picked))
        notes = []
        if examples.form in ("preference", "feedback"):
            notes.append("each answer is one sequence; the reference pass before training is not counted")
        kind = "seq2seq" if getattr(config, "is_encoder_decoder", False) else "causal"
        rows = round(len(examples) * (1 if examples.form == "pair" else many))
        chosen = "lora" if method == "auto" else method
        learned = sum(map(_learned, picked)) / max(1, sum(map(len, texts))) if kind == "causal" else 1.0
        return _Texts(examples.form, "language", kind, rows, texts, chosen, notes, min(1.0, learned))


def _written(example: Mapping[str, Any], tokenizer: Any) -> Iterator[str]:
    """The sequences of an example as text: what is read, then what is learned."""
    form = example["form"]
    if form == "text":
        yield example["text"]
    elif form == "pair":  # an encoder reads one, a decoder writes the other: the mean of both counts
        yield from (example["source"], example["target"])
    elif form == "chat":
        yield _conversation(example["messages"], example.get("tools"), tokenizer)
    else:
        answers = [example["chosen"], example["rejected"]] if form == "preference" else [example["completion"]]
        for answer in answers:
            if example.get("messages") is None:
                yield example["prompt"] + (answer if isinstance(answer, str) else _conversation(answer, None, None))
            else:
                said = [{"role": "assistant", "content": answer}] if isinstance(answer, str) else answer
                yield _conversation([*example["messages"], *said], example.get("tools"), tokenizer)


def _learned(example: Mapping[str, Any]) -> int:
    """Letters of an example that are learned."""
    if example["form"] == "chat":
        said = [one for one in example["messages"] if one["role"] == "assistant" and one.get("weight") != 0]
    else:
        said = [example.get(name) or "" for name in ("text", "target", "completion", "chosen", "rejected")]
        said = [{"content": one} if isinstance(one, str) else one[-1] for one in said]
    return sum(len(str(one.get("content") or "")) for one in said)


def _conversation(messages: list[dict[str, Any]], tools: Any, tokenizer: Any) -> str:
    """As the tokenizer's template writes it; without a template that takes it, role and content in lines."""
    if getattr(tokenizer, "chat_template", None):
        from jinja2 import TemplateError

        try:
            return cast(str, tokenizer.apply_chat_template(messages, tools=tools, tokenize=False))
        except (TemplateError, TypeError, ValueError):
            pass  # such as a template that wants roles in turns
    return "\n".join(f"{message['role']}: {message.get('content') or ''}" for message in messages)


def _spread(rows: int) -> np.ndarray:
    """Positions of at most `SAMPLE` rows, evenly over all of them; int64."""
    return np.unique(np.linspace(0, rows - 1, min(rows, SAMPLE)).astype(np.int64)) if rows else np.zeros(0, np.int64)


def _limit(config: Any, asked: int | None, family: str, notes: list[str]) -> int:
    from tunesmith.engine.options import LONGEST_EXAMPLE
    from tunesmith.models.load_language import position_limit

    reads = position_limit(config) - (2 if "roberta" in config.model_type else 0)
    if asked is not None and asked > reads:
        raise OptionError(f"max_length={asked} is more than the model can read.", f"Set it to at most {reads}.")
    return asked or min(reads, LONGEST_EXAMPLE if family == "language" else _LONGEST_ROW)


def _batch_size(found: _Texts, longest: int) -> int:
    """Rows of a batch as a run chooses them: some twenty steps at least, and not too many tokens."""
    from tunesmith.engine import batching

    most, least = (batching.ROWS, 8) if found.family == "rows" else (16, 2)
    size = int(min(most, max(least, 2 ** int(math.log2(max(least, 0.8 * found.rows / 20))))))
    return max(1, min(size, (batching.TOKENS if found.family == "rows" else batching.LANGUAGE_TOKENS) // longest))


def _precision(gpu: Any, config: Any) -> str:
    from tunesmith.engine import hardware

    if gpu is not None:
        return "bf16" if gpu.bf16 else "fp32"
    return hardware.choose_precision("auto", hardware.device(), int(config.get_text_config().hidden_size), ignore)


def _attention(gpu: Any, family: str, longest: int) -> str:
    from tunesmith.engine import hardware

    return "sdpa" if gpu is not None or family == "language" else hardware.choose_attention(
        hardware.device(), longest, ignore
    )  # fmt: skip


def _disk(skeleton: Any, found: _Texts, tokens: int) -> dict[str, float]:
    from tunesmith.engine.memory import checkpoint_bytes

    counted = skeleton.parameters
    adapter_only = found.family == "language" and found.method in ("lora", "qlora")
    hidden = int(skeleton.config.get_text_config().hidden_size)
    caches = float(_TOKEN_BYTES * tokens)
    if found.family == "rows":
        caches += 4.0 * hidden * found.rows  # features
        caches += skeleton.dtype.itemsize * hidden * tokens if found.method == "full" else 0.0  # frozen bottom
    parts = {
        "checkpoints": _CHECKPOINTS * checkpoint_bytes(counted),
        "model": 4.0 * (counted.trainable if adapter_only else counted.total),
        "caches": caches,
    }
    return {**parts, "total": sum(parts.values())}


def _remedy(method: str, checkpointing: bool, largest: int) -> str:
    if largest:
        return f"it does not fit: a batch of {largest} rows does, and gradient_accumulation makes up for the rest"
    ways = [] if checkpointing else ["gradient_checkpointing=true"]
    ways += {"full": ["--method lora", "--method qlora"], "lora": ["--method qlora"]}.get(method, [])
    return f"it does not fit with a single row: try {', '.join([*ways, 'a smaller max_length', 'a smaller model'])}"


def _size(size: float) -> str:
    return f"{size / 1e9:.2f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5_400 else f"{seconds / 3_600:.1f} h"
