"""Runs of every kind, and what of each must not change, for `tests/golden/record.py`."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import sklearn
import torch
import transformers
import yaml
from safetensors.numpy import load_file

import language_models
import tunesmith
from toys import save_bert, tickets
from tunesmith.core import events, registry

Row = dict[str, Any]

QUICK = {"epochs": 2, "batch_size": 8, "precision": "fp32", "seed": 3}
KEEPS = {"callbacks": ["ewc", "interpolate"], "retain": ["retain.jsonl"]}
WRITES = {"epochs": 2, "batch_size": 4, "precision": "fp32", "seed": 3, "learning_rate": 3e-3, "generate_rows": 2}


def versions() -> dict[str, str]:
    """What bits depend on."""
    parts = {"torch": torch, "numpy": np, "transformers": transformers, "scikit-learn": sklearn}
    return {name: part.__version__ for name, part in parts.items()}


def _several() -> list[Row]:
    names = ("card", "order", "parcel", "refund")
    return [
        {"text": row["text"], "labels": [row["label"], *(name for name in names if name in row["text"])]}
        for row in tickets()
    ]


def _pairs() -> list[Row]:
    rows = tickets()
    others = [rows[(7 * number + 3) % len(rows)] for number in range(len(rows))]
    return [
        {"text": one["text"], "text_pair": two["text"], "label": "same" if one["label"] == two["label"] else "other"}
        for one, two in zip(rows, others, strict=True)
    ]


def _numbers() -> list[Row]:
    return [
        {"text": row["text"], "score": len(row["text"]) / 7 + 0.5 * (row["label"] == "praise")} for row in tickets()
    ]


def _toy(task: str, number: int = 0) -> Callable[[], list[Row]]:
    """The ten rows of a task's own, four times over with other words, so that all splits have some."""

    def rows() -> list[Row]:
        toy = json.dumps(registry.get("tasks", task).toys()[number].rows)
        return [
            row for turn in ("say", "tell", "give", "sing") for row in json.loads(toy.replace("say ", f"{turn} "))
        ]  # fmt: skip

    return rows


def _texts() -> list[Row]:
    return [{"text": " ".join(row["text"] for row in tickets()[start : start + 4])} for start in range(0, 60, 2)]


RUNS: dict[str, tuple[Callable[[], list[Row]], str, dict[str, Any]]] = {
    # name: (rows, base, options)
    "label": (tickets, "bert", {**QUICK, "method": "full"}),
    "label-auto": (tickets, "bert", {"precision": "fp32", "seed": 3}),
    "label-contrastive": (tickets, "bert", {"method": "contrastive", "precision": "fp32", "seed": 3}),
    "label-retain": (tickets, "bert", {**QUICK, "method": "full", **KEEPS}),
    "labels": (_several, "bert", {**QUICK, "method": "lora", "target": "labels"}),
    "pair": (_pairs, "bert", {**QUICK, "method": "adapters", "text": ["text", "text_pair"], "target": "label"}),
    "number": (_numbers, "bert", {**QUICK, "method": "gradual", "target": "score", "task": "text-regression"}),
    "number-prompt": (_numbers, "bert", {**QUICK, "method": "prompt", "target": "score", "task": "text-regression"}),
    "chat": (_toy("chat"), "llama", {**WRITES, "task": "chat", "method": "lora"}),
    "chat-progressive": (_toy("chat"), "llama-tied", {**WRITES, "task": "chat", "method": "gradual"}),
    "text": (_texts, "gpt2", {**WRITES, "task": "chat", "method": "full"}),
    "preference": (_toy("preference"), "llama", {**WRITES, "task": "preference", "method": "lora"}),
    "feedback": (_toy("preference", 1), "gpt2", {**WRITES, "task": "preference", "method": "full"}),
    "seq2seq": (_toy("seq2seq"), "t5", {**WRITES, "task": "seq2seq", "method": "adapters"}),
}  # fmt: skip


def record(folder: Path, only: list[str] | None = None) -> dict[str, Any]:
    """All runs, made in `folder`, which becomes the working directory."""
    os.chdir(folder)
    bert = save_bert(folder / "bert")
    kept = [{"text": row["text"], "label": row["label"]} for row in tickets()[::3]]
    _write(folder / "retain.jsonl", kept)
    found = {}
    for name, (rows, base, options) in RUNS.items():
        if only and name not in only:
            continue
        _write(folder / f"{name}.jsonl", rows())
        model = bert if base == "bert" else language_models.folder(base)
        run = tunesmith.train(f"{name}.jsonl", model=str(model), out=folder / f"run-{name}", verbose=False, **options)
        found[name] = {key: value for part in (_weights, _measured, _happened) for key, value in part(run).items()}
    return found


def _write(path: Path, rows: list[Row]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def _weights(run: tunesmith.Run) -> dict[str, Any]:
    """sha256 of all weights that were saved: name, form and bits of each."""
    digest = hashlib.sha256()
    for path in sorted((run.path / "model").rglob("*.safetensors")):
        digest.update(path.relative_to(run.path).as_posix().encode())
        for name, values in sorted(load_file(path).items()):
            digest.update(f"{name} {values.dtype} {values.shape}".encode() + values.tobytes())
    return {"weights": digest.hexdigest()}


def _measured(run: tunesmith.Run) -> dict[str, Any]:
    """What stands in metrics.json, without words and what depends on the machine; predictions as a hash."""
    document = run.document
    predictions = pq.read_table(run.folder.predictions).to_pydict()
    numbers = ("test", "validation", "baselines", "forgetting", "test_without_leaked", "per_class", "confusion_matrix")
    verdict = {key: document["verdict"][key] for key in ("level", "outcome", "against", "metric", "difference")}
    return {
        **{key: _only_numbers(document.get(key)) for key in numbers},
        "keys": sorted(document),
        "verdict": verdict,
        "findings": [one["name"] for one in document["findings"]],
        "predictions": hashlib.sha256(json.dumps(predictions, default=str).encode()).hexdigest(),
    }


def _only_numbers(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _only_numbers(one) for key, one in value.items() if not isinstance(one, str)}
    return [_only_numbers(one) for one in value] if isinstance(value, list) else value


def _happened(run: tunesmith.Run) -> dict[str, Any]:
    """Names of the events in their order, repeats told once; what was decided and what was warned of."""
    records = events.read(run.folder.events)
    names = [record["event"] for record in records]
    decided = [one for one in records if one["event"] == "decided" and one["what"] != "predicted"]  # a time, not a bit
    spec = yaml.safe_load(run.folder.spec.read_text(encoding="utf-8"))
    return {
        "events": [name for name, before in zip(names, [None, *names], strict=False) if name != before],
        "phases": [record["phase"] for record in records if record["event"] == "phase"],
        "decided": [[one["what"], _here(one["value"])] for one in decided],
        "warned": sorted(one["what"] for one in records if one["event"] == "warned"),
        "steps": [round(one["loss"], 6) for one in records if one["event"] == "step"],
        "spec": {key: _here(value) for key, value in spec.items()},
    }


def _here(value: Any) -> Any:
    """A path as its last part."""
    if isinstance(value, list):
        return [_here(one) for one in value]
    return Path(value).name if isinstance(value, str) and os.sep in value else value


def differences(old: Any, new: Any, where: str = "") -> Iterator[str]:
    """Where two records differ, a line for each."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            yield from differences(old.get(key), new.get(key), f"{where}/{key}")
    elif old != new:
        yield f"{where}: {json.dumps(old)[:300]} -> {json.dumps(new)[:300]}"


def _lines(found: dict[str, Any]) -> str:
    """JSON with a line for each key of a run, so that a change of it can be read."""
    runs = (
        f"  {json.dumps(name)}: {{\n"
        + ",\n".join(f"   {json.dumps(key)}: {json.dumps(value, sort_keys=True)}" for key, value in sorted(one.items()))
        + "\n  }"
        for name, one in found["runs"].items()
    )
    return f'{{\n "versions": {json.dumps(found["versions"])},\n "runs": {{\n' + ",\n".join(runs) + "\n }\n}\n"


def main(golden_file: Path, words: list[str]) -> int:
    """Compare with the file, or write it with "--write"; other `words` are names of runs. Returns an exit code."""
    only = [word for word in words if not word.startswith("-")]
    with tempfile.TemporaryDirectory(prefix="tunesmith-golden-") as folder:
        found = json.loads(json.dumps({"versions": versions(), "runs": record(Path(folder), only)}))
        os.chdir("/")
    if "--write" in words:
        golden_file.write_text(_lines(found), encoding="utf-8")
        return 0
    golden = json.loads(golden_file.read_text(encoding="utf-8"))
    if only:
        golden["runs"] = {name: golden["runs"][name] for name in only}
    lines = list(differences(golden, found))
    print("\n".join(lines) or "nothing changed")
    return int(bool(lines))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
