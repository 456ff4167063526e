"""plan: what a run takes, here or on a GPU, before it is paid for."""

from __future__ import annotations

from typing import Unpack

from tunesmith.core.words import TrainWords
from tunesmith.families import plan as forecast
from tunesmith.families.plan_words import Plan


def plan(data: object, *, device: str | None = None, **words: Unpack[TrainWords]) -> Plan:
    """Memory, time, disk and tokens of `train` with the same arguments, from the model's config alone.

    `device`: a GPU by name (h100, l4, ...), None for this machine. Raises DataError, ModelError, OptionError.
    """
    return forecast.plan(data, device=device, **words)
