"""The file that predictions go to: checked before any work, and whole or absent under its name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tunesmith.core.errors import OptionError

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
def written(target: Path) -> Iterator[Path]:
    """A path to write to; what is there in the end becomes `target`, which stays as it was when anything fails."""
    aside = target.with_name(f".{target.name}.tmp")
    try:
        try:
            aside.touch()
        except OSError as error:
            raise OptionError(
                f"--out {target}: can not be written: {error.strerror}.", "Choose a folder that you may write to."
            ) from None
        yield aside
        os.replace(aside, target)
    finally:
        if aside.exists():
            aside.unlink()
