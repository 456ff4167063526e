"""How good: what `auto` chooses beside every single method, on six data sets of different kinds and sizes.

    python bench/quality.py
    python bench/quality.py --sets banking77,sms_spam --methods head,full --seeds 0,1,2
    python bench/quality.py --methods contrastive --keep       # added to what was measured before

Many labels for short questions (all rows, and 8 a class), two unequal ones with duplicates, several labels a
text, one label for a sentence of an abstract, and a number for a pair of texts. A run is the same bit for bit
whether `auto` chose its method or the flag did, so that method is not run twice.
"""

from __future__ import annotations

import argparse
import csv
import shutil
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


def banking77_8(source: Path, to: Path) -> Prepared:
    import few_shot

    rows, _ = few_shot.banking77(source)
    train = few_shot.written("banking77-8-0", few_shot.first(rows, 8, 0))
    return Prepared(train, ["--test", source / "test.csv", "--text", "text", "--target", "category"])


def sms_spam(source: Path, to: Path) -> Prepared:
    lines = (source / "sms.tsv").read_text(encoding="utf-8").splitlines()
    rows = [line.partition("\t")[::2] for line in lines if line]
    train = common.write_csv(to / "sms.csv", ["label", "text"], rows)
    return Prepared(train, ["--text", "text", "--target", "label"])


def goemotions(source: Path, to: Path) -> Prepared:
    names = (source / "labels.txt").read_text(encoding="utf-8").split()

    def convert(name: str) -> Path:
        rows = []
        for line in (source / f"{name}.tsv").read_text(encoding="utf-8").split("\n")[:GOEMOTIONS_ROWS]:
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


def bc5cdr(source: Path, to: Path) -> Prepared:
    """Whether a sentence names chemicals, diseases, both or neither, from its marked words."""

    def convert(name: str) -> Path:
        rows = []
        for sentence in (source / f"{name}.tsv").read_text(encoding="utf-8").split("\n\n"):
            words = [line.split("\t") for line in sentence.split("\n") if "\t" in line]
            kinds = {tag.partition("-")[2] for _, tag in words if tag != "O"}
            label = {0: "neither", 1: next(iter(kinds), ""), 2: "both"}[len(kinds)]
            if words:
                rows.append((" ".join(word for word, _ in words), label))
        return common.write_csv(to / f"{name}.csv", ["text", "label"], rows)

    flags = ["--validation", convert("devel"), "--test", convert("test"), "--text", "text", "--target", "label"]
    return Prepared(convert("train"), flags)


def stsb(source: Path, to: Path) -> Prepared:
    def convert(name: str) -> Path:
        with open(source / f"stsb-en-{name}.csv", encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))
        return common.write_csv(to / f"{name}.csv", ["first", "second", "score"], rows)

    columns = ["--text", "first", "--text", "second", "--target", "score"]
    return Prepared(convert("train"), ["--validation", convert("dev"), "--test", convert("test"), *columns])


FOLDERS = {"banking77_8": "banking77"}
METHODS = "auto,head,full,lora,adapters,gradual,bitfit"
GOEMOTIONS_ROWS = 4_000
"""The first so many rows of each of its files: enough to tell methods apart, in minutes."""

SETS: dict[str, Callable[[Path, Path], Prepared]] = {
    "banking77": banking77, "banking77_8": banking77_8, "sms_spam": sms_spam, "goemotions": goemotions,
    "bc5cdr": bc5cdr, "stsb": stsb,
}  # fmt: skip


def main() -> None:
    arguments = parse()
    wanted = [name for name in arguments.sets.split(",") if folder(arguments.data, name).is_dir()]
    missing = [name for name in arguments.sets.split(",") if name not in wanted]
    if missing:
        print(f"skipped: {arguments.data} has no {', '.join(missing)}", file=sys.stderr)
    if not wanted:
        common.not_here("none of the data sets is there; give --data DIR or set TUNESMITH_DATA.")
    before = common.saved("quality") if arguments.keep else None
    done: list[dict[str, Any]] = before["runs"] if before else []
    for seed in map(int, arguments.seeds.split(",")):
        for name in wanted:
            prepared = SETS[name](folder(arguments.data, name), common.OUT / "data" / name)
            known = [run for run in done if (run["set"], run["seed"]) == (name, seed)]
            chosen = {run["method"] for run in known} | {"auto" for run in known if run["auto"]}
            for method in arguments.methods.split(","):
                if method in chosen:
                    continue
                found = one_run(name, prepared, method, seed, arguments.set or [])
                chosen.add(found["method"])
                done.append(found)
                said = f"{found['method']:>12}{' (auto)' if found['auto'] else ''}: {found['metric']}"
                print(f"{name:>12} {said} {found['value']:.4f}", file=sys.stderr, flush=True)
                common.save("quality", {"runs": done})
    print(report({"runs": done}))


def folder(data: Path, name: str) -> Path:
    return data / FOLDERS.get(name, name)


def one_run(name: str, prepared: Prepared, method: str, seed: int, settings: list[str]) -> dict[str, Any]:
    label = f"quality-{name}-{method}-{seed}"
    run = common.fresh(label)
    extra = [part for setting in settings for part in ("--set", setting)]
    measured = common.measure(
        [common.TUNESMITH, "train", prepared.train, *prepared.flags, "--method", method, *extra, "--seed", seed,
         "--out", run, "--json"],
        log=common.OUT / "logs" / f"{label}.log",
    )  # fmt: skip
    found = common.metrics(run)
    metric = found.get("first_metric") or next(iter(found["test"]))
    decided = [event["value"] for event in common.events(run)
               if event["event"] == "decided" and event["what"] == "method"]  # fmt: skip
    baselines = {
        baseline: values[metric]["value"] for baseline, values in found["baselines"].items() if metric in values
    }
    shutil.rmtree(run / "model", ignore_errors=True)
    return {
        "set": name, "method": (decided or [method])[0], "auto": method == "auto", "seed": seed, "metric": metric,
        **found["test"][metric], "baselines": baselines, "verdict": found["verdict"],
        "wall_seconds": measured.wall_seconds, "peak_bytes": measured.peak_bytes,
    }  # fmt: skip


def report(result: dict[str, Any]) -> str:
    methods = list(dict.fromkeys(run["method"] for run in result["runs"]))
    rows, good = [], []
    for name in dict.fromkeys(run["set"] for run in result["runs"]):
        values = {
            method: [run for run in result["runs"] if (run["set"], run["method"]) == (name, method)]
            for method in methods
        }
        means = {method: common.mean(run["value"] for run in runs) for method, runs in values.items() if runs}
        first = next(run for run in result["runs"] if run["set"] == name)
        auto = next((run for run in result["runs"] if run["set"] == name and run["auto"]), first)
        errors = first["metric"] in ("rmse", "mae")
        good.append(auto["low"] <= min(means.values()) if errors else auto["high"] >= max(means.values()))
        best = (min if errors else max)(first["baselines"], key=lambda key: first["baselines"][key])
        cells = [f"{means[m]:.4f}{'*' if m == auto['method'] else ''}" if m in means else "-" for m in methods]
        against = f"{first['baselines'][best]:.4f} ({best.replace('_', ' ')})"
        rows.append([name, first["metric"], *cells, f"{auto['low']:.3f} to {auto['high']:.3f}", against])
    return (
        common.table(["data", "metric", *methods, "interval of auto", "best baseline"], rows)
        + f"\n\n\\* is what `auto` chose. No method is beyond its interval on {sum(good)} of {len(good)} sets."
    )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=common.DATA, help="folder of the data sets' folders")
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--methods", default=METHODS)
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--keep", action="store_true", help="add to the runs that were measured before")
    parser.add_argument("--set", action="append", metavar="NAME=VALUE", help="handed on to every run")
    return parser.parse_args()


if __name__ == "__main__":
    main()
