"""convert: generative data in another format."""

from __future__ import annotations

import os
from pathlib import Path

from tunesmith.core.errors import OptionError
from tunesmith.core.events import Emit, ignore
from tunesmith.data.conversations import convert as converted

TARGETS = ("openai", "sharegpt", "alpaca", "messages", "gemini")


def convert(source: str, out: str | os.PathLike[str], to: str, *, emit: Emit = ignore) -> int:
    """Returns the number of examples. Raises DataError, OptionError."""
    if to not in TARGETS:
        raise OptionError(f"--to {to}: expected one of {', '.join(TARGETS)}.")
    if not Path(out).resolve().parent.is_dir():
        raise OptionError(f"{out}: the folder {Path(out).parent} does not exist.", "Create it first.")
    return converted(source, Path(out), to, emit=emit)
