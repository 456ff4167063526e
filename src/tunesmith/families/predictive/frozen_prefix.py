"""The lowest blocks that do not move, epoch by epoch: run once for all epochs, and read from disk in each."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from tunesmith.core.events import Decided, Emit
from tunesmith.core.run import RunFolder
from tunesmith.engine.batching import by_length, in_parts
from tunesmith.engine.encoded import EncodedItems
from tunesmith.engine.objective import RowObjective
from tunesmith.engine.protocols import Method
from tunesmith.engine.tokens import EncodedRows, HiddenStates
from tunesmith.models.bundle import Bundle
from tunesmith.models.pooled import Splittable, as_splittable

CACHE_BYTES = 4_000_000_000
"""Largest cache of token states that is written without being asked for."""


@dataclass
class FrozenPrefix:
    """Blocks, from the bottom, that do not move."""

    blocks: list[int]
    """In each stage; 0 where the network can not be run in two pieces."""
    permanent: int
    """In all of them."""
    states: list[HiddenStates] = field(default_factory=list)
    """Token states of the base on disk, after ever more blocks."""

    def apply_stage(self, stage: int, bundle: Bundle, rows: EncodedItems) -> None:
        """The network and its rows are as that stage (from 0) has them."""
        self._apply(self.blocks[min(stage, len(self.blocks) - 1)], bundle, rows)

    def apply_permanent(self, bundle: Bundle, rows: EncodedItems) -> None:
        """The network and its rows are so that the weights of every epoch fit."""
        self._apply(self.permanent, bundle, rows)

    def _apply(self, blocks: int, bundle: Bundle, rows: EncodedItems) -> None:
        set_prefix(bundle.model, rows, blocks, self.states)


def set_prefix(model: object, rows: EncodedItems, blocks: int, states: Sequence[HiddenStates] = ()) -> None:
    """So many blocks of the network are frozen, and rows are read from the highest of the `states` that this allows; 0
    for a network that can not be run in two pieces."""
    if isinstance(model, Splittable):
        model.freeze_prefix(blocks)
    if isinstance(rows, EncodedRows):
        rows.hidden = next((kept for kept in reversed(states) if kept.blocks <= blocks), None)


def plan(method: Method, bundle: Bundle, epochs: int) -> FrozenPrefix:
    """What a method freezes in each of its stages, of which there is one an epoch at most."""
    if as_splittable(bundle.model) is None or not epochs or method.frozen_body:
        return FrozenPrefix([0], 0)
    return FrozenPrefix([method.frozen_prefix(epoch, bundle) for epoch in range(epochs)], method.frozen_blocks(bundle))


def cache_depths(
    prefix: FrozenPrefix, token_bytes: int, tokens: int, asked: bool | None, folder: RunFolder, emit: Emit
) -> list[int]:
    """The depths after which states are kept, ascending: those that spare work, as far as they fit on the disk.

    `token_bytes` are those of one token's state. The lowest are kept first: they serve longest.
    """
    uses = Counter(blocks for blocks in [*prefix.blocks, prefix.permanent] if blocks)
    if asked is False and uses:
        emit(Decided("frozen_cache", False, "asked for"))
    if asked is False or not uses:
        return []
    depths = sorted(uses)
    if len(depths) > 1 and uses[depths[-1]] == 1:
        depths.pop()  # to be read once is no gain over being computed once
    size, free = tokens * token_bytes, shutil.disk_usage(folder.path).free
    room = int(free / 2 if asked else min(free / 2, CACHE_BYTES)) // max(1, size)
    if not room:
        emit(Decided("frozen_cache", False, f"the states of {depths[0]} frozen blocks would take {size / 1e9:.1f} GB"))
        return []
    kept = depths[:room]
    said = " and ".join(str(depth) for depth in kept)
    emit(Decided(
        "frozen_cache", True,
        f"{said} frozen blocks are run once: {len(kept) * size / 1e6:.0f} MB in {folder.cache}"
        + (f"; no room for {len(depths) - len(kept)} more states" if len(kept) < len(depths) else ""),
    ))  # fmt: skip
    return kept


def batches_of(objective: RowObjective, watched: np.ndarray, limit: int | None) -> Sequence[np.ndarray]:
    """The positions that are computed together, `limit` tokens at most, in every epoch with the same batches."""
    parts = [part for batch in objective.plan(0) for part in in_parts(batch, objective.tokens(batch), limit)]
    lengths = objective.rows.lengths[watched]
    return [*(objective.positions[part] for part in parts), *(watched[some] for some in by_length(lengths))]
