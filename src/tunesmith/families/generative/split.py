"""Conversations, pairs or texts that several runs share, as JSONL files: one split of them, or all, to be folded."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from tunesmith.core import registry
from tunesmith.core.events import ignore
from tunesmith.core.spec import RunSpec, Words
from tunesmith.data.conversations import Examples, convert, file_splits, units
from tunesmith.data.split import TEST
from tunesmith.families.generative.corpus import read_corpus, read_for
from tunesmith.runs import choose
from tunesmith.runs.shared_split import Pool, SharedSplit, same_data, shared_words

NO_ANSWERS = {"generate_rows": 0, "few_shot": 0}
"""For runs that are compared by what their model makes of the wanted answers: it need not write its own."""
_KEPT = ("chat", "completion")
"""Forms that OpenAI's own format holds whole, weights of messages among it."""


def make_split(source: object, spec: RunSpec, folder: Path) -> SharedSplit:
    """See `runs.protocols.Family`."""
    corpus = read_corpus(spec, ignore, source)
    examples = corpus.examples
    same_data(folder, corpus.fingerprint)
    parts = {name: corpus.splits[name] for name in ("train", "validation", "test")}
    parts["validation_as_test"] = parts["validation"]
    for name, positions in parts.items():
        _write(examples, positions, folder / f"{name}.jsonl")
    words, metric, method = _words(spec, examples.form)
    row_ids = {name: [int(examples[int(p)]["row"]) - 1 for p in positions] for name, positions in parts.items()}
    return SharedSplit(
        folder.resolve(), words, "generative", examples.form, metric, method, corpus.fingerprint, None, row_ids,
        "jsonl", NO_ANSWERS,
    )  # fmt: skip


def pool(source: object, spec: RunSpec, folder: Path) -> Pool:
    """See `runs.protocols.Family`. Examples with like prompts stay together; running text is cut in blocks."""
    examples = read_for(spec, ignore, source)
    same_data(folder, examples.fingerprint)
    positions = np.flatnonzero(file_splits(examples) != TEST)
    running = examples.form == "text" and examples.groups is None
    words, _, method = _words(spec, examples.form)

    def write(places: np.ndarray, file: Path) -> None:
        _write(examples, positions[places], file)

    ids = np.array([examples[int(place)]["row"] - 1 for place in positions], dtype=np.int64)
    together = None if running else units(examples)[positions]
    return Pool(ids, np.zeros_like(positions), together, words, method, "jsonl", write)


def _write(examples: Examples, positions: np.ndarray, path: Path) -> None:
    """Some of the examples as JSONL that reads back to the same."""
    some = dataclasses.replace(examples, rows=[examples[int(position)] for position in positions])
    convert(some, path, "openai" if examples.form in _KEPT else "messages")


def _words(spec: RunSpec, form: str) -> tuple[Words, str, str]:
    """(what all runs on these examples share: the task settled, no split; the first metric; what `auto` is as a
    method)."""
    task = spec.task if spec.task != "auto" else choose.tasks_of(form)[0]
    metric = registry.get("tasks", task).metrics[0]
    return shared_words(spec, task), metric, "lora" if spec.method == "auto" else spec.method
