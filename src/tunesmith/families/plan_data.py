"""What a plan needs to know of the data: how many rows, tokens a row, and how a run would learn from them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from tunesmith.core.errors import DataError, ModelError, Problem
from tunesmith.core.events import Emit
from tunesmith.core.files import scratch
from tunesmith.core.spec import RunSpec
from tunesmith.families.generative import corpus
from tunesmith.models.guard import tokens
from tunesmith.models.lengths import CHARACTERS_PER_TOKEN
from tunesmith.runs.family import family_of

if TYPE_CHECKING:
    from tunesmith.engine.skeleton import Kind

SAMPLE = 2_000
"""Rows that are tokenised; of more rows, evenly spread ones stand for all."""


@dataclass(frozen=True)
class Tokens:
    """Of one kind of row. `total` is extrapolated where `sampled` is less than `rows`."""

    rows: int
    sampled: int
    mean: float
    longest: int
    total: int
    how: str
    longer: int = 0
    """Rows longer than what a run reads, extrapolated as `total` is."""


@dataclass(frozen=True)
class Found:
    """What the data says: its form, the rows of each part, some of them, and what a run on it was settled to be."""

    form: str
    family: str
    splits: dict[str, int]
    some: list[dict[str, Any]]
    settled: Any
    """`row_plan.Plan` or `language_plan.Plan`."""
    unchecked: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        return sum(self.splits.values())

    @property
    def trained(self) -> float:
        """Share of the rows that are learned from."""
        return self.splits["train"] / max(1, self.rows)


@dataclass(frozen=True)
class Texts:
    """What a model would read of the rows that were looked at, and how many sequences all rows make."""

    kind: Kind
    rows: int
    texts: list[str]
    notes: list[str]
    learned: float = 1.0
    """About the share of tokens that are learned."""


def look_at(data: Any, spec: RunSpec, emit: Emit) -> Found:
    """Read, divided and settled as a run would, and refused as it would. `data`: None where it is not in memory.

    Raises DataError, OptionError, ModelError.
    """
    look = _rows if family_of(spec, data) == "predictive" else _language
    with scratch() as folder:
        return look(data, spec, folder, emit)


def _rows(data: Any, spec: RunSpec, folder: Path, emit: Emit) -> Found:
    from tunesmith.families.predictive.settle import check_model, settled
    from tunesmith.runs.reading import read

    prepared = read(spec.data if data is None else data, spec, folder, emit=emit)
    plan = settled(spec, prepared, emit)
    splits = {name: len(rows) for name, rows in prepared.splits.items()}
    some = list(prepared.rows.select(_spread(len(prepared.rows))))
    return Found(prepared.columns.kind, "predictive", splits, some, plan, tuple(check_model(plan, emit, weights=False)))


def _language(data: Any, spec: RunSpec, folder: Path, emit: Emit) -> Found:
    from tunesmith.data.conversations import read_examples
    from tunesmith.families.generative import in_tokens
    from tunesmith.families.generative.settle import settled
    from tunesmith.runs.reading import read_options, split_options

    options = split_options(spec)
    examples = read_examples(
        in_tokens.sources(spec, data), emit=emit, cache_dir=folder, group=options.group,
        form=corpus.wish(spec), reading=read_options(spec),
    )  # fmt: skip
    plan = settled(spec, examples, emit)
    division = corpus.divided(examples, options, spec.seed)
    read = in_tokens.in_tokens(plan, examples, division, emit, most=SAMPLE, weights=False)
    of_all = read.unchecked if read.lengths is None else ()  # of many rows some are looked at: that is a plan
    return found_in(plan, examples, {name: len(rows) for name, rows in division.items()}, of_all)


def found_in(plan: Any, examples: Any, splits: dict[str, int], unchecked: tuple[str, ...] = ()) -> Found:
    """Of examples that were read and divided, for `plan` (`language_plan.Plan`)."""
    some = [examples[int(number)] for number in _spread(len(examples))]
    return Found(examples.form, "generative", splits, some, plan, unchecked)


def read_texts(found: Found, config: Any, tokenizer: Any) -> Texts:
    """As the model of `config` would read them. The tokenizer may be None."""
    if found.family == "predictive":
        texts = [" ".join(row[name] for name in ("text", "text_pair") if row.get(name)) for row in found.some]
        return Texts("classification", found.rows, texts, [])
    texts = [text for example in found.some for text in _written(example, tokenizer)]
    notes = []
    if found.form in ("preference", "feedback"):
        notes.append("each answer is read behind its prompt; the time is without their first reading, before training")
    kind: Kind = "seq2seq" if getattr(config, "is_encoder_decoder", False) else "causal"
    rows = found.rows if found.form == "pair" else round(found.rows * len(texts) / max(1, len(found.some)))
    learned = sum(map(_learned, found.some)) / max(1, sum(map(len, texts))) if kind == "causal" else 1.0
    return Texts(kind, rows, texts, notes, min(1.0, learned))


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
        from tunesmith.models.rendering import limits

        try:
            with limits():
                return cast(str, tokenizer.apply_chat_template(messages, tools=tools, tokenize=False))
        except ModelError:
            raise
        except Exception:  # it may fail in any way
            pass  # such as a template that wants roles in turns
    return "\n".join(f"{message['role']}: {message.get('content') or ''}" for message in messages)


def _spread(rows: int) -> np.ndarray:
    """Positions of at most `SAMPLE` rows, evenly over all of them; int64."""
    return np.unique(np.linspace(0, rows - 1, min(rows, SAMPLE)).astype(np.int64)) if rows else np.zeros(0, np.int64)


def count_tokens(texts: Iterable[str], tokenizer: Any, *, rows: int | None = None) -> Tokens:
    """Tokens of some texts. `rows`: how many rows the texts stand for, if for more."""
    return counted(*token_lengths(list(texts), tokenizer), rows=rows)


def token_lengths(texts: Sequence[str], tokenizer: Any) -> tuple[np.ndarray, str]:
    """Tokens of each text, special ones included, and how they were counted. Without a tokenizer (None) they are
    guessed from the letters. Raises DataError where there is no text."""
    if not texts:
        raise DataError(Problem("there is no text to count tokens of"), fix="Give data with rows in it.")
    if tokenizer is None:
        lengths = np.array([len(text) / CHARACTERS_PER_TOKEN + 2 for text in texts])
        return lengths, f"guessed from letters ({CHARACTERS_PER_TOKEN} to a token): no tokenizer beside the config"
    return np.array([len(ids) for ids in tokens(tokenizer, list(texts), verbose=False)["input_ids"]]), "tokenised"


def counted(lengths: np.ndarray, how: str, *, rows: int | None = None, limit: int | None = None) -> Tokens:
    """`lengths`: tokens of each text that was looked at; `limit`: how many of them are read."""
    some, rows = len(lengths), len(lengths) if rows is None else rows
    if rows > some:
        how += f"; {some:,} of {rows:,} rows, the rest extrapolated"
    mean = float(lengths.mean())
    longer = 0 if limit is None else math.ceil(float((lengths > limit).mean()) * rows)
    return Tokens(rows, some, round(mean, 1), math.ceil(lengths.max()), round(mean * rows), how, longer)
