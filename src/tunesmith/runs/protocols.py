"""What a family must have: the stages of a run that differ by what a forward pass gives, and the finished model; and
a launcher."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar, runtime_checkable

import pyarrow as pa

from tunesmith.core.events import Emit, ignore
from tunesmith.core.measured import Measured
from tunesmith.core.options import Options
from tunesmith.core.spec import RunSpec, Words
from tunesmith.data.predict_inputs import FileRows
from tunesmith.data.types import Columns
from tunesmith.evaluate.verdict import NextStep
from tunesmith.runs.context import RetainedData, RunContext
from tunesmith.runs.reading import OtherData
from tunesmith.runs.settle import Plan
from tunesmith.runs.shared_split import Pool, SharedSplit

Contention = tuple[Words, Measured | None]
"""Facts such as "size_bytes", and what was made of the test rows."""
R = TypeVar("R", bound=RunContext)


class Family(Protocol[R]):
    """The stages are called once, in this order, with the run that `context` made (see `runs.spine`); each may raise
    the errors of `core.errors`."""

    context: type[R]
    gives: str
    """What its models do, as a predicate: 'gives one answer per row'."""
    tasks: str
    """Its tasks, in words: 'tasks with one answer per row'."""
    usual: Mapping[str, float]
    """Options whose default depends on the data -> what is usual."""
    tries_methods: bool
    """Whether effort=best can choose among several methods."""
    few_shot: str
    """The contender that is shown a few examples."""
    learning_curve: str | None
    """What measures, as a contender does, what more rows would bring: "points" of its facts."""

    def read(self, run: R) -> None:
        """The data, read, cleaned and divided."""

    def settle(self, run: R) -> Plan[Any]:
        """What is not asked for, chosen by the data."""

    def read_retained(self, run: R) -> Sequence[RetainedData]:
        """What must not be forgotten, as data."""

    def load(self, run: R) -> None:
        """The base model."""

    def encode(self, run: R) -> None:
        """The data as tensors on disk."""

    def baselines(self, run: R) -> None:
        """What others make of the test data, and the base before it is trained."""

    def snapshot(self, run: R) -> None:
        """What must not be forgotten, as the base knows it."""

    def prepare(self, run: R) -> None:
        """The weights that move."""

    def train(self, run: R) -> None: ...

    def judge(self, run: R) -> None:
        """What the model makes of the test data, and what it has forgotten."""

    def write(self, run: R, aside: Path) -> None:
        """The model into a folder."""

    def read_back(self, run: R, aside: Path) -> None:
        """Raises RunFailed where the model in that folder does not answer as the one in memory."""

    def document(self, run: R, cost: Words) -> Words:
        """metrics.json, with `cost` as its part of that name."""

    def next_step(self, run: R, document: Words) -> NextStep:
        """What the user may do next."""

    def headline(self, run: R) -> Sequence[str]:
        """Metrics that are said first."""

    def evidence(self, run: R) -> Words:
        """What only this family knows of an `evaluate.evidence.Evidence`."""

    def write_predictions(self, run: R) -> None:
        """predictions.parquet."""

    def read_predictions(self, run: Path, table: pa.Table) -> Measured:
        """What the predictions that a finished run has saved are worth: of its table all rows or some."""

    # before a run, and for several

    def epochs(self, method: str, rows: int | None = None) -> int:
        """How often a run of this method sees each of its `rows` training rows when nothing is asked."""

    def rate(self, method: str, task: str, width: int | None = None) -> float:
        """The highest learning rate when nothing is asked; `width`: hidden size of the base, where it is known."""

    def check(self, spec: RunSpec, source: object) -> Words:
        """What a run would do, and what is wrong with its data (see `workflows.check`). Raises OptionError and
        ModelError as a run would before its first step."""

    def look(self, data: object, spec: RunSpec, folder: Path, emit: Emit) -> Any:
        """The data read, divided and settled as a run would, and refused as it would, for `families.plan`. `data`: None
        where it is not in memory; `folder`: for caches. Raises DataError, OptionError, ModelError."""

    def make_split(self, source: object, spec: RunSpec, folder: Path) -> SharedSplit:
        """Read, clean and divide as a run would, and write each part to a file of its own in `folder`.

        Raises DataError, OptionError, FolderError (the folder is about other data).
        """

    def pool(self, source: object, spec: RunSpec, folder: Path) -> Pool:
        """All rows that may be cut into folds; `folder` is for files. Raises as `make_split` does."""

    def measured_by(self, metric: str, split: SharedSplit) -> Words:
        """Words with which runs on the split measure `metric`. Raises OptionError where none does."""

    def usual_contenders(self, kind: str, task: str) -> list[str]:
        """Those that fit this kind of data (`SharedSplit.kind`)."""

    def yardsticks(self, task: str) -> list[str]:
        """Contenders of every comparison: without them no other one says whether to fine-tune at all."""

    @property
    def contenders(self) -> Mapping[str, bool]:
        """Ways to solve its tasks that train no network -> whether they look at a base model."""

    def titles(self, kind: str, task: str) -> Mapping[str, str]:
        """What contenders are called here, where not as everywhere."""

    def contend(self, name: str, words: Words, folder: Path) -> Contention:
        """The contender called `name` on a split that others share; `folder` is for files. Raises what a run does."""


class Predictor(Protocol):
    """A finished model, ready to answer; `runs.load` finds it by what the model's metadata say."""

    Options: ClassVar[type[Options]]
    """How it answers."""
    summary: ClassVar[str]
    """What it is: 'a model that ...'."""
    together: ClassVar[int]
    """Most rows that it answers at once, where they come one by one."""

    @property
    def columns(self) -> Columns | None:
        """What it reads; None: rows in any format of conversations."""

    @classmethod
    def load(cls, path: str | Path) -> Predictor:
        """From a run folder or its `model` folder. Raises FolderError, ModelError."""

    def predict(self, data: object, *, emit: Emit = ..., **options: object) -> Any:
        """Answers in the shape in which `data` is given. Raises DataError, OptionError."""

    def answer_rows(
        self, asked: Sequence[object], options: Any, emit: Emit, places: Sequence[tuple[str, int]] | None = None
    ) -> list[Words]:
        """An answer for each text, row or what else the model reads, as its `Options` say; `places`: file and line of
        each, for errors."""

    def rows(self, other: OtherData, cache: Path, emit: Emit) -> Iterator[FileRows]:
        """The rows of a file in parts that fit into memory; when all are answered, what is to be said of them."""

    def measure(self, other: OtherData, emit: Emit) -> Measured:
        """What its metrics are made of, by row. Raises DataError."""

    def tune(self, other: OtherData, emit: Emit) -> Measured:
        """The same, with thresholds that are best on these rows, where it has any; its folder has them from then on."""

    def evaluate(self, other: OtherData, *, seed: int, emit: Emit) -> Words:
        """{"rows", "metrics": {name: {"value", "low", "high"}}}, and what else there is to say. Raises DataError."""


@runtime_checkable
class Streams(Protocol):
    """A predictor whose answers can be read as they grow."""

    def stream(self, asked: Any, options: Any) -> Iterator[str]:
        """The answer in pieces. Raises DataError."""

    def session(self, *, system: str | None = None, sampling: Mapping[str, object] | None = None) -> Any:
        """A conversation with the model. Raises OptionError."""


@runtime_checkable
class Exports(Protocol):
    """A predictor whose folder may need another one beside it (a base), and that can be written as one plain model."""

    def write_plain(self, folder: Path) -> dict[str, float]:
        """{"largest_difference" of logits, "answers" that are the same}. Raises RunFailed where it answers
        differently."""


class Launcher(Protocol):
    """Where the runs of a study take place."""

    summary: str

    def launch(self, work: str, job: Words, log: Path, emit: Emit = ignore) -> None:
        """Call the function `work` ("module:name") with `job`, plain values alone, and with something that reports.

        What comes of it lies in files. What `emit` raises ends the work, and is raised here. `log`: where to write
        what is printed elsewhere; it stays where the work ended without saying why. Raises what the work raises;
        Stopped, RunFailed where its process was ended.
        """
