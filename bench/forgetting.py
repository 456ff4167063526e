"""Two tasks in turn: what learning the second costs of the first, with and without measures against it.

    python bench/forgetting.py                              # some 25 minutes on two cores
    python bench/forgetting.py --seeds 0 --contenders plain,ewc,rehearsal

banking77 is cut into two halves of its intents, drawn by the seed. The first half is learned with the
defaults; then every contender continues that run with the second half. `plain` and the callbacks beside it
fine-tune in the usual way: a head from noise, a high rate, five epochs. `default` is what tunesmith does
unasked. All answers are those on test rows, of the first half by its own head. Where no step beats the
start on validation rows (`default` and `adapters` start from the linear solution), the start is kept, and
nothing is lost.
"""

from __future__ import annotations

import argparse
import random
import sys
from pathlib import Path
from typing import Any

import common

USUAL = ["--method", "full", "--set", "head_init=random", "--set", "learning_rate=5e-4", "--set", "epochs=5"]
CONTENDERS: dict[str, list[str]] = {
    "plain": USUAL,
    "ewc": [*USUAL, "--callback", "ewc"],
    "l2sp": [*USUAL, "--callback", "l2sp"],
    "rehearsal": [*USUAL, "--callback", "rehearsal"],
    "distill": [*USUAL, "--callback", "distill"],
    "adapters": ["--method", "adapters", "--set", "patience=9"],
    "progressive": ["--method", "progressive"],
    "default": ["--method", "full"],
}
COLUMNS = ["text", "category"]


def main() -> None:
    arguments = parse()
    data = common.data_set("banking77", ["train.csv", "test.csv"], arguments.data)
    before = common.saved("forgetting") if arguments.keep else None
    done: list[dict[str, Any]] = before["runs"] if before else []
    for seed in map(int, arguments.seeds.split(",")):
        known = [run["contender"] for run in done if run["seed"] == seed]
        wanted = [name for name in arguments.contenders.split(",") if name not in known]
        if not wanted:
            continue
        first, second = halves(data, seed, arguments.rows)
        start = common.fresh(f"forgetting-{seed}-first")
        train(start, first, seed, ["--method", "full"])
        for contender in wanted:
            run = common.fresh(f"forgetting-{seed}-{contender}")
            measured = train(run, second, seed, ["--continue-from", start, *CONTENDERS[contender]])
            found = {"contender": contender, "seed": seed, **common.record(measured), **numbers(run)}
            done.append(found)
            said = f"first {found['before']:.4f} to {found['after']:.4f}, second {found['second']:.4f}"
            print(f"#{seed} {contender:>10}: {said}, {found['wall_seconds']:.0f} s", file=sys.stderr)
            common.save("forgetting", {"rows": arguments.rows, "runs": done})
    print(report({"rows": arguments.rows, "runs": done}))


def halves(data: Path, seed: int, rows: int) -> list[tuple[Path, Path]]:
    """Training and test file of either half of the intents."""
    train, test = (common.read_csv(data / name) for name in ("train.csv", "test.csv"))
    intents = sorted({row["category"] for row in train})
    chance = random.Random(seed)
    chance.shuffle(intents)
    chance.shuffle(train)
    found = []
    for name, some in (("first", intents[: len(intents) // 2]), ("second", intents[len(intents) // 2 :])):
        paths = []
        for part, source, most in (("train", train, rows), ("test", test, len(test))):
            chosen = [(row["text"], row["category"]) for row in source if row["category"] in set(some)]
            path = common.OUT / "data" / f"banking77-{name}-{rows}-{seed}-{part}.csv"
            paths.append(common.write_csv(path, COLUMNS, chosen[:most]))
        found.append((paths[0], paths[1]))
    return found


def train(run: Path, files: tuple[Path, Path], seed: int, flags: list[Any]) -> common.Measured:
    return common.measure(
        [common.TUNESMITH, "train", files[0], "--test", files[1], "--text", COLUMNS[0], "--target", COLUMNS[1],
         "--seed", seed, "--out", run, *flags],
        log=common.OUT / "logs" / f"{run.name}.log",
    )  # fmt: skip


def numbers(run: Path) -> dict[str, float]:
    document = common.metrics(run)
    (task,) = document["forgetting"]["tasks"]
    return {"before": task["before"], "after": task["after"], "second": document["test"]["accuracy"]["value"]}


def report(result: dict[str, Any]) -> str:
    rows = []
    for name in dict.fromkeys(run["contender"] for run in result["runs"]):
        runs = [run for run in result["runs"] if run["contender"] == name]
        lost = [run["before"] - run["after"] for run in runs]
        mean = {key: sum(run[key] for run in runs) / len(runs) for key in ("before", "after", "second")}
        wall = common.median(run["wall_seconds"] for run in runs)
        rows.append([
            name, f"{mean['before']:.4f}", f"{mean['after']:.4f}", f"{min(lost):.4f} to {max(lost):.4f}",
            f"{mean['second']:.4f}", len(runs), f"{wall:.0f} s",
        ])  # fmt: skip
    head = ["second task with", "first before", "first after", "lost, least to most", "second", "runs", "wall time"]
    return common.table(head, rows)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of banking77")
    parser.add_argument("--rows", type=int, default=1_500, help="most training rows of either half")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--contenders", default=",".join(CONTENDERS))
    parser.add_argument("--keep", action="store_true", help="keep the runs of an interrupted benchmark")
    return parser.parse_args()


if __name__ == "__main__":
    main()
