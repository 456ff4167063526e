"""Which family a run belongs to."""

from __future__ import annotations

from typing import Any

from tunesmith.core.spec import RunSpec
from tunesmith.data.conversations import peek
from tunesmith.runs import choose
from tunesmith.runs.reading import read_options


def family_of(spec: RunSpec, data: Any = None) -> str:
    """'predictive' (one answer per row) or 'generative' (text is written): by the task, or by the first rows.

    `data`: where it is in memory.
    """
    if spec.task != "auto":
        return choose.family_of_task(spec.task)
    if spec.target is not None or spec.text is not None:
        return "predictive"
    return "predictive" if peek(spec.data if data is None else data, read_options(spec)) is None else "generative"
