"""A first look at the rows of a run: three of them, how long they are, and how many would be cut."""

from __future__ import annotations

from typing import Any

import numpy as np

from tunesmith.core.errors import TunesmithError
from tunesmith.core.events import Emit, ignore
from tunesmith.data.prepared import PreparedData
from tunesmith.models import catalog
from tunesmith.models.guard import tokens
from tunesmith.workflows.cut_texts import WORDS, Cut, limits_for

_SAMPLE = 2_000
"""Rows that are measured; of more rows, evenly spread ones stand for all."""
_SHOWN = 3


def glance(data: PreparedData, model: str, max_length: int | None, emit: Emit = ignore) -> dict[str, Any]:
    """{"samples": [{"text", "target", ...}], "lengths": {...}}. Warns where much of the texts would not be read.

    "lengths": "unit" (tokens where the model's tokenizer is on this machine, else words), "median", "p95" and "longest"
    of the rows that were measured ("measured"), "limit" (tokens that are read), "longer" (rows beyond it, of all) and
    "unread" (share of all words that is not read, from 0 to 1).
    """
    rows = data.rows
    some = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), _SAMPLE)).astype(np.int64))
    texts = [list(rows.select(some)[name][:]) for name in ("text", "text_pair") if name in rows.column_names]
    samples = [dict(rows[int(at)]) for at in _spread(data)]
    for sample in samples:
        sample.pop("row_id", None)
    return {"samples": samples, "lengths": _lengths(texts, len(rows), model, max_length, emit)}


def _spread(data: PreparedData) -> list[int]:
    """Positions of three training rows, of different labels where there are some."""
    train = data.splits["train"]
    some = train[: min(len(train), 200)]
    found: dict[str, int] = {}
    for at, target in zip(some, data.targets(some), strict=True):
        found.setdefault(str(target), int(at))
    first = list(found.values())[:_SHOWN]
    return first + [int(at) for at in some if int(at) not in first][: _SHOWN - len(first)]


def _lengths(texts: list[list[str]], rows: int, model: str, asked: int | None, emit: Emit) -> dict[str, Any]:
    tokenizer = _tokenizer(model)
    words = _words(texts) if tokenizer is None else None
    found = _tokens(texts, tokenizer) if words is None else np.ceil(words / WORDS)
    limit, reads = limits_for(found, model, tokenizer)
    limit = asked or limit
    shown = found if words is None else words
    told = {
        "unit": "tokens" if words is None else "words", "median": float(np.median(shown)),
        "p95": float(np.percentile(shown, 95)), "longest": int(shown.max()), "measured": len(shown), "limit": limit,
        "longer": 0, "unread": 0.0,
    }  # fmt: skip
    if limit is None:
        return told
    cut = Cut(found, rows, limit, model, reads, texts[0])
    if cut.much:
        emit(cut.warning)
    return {**told, "longer": cut.longer, "unread": round(cut.unread(limit), 4)}


def _tokenizer(model: str) -> Any:
    """The tokenizer of a base; None where it is not here, or can not be read."""
    from tunesmith.models.load import read_tokenizer

    try:
        folder = catalog.find(model).folder
        return None if folder is None else read_tokenizer(folder)
    except (TunesmithError, OSError, ValueError, KeyError):
        return None


def _tokens(texts: list[list[str]], tokenizer: Any) -> np.ndarray:
    """Tokens of each row, those that begin and end it included."""
    return np.array([len(ids) for ids in tokens(tokenizer, *texts, verbose=False)["input_ids"]])


def _words(texts: list[list[str]]) -> np.ndarray:
    return np.array([sum(len(text.split()) for text in row) for row in zip(*texts, strict=True)])
