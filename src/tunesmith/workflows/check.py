"""check: what a run would do with this data, and what is wrong with it. Trains nothing."""

from __future__ import annotations

from typing import Unpack

from tunesmith.core.words import TrainWords
from tunesmith.display.results import Check
from tunesmith.runs.family import family_named, family_of
from tunesmith.runs.train import make_spec


def check(data: object = None, **words: Unpack[TrainWords]) -> Check:
    """What `train` would do with the same arguments, and what is wrong with the data; nothing is trained.

    Returns a dict with "task", "model", "method", "columns", "splits", "audit", "decisions", "warnings", "estimate":
    {"seconds", "memory_bytes", "disk_bytes"}, "samples", "lengths" and "seconds" (for text that is written: "form",
    "format", "problems", "advice"). Raises the errors that `train` would raise before its first step.
    """
    spec, source = make_spec(data, {**words})
    return Check(family_named(family_of(spec, source)).check(spec, source))
