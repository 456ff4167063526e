"""What `prepare` hands on: columns, options of the split, the ledger, what leaked."""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from pydantic import Field, field_validator

from tunesmith.core.options import Options
from tunesmith.data.ledger import Ledger
from tunesmith.data.splitting import Splitting

__all__ = ["Columns", "Kind", "Leakage", "Ledger", "ReadOptions", "SplitOptions", "ValueOptions"]

DELIMITER_NAMES = {"comma": ",", "tab": "\t", "\\t": "\t", "semicolon": ";", "bar": "|", "pipe": "|", "space": " "}

Kind = str
"""What the target is: "label" (one), "labels" (a list of them), "number", or a name of `data.target_kinds`."""


@dataclass(frozen=True)
class Columns:
    """Which columns of the source are read and which are the target, and how the target is written.

    inputs: what is read, in the order of the roles of `modality`. target: several names only for one 0/1 column per
    label. label_separator: for 'labels' written as 'a|b' in one cell. header: False if the file had no header, so that
    the columns are called column_1, column_2, ... positions: names of the positions of 0/1 vectors. decimal: the sign
    before the fraction of numbers, where it was found or given. merge_labels: spellings of one label are one. missing:
    values that mean that there is none. names: (label as it is written, its name), where labels have been given names.
    repeated_answers: as `ValueOptions` has it. features: what is read beside the inputs, as numbers.
    splitting: how texts are told apart into words (`data.splitting`).
    """

    inputs: tuple[str, ...]
    target: tuple[str, ...]
    kind: Kind
    label_separator: str | None = None
    header: bool = True
    positions: tuple[str, ...] | None = None
    decimal: str | None = None
    merge_labels: bool = False
    missing: tuple[str, ...] = ()
    names: tuple[tuple[str, str], ...] = ()
    modality: str = "text"
    repeated_answers: str = "refuse"
    features: tuple[str, ...] = ()
    splitting: Splitting = ""

    def record(self) -> dict[str, Any]:
        """As a JSON object; `Columns.of` reads it back. Texts are written as "text" and "text_pair"."""
        record = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}
        plain: dict[str, Any] = {"positions": None, "decimal": None, "merge_labels": False, "missing": [], "names": [],
                                 "repeated_answers": "refuse", "features": [], "splitting": ""}  # fmt: skip
        record = {name: value for name, value in record.items() if plain.get(name, ...) != value}
        if self.modality != "text":
            return record
        text, pair = (*record.pop("inputs"), None)[:2]
        del record["modality"]
        return {"text": text, "text_pair": pair, **record}

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Columns:
        """The inverse of `record`."""
        read: dict[str, Any] = {name: tuple(cell) if isinstance(cell, list) else cell for name, cell in record.items()}
        read["names"] = tuple((label, name) for label, name in read.get("names", ()))
        texts = [read.pop(name, None) for name in ("text", "text_pair")]
        read.setdefault("inputs", tuple(name for name in texts if name is not None))
        return cls(**read)


class SplitOptions(Options):
    """How rows are divided into train, validation and test."""

    validation_size: float | None = Field(None, ge=0, lt=1)
    """Share of the rows to validate on, where no validation file is given; when not given, a tenth, less of
    many rows (a twentieth or 500 rows, at most 5,000)."""

    test_size: float | None = Field(None, ge=0, lt=1)
    """Share of the rows to test on, where no test file is given; when not given, a fifth, less of many rows
    (a tenth or 1,000 rows, at most 5,000)."""

    group: str | None = None
    """Column whose equal values stay together: no group stands in two splits. Of files also a word in their names
    (patient keeps all of patient_12 together), or folder."""

    time: str | None = None
    """Column with dates or numbers: the newest rows become the test rows, the next newest validation."""

    near_duplicates: float = Field(0.85, ge=0, le=1)
    """Texts are near-identical from this share of common three-letter pieces on (Jaccard); 0 looks for
    identical texts only."""


_NO_TEXTS = ("idna", "punycode", "undefined", "unicode_escape", "raw_unicode_escape", "unicode-escape",
             "raw-unicode-escape")  # fmt: skip
"""Encodings of names and of Python's source, which files of texts are not in."""


class ReadOptions(Options):
    """How files are read, for who knows it better than what is found out."""

    encoding: str | None = None
    """Encoding of the text files, such as utf-8, cp1252 or shift_jis. Found out when not given."""

    encoding_errors: Literal["strict", "repair", "replace"] = "strict"
    """Bytes that are not of the encoding: strict refuses the file and names the lines, repair reads them in the
    encoding that fits them, replace puts U+FFFD in their place. The rows are counted."""

    delimiter: str | None = None
    """The sign between cells: a character, tab, comma, semicolon, bar or space. Found out when not given."""

    decimal: Literal[".", ","] | None = None
    """The sign before the fraction of a number. Found out when not given."""

    header_row: int | None = Field(None, ge=0)
    """Line of the file (row of the sheet) that holds the names of the columns, from 1; 0 where there is none. Found
    out when not given."""

    sheet: str | None = None
    """Sheet of a workbook (Excel, OpenDocument). Found out when not given."""

    @field_validator("encoding")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            codec = codecs.lookup(value)
        except (LookupError, ValueError):
            raise ValueError("Python knows no encoding of this name") from None
        if not codec._is_text_encoding or codec.name in _NO_TEXTS:
            raise ValueError("this is no encoding of texts")
        return codec.name

    @field_validator("delimiter", mode="before")
    @classmethod
    def _one_character(cls, value: object) -> object:
        named = DELIMITER_NAMES.get(value.lower(), value) if isinstance(value, str) else value
        if isinstance(named, str) and (len(named) != 1 or named in '\r\n"'):
            raise ValueError("expected one character, or tab, comma, semicolon, bar or space")
        return named


class ValueOptions(Options):
    """What the cells of the target mean, for who knows it better than what is found out."""

    label_separator: str | None = None
    """What stands between several labels in one cell, such as "|" or ", "; off where every cell is one label. Found
    out when not given."""

    label_names: str | list[str] | dict[str | int, str | int] | None = None
    """Names of labels that are numbers (3, or 3,10), or of the positions of 0/1 vectors, from 0 on: a list, names with
    commas between them, or a file with one a line. For any numbers, and for words: {3: food, 10: shop} (id2label or
    label2id), or a file of numbers with names, or of JSON."""

    merge_labels: bool = False
    """Read spellings of one label (Refund, refund, "refund ") as the most frequent one."""

    nothing: Literal["drop", "keep"] = "drop"
    """Cells that hold but a word for nothing (N/A, null, -): drop those rows, or keep the word as text or label."""

    missing: list[str] = Field(default=[])
    """Further values that mean that there is none, such as -999 in a column of numbers."""

    unreadable: Literal["refuse", "drop"] = "refuse"
    """Inputs that can not be read (a damaged or absent picture): refuse the data and name them all, or drop those rows,
    each with its reason in the ledger."""

    unseen_labels: Literal["refuse", "warn"] = "refuse"
    """Labels of validation or test files that no training row has: refuse, or only warn."""

    repeated_answers: Literal["refuse", "any", "first"] = "refuse"
    """Answers that stand in several places of their context, where nothing says which is meant: refuse them, take any
    of the places for right, or the first."""

    @field_validator("missing", mode="before")
    @classmethod
    def _as_words(cls, value: object) -> object:
        return [str(one) for one in (value if isinstance(value, list | tuple) else [value])]


@dataclass
class Leakage:
    """Identical and near-identical texts that stood in more than one split.

    identical_rows / near_identical_rows: validation and test rows whose text stands (near-)identically
    in an earlier split (train, or for test also validation), before anything was moved. moved_rows:
    rows that changed their split for it. clusters: groups of such texts that stood in several splits.
    remaining_rows: validation and test rows that still have such a duplicate. examples: up to 20 pairs.
    """

    identical_rows: int = 0
    near_identical_rows: int = 0
    moved_rows: int = 0
    clusters: int = 0
    remaining_rows: int = 0
    threshold: float = 0.0
    examples: list[dict[str, Any]] = field(default_factory=list)

    def record(self) -> dict[str, object]:
        """As a JSON object."""
        return asdict(self)
