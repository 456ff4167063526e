"""Training steps at equal batch size: how fast, how near to the machine's peak, where the rest goes.

    python bench/steps.py
    python bench/steps.py --steps 20 --runs 1

Each contender takes the same number of rows a step; the steps of both are timed from one to the next, the
first ones left out. Model FLOP utilisation is the arithmetic that the model needs for the tokens that are
no padding (forward and backward), as a share of what the machine's matrix products reach.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import common

SIZES = (16, 32)


def main() -> None:
    arguments = parse()
    if arguments.worker:
        import steps_worker

        steps_worker.work(arguments.worker, arguments)
        return
    data = common.data_set("banking77", ["train.csv", "test.csv"], arguments.data)
    result: dict[str, Any] = {"data": data.name, "runs": [], "peak": worker("peak", data, arguments)}
    for number in range(arguments.runs):
        for size in SIZES:
            for contender in ("tunesmith", "peer"):
                found = one_run(contender, size, number, data, arguments)
                result["runs"].append(found)
                speed = f"{found['examples_per_second']:.1f} examples/s"
                print(f"{contender:>10} {size} rows #{number}: {speed}", file=sys.stderr)
    result["shape"] = worker("shape", data, arguments)
    result["profile"] = worker("profile", data, arguments)
    common.save("steps", result)
    print(report(result))


def one_run(contender: str, size: int, number: int, data: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    if contender == "tunesmith":
        found = worker("tunesmith", data, arguments, size=size, number=number)
    else:
        command = [
            sys.executable, common.BENCH / "peer_trainer.py", data / "train.csv", data / "test.csv",
            "--batch-size", size, "--max-steps", arguments.steps, "--seed", number,
        ]  # fmt: skip
        found = common.measure(command, log=common.OUT / "logs" / f"steps-peer-{size}-{number}.log").last_json()
    return {"contender": contender, "size": size, "number": number, **found}


def worker(kind: str, data: Path, arguments: argparse.Namespace, size: int = 16, number: int = 0) -> dict[str, Any]:
    """Do `kind` of work in a process of its own and read its answer."""
    answer = common.OUT / f"steps-{kind}.answer"
    answer.parent.mkdir(parents=True, exist_ok=True)
    answer.unlink(missing_ok=True)
    command = [
        sys.executable, __file__, "--worker", kind, "--data", data, "--size", size, "--number", number,
        "--steps", arguments.steps, "--answer", answer,
    ]  # fmt: skip
    common.measure(command, log=common.OUT / "logs" / f"steps-{kind}-{size}-{number}.log")
    found: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
    answer.unlink()
    return found


def report(result: dict[str, Any]) -> str:
    """Markdown: speed, ratio, utilisation, and where the time goes."""
    peak, shape = result["peak"], result["shape"]
    rows = []
    for size in SIZES:
        speeds = {
            contender: common.median(
                run["examples_per_second"]
                for run in result["runs"]
                if run["contender"] == contender and run["size"] == size
            )
            for contender in ("tunesmith", "peer")
        }
        for contender, speed in speeds.items():
            flops = speed * flops_per_example(shape)
            rows.append(
                [
                    f"{'Tunesmith' if contender == 'tunesmith' else 'Trainer'}, {size} rows",
                    f"{speed:.1f}",
                    common.times(speed / speeds["peer"]),
                    f"{flops / 1e9:.0f}",
                    f"{flops / peak['fp32']:.0%}",
                    f"{flops / peak['bf16']:.0%}",
                ]
            )
    header = ["steps", "examples/s", "ratio", "GFLOP/s", "of fp32 peak", "of bf16 peak"]
    rates = f"{peak['fp32'] / 1e9:.0f} GFLOP/s in fp32 and {peak['bf16'] / 1e9:.0f} in bf16"
    lines = [
        common.table(header, rows),
        "",
        f"The peak of matrix products measured on this machine is {rates}.",
        "",
    ]
    profile = result["profile"]
    shares = [[name, f"{share:.0%}"] for name, share in profile["shares"].items()]
    lines += [
        f"Where the time of a Tunesmith step goes (16 rows, {profile['precision']}):",
        "",
        common.table(["", "share"], shares),
    ]
    return "\n".join(lines)


def flops_per_example(shape: dict[str, float]) -> float:
    """Multiplications and additions of one row, forward and backward (twice the forward)."""
    tokens = shape["tokens_per_example"]
    weights = 2 * shape["block_weights"] * tokens
    attention = 4 * shape["layers"] * shape["hidden"] * shape["squared_tokens_per_example"]
    return 3 * (weights + attention)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with train.csv and test.csv; banking77 when not given")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--worker", choices=["tunesmith", "peak", "shape", "profile"], help=argparse.SUPPRESS)
    parser.add_argument("--size", type=int, default=16, help=argparse.SUPPRESS)
    parser.add_argument("--number", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--answer", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
