"""Rows of every form for tiny language models, and short runs on them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tunesmith
from language_models import folder

Train = Callable[..., tunesmith.Run]
Records = Callable[..., list[dict[str, Any]]]
Rows = list[dict[str, Any]]

NAMES = ["anna", "bob", "carl", "dora", "emil", "fred", "gina", "hans", "ida", "jan"]
THINGS = ("parcel", "refund", "card", "tea")
PAIRS = [(f"{name}: where is my {thing}?", thing, name) for name in NAMES for thing in THINGS]
CHAT: Rows = [
    {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": f"the {thing} is good"}]}
    for question, thing, _ in PAIRS
]
PREFERENCE: Rows = [
    {"prompt": question, "chosen": f" the {thing} is good", "rejected": f" no idea, {name}"}
    for question, thing, name in PAIRS
]
FEEDBACK: Rows = [
    {"prompt": row["prompt"], "completion": row["chosen" if good else "rejected"], "label": good}
    for row, good in zip(PREFERENCE, [True, False] * 20, strict=True)
]
TRANSLATION: Rows = [{"source": question, "target": f"the {thing} is good"} for question, thing, _ in PAIRS]


SHORT = {"precision": "fp32", "method": "full", "epochs": 3, "batch_size": 8, "learning_rate": 5e-3,
         "generate_rows": 2, "max_new_tokens": 8, "few_shot": 1, "patience": 99}  # fmt: skip


def short_run(data: Any, family: str = "llama", out: str = "run", **words: Any) -> tunesmith.Run:
    """A short run in fp32 on a tiny base, into the folder `out`."""
    return tunesmith.train(data, out=out, model=str(folder(family)), **{**SHORT, **words})


def jsonl(path: Path, rows: Rows) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def base(run: tunesmith.Run, metric: str = "loss") -> float:
    return float(run.document["baselines"]["base"][metric]["value"])
