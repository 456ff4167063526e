"""Which family a run belongs to."""

from __future__ import annotations

from typing import Any

from tunesmith.core import registry
from tunesmith.core.spec import RunSpec
from tunesmith.data.conversations import peek
from tunesmith.runs import choose
from tunesmith.runs.protocols import Family
from tunesmith.runs.reading import read_options


def family_of(spec: RunSpec, data: object = None) -> str:
    """The name of the family: by the task, or by the first rows.

    `data`: where it is in memory.
    """
    if spec.task != "auto":
        return choose.family_of_task(spec.task)
    examples = None
    if spec.target is None and spec.text is None:
        examples = peek(spec.data if data is None else data, read_options(spec.options))
    return choose.usual_family() if examples is None else choose.family_of_task(choose.tasks_of(examples.form)[0])


def family_named(name: str) -> Family[Any]:
    """Raises OptionError."""
    family: Family[Any] = registry.get("families", name)()
    return family
