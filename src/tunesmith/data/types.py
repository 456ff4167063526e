"""What `prepare` hands on: columns, options of the split, the ledger, what leaked."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from pydantic import Field

from tunesmith.core.options import Options
from tunesmith.data.ledger import Ledger

__all__ = ["Columns", "Kind", "Leakage", "Ledger", "SplitOptions"]

Kind = Literal["label", "labels", "number"]
"""What the target is: a single label, a list of labels, or a number."""


@dataclass(frozen=True)
class Columns:
    """Which columns of the source are text and target, and how the target is written.

    target: several names only for one 0/1 column per label. label_separator: for 'labels' written as
    'a|b' in one cell. header: False if the file had no header, so that the columns are called
    column_1, column_2, ...
    """

    text: str
    text_pair: str | None
    target: tuple[str, ...]
    kind: Kind
    label_separator: str | None = None
    header: bool = True

    @property
    def texts(self) -> tuple[str, ...]:
        """The text columns: one or two names."""
        return (self.text,) if self.text_pair is None else (self.text, self.text_pair)

    def record(self) -> dict[str, Any]:
        """As a JSON object; `Columns.of` reads it back."""
        return {**asdict(self), "target": list(self.target)}

    @classmethod
    def of(cls, record: dict[str, Any]) -> Columns:
        """The inverse of `record`."""
        return cls(**{**record, "target": tuple(record["target"])})


class SplitOptions(Options):
    """How rows are divided into train, validation and test."""

    validation_size: float | None = Field(None, ge=0, lt=1)
    """Share of the rows to validate on, where no validation file is given; when not given, a tenth, less of
    many rows (a twentieth or 500 rows, at most 5,000)."""

    test_size: float | None = Field(None, ge=0, lt=1)
    """Share of the rows to test on, where no test file is given; when not given, a fifth, less of many rows
    (a tenth or 1,000 rows, at most 5,000)."""

    group: str | None = None
    """Column whose equal values stay together: no group stands in two splits."""

    time: str | None = None
    """Column with dates or numbers: the newest rows become the test rows, the next newest validation."""

    near_duplicates: float = Field(0.85, ge=0, le=1)
    """Texts are near-identical from this share of common three-letter pieces on (Jaccard); 0 looks for
    identical texts only."""


@dataclass
class Leakage:
    """Identical and near-identical texts that stood in more than one split.

    identical_rows / near_identical_rows: validation and test rows whose text stands (near-)identically
    in an earlier split (train, or for test also validation), before anything was moved. moved_rows:
    rows that changed their split for it. clusters: groups of such texts that stood in several splits.
    remaining_rows: validation and test rows that still have such a twin. examples: up to 20 pairs.
    """

    identical_rows: int = 0
    near_identical_rows: int = 0
    moved_rows: int = 0
    clusters: int = 0
    remaining_rows: int = 0
    threshold: float = 0.0
    examples: list[dict[str, Any]] = field(default_factory=list)

    def record(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self)
