"""A first look at the rows of a run: three of them, how long they are, and how many would be cut."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tunesmith.core.errors import TunesmithError
from tunesmith.core.events import Emit, ignore
from tunesmith.core.spec import Words
from tunesmith.data.conversations import Division, Examples
from tunesmith.data.prepared import PreparedData
from tunesmith.data.target_kind import kind_named
from tunesmith.families.plan_data import spread
from tunesmith.models import catalog
from tunesmith.models.codec import Example
from tunesmith.models.guard import tokens
from tunesmith.models.rendering import Message
from tunesmith.models.types import Tokenizer
from tunesmith.runs import text_language
from tunesmith.runs.cut_texts import WORDS, Cut, limits_for

_SHOWN = 3


def overview(data: PreparedData, model: str, max_length: int | None, emit: Emit = ignore) -> Words:
    """{"samples": [{"text", "target", ...}], "lengths": {...}}, the latter None of what is not read as tokens. Warns
    where much of the texts would not be read.

    "lengths": "unit" (tokens where the model's tokenizer is on this machine, else words), "median", "p95" and "longest"
    of the rows that were measured ("measured"), "limit" (tokens that are read), "longer" (rows beyond it, of all) and
    "unread" (share of all words that is not read, from 0 to 1).
    """
    rows = data.rows
    some = spread(len(rows))
    names = [name for name in data.modality.roles if name in rows.column_names]
    places = [int(at) for at in _spread(data)]
    samples = [{name: rows[at][name] for name in (*names, "target")} for at in places]
    if (kind := kind_named(data.columns.kind)) is not None:
        samples = [one | {"target": kind.shown(one["target"])} for one in samples]
    if not data.modality.in_tokens:
        shown = data.modality.shown(rows.select(places))
        samples = [one | {names[0]: words} for one, words in zip(samples, shown, strict=True)]
    if not data.modality.in_tokens:
        return {"samples": samples, "lengths": None}
    texts = [[str(cell) for cell in rows.select(some)[name][:]] for name in names]
    lengths = _lengths(texts, len(rows), model, max_length, ignore if data.modality.in_windows else emit)
    return {"samples": samples, "lengths": lengths}


def overview_of(examples: Examples, division: Division, lengths: np.ndarray | None, limit: int | None) -> Words:
    """The same of examples of which `lengths` has the tokens of each sequence, None
    where they are not known: words are counted then.

    A sample has "text" (what is read), "target" (what is learned), and by its form "rejected", "label" or "turns".
    """
    train = division["train"]
    samples = [_sample(examples[int(at)]) for at in train[:_SHOWN]]
    unit = "words" if lengths is None else "tokens"
    if lengths is None:
        some = spread(len(examples))
        lengths = np.array(
            [sum(len(part.split()) for part in text_language.readable_text(examples[int(at)])) for at in some]
        )
    return {"samples": samples, "lengths": _summary(lengths, unit, limit)}


def _sample(example: Example) -> Words:
    form = example["form"]
    if form == "text":
        return {"text": example["text"], "target": ""}
    if form == "pair":
        return {"text": example["source"], "target": example["target"]}
    if form == "chat":
        said = example["messages"]
        last = max((at for at, one in enumerate(said) if one["role"] == "assistant"), default=len(said) - 1)
        return {"text": _last_said(said[:last]), "target": _last_said(said[last : last + 1]), "turns": len(said)}
    prompt = example["prompt"] if example.get("messages") is None else _last_said(example["messages"])
    if form == "preference":
        return {"text": prompt, "target": _answer(example["chosen"]), "rejected": _answer(example["rejected"])}
    judged = {"label": bool(example["label"])} if "label" in example else {}
    return {"text": prompt, "target": _answer(example["completion"]), **judged}


def _answer(answer: str | Sequence[Message]) -> str:
    return answer if isinstance(answer, str) else _last_said(answer)


def _last_said(messages: Sequence[Message]) -> str:
    """The last words of a conversation, or what was called in place of words."""
    one = messages[-1] if messages else {}
    return str(one.get("content") or one.get("tool_calls") or "")


def _spread(data: PreparedData) -> list[int]:
    """Positions of three training rows, of different labels where there are some."""
    train = data.splits["train"]
    some = train[: min(len(train), 200)]
    found: dict[str, int] = {}
    for at, target in zip(some, data.targets(some), strict=True):
        found.setdefault(str(target), int(at))
    first = list(found.values())[:_SHOWN]
    return first + [int(at) for at in some if int(at) not in first][: _SHOWN - len(first)]


def _lengths(texts: list[list[str]], rows: int, model: str, asked: int | None, emit: Emit) -> Words:
    tokenizer = _tokenizer(model)
    if tokenizer is None:
        unit, told = "words", np.array([sum(len(text.split()) for text in row) for row in zip(*texts, strict=True)])
        found = np.ceil(told / WORDS)
    else:
        unit, found = "tokens", np.array([len(ids) for ids in tokens(tokenizer, *texts, verbose=False)["input_ids"]])
        told = found
    limit, reads = limits_for(found, model, tokenizer)
    limit = asked or limit
    summary = {**_summary(told, unit, limit), "unread": 0.0}
    if limit is None:
        return summary
    cut = Cut(found, rows, limit, model, reads, texts[0])
    if cut.much:
        emit(cut.warning)
    return {**summary, "longer": cut.longer, "unread": round(cut.unread(limit), 4)}


def _summary(found: np.ndarray, unit: str, limit: int | None) -> Words:
    """`found`: lengths of the texts that were measured."""
    most = None if limit is None else limit * (1 if unit == "tokens" else WORDS)
    return {
        "unit": unit, "median": float(np.median(found)), "p95": float(np.percentile(found, 95)),
        "longest": int(found.max()), "measured": len(found), "limit": limit,
        "longer": 0 if most is None else int((found > most).sum()),
    }  # fmt: skip


def _tokenizer(model: str) -> Tokenizer | None:
    """The tokenizer of a base; None where it is not here, or can not be read."""
    from tunesmith.models.tokenizer import read_tokenizer

    try:
        folder = catalog.find(model).folder
        return None if folder is None else read_tokenizer(folder)
    except (TunesmithError, OSError, ValueError, KeyError):
        return None
