"""From two CSV files to metrics: Tunesmith by default, `--method head`, and the peer, taking turns.

python bench/end_to_end.py                            # banking77, three rounds
python bench/end_to_end.py --runs 1 --rates 1e-4,3e-4,5e-4    # which rate suits the peer best
python bench/end_to_end.py --keep                     # go on after an interruption
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import common

TUTORIAL_RATE = 5e-5


def main() -> None:
    arguments = parse()
    data = common.data_set("banking77", ["train.csv", "test.csv"], arguments.data)
    rates = [float(rate) for rate in arguments.rates.split(",")]
    contenders = ["default", "head", *(f"peer {rate:g}" for rate in rates)]
    before = common.saved("end_to_end") if arguments.keep else None
    done: list[dict[str, Any]] = before["runs"] if before else []
    for number in range(arguments.runs):
        for contender in contenders:
            if any(r["contender"] == contender and r["number"] == number for r in done):
                continue
            found = one_run(contender, number, data, arguments)
            done.append(found)
            seconds, size = found["wall_seconds"], common.megabytes(found["peak_bytes"])
            said = f"{seconds:7.1f} s, accuracy {found['accuracy']:.4f}, {size}"
            print(f"{contender:>12} #{number}: {said}", file=sys.stderr)
            common.save("end_to_end", {"data": data.name, "runs": done})
    print(report(common.saved("end_to_end") or {}))


def one_run(contender: str, number: int, data: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Run one contender once."""
    name = f"end-to-end-{contender.replace(' ', '-')}-{number}"
    log = common.OUT / "logs" / f"{name}.log"
    train, test = data / "train.csv", data / "test.csv"
    if contender.startswith("peer"):
        measured = common.measure(
            [sys.executable, common.BENCH / "peer_trainer.py", train, test, "--text", arguments.text,
             "--target", arguments.target, "--learning-rate", contender.split()[1], "--seed", number],
            log=log,
        )  # fmt: skip
        answer = measured.last_json()
        extra = {"accuracy": answer["accuracy"], "train_seconds": answer["train_seconds"]}
    else:
        run = common.fresh(name)
        method = ["--method", contender] if contender != "default" else []
        measured = common.measure(
            [common.TUNESMITH, "train", train, "--test", test, "--text", arguments.text,
             "--target", arguments.target, *method, "--seed", number, "--out", run, "--json"],
            log=log,
        )  # fmt: skip
        found = common.metrics(run)
        extra = {
            "accuracy": found["test"]["accuracy"]["value"],
            "low": found["test"]["accuracy"]["low"],
            "high": found["test"]["accuracy"]["high"],
            "verdict": found["verdict"],
            "phases": common.phases(run),
            "train_seconds": common.phases(run).get("train"),
        }
    return {"contender": contender, "number": number, **common.record(measured), **extra}


def summary(result: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Medians by contender."""
    names = list(dict.fromkeys(run["contender"] for run in result["runs"]))
    return {
        name: {
            what: common.median(run[what] for run in result["runs"] if run["contender"] == name)
            for what in ("wall_seconds", "accuracy", "peak_bytes")
        }
        for name in names
    }


def report(result: dict[str, Any]) -> str:
    """Markdown: the table, and the ratios that were promised."""
    medians = summary(result)
    peers = {name: found for name, found in medians.items() if name.startswith("peer")}
    tutorial = peers.get(f"peer {TUTORIAL_RATE:g}")
    better = max(peers.values(), key=lambda found: found["accuracy"]) if peers else None
    rows = []
    for name, found in medians.items():
        rounds = sum(run["contender"] == name for run in result["runs"])
        faster = [
            common.times(peer["wall_seconds"] / found["wall_seconds"]) if peer else "-" for peer in (tutorial, better)
        ]
        rows.append(
            [
                name.replace("peer", "Trainer, rate"),
                f"{found['accuracy']:.4f}",
                f"{found['wall_seconds']:.1f} s",
                *faster,
                common.megabytes(found["peak_bytes"]),
                rounds,
            ]
        )
    header = ["contender", "accuracy", "wall time", "vs tutorial rate", "vs best rate", "peak memory", "runs"]
    lines = [common.table(header, rows), ""]
    ours = [(found["wall_seconds"], name) for name, found in medians.items() if name not in peers]
    if better:
        equal = [(wall, name) for wall, name in ours if medians[name]["accuracy"] >= better["accuracy"]]
        if equal:
            wall, name = min(equal)
            ratio = common.times(better["wall_seconds"] / wall)
            lines.append(f"At least as accurate as the better Trainer, the fastest way is `{name}`: {ratio} faster.")
    for name in ("default", "head"):
        spent = [run.get("phases") for run in result["runs"] if run["contender"] == name and run.get("phases")]
        if spent:
            parts = ", ".join(f"{phase} {common.median(s.get(phase, 0) for s in spent):.1f} s" for phase in spent[0])
            lines.append(f"Where the time of `{name}` goes: {parts}.")
    return "\n".join(lines).rstrip()


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with train.csv and test.csv; banking77 when not given")
    parser.add_argument("--text", default="text")
    parser.add_argument("--target", default="category")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--rates", default="5e-5,3e-4", help="learning rates of the peer, with commas")
    parser.add_argument("--keep", action="store_true", help="keep the runs of an interrupted benchmark")
    return parser.parse_args()


if __name__ == "__main__":
    main()
