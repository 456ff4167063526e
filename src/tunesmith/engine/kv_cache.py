"""Keys and values of what was read and written, in memory that is not allocated anew for every token.

transformers' growing cache copies all of it for each new token, into a block a little larger than the one it then
gives back: the heap of a processor ends up with several times what the cache holds.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from transformers.cache_utils import DynamicLayer

_LEAST_ROOM = 64


def make_room(cache: Any) -> None:
    """Let a cache of transformers grow in place: its plain layers; those that see a window or hold other things, and
    what is no cache, stay as they are."""
    layers = getattr(getattr(cache, "self_attention_cache", cache), "layers", [])
    layers[:] = [_Roomy(layer) if type(layer) is DynamicLayer else layer for layer in layers]


class _Roomy(DynamicLayer):
    """Keys and values [rows, heads, length, size] at the beginning of longer blocks: room for half as many again."""

    keys: Tensor
    values: Tensor

    def __init__(self, layer: DynamicLayer):
        super().__init__()
        self.__dict__.update(vars(layer))
        self._blocks: dict[str, Tensor] = {}

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        self.keys = self._longer("keys", self.keys, key_states)
        self.values = self._longer("values", self.values, value_states)
        return self.keys, self.values

    def _longer(self, name: str, held: Tensor, new: Tensor) -> Tensor:
        start = held.shape[-2] if held.numel() else 0
        end = start + new.shape[-2]
        block = self._blocks.get(name)
        # rows that were dropped or put in another order are a block of their own
        if block is None or end > block.shape[-2] or held.data_ptr() != block.data_ptr():
            rows, heads, _, size = new.shape
            block = self._blocks[name] = new.new_empty(rows, heads, end + max(_LEAST_ROOM, end // 2), size)
            if start:
                block[:, :, :start] = held
        block[:, :, start:end] = new
        return block[:, :, :end]

    def reset(self) -> None:
        self._blocks = {}
        super().reset()
