"""What a model will cost on this machine, from its shape alone. Estimates, and said to be."""

from __future__ import annotations

from tunesmith.engine import speed
from tunesmith.models.catalog import Size
from tunesmith.models.lengths import CHARACTERS_PER_TOKEN

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
    computed = (forward + trained) / (speed.operations_per_second(size.hidden_size) * _EFFICIENCY)
    return {"seconds": round(_FIXED_SECONDS + _SECONDS_PER_ROW * rows + computed), **run_space(size, frozen_body)}


def run_space(size: Size, frozen_body: bool) -> dict[str, float]:
    """{"memory_bytes", "disk_bytes"} of a run, which need no measuring."""
    moving = size.parameters - size.embeddings
    learned = 0.0 if frozen_body else moving
    memory = _PROCESS_BYTES + 4 * size.parameters + 12 * learned + 60 * 8192 * size.hidden_size
    return {"memory_bytes": round(memory), "disk_bytes": round(4 * size.parameters + 3 * 12 * learned)}
