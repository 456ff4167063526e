"""What the data of a run is made of, as far as reading, cleaning and dividing rows asks: how a cell is found, read and
compared. What a network makes of it is `engine.protocols.Modality`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tunesmith.core.errors import DataError, Problem
from tunesmith.core.events import Emit
from tunesmith.data.duplicates import Duplicates
from tunesmith.data.profile import Profile
from tunesmith.data.types import Columns, ReadOptions

Flags = npt.NDArray[np.bool_]
Reasons = dict[str, tuple[str, str]]
"""What was chosen -> (value, why)."""
SURE = 1_000_000.0
"""What a modality claims of a column that can hold nothing else."""


@dataclass
class Cells:
    """One input column of some rows, read.

    columns: what a run keeps of it, by name (the role itself first), one entry a row. blank: bool [rows], nothing is
    there. nothing: bool [rows], only a word for nothing is. faults: (row from 0, what is wrong with it). reasons: the
    same in short, one of few, by row.
    """

    columns: dict[str, pa.Array]
    blank: Flags
    nothing: Flags
    faults: list[tuple[int, str]]
    reasons: dict[int, str] = field(default_factory=dict)


class DataModality(ABC):
    """One kind of input. It has no state."""

    name: ClassVar[str]
    """Of its line in the table of modalities."""
    roles: ClassVar[tuple[str, ...]]
    """Names under which a run keeps its inputs; all but the first may be absent."""
    places: ClassVar[tuple[str, ...]] = ()
    """Columns of `read` that say where an input lies, and not what it is: the same data elsewhere is the same."""
    batch_rows: ClassVar[int] = 20_000
    """Rows that are read at once."""
    noun: ClassVar[str]
    """What one is called."""
    nouns: ClassVar[str]
    """What several are called; with an s, where nothing is said."""
    parts: ClassVar[tuple[str, ...]]
    """What its inputs are called one by one, as the roles are; the noun, where nothing is said."""
    usual_task: ClassVar[str]
    """A task that reads it, for advice."""
    flag: ClassVar[str] = "--input"
    """With what the user names its column."""
    joins: ClassVar[bool] = False
    """Whether several columns can be read as one input, or as two that belong together."""
    suffixes: ClassVar[frozenset[str]] = frozenset()
    """Of the files that hold one each, in lower case: a folder of them per class is data."""
    formats: ClassVar[frozenset[str]] = frozenset()
    """Suffixes of the files with many inputs that it reads by itself (`reads`), in lower case."""
    kinds: ClassVar[tuple[str, ...] | None] = None
    """The only kinds of target that belong to such inputs; None: any."""
    together: ClassVar[str | None] = None
    """What several rows can have in common (a context, ...): rows of one cluster of `duplicates` are then divided as
    one, and not drawn one by one."""
    documents: ClassVar[tuple[str, ...]] = ()
    """Usual names of a column of what `together` comes from, which is divided as one too where there are enough."""

    def __init_subclass__(cls) -> None:
        if "noun" in vars(cls):
            cls.nouns = vars(cls).get("nouns", f"{cls.noun}s")
            cls.parts = vars(cls).get("parts", (cls.noun,))

    @abstractmethod
    def claims(self, profile: Profile) -> float:
        """How much a column looks like it holds such inputs; 0: not at all, from `SURE` on it can hold nothing else."""

    def choose(
        self, profiles: Sequence[Profile], target: Sequence[str], source: str, reasons: Reasons
    ) -> tuple[str, ...]:
        """The input columns where none are named, of those that are not `target`: the one that is claimed most. Raises
        DataError where none is."""
        best = max(profiles, key=self.claims, default=None)
        if best is None or not self.claims(best):
            raise self.no_column(profiles, source)
        reasons[self.roles[0]] = (best.name, f"it holds {self.nouns}")
        return (best.name,)

    def meaning(self, columns: Columns, known: Mapping[str, Profile], reasons: Reasons) -> Columns:
        """The columns with what the cells of the inputs mean, found out in the columns of the data."""
        return columns

    def of_columns(self, columns: Columns) -> Self:
        """This kind of input as such columns hold it."""
        return self

    def no_column(self, profiles: Sequence[Profile], source: str) -> DataError:
        """The error where no column holds such inputs."""
        problem = Problem(f"no column holds {self.noun}; {described(profiles)}", source)
        return DataError(problem, fix=f"Name the {self.noun} column: {self.flag} COLUMN")

    def reads(self, path: Path) -> bool:
        """Whether a file has a format that it reads by itself (`tables`)."""
        return False

    def tables(self, path: Path, options: ReadOptions, emit: Emit) -> Iterator[pa.Table]:
        """The rows of such a file. Raises DataError with the line of what is wrong."""
        raise NotImplementedError

    def annotated(
        self, path: Path, split: str, emit: Emit, whole: Sequence[str] | None = None
    ) -> Mapping[str, Iterator[pa.Table]] | None:
        """The rows by split of a file or folder whose targets lie in files of their own, one that is not divided as
        `split`; None of all else. `whole`: the columns that are asked for, where only labels of a whole input can be
        learned. Raises DataError."""
        return None

    def arrange(self, part: Any, *, asked: bool) -> None:  # noqa: B027 of most kinds a row is one as it stands
        """Put the rows of a `data.part.Part` into the layout that is read, where several are usual. `asked`: whether
        nothing else can be read. Raises DataError."""

    def file_cell(self, path: Path, options: ReadOptions) -> Any:
        """What stands for a file of `suffixes` in a table: its path, where the file itself is read later."""
        return str(path.absolute())

    def is_input(self, value: object) -> bool:
        """Whether a value of Python is one such input, and no list or table of them."""
        return False

    def are_inputs(self, value: Any) -> bool:
        """Whether an array holds one such input an entry, in more dimensions than one."""
        return False

    def refuse(self, table: pa.Table, source: str) -> None:  # noqa: B027 not every kind has such types
        """Raises DataError for columns of a type that can hold no such input."""

    def base(self, column: pa.ChunkedArray, folder: Path) -> Path:
        """Where relative paths in a column begin: `folder`, or one below it where they are."""
        return folder

    def anchored(self, column: pa.ChunkedArray, folder: Path) -> pa.ChunkedArray:
        """The cells as they mean the same in another folder; relative paths begin at `folder`."""
        return column

    @abstractmethod
    def read(self, role: str, column: pa.ChunkedArray, folder: Path) -> Cells:
        """The cells of one column, as a run keeps them under `role`; relative paths begin at `folder`."""

    def faults(self, role: str, column: pa.ChunkedArray, folder: Path) -> Cells:
        """The same for inputs that a finished model is asked about, as far as it can be told without reading all of
        them twice: what `encode` reads anyway, it checks."""
        return self.read(role, column, folder)

    @abstractmethod
    def duplicates(self, table: pa.Table, threshold: float) -> Duplicates:
        """Which rows of a table with the columns of `read` are the same, and nearly the same."""

    @abstractmethod
    def hashes(self, table: pa.Table) -> npt.NDArray[np.uint64]:
        """uint64 [rows]: equal for inputs that count as the same."""

    def lengths(self, table: pa.Table) -> Mapping[str, Any] | None:
        """Quantiles and a histogram of the sizes of the first input; None where a size says nothing."""
        return None

    def facts(self, table: pa.Table) -> Mapping[str, Any] | None:
        """What else is to be known of the inputs, for the audit; None where that is nothing."""
        return None

    def warn(self, table: pa.Table, names: Sequence[str], place: Callable[[int], Problem], emit: Emit) -> None:  # noqa: B027
        """Say what is odd in the inputs, the columns `names` of the source; `place`: where a row stood."""


def described(profiles: Sequence[Profile]) -> str:
    """The columns and what they hold, for a message."""
    if not profiles:
        return "there is no other column"
    told = [f"{one.name} ({one.useless or f'{one.distinct} different values'})" for one in profiles[:12]]
    more = f" and {len(profiles) - 12} more" if len(profiles) > 12 else ""
    return f"columns: {', '.join(told)}{more}"
