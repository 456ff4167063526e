"""A first look at the rows of a run: three of them, how long they are, and how many would be cut."""

from __future__ import annotations

from typing import Any

import numpy as np

from tunesmith.core.errors import TunesmithError
from tunesmith.data.prepared import PreparedData
from tunesmith.models import catalog
from tunesmith.models.guard import tokens

_SAMPLE = 2_000
"""Rows that are measured; of more rows, evenly spread ones stand for all."""
_SHOWN = 3
_LONGEST = 512
"""Tokens that a run reads of a text where nothing is asked, however many the model could."""


def glance(data: PreparedData, model: str, max_length: int | None) -> dict[str, Any]:
    """{"samples": [{"text", "target", ...}], "lengths": {...}}.

    "lengths": "unit" (tokens where the model's tokenizer is on this machine, else words), "median", "p95" and "longest"
    of the rows that were measured ("measured"), "limit" (tokens that are read) and "longer" (rows beyond it, of all).
    """
    rows = data.rows
    some = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), _SAMPLE)).astype(np.int64))
    texts = [list(rows.select(some)[name][:]) for name in ("text", "text_pair") if name in rows.column_names]
    samples = [dict(rows[int(at)]) for at in _spread(data)]
    for sample in samples:
        sample.pop("row_id", None)
    return {"samples": samples, "lengths": _lengths(texts, len(rows), model, max_length)}


def _spread(data: PreparedData) -> list[int]:
    """Positions of three training rows, of different labels where there are some."""
    train = data.splits["train"]
    some = train[: min(len(train), 200)]
    found: dict[str, int] = {}
    for at, target in zip(some, data.targets(some), strict=True):
        found.setdefault(str(target), int(at))
    first = list(found.values())[:_SHOWN]
    return first + [int(at) for at in some if int(at) not in first][: _SHOWN - len(first)]


def _lengths(texts: list[list[str]], rows: int, model: str, max_length: int | None) -> dict[str, Any]:
    tokens = _tokens(texts, model)
    unit, found = ("words", _words(texts)) if tokens is None else ("tokens", tokens)
    limit = max_length or _limit(model)
    longer = 0 if limit is None else int((found > (limit if unit == "tokens" else limit * 0.75)).sum())
    return {
        "unit": unit, "median": float(np.median(found)), "p95": float(np.percentile(found, 95)),
        "longest": int(found.max()), "measured": len(found), "limit": limit,
        "longer": round(longer * rows / len(found)),
    }  # fmt: skip


def _tokens(texts: list[list[str]], model: str) -> np.ndarray | None:
    """Tokens of each row, those that begin and end it included; None where the tokenizer is not here."""
    from tunesmith.models.load import read_tokenizer

    try:
        source = catalog.find(model)
        if source.folder is None:
            return None
        tokenizer = read_tokenizer(source.folder)
        return np.array([len(ids) for ids in tokens(tokenizer, *texts, verbose=False)["input_ids"]])
    except (TunesmithError, OSError, ValueError, KeyError):
        return None


def _words(texts: list[list[str]]) -> np.ndarray:
    return np.array([sum(len(text.split()) for text in row) for row in zip(*texts, strict=True)])


def _limit(model: str) -> int | None:
    """Tokens that a run reads where nothing is asked; None of a model that the catalogue does not know."""
    try:
        entry = catalog.find(model).entry
    except TunesmithError:
        return None
    return None if entry is None else min(entry.max_length, _LONGEST)
