"""What a run on rows must not forget, as data, read before anything is computed."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tunesmith.core import registry
from tunesmith.core.errors import DataError, Problem
from tunesmith.core.events import ignore
from tunesmith.core.files import read_json
from tunesmith.core.run import RunFolder, is_run
from tunesmith.core.spec import RunSpec
from tunesmith.data.conversations import peek, read_examples
from tunesmith.data.prepared import PreparedData
from tunesmith.engine import batching
from tunesmith.forgetting import chain
from tunesmith.runs import reading

_PROBE_TEXTS = 1_000
"""Most retained texts, half of which are measured."""
_FEWEST_TEXTS = 40
_SHORTEST = 20
"""Characters of a sentence that says anything."""
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"'”’)]*\s+(?=[^a-z\s])|\n\s*\n")


@dataclass(frozen=True)
class Read:
    """A retained file or run as data: rows with targets, or texts where it holds nothing else."""

    path: Path
    is_run: bool
    spec: RunSpec
    data: PreparedData | None
    texts: list[str]

    @property
    def fingerprint(self) -> str:
        """Of the rows, or of the texts."""
        if self.data is not None:
            return self.data.fingerprint
        return hashlib.sha256("\0".join(self.texts).encode()).hexdigest()


def read(folder: RunFolder, spec: RunSpec) -> list[Read]:
    """Everything that is retained, so that faults in it are told before anything is computed. Raises DataError."""
    return [_read(folder, spec, path) for path in chain.retained_paths(spec)]


def _read(folder: RunFolder, own: RunSpec, path: Path) -> Read:
    run = chain.finished_run(path, "predictive") if is_run(path) else None
    if run is None and (found := peek(str(path))) is not None and found.form == "text":
        return Read(path, False, own, None, _own_texts(path, own.seed))
    spec = run.load_spec() if run else _spec_of_file(own, path)
    try:
        data = reading.read(spec.data, spec, folder.cache)
    except DataError as error:
        if run is None and "--target" in (error.fix or ""):  # which would name columns of the new data
            raise DataError(error.problems, "Leave only text and target in what is retained.") from error
        raise
    if run is not None:
        written = read_json(run.data / "fingerprint.json").get("sha256")
        if written != data.fingerprint:
            raise DataError(
                Problem(f"the data of the run {path} is not what it was when that run was trained", spec.data),
                fix="Put the data back, or retain a file instead: --retain old_task.csv",
            )
    return Read(path, run is not None, spec, data, [])


def _spec_of_file(own: RunSpec, path: Path) -> RunSpec:
    """How a file is read: by itself. What no linear head answers is the run's own task, with the run's own names of
    labels."""
    spec = RunSpec(data=str(path), seed=own.seed)
    if registry.get("tasks", own.task).probe_loss is not None:
        return spec
    names = own.options.get("label_names")
    return spec.model_copy(update={"task": own.task, "options": {} if names is None else {"label_names": names}})


def _own_texts(path: Path, seed: int) -> list[str]:
    """Of a file that holds nothing but texts: its rows, or, of running text, its sentences. Raises DataError."""
    texts = [example["text"] for example in read_examples(str(path), emit=ignore)]
    if ".txt" in path.suffixes or path.is_dir():
        parts = (" ".join(part.split()) for text in texts for part in _SENTENCE_END.split(text))
        texts = [part for part in parts if len(part) >= _SHORTEST]
    texts = list(dict.fromkeys(texts))
    if len(texts) < _FEWEST_TEXTS:
        raise DataError(
            Problem(f"{len(texts)} different texts, too few to see whether they keep their neighbours", file=str(path)),
            fix=f"Give at least {_FEWEST_TEXTS} sentences or rows.",
        )
    return [texts[place] for place in batching.sample(np.arange(len(texts)), _PROBE_TEXTS, seed)]
