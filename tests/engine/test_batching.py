"""Batches: every row once, similar lengths together, the same every time."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tunesmith.engine.batching import by_length, padding_share, plan_epoch


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 300), min_size=1, max_size=200),
    st.integers(1, 40),
    st.integers(1, 2000) | st.none(),
)
def test_every_row_is_in_exactly_one_batch_within_both_limits(lengths, rows, tokens):
    lengths = np.array(lengths)
    batches = plan_epoch(lengths, seed=3, epoch=1, rows=rows, tokens=tokens)
    assert sorted(np.concatenate(batches)) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) <= rows
        if tokens is not None and len(batch) > 1:
            assert len(batch) * lengths[batch].max() <= tokens


def test_the_same_seed_and_epoch_give_the_same_batches_and_others_do_not():
    lengths = np.random.default_rng(0).integers(3, 60, 500)
    first, again, other = (plan_epoch(lengths, seed=1, epoch=e, rows=16, tokens=None) for e in (0, 0, 1))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def test_little_of_a_batch_is_padding():
    lengths = np.random.default_rng(0).lognormal(2.5, 0.6, 5000).astype(int) + 3
    sorted_batches = plan_epoch(lengths, seed=0, epoch=0, rows=32, tokens=None)
    random_batches = np.array_split(np.random.default_rng(1).permutation(5000), 5000 // 32)
    assert padding_share(sorted_batches, lengths) < 0.1
    assert padding_share(random_batches, lengths) > 0.4


def test_by_length_covers_all_rows_longest_first():
    lengths = np.array([5, 90, 20, 20, 7])
    batches = list(by_length(lengths, tokens=100))
    assert sorted(np.concatenate(batches)) == [0, 1, 2, 3, 4]
    assert batches[0].tolist() == [1]
    assert all(len(b) == 1 or len(b) * lengths[b].max() <= 100 for b in batches)
