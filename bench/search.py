"""What pruning is worth: a search that ends trials early beside random search without, for the same wall time.

    python bench/search.py                       # three seeds of two searches, some 25 minutes
    python bench/search.py --budget 10m --seeds 0

Both choose learning rate, epochs, batch size, weight decay, dropout and frozen share of `full` on the same
training and validation rows of banking77, both begin at the defaults. `pruned` is what `tunesmith search` does:
settings from an estimator, successive halving after each epoch. `random` draws every setting and trains every
trial to its end. The test rows are read once, by the winner.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import common

CONTENDERS = ("pruned", "random")
SPACE = {
    "learning_rate": {"low": 1e-5, "high": 2e-3, "log": True}, "epochs": {"low": 1, "high": 8},
    "batch_size": [8, 16, 32], "weight_decay": {"low": 1e-4, "high": 0.3, "log": True}, "dropout": [0.0, 0.1, 0.2],
    "frozen_share": [0.0, 1 / 3, 2 / 3], "head_init": ["probe", "random"],
}  # fmt: skip
"""Wide on purpose: around the defaults nearly every setting is good, and there is nothing to prune."""


def main() -> None:
    arguments = parse()
    if arguments.worker:
        return search(arguments)
    data = common.data_set("banking77", ["train.csv", "test.csv"], arguments.data)
    train = thinned(data / "train.csv", arguments.rows)
    test = thinned(data / "test.csv", arguments.rows)
    done: list[dict[str, Any]] = []
    for seed in map(int, arguments.seeds.split(",")):
        for contender in CONTENDERS:
            out = common.fresh(f"search-{contender}-{seed}")
            measured = common.measure(
                [sys.executable, __file__, "--worker", contender, "--train", train, "--test", test, "--out", out,
                 "--seeds", seed, "--budget", arguments.budget],
                log=common.OUT / "logs" / f"search-{contender}-{seed}.log",
            )  # fmt: skip
            done.append({"contender": contender, "seed": seed, **common.record(measured), **measured.last_json()})
            said = f"validation {done[-1]['validation']:.4f}, test {done[-1]['test']:.4f}"
            print(f"#{seed} {contender:>7}: {said}, {done[-1]['trials']} trials", file=sys.stderr, flush=True)
            common.save("search", {"budget": arguments.budget, "rows": arguments.rows, "runs": done})
    print(report({"budget": arguments.budget, "rows": arguments.rows, "runs": done}))


def thinned(file: Path, rows: int) -> Path:
    """Every so many rows of a file, which lists one class after the other."""
    everything = common.read_csv(file)
    chosen = everything[:: max(1, len(everything) // rows)][:rows]
    return common.write_csv(
        common.OUT / "data" / f"search-{file.name}", list(chosen[0]), [list(row.values()) for row in chosen]
    )


def search(arguments: argparse.Namespace) -> None:
    """One search, in a process of its own; prints what it found."""
    import json

    from tunesmith.studies import search as workflow

    if arguments.worker == "random":
        workflow.STARTUP = 10**9  # every trial is drawn
    found = workflow.search(
        arguments.train, test=str(arguments.test), out=arguments.out, budget=arguments.budget, space=SPACE,
        method="full", pruning=arguments.worker == "pruned", seed=int(arguments.seeds), validation_size=0.2,
    ).document  # fmt: skip
    states = [trial["state"] for trial in found["trials"]]
    print(json.dumps({
        "validation": found["best"]["value"], "test": found["test"]["value"], "trials": len(states),
        "pruned": states.count("pruned"), "seconds": found["seconds"],
    }))  # fmt: skip


def report(result: dict[str, Any]) -> str:
    rows = []
    for run in result["runs"]:
        rows.append([
            f"{run['contender']}, seed {run['seed']}", f"{run['validation']:.4f}", f"{run['test']:.4f}",
            str(run["trials"]), str(run["pruned"]), f"{run['seconds']:.0f} s",
        ])  # fmt: skip
    for contender in CONTENDERS:
        mine = [run for run in result["runs"] if run["contender"] == contender]
        if len(mine) > 1:
            means = [f"{common.mean(run[name] for run in mine):.4f}" for name in ("validation", "test")]
            rows.append([f"{contender}, mean", *means, "", "", ""])
    table = common.table(["search", "validation", "test", "trials", "ended early", "time in trials"], rows)
    return f"{table}\n\n{result['rows']:,} training rows, a fifth of them for validation; {result['budget']} a search."


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with banking77's train.csv and test.csv")
    parser.add_argument("--rows", type=int, default=600, help="training rows (600)")
    parser.add_argument("--budget", default="4m", help="wall time of each search (4m)")
    parser.add_argument("--seeds", default="0,1,2")
    for name in ("--worker", "--train", "--test", "--out"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
