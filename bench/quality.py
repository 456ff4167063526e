"""How good: the default recipe, `head` and `lora` on four data sets, beside their baselines.

    python bench/quality.py
    python bench/quality.py --sets banking77,sms_spam --methods default,head --seeds 0,1,2

The sets differ in kind: many labels for short questions, two unequal ones with duplicates, several labels
a text, and a number for a pair of texts.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import common


@dataclass
class Prepared:
    """A data set as CSV files with a header, and the flags that go with it."""

    train: Path
    flags: list[object]


def banking77(source: Path, to: Path) -> Prepared:
    return Prepared(source / "train.csv", ["--test", source / "test.csv", "--text", "text", "--target", "category"])


def sms_spam(source: Path, to: Path) -> Prepared:
    lines = (source / "sms.tsv").read_text(encoding="utf-8").splitlines()
    rows = [line.partition("\t")[::2] for line in lines if line]
    train = common.write_csv(to / "sms.csv", ["label", "text"], rows)
    return Prepared(train, ["--text", "text", "--target", "label"])


def goemotions(source: Path, to: Path) -> Prepared:
    names = (source / "labels.txt").read_text(encoding="utf-8").split()

    def convert(name: str) -> Path:
        rows = []
        for line in (source / f"{name}.tsv").read_text(encoding="utf-8").split("\n"):
            if line:
                text, labels, _ = line.split("\t")
                rows.append((text, "|".join(names[int(number)] for number in labels.split(","))))
        return common.write_csv(to / f"{name}.csv", ["text", "labels"], rows)

    flags = [
        "--validation",
        convert("dev"),
        "--test",
        convert("test"),
        "--text",
        "text",
        "--target",
        "labels",
    ]
    return Prepared(convert("train"), flags)


def stsb(source: Path, to: Path) -> Prepared:
    def convert(name: str) -> Path:
        with open(source / f"stsb-en-{name}.csv", encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))
        return common.write_csv(to / f"{name}.csv", ["first", "second", "score"], rows)

    columns = ["--text", "first", "--text", "second", "--target", "score"]
    return Prepared(convert("train"), ["--validation", convert("dev"), "--test", convert("test"), *columns])


SETS: dict[str, Callable[[Path, Path], Prepared]] = {
    "banking77": banking77, "sms_spam": sms_spam, "goemotions": goemotions, "stsb": stsb,
}  # fmt: skip


def main() -> None:
    arguments = parse()
    wanted = [name for name in arguments.sets.split(",") if (arguments.data / name).is_dir()]
    missing = [name for name in arguments.sets.split(",") if name not in wanted]
    if missing:
        print(f"skipped: {arguments.data} has no {', '.join(missing)}", file=sys.stderr)
    if not wanted:
        common.not_here("none of the data sets is there; give --data DIR or set TUNESMITH_DATA.")
    done: list[dict[str, Any]] = []
    for seed in map(int, arguments.seeds.split(",")):
        for name in wanted:
            prepared = SETS[name](arguments.data / name, common.OUT / "data" / name)
            for method in arguments.methods.split(","):
                done.append(one_run(name, prepared, method, seed, arguments.set or []))
                found = done[-1]
                print(f"{name:>12} {method:>8}: {found['metric']} {found['value']:.4f}", file=sys.stderr)
                common.save("quality", {"runs": done})
    print(report({"runs": done}))


def one_run(name: str, prepared: Prepared, method: str, seed: int, settings: list[str]) -> dict[str, Any]:
    label = f"quality-{name}-{method}-{seed}"
    run = common.fresh(label)
    chosen = ["--method", method] if method != "default" else []
    extra = [part for setting in settings for part in ("--set", setting)]
    measured = common.measure(
        [common.TUNESMITH, "train", prepared.train, *prepared.flags, *chosen, *extra, "--seed", seed,
         "--out", run, "--json"],
        log=common.OUT / "logs" / f"{label}.log",
    )  # fmt: skip
    found = common.metrics(run)
    metric = found.get("first_metric") or next(iter(found["test"]))
    baselines = {
        baseline: values[metric]["value"] for baseline, values in found["baselines"].items() if metric in values
    }
    return {
        "set": name, "method": method, "seed": seed, "metric": metric, **found["test"][metric],
        "baselines": baselines, "verdict": found["verdict"], "wall_seconds": measured.wall_seconds,
        "peak_bytes": measured.peak_bytes,
    }  # fmt: skip


def report(result: dict[str, Any]) -> str:
    rows = []
    for key in dict.fromkeys((run["set"], run["method"]) for run in result["runs"]):
        runs = [run for run in result["runs"] if (run["set"], run["method"]) == key]
        first = runs[0]
        best = max(first["baselines"], key=lambda name: first["baselines"][name], default=None)
        against = f"{first['baselines'][best]:.4f} ({best.replace('_', ' ')})" if best else "-"
        value = common.median(run["value"] for run in runs)
        interval = f"{first['low']:.3f} to {first['high']:.3f}"
        wall = f"{common.median(run['wall_seconds'] for run in runs):.0f} s"
        rows.append([f"{key[0]}, {key[1]}", first["metric"], f"{value:.4f}", interval, against, wall])
    return common.table(["data, method", "metric", "value", "95 % interval", "best baseline", "wall time"], rows)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=common.DATA, help="folder of the data sets' folders")
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--methods", default="default,head,lora")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--set", action="append", metavar="NAME=VALUE", help="handed on to every run")
    return parser.parse_args()


if __name__ == "__main__":
    main()
