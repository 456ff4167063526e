"""What the cache of frozen blocks saves when a network is unfrozen stage by stage, and whether it changes the result.

    python bench/gradual.py                # MiniLM, 1,500 rows of banking77, six stages in six epochs
    python bench/gradual.py --data DIR     # a folder with train.csv and test.csv (text, category)

The contenders take turns: `gradual` with the cache and without it, and with --all also `full` for as many
epochs, as it is and with nothing frozen. All compute in fp32 with one seed. What is compared is the time from
the base model to the trained one: writing the cache, and training with its evaluations; and the processor's
time of the whole run, which other work on the machine does not lengthen.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import common

STAGES = 6
CONTENDERS: dict[str, list[str]] = {
    "gradual": ["--method", "gradual", "--set", f"stages={STAGES}"],
    "gradual, no cache": ["--method", "gradual", "--set", f"stages={STAGES}", "--set", "frozen_cache=false"],
    "full": ["--method", "full"],
    "full, nothing frozen": ["--method", "full", "--set", "frozen_share=0"],
}


def main() -> None:
    arguments = parse()
    data = common.data_set("banking77", ["train.csv", "test.csv"], arguments.data)
    # few test rows: they are in the cache too, though no training step reads them
    train, test = some_rows(data / "train.csv", arguments.rows), some_rows(data / "test.csv", arguments.rows // 5)
    names = list(CONTENDERS) if arguments.all else list(CONTENDERS)[:2]
    found: list[dict[str, Any]] = []
    for number in range(arguments.runs):
        for contender in names:
            found.append(one_run(contender, number, train, test, arguments))
            said = f"{found[-1]['train_seconds']:6.1f} s, accuracy {found[-1]['accuracy']:.4f}"
            print(f"{contender:>20} #{number}: {said}", file=sys.stderr, flush=True)
        result = {"rows": arguments.rows, "epochs": arguments.epochs, "runs": found, **agreement()}
        common.save("gradual", result)
    print(report(result))


def some_rows(file: Path, rows: int) -> Path:
    """Every so many rows of a file, which lists one class after the other."""
    everything = common.read_csv(file)
    step = max(1, len(everything) // rows)
    chosen = everything[::step][:rows]
    out = common.OUT / f"gradual-{file.name}"
    return common.write_csv(out, list(chosen[0]), [list(row.values()) for row in chosen])


def run_folder(contender: str) -> Path:
    """Where the last run of a contender lies."""
    return common.OUT / "runs" / f"gradual-{list(CONTENDERS).index(contender)}"


def one_run(contender: str, number: int, train: Path, test: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    run = common.fresh(run_folder(contender).name)
    words = ["precision=fp32", f"epochs={arguments.epochs}", f"patience={arguments.epochs}"]
    measured = common.measure(
        [common.TUNESMITH, "train", train, "--test", test, "--model", "minilm", "--target", "category",
         *CONTENDERS[contender], *(part for word in words for part in ("--set", word)), "--out", run, "--json"],
        log=common.OUT / "logs" / f"{run.name}-{number}.log",
    )  # fmt: skip
    spent = common.phases(run)
    return {
        "contender": contender, "number": number, **common.record(measured),
        "cache_seconds": spent["bottom"], "train_seconds": spent["bottom"] + spent["train"],
        "accuracy": common.metrics(run)["test"]["accuracy"]["value"],
    }  # fmt: skip


def agreement() -> dict[str, Any]:
    """How far the last runs with and without the cache are apart: weights, and labels of the test rows."""
    import numpy as np
    import pyarrow.parquet as pq
    from safetensors.numpy import load_file

    with_it, without = (run_folder(name) for name in ("gradual", "gradual, no cache"))
    ours, theirs = (load_file(run / "model" / "model.safetensors") for run in (with_it, without))
    labels = [pq.read_table(run / "predictions.parquet")["predicted"].to_pylist() for run in (with_it, without)]
    return {
        "largest_difference": max(float(np.abs(ours[name] - theirs[name]).max()) for name in ours),
        "same_bits": all(np.array_equal(ours[name], theirs[name]) for name in ours),
        "differing_labels": sum(a != b for a, b in zip(*labels, strict=True)),
        "test_rows": len(labels[0]),
    }


def report(result: dict[str, Any]) -> str:
    """Markdown: the table, and what the cache changes."""
    medians = {
        name: {
            what: common.median(run[what] for run in result["runs"] if run["contender"] == name)
            for what in ("train_seconds", "cache_seconds", "processor_seconds", "accuracy")
        }
        for name in dict.fromkeys(run["contender"] for run in result["runs"])
    }
    without = medians["gradual, no cache"]
    rows = [
        [name, f"{found['train_seconds']:.1f} s", f"{found['cache_seconds']:.1f} s",
         f"{found['train_seconds'] / without['train_seconds']:.2f}", f"{found['processor_seconds']:.1f} s",
         f"{found['processor_seconds'] / without['processor_seconds']:.2f}", f"{found['accuracy']:.4f}"]
        for name, found in medians.items()
    ]  # fmt: skip
    header = [
        "",
        "training",
        "of it writing the cache",
        "by no cache",
        "processor, whole run",
        "by no cache",
        "accuracy",
    ]
    apart = f"the weights differ by at most {result['largest_difference']:.1e}"
    return "\n".join([
        common.table(header, rows), "",
        f"MiniLM, {result['rows']:,} training rows, {result['epochs']} epochs, fp32. With and without the cache "
        f"{'the weights are the same to the bit' if result['same_bits'] else apart}, and "
        f"{result['differing_labels']} of {result['test_rows']:,} test rows get another label.",
    ])  # fmt: skip


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with train.csv and test.csv; banking77 when not given")
    parser.add_argument("--rows", type=int, default=1500)
    parser.add_argument("--epochs", type=int, default=STAGES)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--all", action="store_true", help="against --method full too")
    return parser.parse_args()


if __name__ == "__main__":
    main()
