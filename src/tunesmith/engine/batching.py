"""Which rows go through the model together: rows of similar length, so that little is padding."""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterator

import numpy as np

ROWS = 32
"""Rows of a training batch when nothing is asked."""
TOKENS = 8_192
"""Most tokens of a training batch when nothing is asked: long rows get smaller batches."""
LANGUAGE_TOKENS = 16_384
"""The same for language models, whose rows are longer."""
TOKENS_AT_ONCE = 2_048
"""Tokens that go through the model together: more is no faster on a processor, and takes more memory."""
_POOL = 50  # batches whose rows are sorted together: enough to fill them evenly, few enough to stay random


def sample(positions: np.ndarray, most: int, seed: int) -> np.ndarray:
    """`positions` int64 [n] as they are, or `most` of them, drawn and ascending."""
    if len(positions) <= most:
        return positions
    return np.sort(np.random.default_rng(seed).choice(positions, most, replace=False))


def usual_rows(count: int, least: int, most: int) -> int:
    """Rows of a batch of `count` training rows, a power of two: few rows still deserve some twenty steps an epoch."""
    return min(most, 2 ** int(math.log2(max(least, count / 20))))


def plan_epoch(lengths: np.ndarray, *, seed: int, epoch: int, rows: int, tokens: int | None) -> list[np.ndarray]:
    """The batches of one epoch, as positions; every row exactly once, the same for the same arguments.

    `lengths` int [n]. At most `rows` rows a batch and, with `tokens`, at most that many after
    padding (a single longer row makes a batch of its own). Rows are shuffled, sorted by length
    within pools of 50 batches, cut into batches, and the batches shuffled.
    """
    random = np.random.default_rng([seed, epoch])
    order = random.permutation(len(lengths))
    batches: list[np.ndarray] = []
    for start in range(0, len(order), rows * _POOL):
        pool = order[start : start + rows * _POOL]
        batches += _cut(pool[np.argsort(lengths[pool], kind="stable")], lengths, rows, tokens)
    return [batches[i] for i in random.permutation(len(batches))]


def resampled(chances: np.ndarray, *, seed: int, epoch: int) -> np.ndarray:
    """As many items as there are, int64 [n], each as often as its share of `chances` says, up or down to a whole number
    (systematic sampling); the same for the same arguments."""
    ends = np.cumsum(chances) * (len(chances) / chances.sum())
    places = np.arange(len(chances)) + np.random.default_rng([seed, epoch, 1]).random()
    return np.minimum(np.searchsorted(ends, places, side="right"), len(chances) - 1)


def again(batches: list[np.ndarray], *, seed: int, epoch: int) -> list[np.ndarray]:
    """The batches of epoch 0 in the order of another epoch."""
    if epoch == 0:
        return batches
    return [batches[i] for i in np.random.default_rng([seed, epoch]).permutation(len(batches))]


def in_parts(batch: np.ndarray, tokens: int, limit: int | None, splits: int = 1) -> list[np.ndarray]:
    """A batch of so many tokens in the parts that are computed at once: at most `limit` tokens each, about, and
    `splits` times fewer yet."""
    needed = splits * (-(-tokens // limit) if limit else 1)
    return [part for part in np.array_split(batch, needed) if len(part)]


def plan_mixed(lengths: np.ndarray, *, seed: int, epoch: int, rows: int, tokens: int | None) -> list[np.ndarray]:
    """`plan_epoch` for sequences that are packed: batches of random rows, as length costs no padding then."""
    order = np.random.default_rng([seed, epoch]).permutation(len(lengths))
    batches, start, size = [], 0, 0
    for end, item in enumerate(order):
        if end - start == rows or (tokens is not None and end > start and size + int(lengths[item]) > tokens):
            batches.append(order[start:end])
            start, size = end, 0
        size += int(lengths[item])
    return [*batches, order[start:]]


def pack(lengths: np.ndarray, capacity: int) -> list[list[int]]:
    """Items into few bins of at most `capacity` tokens: best fit, longest first (Johnson 1974)."""
    bins: list[list[int]] = []
    room: list[tuple[int, int]] = []  # (free tokens, bin), sorted
    for item in np.argsort(-lengths, kind="stable"):
        size = int(lengths[item])
        at = bisect.bisect_left(room, (size, -1))
        if at == len(room):
            bins.append([int(item)])
            free, number = capacity - size, len(bins) - 1
        else:
            free, number = room.pop(at)
            bins[number].append(int(item))
            free -= size
        bisect.insort(room, (free, number))
    return bins


def by_length(lengths: np.ndarray, *, tokens: int = TOKENS_AT_ONCE) -> Iterator[np.ndarray]:
    """All rows once, longest first (what does not fit into memory shows at once), for inference."""
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        count = max(1, tokens // max(1, int(lengths[order[start]])))
        yield order[start : start + count]
        start += count


def padding_share(batches: list[np.ndarray], lengths: np.ndarray) -> float:
    """Part of all computed tokens that is padding, 0 to 1."""
    computed = sum(len(batch) * int(lengths[batch].max()) for batch in batches)
    return 1 - float(sum(int(lengths[batch].sum()) for batch in batches)) / max(1, computed)


def _cut(ordered: np.ndarray, lengths: np.ndarray, rows: int, tokens: int | None) -> list[np.ndarray]:
    """Rows in rising length into batches within both limits."""
    if tokens is None or int(lengths[ordered[-1]]) * rows <= tokens:
        return [ordered[i : i + rows] for i in range(0, len(ordered), rows)]
    batches, start = [], 0
    for end in range(1, len(ordered) + 1):
        full = end - start == rows
        too_long = end < len(ordered) and (end - start + 1) * int(lengths[ordered[end]]) > tokens
        if full or too_long or end == len(ordered):
            batches.append(ordered[start:end])
            start = end
    return batches
