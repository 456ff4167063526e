"""convert: generative data in another format."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal, get_args

from tunesmith.core.errors import OptionError
from tunesmith.core.events import Emit, ignore
from tunesmith.data.conversations import convert as converted

Format = Literal["openai", "sharegpt", "alpaca", "messages", "gemini"]


def convert(source: str | os.PathLike[str], out: str | os.PathLike[str], to: Format, *, emit: Emit = ignore) -> int:
    """Write conversations in another format; returns the number of examples. Raises DataError, OptionError."""
    if to not in get_args(Format):
        raise OptionError(f"--to {to}: expected one of {', '.join(get_args(Format))}.")
    if not Path(out).resolve().parent.is_dir():
        raise OptionError(f"{out}: the folder {Path(out).parent} does not exist.", "Create it first.")
    return converted(str(Path(source)), Path(out), to, emit=emit)
