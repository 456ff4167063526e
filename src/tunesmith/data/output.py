"""The file that predictions go to: checked before any work, and whole or absent under its name."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from tunesmith.core.errors import OptionError
from tunesmith.core.events import Emit, Warned
from tunesmith.core.files import new_file, written_to
from tunesmith.core.text import quoted_formula

FORMATS = (".csv", ".tsv", ".xlsx", ".jsonl", ".parquet")


def checked(out: str | Path, data: object, formats: tuple[str, ...] = FORMATS) -> Path:
    """`out` as a path. Raises OptionError where it names no format, no folder, or the file that is read."""
    target = Path(out)
    if target.suffix not in formats:
        raise OptionError(f"--out {out}: the suffix tells the format; expected one of {', '.join(formats)}.")
    if not target.resolve().parent.is_dir():
        raise OptionError(f"--out {out}: the folder {target.parent} does not exist.", "Create it first.")
    if isinstance(data, str | Path) and target.exists() and Path(data).exists() and target.samefile(data):
        raise OptionError(f"--out {out} is the file that is read; it would be lost.", "Choose another name.")
    return target


@contextmanager
def written(target: Path) -> Iterator[IO[bytes]]:
    """A file to write to that becomes `target`, which stays as it was when anything fails. Raises FolderError for a
    place that can not be written."""
    with written_to(target), new_file(target, private=False) as file:
        yield file


class Cells:
    """Values as cells of CSV: lists and objects as JSON, and formulas with an apostrophe before them, counted."""

    def __init__(self) -> None:
        self.quoted = 0

    def of(self, values: Iterable[object]) -> list[object]:
        cells = [json.dumps(v, ensure_ascii=False, default=str) if isinstance(v, list | dict) else v for v in values]
        quoted = [quoted_formula(cell) for cell in cells]
        self.quoted += sum(before is not after for before, after in zip(cells, quoted, strict=True))
        return quoted

    def warn(self, emit: Emit) -> None:
        if self.quoted:
            what = "1 cell begins" if self.quoted == 1 else f"{self.quoted:,} cells begin"
            emit(Warned("formulas", f"{what} with an apostrophe: a spreadsheet would run the text as a formula. "
                                    "A .jsonl or .parquet file has it to the letter"))  # fmt: skip
