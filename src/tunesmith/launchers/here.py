"""In this process: nothing to start, and memory that all runs share."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tunesmith.core.events import Emit, ignore
from tunesmith.core.imports import resolve


class Here:
    """See `runs.protocols.Launcher`."""

    summary = "In this process, one run after the other"

    def launch(self, work: str, job: Mapping[str, object], log: Path, emit: Emit = ignore) -> None:
        resolve(work)(job, emit)
