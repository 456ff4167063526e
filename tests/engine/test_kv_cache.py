"""A key-value cache that grows in place holds what transformers' own holds, whatever is done to it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from transformers import DynamicCache, EncoderDecoderCache, LlamaConfig, MistralConfig

from tunesmith.engine import kv_cache

CONFIG = LlamaConfig(num_hidden_layers=2, hidden_size=8, num_attention_heads=2, num_key_value_heads=2)


def some(length: int, seed: int, rows: int = 3) -> Tensor:
    return torch.randn(rows, 2, length, 4, generator=torch.Generator().manual_seed(seed))


def pair() -> tuple[DynamicCache, DynamicCache]:
    """Theirs and ours, each with a prompt of five tokens."""
    caches = DynamicCache(config=CONFIG), DynamicCache(config=CONFIG)
    for cache in caches:
        for layer in range(2):
            cache.update(some(5, layer), some(5, layer + 10), layer)
    kv_cache.make_room(caches[1])
    return caches


def same(theirs: DynamicCache, ours: DynamicCache) -> bool:
    assert theirs.get_seq_length() == ours.get_seq_length()
    return all(
        torch.equal(a.keys, b.keys) and torch.equal(a.values, b.values)
        for a, b in zip(theirs.layers, ours.layers, strict=True)
    )


@pytest.mark.parametrize("room", [1, 64])
def test_it_holds_what_was_put_in(room: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kv_cache, "_LEAST_ROOM", room)
    theirs, ours = pair()
    assert same(theirs, ours)
    rows = 3
    for step in range(40):
        new = [(some(1, 100 + step, rows), some(1, 200 + step, rows)) for _ in range(2)]
        for layer, (keys, values) in enumerate(new):
            given = ours.update(keys, values, layer)
            for mine, wanted in zip(given, theirs.update(keys, values, layer), strict=True):
                assert torch.equal(mine, wanted)
        if step in (10, 11, 30):  # rows are dropped, or change places
            rows = 2
            chosen = torch.tensor([1, 0] if step > 10 else [2, 0])
            for cache in (theirs, ours):
                cache.reorder_cache(chosen)
        assert same(theirs, ours)


def test_a_token_is_written_where_it_stays() -> None:
    _, ours = pair()
    places = []
    for step in range(50):
        for layer in range(2):
            ours.update(some(1, step), some(1, step), layer)
        places.append(ours.layers[1].keys.data_ptr())
    assert len(set(places)) == 1


def test_layers_of_other_kinds_stay_as_they_are() -> None:
    sliding = DynamicCache(config=MistralConfig(num_hidden_layers=2, sliding_window=4))
    kinds = [type(layer) for layer in sliding.layers]
    kv_cache.make_room(sliding)
    assert [type(layer) for layer in sliding.layers] == kinds
    both = EncoderDecoderCache(DynamicCache(config=CONFIG), DynamicCache(config=CONFIG))
    kv_cache.make_room(both)
    assert all(isinstance(layer, kv_cache._Roomy) for layer in both.self_attention_cache.layers)
    assert not any(isinstance(layer, kv_cache._Roomy) for layer in both.cross_attention_cache.layers)
    kv_cache.make_room(None)
