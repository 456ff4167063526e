"""How many operations a second this machine computes, measured once and kept in the user's cache folder, and what a
model will cost on it, from its shape alone: an estimate, and said to be.

Nothing here needs torch before something is measured.
"""

from __future__ import annotations

import functools
import json
import math
import os
import platform
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tunesmith.core import files
from tunesmith.core.cache import cache_folder
from tunesmith.core.errors import TunesmithError
from tunesmith.models.catalog import Size
from tunesmith.models.lengths import CHARACTERS_PER_TOKEN

_NAME = "speed.json"
_MOST_BYTES = 100_000


def lookup(hidden_size: int) -> float | None:
    """What was measured earlier on this machine at this width; None where nothing was."""
    return _read().get(str(hidden_size))


@functools.cache
def operations_per_second(hidden_size: int) -> float:
    """The machine's matrix-product peak at the model's width, in its faster number format."""
    return lookup(hidden_size) or measure(hidden_size)


def measure(hidden_size: int) -> float:
    """Measure it anew (a quarter of a second), and keep the best that was ever seen: others only ever slow it down."""
    import torch

    from tunesmith.engine.hardware import seconds_per_product

    best = min(seconds_per_product(dtype, hidden_size) for dtype in (torch.float32, torch.bfloat16))
    found = max(lookup(hidden_size) or 0.0, 2 * 1024 * hidden_size * 4 * hidden_size / best)
    _write({**_read(), str(hidden_size): found})
    return found


def _machine() -> str:
    """What the numbers hold for: another processor, torch or version of ours, and they are measured anew."""
    parts = [platform.machine(), _processor(), str(os.cpu_count()), os.environ.get("OMP_NUM_THREADS", "")]
    for package in ("torch", "tunesmith"):
        try:
            parts.append(version(package))
        except PackageNotFoundError:
            parts.append("none")
    return " | ".join(parts)


def _processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def _read() -> dict[str, float]:
    """Operations a second by width, as far as the file is ours, whole, and of this machine."""
    try:
        found: Any = json.loads(files.read_bytes(cache_folder() / _NAME, _MOST_BYTES))
        if found["machine"] != _machine():
            return {}
        return {str(width): speed for width, speed in found["operations_per_second"].items() if _sound(speed)}
    except (OSError, TunesmithError, ValueError, RecursionError, KeyError, TypeError, AttributeError, RuntimeError):
        return {}


def _sound(speed: object) -> bool:
    return isinstance(speed, int | float) and math.isfinite(speed) and 1e6 < speed < 1e18


def _write(found: dict[str, float]) -> None:
    """A cache that can not be written is no trouble: it is measured again."""
    with suppress(OSError, TunesmithError, RuntimeError):
        folder = cache_folder()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        files.write_json(folder / _NAME, {"machine": _machine(), "operations_per_second": found})


_EFFICIENCY = 0.5  # of the matrix-product peak that whole steps reach, as measured on two cores
_MOVING = 2 / 3  # of the blocks, when the body is trained: the lowest third is run once
_PROCESS_BYTES = 700e6  # the interpreter with its libraries
_FIXED_SECONDS = 7.0  # imports, loading, intervals, report
_SECONDS_PER_ROW = 0.0008  # reading and the other baselines


def run_cost(
    size: Size, *, frozen_body: bool, epochs: int, rows: int, train_rows: int, characters: float
) -> dict[str, float]:
    """{"seconds", "memory_bytes", "disk_bytes"} of a run on rows of `characters` letters on average.

    Two operations per parameter and token forward, twice that again backward (Kaplan et al. 2020,
    table 1), at the part of the measured matrix-product peak that whole steps reach.
    """
    moving = size.parameters - size.embeddings
    tokens = characters / CHARACTERS_PER_TOKEN + 2
    forward = 2 * moving * tokens * (rows if frozen_body else 2 * rows - train_rows)
    trained = 0.0 if frozen_body else 6 * _MOVING * moving * tokens * train_rows * epochs
    computed = (forward + trained) / (operations_per_second(size.hidden_size) * _EFFICIENCY)
    return {"seconds": round(_FIXED_SECONDS + _SECONDS_PER_ROW * rows + computed), **run_space(size, frozen_body)}


def run_space(size: Size, frozen_body: bool) -> dict[str, float]:
    """{"memory_bytes", "disk_bytes"} of a run, which need no measuring."""
    moving = size.parameters - size.embeddings
    learned = 0.0 if frozen_body else moving
    memory = _PROCESS_BYTES + 4 * size.parameters + 12 * learned + 60 * 8192 * size.hidden_size
    return {"memory_bytes": round(memory), "disk_bytes": round(4 * size.parameters + 3 * 12 * learned)}
