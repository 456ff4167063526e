"""What several runs share: a split that is written down once, or the rows that are cut into folds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tunesmith.core.errors import FolderError
from tunesmith.core.files import own_folder, read_json, write_json
from tunesmith.core.spec import RunSpec, Words
from tunesmith.data.types import SplitOptions, ValueOptions
from tunesmith.evaluate.metrics import higher_is_better
from tunesmith.runs.reading import split_options


@dataclass(frozen=True)
class SharedSplit:
    """One split of the data, written down as files, and the words that every run on it shares.

    `folder` holds train, validation and test as files (all that matters, as it was) and validation_as_test:
    the validation rows once more, for runs that must be given a test part but must not see the test rows.
    `row_ids` are the rows of the source behind each file, in its order.
    """

    folder: Path
    words: Words
    family: str
    kind: str
    """Of the targets ('label', 'number', ...), or the form of the examples ('chat', 'pair', ...)."""
    metric: str
    method: str
    """What `auto` chooses for these rows."""
    fingerprint: str
    label_names: list[str] | None
    row_ids: Mapping[str, Sequence[int]] = field(repr=False)
    suffix: str
    """Of the files."""
    brief: Words = field(default_factory=dict)
    """Words of runs that are compared by the task's own metrics alone, and need not measure more."""

    @property
    def higher_is_better(self) -> bool:
        return higher_is_better(self.metric)

    @property
    def sizes(self) -> dict[str, int]:
        return {name: len(self.row_ids[name]) for name in ("train", "validation", "test")}

    def file(self, part: str) -> str:
        return str(self.folder / f"{part}.{self.suffix}")

    def without_test(self) -> Words:
        """Words of a run that never sees a test row: what it calls its test part are validation rows."""
        files = {
            "data": self.file("train"),
            "validation": self.file("validation"),
            "test": self.file("validation_as_test"),
        }
        return {**self.words, **files, "near_duplicates": 0, **self.brief}

    def with_test(self) -> Words:
        """Words of the one run that is measured on the test rows."""
        files = {"data": self.file("train"), "validation": self.file("validation"), "test": self.file("test")}
        return {**self.words, **files}


@dataclass(frozen=True)
class Pool:
    """The rows that are cut into folds: n in all."""

    ids: np.ndarray
    """Of the rows in their source, int64 [n]."""
    strata: np.ndarray
    """int64 [n]: each is to be in every fold in like shares."""
    units: np.ndarray | None
    """int64 [n]: rows with the same one must be in the same fold. None: rows that follow each other belong together."""
    words: Words
    method: str
    """What `auto` chooses for these rows."""
    suffix: str
    write: Callable[[np.ndarray, Path], None]
    """Some of the rows, by their places (int64), as a file that a run can read."""


def same_data(folder: Path, fingerprint: str) -> None:
    """Note which data the folder is about. Raises FolderError where it was about others."""
    own_folder(folder)
    note = folder / "fingerprint.json"
    if note.exists() and read_json(note).get("sha256") != fingerprint:
        raise FolderError(f"The data have changed since the work in {folder.parent} began.", "Choose another --out.")
    write_json(note, {"sha256": fingerprint})


def shared_words(spec: RunSpec, task: str) -> Words:
    """What all runs on a split share: the task settled, the model found from anywhere, and no split of their own."""
    left_out = {
        *SplitOptions.model_fields, *ValueOptions.model_fields, "data", "validation", "test", "options", "effort",
    }  # fmt: skip
    words = {name: value for name, value in spec.words().items() if name not in left_out}
    words |= {"task": task, "callbacks": [name for name in spec.callbacks if name != "tensorboard"]}
    words["near_duplicates"] = split_options(spec).near_duplicates
    words |= {"nothing": "keep", "unseen_labels": "warn"}  # all that was read in the first place
    if words["model"] != "auto" and Path(words["model"]).expanduser().is_dir():
        words["model"] = str(Path(words["model"]).expanduser().resolve())
    return words
