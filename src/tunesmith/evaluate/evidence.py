"""Everything that the report and the model card need. The workflow fills it; this computes nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tunesmith.core.measured import Measured
from tunesmith.engine.augment import Pictured
from tunesmith.evaluate.types import Outcome


@dataclass(frozen=True)
class Answer:
    """What was written for one test row: `given` by contender ('base', 'few_shot', 'tuned')."""

    row: int
    question: str
    wanted: str
    given: dict[str, str]
    cut: frozenset[str] = frozenset()
    """Contenders whose answer did not end by itself: it ran into the limit of tokens."""


@dataclass(frozen=True)
class Look:
    """Where a network looked: `pixels` uint8 [height, width, 3] of a test row by its position, and `heat` float32
    [h, w], how much each part counted, from 0 to 1."""

    row: int
    pixels: np.ndarray
    heat: np.ndarray


@dataclass
class Evidence:
    """What is known about a finished run.

    model: name, revision or fingerprint, licence, parameters. metrics: the metrics.json document.
    curves: {"train": [{"step", "epoch", "loss", "learning_rate"}],
    "validation": [{"step", "epoch", "loss", metric: value, ...}]}. audit: rows, splits,
    label_counts, text_length, duplicates, leakage, conflicts, ledger, encoding; any may be missing,
    and unknown keys are shown as they are. decisions: [{"what", "value", "why"}]. warnings:
    [{"what", "message"}]. test_inputs (each row in one line) and test_row_ids follow the
    rows of `test`.
    """

    name: str
    created: str
    task: str
    kind: str
    """What was measured: 'label', 'labels', 'number', 'text' (that is written), ..."""
    modality: str
    """What the rows are: 'text', ... Sections that were made for others are left out."""
    model: dict[str, Any]
    method: str
    metrics: dict[str, Any]
    test: Measured | None = None
    """What was predicted for the test rows; None where the answers are written text."""
    test_inputs: list[str] = field(default_factory=list)
    nouns: str = "texts"
    """What inputs are called."""
    picture: Callable[[int], str | None] = lambda at: None
    """From the position of a test row to a data URI of a small picture of it, where it has one."""
    training_pictures: list[list[Pictured]] = field(default_factory=list)
    """Some training pictures, each as it is and as it was changed in the first epochs."""
    row: Callable[[int], Mapping[str, Any]] = lambda at: {}
    """From the position of a test row to what was read of it, by role."""
    looks: list[Look] = field(default_factory=list)
    typed: str | None = None
    """A test row as it is given to `predict`, where that is not how it is shown."""
    sizes: tuple[str | None, np.ndarray | None] = (None, None)
    """What the size of an input counts, and that of each test row."""
    test_row_ids: list[int] = field(default_factory=list)
    suspects: frozenset[int] = frozenset()
    """Positions of test rows that are perhaps mislabelled (`errors.suspects`)."""
    losses_differ: bool = False
    """Whether the training loss is another one than the validation's, so that they can not be compared."""
    shown: dict[str, Any] = field(default_factory=dict)
    """What the task gives its own sections (`PredictiveTask.evidence`)."""
    path: str = ""
    """The run folder, as the user named it."""
    test_count: int = 0
    answers: list[Answer] = field(default_factory=list)
    previews: list[str] = field(default_factory=list)
    """HTML of the first training examples, token by token."""
    curves: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    audit: dict[str, Any] = field(default_factory=dict)
    decisions: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[dict[str, Any]] = field(default_factory=list)
    spec: dict[str, Any] = field(default_factory=dict)
    data_fingerprint: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    cost: dict[str, Any] = field(default_factory=dict)

    @property
    def outcome(self) -> Outcome:
        """`test`, for the parts of a report that are only made of predictions that are right or wrong."""
        assert isinstance(self.test, Outcome)
        return self.test

    @property
    def test_rows(self) -> int:
        return len(self.test) if self.test is not None else self.test_count
