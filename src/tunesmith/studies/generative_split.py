"""A split of conversations, pairs or texts that several runs share, as JSONL files."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from tunesmith.core import registry
from tunesmith.core.events import ignore
from tunesmith.core.spec import RunSpec
from tunesmith.data.conversations import Examples, convert
from tunesmith.families.generative import corpus as language_data
from tunesmith.runs import choose
from tunesmith.runs.reading import split_options
from tunesmith.studies.shared_split import SharedSplit, Words, same_data, shared_words

_KEPT = ("chat", "completion")
"""Forms that OpenAI's own format holds whole, weights of messages among it."""


def make_split(source: Any, spec: RunSpec, folder: Path) -> SharedSplit:
    """Read, clean and divide as `train` would, and write each part to a file of its own in `folder`.

    Raises DataError, OptionError.
    """
    corpus = language_data.read_corpus(spec, split_options(spec), ignore, source)
    examples = corpus.examples
    same_data(folder, corpus.fingerprint)
    parts = {name: corpus.splits[name] for name in ("train", "validation", "test")}
    parts["validation_as_test"] = parts["validation"]
    for name, positions in parts.items():
        write(examples, positions, folder / f"{name}.jsonl")
    words, metric, method = held_words(spec, examples.form)
    row_ids = {name: [int(examples[int(p)]["row"]) - 1 for p in positions] for name, positions in parts.items()}
    return SharedSplit(
        folder.resolve(), words, "text", metric, method, corpus.fingerprint, None, row_ids, examples.form
    )


def write(examples: Examples, positions: np.ndarray, path: Path) -> None:
    """Some of the examples as JSONL that reads back to the same."""
    some = dataclasses.replace(examples, rows=[examples[int(position)] for position in positions])
    convert(some, path, "openai" if examples.form in _KEPT else "messages")


def held_words(spec: RunSpec, form: str) -> tuple[Words, str, str]:
    """(what all runs on these examples share: the task settled, no split; the first metric; what `auto` is as a
    method)."""
    task = spec.task if spec.task != "auto" else choose.tasks_of(form)[0]
    words = shared_words(spec, task)
    metric = registry.get("tasks", task).metrics[0]
    return words, metric, "lora" if spec.method == "auto" else spec.method
