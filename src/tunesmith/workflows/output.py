"""The file that predictions go to: checked before any work, and whole or absent under its name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from tunesmith.core.errors import OptionError
from tunesmith.core.files import new_file, written_to

FORMATS = (".csv", ".tsv", ".jsonl", ".parquet")


def checked(out: str | Path, data: Any, formats: tuple[str, ...] = FORMATS) -> Path:
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
