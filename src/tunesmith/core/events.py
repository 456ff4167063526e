"""What happens in a run, as typed records: one JSON object a line in `events.jsonl`.

Progress bar, TensorBoard, report and tests all read these; nothing in the run talks to a screen.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar


@dataclass(frozen=True)
class Event:
    name: ClassVar[str] = "event"

    def record(self) -> dict[str, Any]:
        """The JSON object of this event, without its time."""
        return {"event": self.name, **asdict(self)}


@dataclass(frozen=True)
class Started(Event):
    name = "started"
    run: str
    versions: Mapping[str, str]
    resumed: bool = False


@dataclass(frozen=True)
class Phase(Event):
    """A long piece of work begins: 'read', 'features', 'train', 'evaluate', ..."""

    name = "phase"
    phase: str
    detail: str = ""
    seconds: float | None = None


@dataclass(frozen=True)
class Decided(Event):
    """An automatic choice, with its reason. `what` is the option's or part's name."""

    name = "decided"
    what: str
    value: Any
    why: str


@dataclass(frozen=True)
class Warned(Event):
    """Something the user should know that does not stop the run."""

    name = "warned"
    what: str
    message: str


@dataclass(frozen=True)
class Step(Event):
    """One optimizer step. `loss` is the mean over the rows of the step."""

    name = "step"
    step: int
    steps: int
    epoch: float
    loss: float
    learning_rate: float
    gradient_norm: float
    rows: int
    tokens: int
    seconds: float


@dataclass(frozen=True)
class Evaluated(Event):
    name = "evaluated"
    step: int
    split: str
    metrics: Mapping[str, float]
    best: bool = False


@dataclass(frozen=True)
class Saved(Event):
    name = "saved"
    step: int
    path: str


@dataclass(frozen=True)
class RolledBack(Event):
    """Loss or gradients were not finite: back to `to_step` with a smaller learning rate."""

    name = "rolled_back"
    step: int
    to_step: int
    learning_rate_factor: float
    row_ids: list[int]
    why: str


@dataclass(frozen=True)
class Paused(Event):
    name = "paused"
    step: int
    reason: str


@dataclass(frozen=True)
class Finished(Event):
    name = "finished"
    seconds: float
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Failed(Event):
    name = "failed"
    code: str
    message: str
    step: int | None = None
    row_ids: list[int] = field(default_factory=list)


Emit = Callable[[Event], None]
"""How every part reports: `emit(Decided("batch_size", 32, "..."))`."""


def ignore(_: Event) -> None:
    """An `Emit` for callers that do not listen."""


class EventLog:
    """Appends events to `events.jsonl` and hands each one to the listeners, in order."""

    def __init__(self, path: Path | None, listeners: list[Callable[[Event], None]] | None = None):
        self._file = open(path, "a", encoding="utf-8") if path else None  # noqa: SIM115 - closed in close()
        if path and self._file and _ends_in_mid_line(path):
            self._file.write("\n")  # what a crash cut short must not swallow the next record
        self.listeners = list(listeners or [])

    def __call__(self, event: Event) -> None:
        if self._file:
            line = json.dumps({**event.record(), "time": time.time()}, ensure_ascii=False, default=str)
            self._file.write(line + "\n")
            self._file.flush()
        for listener in self.listeners:
            listener(event)

    def close(self) -> None:
        if self._file:
            self._file.close()
            self._file = None


def _ends_in_mid_line(path: Path) -> bool:
    with open(path, "rb") as file:
        if not file.seek(0, 2):
            return False
        file.seek(-1, 2)
        return file.read(1) != b"\n"


def read(path: Path) -> list[dict[str, Any]]:
    """All records of an `events.jsonl`; a last line cut short by a kill is left out."""
    records = []
    if path.exists():
        for line in path.read_bytes().split(b"\n"):  # other separators may stand inside a text
            try:
                records.append(json.loads(line))
            except ValueError:  # no JSON, or cut inside a letter
                continue
    return records
