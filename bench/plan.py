"""What a run was predicted to take beside what it took, for the methods that tune a language model.

    python bench/plan.py
    python bench/plan.py --methods full,lora

The model and the rows are those of bench/language.py: a Llama of 33 million random weights, 400 prompts and
completions, here one epoch (progressive unfreezing: three, until everything moves). Every run predicts itself
before its first step, as `tunesmith plan` does, from the model's shape and a second of measuring, and keeps the
prediction in its metrics.json beside the truth.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import common
import language

METHODS = "full,lora,qlora,adapters,ia3,prefix,prompt,gradual"
EPOCHS = {"gradual": 3}
"""One, where nothing else is said: that many until everything moves."""


def main() -> None:
    arguments = parse()
    common.data_set("tok_gpt2", ["vocab.json", "merges.txt"], arguments.tokenizer)
    arguments.steps = arguments.peer_steps = arguments.packed_steps = 0
    language.write_rows(arguments)
    language.worker("model", arguments)
    result: dict[str, Any] = {"runs": []}
    for method in arguments.methods.split(","):
        one = one_run(method, arguments)
        result["runs"].append(one)
        said = f"{one['predicted_seconds']:.0f} s for {one['seconds']:.0f} s, "
        said += f"{common.megabytes(one['predicted_bytes'])} for {common.megabytes(one['peak_bytes'])}"
        print(f"{method:>10}: {said}", file=sys.stderr, flush=True)
        common.save("plan", result)
    print(report(result))


def one_run(method: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Train for an epoch and read both sides."""
    run = common.fresh(f"plan-{method}")
    words = [f"epochs={EPOCHS.get(method, 1)}", "batch_size=8", f"max_length={arguments.max_length}", "few_shot=0"]
    common.measure(
        [common.TUNESMITH, "train", language.folder() / "rows.jsonl", "--task", "chat", "--method", method,
         "--model", language.folder() / "33M", *(part for word in words for part in ("--set", word)),
         "--out", run, "--json"],
        log=common.OUT / "logs" / f"{run.name}.log",
    )  # fmt: skip
    cost = common.metrics(run)["cost"]
    return {
        "method": method, "seconds": cost["train_seconds"], "peak_bytes": cost["peak_memory_bytes"],
        "predicted_seconds": cost["predicted"]["train_seconds"],
        "predicted_bytes": cost["predicted"]["peak_memory_bytes"],
    }  # fmt: skip


def report(result: dict[str, Any]) -> str:
    """Markdown: the table."""
    rows = [
        [run["method"], f"{run['predicted_seconds']:.0f} s", f"{run['seconds']:.0f} s",
         f"{run['predicted_seconds'] / run['seconds']:.2f}", common.megabytes(run["predicted_bytes"]),
         common.megabytes(run["peak_bytes"]), f"{run['predicted_bytes'] / run['peak_bytes']:.2f}"]
        for run in result["runs"]
    ]  # fmt: skip
    header = ["method", "time, predicted", "taken", "ratio", "memory, predicted", "taken", "ratio"]
    return "\n".join([common.table(header, rows), "", "Time of training with its evaluations; peak memory of the run."])


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", default=METHODS, help="with commas")
    parser.add_argument("--tokenizer", type=Path, help="folder with vocab.json and merges.txt of GPT-2")
    parser.add_argument("--instructions", type=Path, help="folder with seed_tasks.jsonl")
    parser.add_argument("--papers", type=Path, help="folder with train.jsonl of SciTLDR")
    parser.add_argument("--max-length", type=int, default=1000, help="prefix and prompt need some of 1,024")
    return parser.parse_args()


if __name__ == "__main__":
    main()
