"""Entities against `transformers.Trainer`: the same rows, the same base, the same epochs; time and strict F1.

    python bench/ner.py TRAIN VALIDATION TEST [--model minilm] [--epochs 4] [--rows 0] [--rounds 1] [--out FOLDER]

Files in columns (CoNLL). Each round runs both, one after the other, in processes of their own. The Trainer is as its
tutorial has it: batches of 8 rows padded to the longest, rate 2e-5 or what --peer-rate says, labels at first tokens,
no evaluation before the end. `--rows` takes the first rows of each file, for a short try. F1 is counted by seqeval for
both.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

Rows = list[tuple[list[str], list[str]]]


def read(path: Path, most: int = 0) -> Rows:
    """Sentences as (words, tags in BIO)."""
    rows: Rows = []
    for part in path.read_text(encoding="utf-8").split("\n\n"):
        cells = [line.split("\t") if "\t" in line else line.split() for line in part.splitlines() if line.strip()]
        if cells:
            rows.append(([cell[0] for cell in cells], [cell[-1] for cell in cells]))
    return rows[:most] if most else rows


def write(rows: Rows, path: Path) -> Path:
    parts = ["\n".join(map("\t".join, zip(*row, strict=True))) for row in rows]
    path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    return path


def scored(given: list[list[str]], truth: list[list[str]]) -> float:
    from seqeval.metrics import f1_score

    return float(f1_score(truth, given))


def ours(files: list[Path], asked: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """A run of `full`, from the files to the report."""
    import pyarrow.parquet as pq

    import tunesmith

    words = {} if asked.epochs is None else {"epochs": asked.epochs}
    began = time.perf_counter()
    run = tunesmith.train(
        files[0], validation=files[1], test=files[2], model=asked.model, method="full", task="token-classification",
        near_duplicates=0, out=folder / "run", **words,
    )  # fmt: skip
    seconds = time.perf_counter() - began
    table = pq.read_table(run.folder.predictions).to_pydict()
    events = [json.loads(line) for line in (run.path / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    took = [
        event["seconds"]
        for event in events
        if event["event"] == "phase" and event["phase"] == "train" and event["seconds"]
    ]
    steps = [event for event in events if event["event"] == "step"]
    return {
        "seconds": seconds, "training": took[-1],
        "rows_a_second": sum(step["rows"] for step in steps) / sum(step["seconds"] for step in steps),
        "f1": scored(table["predicted"], table["truth"]),
        "unseen_f1": run.document["test"].get("unseen_f1", {}).get("value"),
        "epochs": run.folder.load_spec().options["epochs"],
    }  # fmt: skip


def peer(files: list[Path], asked: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """`transformers.Trainer`, from the files to the tags of the test rows."""
    import numpy as np
    import torch
    from datasets import Dataset
    from transformers import (
        AutoModelForTokenClassification,
        AutoTokenizer,
        DataCollatorForTokenClassification,
        Trainer,
        TrainingArguments,
    )

    from tunesmith.models import catalog

    began = time.perf_counter()
    source = catalog.fetch(asked.model, lambda event: None).folder
    names = sorted({tag for file in files for _, tags in read(file) for tag in tags})
    tokenizer = AutoTokenizer.from_pretrained(source)
    model = AutoModelForTokenClassification.from_pretrained(
        source, num_labels=len(names), id2label=dict(enumerate(names)), label2id={n: at for at, n in enumerate(names)}
    )

    def encoded(rows: Rows) -> Dataset:
        found = tokenizer([words for words, _ in rows], is_split_into_words=True, truncation=True, max_length=256)
        labels = []
        for at, (_, tags) in enumerate(rows):
            ids, last = [], None
            for word in found.word_ids(at):
                ids.append(-100 if word is None or word == last else names.index(tags[word]))
                last = word
            labels.append(ids)
        return Dataset.from_dict({**found, "labels": labels})

    train, test = (read(files[at]) for at in (0, 2))
    settings = TrainingArguments(
        output_dir=str(folder / "peer"), num_train_epochs=asked.epochs or 4, learning_rate=asked.peer_rate,
        report_to=[], per_device_train_batch_size=8, per_device_eval_batch_size=8, save_strategy="no",
        disable_tqdm=True, use_cpu=not torch.cuda.is_available(),
    )  # fmt: skip
    collator = DataCollatorForTokenClassification(tokenizer)
    trainer = Trainer(model=model, args=settings, train_dataset=encoded(train), data_collator=collator)
    took = trainer.train().metrics["train_runtime"]
    found = trainer.predict(encoded(test))
    given = []
    for (words, _), logits, labels in zip(test, found.predictions, found.label_ids, strict=True):
        best = [names[at] for at, label in zip(np.argmax(logits, -1), labels, strict=True) if label != -100]
        given.append([*best, *["O"] * (len(words) - len(best))])
    return {
        "seconds": time.perf_counter() - began, "training": took,
        "rows_a_second": len(train) * (asked.epochs or 4) / took, "f1": scored(given, [tags for _, tags in test]),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs=3, type=Path, metavar="FILE")
    parser.add_argument("--model", default="minilm")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--rows", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--peer-rate", type=float, default=2e-5)
    parser.add_argument("--out", type=Path, default=Path("bench-ner"))
    parser.add_argument("--only", choices=["ours", "peer"])
    asked = parser.parse_args()
    if asked.only:
        made = {"ours": ours, "peer": peer}[asked.only](asked.files, asked, asked.out)
        (asked.out / "result.json").write_text(json.dumps(made), encoding="utf-8")
        return
    for number in range(asked.rounds):
        for way in ("ours", "peer"):
            folder = asked.out / f"{way}-{number}"
            folder.mkdir(parents=True)
            files = [write(read(file, asked.rows), folder / f"{at}.conll") for at, file in enumerate(asked.files)]
            words = [*map(str, files), "--only", way, "--model", asked.model, "--out", str(folder)]
            words += ["--peer-rate", str(asked.peer_rate)]
            words += ["--epochs", str(asked.epochs)] if asked.epochs else []
            subprocess.run([sys.executable, __file__, *words], check=True, stdout=subprocess.DEVNULL)
            print(way, (folder / "result.json").read_text(encoding="utf-8"), flush=True)


if __name__ == "__main__":
    main()
