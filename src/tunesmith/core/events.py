"""What happens in a run, as typed records: one JSON object a line in `events.jsonl`.

Progress bar, TensorBoard, report and tests all read these; nothing in the run talks to a screen.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import IO, Any, ClassVar

from tunesmith.core import files
from tunesmith.core.errors import FolderError


@dataclass(frozen=True)
class Event:
    """`name` is that of the class with underscores: 'rolled_back'."""

    name: ClassVar[str] = "event"

    def __init_subclass__(cls) -> None:
        if "name" not in vars(cls):
            cls.name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", cls.__name__).lower()

    def record(self) -> dict[str, Any]:
        """The JSON object of this event, without its time."""
        return {"event": self.name, **asdict(self)}


@dataclass(frozen=True)
class Started(Event):
    run: str
    versions: Mapping[str, str]
    resumed: bool = False


@dataclass(frozen=True)
class Phase(Event):
    """A long piece of work begins: 'read', 'features', 'train', 'evaluate', ..."""

    phase: str
    detail: str = ""
    seconds: float | None = None


@dataclass(frozen=True)
class Decided(Event):
    """An automatic choice, with its reason. `what` is the option's or part's name."""

    what: str
    value: Any
    why: str


@dataclass(frozen=True)
class Warned(Event):
    """Something the user should know that does not stop the run."""

    what: str
    message: str


@dataclass(frozen=True)
class Step(Event):
    """One optimizer step. `loss` is the mean over the rows of the step."""

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
    step: int
    split: str
    metrics: Mapping[str, float]
    best: bool = False


@dataclass(frozen=True)
class Saved(Event):
    step: int
    path: str


@dataclass(frozen=True)
class RolledBack(Event):
    """Loss or gradients were not finite: back to `to_step` with a smaller learning rate."""

    step: int
    to_step: int
    learning_rate_factor: float
    row_ids: list[int]
    why: str


@dataclass(frozen=True)
class Paused(Event):
    step: int
    reason: str


@dataclass(frozen=True)
class Finished(Event):
    seconds: float
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Failed(Event):
    code: str
    message: str
    step: int | None = None
    row_ids: list[int] = field(default_factory=list)


Emit = Callable[[Event], None]
"""How every part reports: `emit(Decided("batch_size", 32, "..."))`."""


def ignore(_: Event) -> None:
    """An `Emit` for callers that do not listen."""


def to_each(listeners: Sequence[Emit]) -> Emit:
    """An `Emit` for several listeners."""

    def emit(event: Event) -> None:
        for listener in listeners:
            listener(event)

    return emit


class EventLog:
    """Appends events to `events.jsonl` and hands each one to the listeners, in order."""

    def __init__(self, path: Path | None, listeners: list[Callable[[Event], None]] | None = None):
        self._file: IO[str] | None = files.open_in_place(path, append=True) if path else None
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
    with files.open_regular(path) as file:
        if not file.seek(0, 2):
            return False
        file.seek(-1, 2)
        return file.read(1) != b"\n"


def read(path: Path) -> list[dict[str, Any]]:
    """All records of an `events.jsonl`; a line that is none, such as a last one cut short by a kill, is left out.

    Raises FolderError for a pipe or a device of that name.
    """
    records = []
    try:
        content = files.read_bytes(path)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise FolderError(f"{path} can not be read: {error.strerror}.", files.DAMAGED_FIX) from None
    for line in content.split(b"\n"):  # other separators may stand inside a text
        with suppress(ValueError, RecursionError):  # no JSON, or cut inside a letter
            record = json.loads(line)
            if isinstance(record, dict) and _is_sound(record):
                records.append(record)
    return records


def of_record(record: Mapping[str, Any]) -> Event | None:
    """The event that `Event.record` made into this; None for one that is not known here."""
    kind = _kind_of(record)
    if kind is None:
        return None
    return kind(**{one.name: record[one.name] for one in fields(kind) if one.name in record})


def _kind_of(record: Mapping[str, Any]) -> type[Event] | None:
    return next((kind for kind in Event.__subclasses__() if kind.name == record.get("event")), None)


def _is_sound(record: dict[str, object]) -> bool:
    """Whether it is an event, and one that is known here has what it must have."""
    kind = _kind_of(record)
    if kind is None:
        return isinstance(record.get("event"), str)
    return all(
        isinstance(record.get(one.name), _JSON_TYPES.get(str(one.type), object))
        for one in fields(kind)
        if one.name in record or (one.default is MISSING and one.default_factory is MISSING)
    )


_JSON_TYPES: dict[str, Any] = {
    "str": str, "int": int, "float": (int, float), "float | None": (int, float, type(None)), "bool": bool,
    "int | None": (int, type(None)), "list[int]": list, "Mapping[str, float]": dict, "Mapping[str, str]": dict,
}  # fmt: skip
