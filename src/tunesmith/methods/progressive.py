"""A new column of blocks learns beside the earlier ones, which stay bit for bit (Rusu et al. 2016)."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from tunesmith.core.options import Options
from tunesmith.engine.method_kinds import Additive
from tunesmith.engine.optim import ParameterGroup, by_depth
from tunesmith.models.additions import moving, quiet_peft
from tunesmith.models.blocks import block_names, depths
from tunesmith.models.bundle import Bundle


class ProgressiveOptions(Options):
    column_decay: float = Field(default=0.8, gt=0, le=1)
    """Learning rate of each block by that of the block above it."""
    reduction_factor: float = Field(default=8, ge=1)
    """How many times narrower than a block its connections from earlier columns are in their middle."""
    shared_share: float = Field(default=1 / 3, ge=0, lt=1)
    """Share of the blocks, from the bottom, that all columns have in common and none moves. A network that has
    columns keeps the share it was given first."""


class Progressive(Additive):
    Options = ProgressiveOptions
    summary: ClassVar[str] = "a new column learns beside the old ones, which keep every earlier task exactly"
    families = ("predictive",)
    modalities = ("text",)
    learning_rate = 2e-4
    epochs = 3
    _earlier = 0
    """Columns of earlier tasks."""

    def prepare(self, bundle: Bundle, seed: int) -> None:
        from tunesmith.models import column

        shared = self.frozen_blocks(bundle)
        earlier = column.take_out(bundle.model.network)
        self._earlier = max((len(columns) for columns in earlier.values()), default=0)
        names = block_names(bundle.model.network)[shared:]
        config = column.ColumnConfig(
            target_modules=names, first_block=names[0], last_block=names[-1], columns=self._earlier + 1,
            reduction_factor=self.options.reduction_factor,
        )  # fmt: skip
        self._add(bundle, config, seed)
        column.put_back(bundle.model.network, earlier)

    def frozen_blocks(self, bundle: Bundle) -> int:
        from tunesmith.models import column

        names = block_names(bundle.model.network)
        there = list(column.layers(bundle.model.network))
        if there:
            return names.index(there[0])
        return min(round(len(names) * self.options.shared_share), len(names) - 1)

    def reading(self, bundle: Bundle, columns: int | None) -> AbstractContextManager[None]:
        from tunesmith.models import column

        if self._peft is None and columns is None:
            return nullcontext()
        return column.reading(bundle.model.network, self._earlier if columns is None else columns)

    def groups(self, bundle: Bundle, learning_rate: float) -> list[ParameterGroup]:
        """One group per block of the new column, each at `column_decay` of the one above; the head is faster."""
        depth_of, top = depths(bundle.model)

        def rate(depth: int) -> float:
            return learning_rate * (1.5 if depth == top else self.options.column_decay ** (top - 1 - depth))

        return by_depth(moving(bundle.model), depth_of, rate)

    def merge(self, bundle: Bundle, folder: Path) -> None:
        """Save the columns in `folder` in PEFT's layout and take them out of the network, which is saved beside."""
        from tunesmith.models.column import nameless

        assert self._peft is not None
        with quiet_peft():
            self._peft.save_pretrained(folder, safe_serialization=True, state_dict=nameless(self._peft.state_dict()))
            bundle.model.network = self._peft.unload()
