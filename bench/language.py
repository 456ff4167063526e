"""Fine-tuning a language model on its learned tokens: speed, memory, and how near to the machine's peak.

    python bench/language.py
    python bench/language.py --runs 1 --steps 10 --peer-steps 4 --packed-steps 2

All weights of the same Llama with random weights, 33 million of them, learn the same 400 prompts and
completions (short instructions, and abstracts with their one-sentence summaries), 8 rows a step, only the
completions' tokens. The peer is `trl.SFTTrainer` with its defaults, and with `packing=True`. Steps are timed
from one to the next, the first ones left out; a token counts when it is no padding, whoever computes it. With
a GPU, models of 0.5 and 1 billion weights follow, there also beside the peer with Liger's kernels.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import common

ROWS = {"self_instruct": 100, "scitldr": 300}
"""Rows of each data set: about 83,000 tokens, a sixth of them learned."""
CONTENDERS = {
    "tunesmith": "Tunesmith",
    "peer": "SFTTrainer, defaults",
    "peer-packed": "SFTTrainer, packing",
    "peer-liger": "SFTTrainer, Liger",
}
HERE = ("tunesmith", "peer", "peer-packed")
SIZES_GPU = ("0.5B", "1B")


def main() -> None:
    arguments = parse()
    if arguments.worker:
        import language_worker

        language_worker.work(arguments.worker, arguments)
        return
    if importlib.util.find_spec("trl") is None:
        common.not_here("trl is not installed; pip install -e '.[dev]'.")
    common.data_set("tok_gpt2", ["vocab.json", "merges.txt"], arguments.tokenizer)
    write_rows(arguments)
    found = worker("peak", arguments)
    result: dict[str, Any] = {"runs": [], "peak": found, "shape": {}}
    result["rows"] = sum(ROWS.values())
    everyone = [("33M", HERE)] + [(size, tuple(CONTENDERS)) for size in SIZES_GPU if found["gpu"]]
    for size, contenders in everyone:
        result["shape"][size] = worker("model", arguments, size)
        for number in range(arguments.runs):
            for contender in contenders:
                one = {"size": size, "contender": contender, **worker(contender, arguments, size, number)}
                result["runs"].append(one)
                text = f"{one['tokens_per_second']:.0f} tokens/s, {common.megabytes(one['peak_bytes'])}"
                print(f"{size} {contender:>11} #{number}: {text}", file=sys.stderr)
    common.save("language", result)
    print(report(result))


def worker(kind: str, arguments: argparse.Namespace, size: str = "33M", number: int = 0) -> dict[str, Any]:
    """Do `kind` of work in a process of its own and read its answer."""
    name = f"language-{kind}-{size}-{number}"
    answer = common.OUT / f"{name}.answer"
    answer.unlink(missing_ok=True)
    steps = {"tunesmith": arguments.steps, "peer-packed": arguments.packed_steps}.get(kind, arguments.peer_steps)
    command = [
        sys.executable, __file__, "--worker", kind, "--size", size, "--number", number, "--steps", steps,
        "--tokenizer", arguments.tokenizer or common.DATA / "tok_gpt2", "--answer", answer,
    ]  # fmt: skip
    common.measure(command, log=common.OUT / "logs" / f"{name}.log")
    found: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
    answer.unlink()
    return found


def folder() -> Path:
    """Where rows and models of this benchmark are."""
    return common.OUT / "language"


def write_rows(arguments: argparse.Namespace) -> None:
    """rows.jsonl: prompt and completion."""
    instructions = common.data_set("self_instruct", ["seed_tasks.jsonl"], arguments.instructions)
    papers = common.data_set("scitldr", ["train.jsonl"], arguments.papers)
    rows = [
        *first(ROWS["self_instruct"], as_instruction(instructions / "seed_tasks.jsonl")),
        *first(ROWS["scitldr"], as_summary(papers / "train.jsonl")),
    ]
    folder().mkdir(parents=True, exist_ok=True)
    (folder() / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def as_instruction(path: Path) -> Iterator[dict[str, str]]:
    for line in path.read_text(encoding="utf-8").splitlines():
        task = json.loads(line)
        shown = task["instances"][0]
        prompt = "\n".join(part for part in (task["instruction"], shown["input"]) if part)
        yield pair(prompt, shown["output"])


def as_summary(path: Path) -> Iterator[dict[str, str]]:
    for line in path.read_text(encoding="utf-8").splitlines():
        paper = json.loads(line)
        yield pair(" ".join(paper["source"]), paper["target"][0])


def pair(prompt: str, completion: str) -> dict[str, str]:
    """Parted where no token spans both, so that all contenders see the same tokens."""
    return {"prompt": prompt.strip(), "completion": f"\n{completion.strip()}"}


def first(count: int, rows: Iterator[dict[str, str]]) -> Iterator[dict[str, str]]:
    return (row for row, _ in zip(rows, range(count), strict=False))


def report(result: dict[str, Any]) -> str:
    """Markdown: speed, ratio, utilisation and memory of each contender."""
    rows = []
    for size, shape in result["shape"].items():
        runs = [run for run in result["runs"] if run["size"] == size]
        middle = {
            contender: {
                name: common.median(run[name] for run in runs if run["contender"] == contender)
                for name in ("tokens_per_second", "tokens_per_processor_second", "peak_bytes")
            }
            for contender in CONTENDERS
            if any(run["contender"] == contender for run in runs)
        }
        peer = middle["peer"]
        for contender, found in middle.items():
            speed, memory = found["tokens_per_second"], found["peak_bytes"]
            used = speed * flops_per_token(shape) / result["peak"]["bf16"]
            busy = found["tokens_per_processor_second"] / peer["tokens_per_processor_second"]
            rows.append([
                f"{CONTENDERS[contender]}, {size}", f"{speed:,.0f}", common.times(speed / peer["tokens_per_second"]),
                common.times(busy), f"{used:.0%}", common.megabytes(memory), f"{memory / peer['peak_bytes']:.0%}",
            ])  # fmt: skip
    header = ["all weights learn", "tokens/s", "ratio", "by CPU time", "of bf16 peak", "peak memory", "ratio"]
    shape = next(iter(result["shape"].values()))
    said = next(run["settings"] for run in result["runs"] if run["contender"] == "peer")
    lines = [
        common.table(header, rows),
        "",
        f"{result['rows']} rows, {shape['tokens']:,} tokens, {shape['learned'] / shape['tokens']:.0%} of them learned; "
        f"8 rows a step (with the peer's packing, 8 packs of up to {said['max_length']} tokens). "
        f"The bf16 peak is that of matrix products, {result['peak']['bf16'] / 1e9:.0f} GFLOP/s. "
        f"What SFTTrainer does by default here: {', '.join(f'{name} {value}' for name, value in said.items())}.",
    ]
    return "\n".join(lines)


def flops_per_token(shape: dict[str, float]) -> float:
    """Multiplications and additions that a token needs, forward and backward (twice the forward).

    Each weight of the blocks once; attention to what stands before the token; logits of learned tokens.
    """
    blocks = 2 * shape["block_weights"]
    attention = 4 * shape["layers"] * shape["hidden"] * shape["squared_tokens"] / shape["tokens"] / 2
    logits = 2 * shape["vocabulary"] * shape["hidden"] * shape["learned"] / shape["tokens"]
    return 3 * (blocks + attention + logits)


@dataclass
class Meter:
    """Counts the tokens of steps, and the time from the end of one to the end of the next."""

    warm_up: int
    """Steps that do not count: memory is still being asked for, kernels are being compiled."""
    marks: list[tuple[float, float]] = field(default_factory=list)
    """Seconds of the clock and of the processor at the end of each step."""
    tokens: list[int] = field(default_factory=list)

    def step(self, tokens: int) -> int:
        """Note a finished step; answers how many count already."""
        self.marks.append((time.perf_counter(), time.process_time()))
        self.tokens.append(tokens)
        return len(self.marks) - self.warm_up

    def speed(self) -> dict[str, Any]:
        (first, first_busy), (last, last_busy) = self.marks[self.warm_up - 1], self.marks[-1]
        tokens = sum(self.tokens[self.warm_up :])
        return {
            "tokens_per_second": tokens / (last - first),
            "tokens_per_processor_second": tokens / (last_busy - first_busy),
            "steps": len(self.marks) - self.warm_up,
        }


def peak_bytes() -> int:
    """Largest resident size of this process; on a GPU the most memory that was held there."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    status = Path(f"/proc/{os.getpid()}/status").read_text(encoding="ascii", errors="replace")
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:"))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--instructions", type=Path, help="folder with seed_tasks.jsonl of self_instruct")
    parser.add_argument("--papers", type=Path, help="folder with train.jsonl of SciTLDR")
    parser.add_argument("--tokenizer", type=Path, help="folder with vocab.json and merges.txt of GPT-2")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--peer-steps", type=int, default=12)
    parser.add_argument("--packed-steps", type=int, default=3, help="steps of the packing peer, 5 times as large")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--worker", choices=["peak", "model", *CONTENDERS], help=argparse.SUPPRESS)
    parser.add_argument("--size", default="33M", help=argparse.SUPPRESS)
    parser.add_argument("--number", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--answer", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
