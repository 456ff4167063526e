"""What a family must have, the stages of a run that differ by what a forward pass gives; and a launcher."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from tunesmith.core.events import Emit, ignore
from tunesmith.runs.settle import Plan


class Family(Protocol):
    """The stages are called once, in this order, with the run that `context` made (see `runs.spine`); each may raise
    the errors of `core.errors`."""

    context: Any
    """Its subclass of `runs.context.RunContext`."""

    def read(self, run: Any) -> None:
        """The data, read, cleaned and divided."""

    def settle(self, run: Any) -> Plan:
        """What is not asked for, chosen by the data."""

    def read_retained(self, run: Any) -> Sequence[Any]:
        """What must not be forgotten, as data: `path` and `fingerprint` of each."""

    def load(self, run: Any) -> None:
        """The base model."""

    def encode(self, run: Any) -> None:
        """The data as tensors on disk."""

    def baselines(self, run: Any) -> None:
        """What others make of the test data, and the base before it is trained."""

    def snapshot(self, run: Any) -> None:
        """What must not be forgotten, as the base knows it."""

    def prepare(self, run: Any) -> None:
        """The weights that move."""

    def train(self, run: Any) -> None: ...

    def judge(self, run: Any) -> None:
        """What the model makes of the test data, and what it has forgotten."""

    def write(self, run: Any, aside: Path) -> None:
        """The model into a folder."""

    def read_back(self, run: Any, aside: Path) -> None:
        """Raises RunFailed where the model in that folder does not answer as the one in memory."""

    def document(self, run: Any, cost: Mapping[str, Any]) -> dict[str, Any]:
        """metrics.json, with `cost` as its part of that name."""

    def next_step(self, run: Any, document: Mapping[str, Any]) -> Any:
        """What the user may do next."""

    def headline(self, run: Any) -> Sequence[str]:
        """Metrics that are said first."""

    def evidence(self, run: Any) -> dict[str, Any]:
        """What only this family knows of an `evaluate.evidence.Evidence`."""

    def write_predictions(self, run: Any) -> None:
        """predictions.parquet."""

    @staticmethod
    def load_finished(path: Path) -> Any:
        """The model of a finished run. Raises FolderError, ModelError."""


class Launcher(Protocol):
    """Where the runs of a study take place."""

    summary: str

    def launch(self, work: str, job: dict[str, Any], log: Path, emit: Emit = ignore) -> None:
        """Call the function `work` ("module:name") with `job`, plain values alone, and with something that reports.

        What comes of it lies in files. What `emit` raises ends the work, and is raised here. `log`: where to write
        what is printed elsewhere; it stays where the work ended without saying why. Raises what the work raises;
        Stopped, RunFailed where its process was ended.
        """
