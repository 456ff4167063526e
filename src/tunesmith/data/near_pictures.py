"""Identical and near-identical pictures: by their pixels, by a 64-bit hash in bands, and by how a thumb looks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from tunesmith.data.duplicates import Duplicates
from tunesmith.data.looks import Look

DISTANCE = 3
"""Bits of 64 in which the hashes of near-identical pictures differ at most."""
_COLOUR = 6.0
"""Mean difference of two thumbs, of 255, up to which they look alike: of two photographs 10 and more, of
one that was saved again smaller or with losses 1 to 5."""
_CHUNK = 2_048
_BANDS = DISTANCE + 1  # so that two hashes which differ in DISTANCE bits are the same in one band at least
_NEIGHBOURS = 64
"""Pictures of one band that each is compared with, of those with the nearest hashes: more share one only where they
have next to no edges."""


def find_duplicates(looks: Sequence[Look], *, near: bool) -> Duplicates:
    """Number the pictures: one number of `identical` for the same pixels, one of `cluster` for pictures that are
    near-identical to each other, or to one that is; without `near`, the same as `identical`."""
    numbers: dict[bytes, int] = {}
    identical = np.array([numbers.setdefault(look.digest, len(numbers)) for look in looks], dtype=np.int64)
    if not near or not len(looks):
        return Duplicates(identical, identical.copy())
    _, first = np.unique(identical, return_index=True)
    marks = np.array([looks[row].mark for row in first], dtype=np.uint64)
    thumbs = [looks[row].thumb for row in first]
    pairs = [np.zeros((0, 2), dtype=np.int64), *(_alike(some, thumbs) for some in near_pairs(marks))]
    edges = np.unique(np.concatenate(pairs), axis=0)
    graph = coo_array((np.ones(len(edges), dtype=np.int8), (edges[:, 0], edges[:, 1])), shape=(len(first),) * 2)
    _, cluster = connected_components(graph, directed=False)
    return Duplicates(identical, cluster.astype(np.int64)[identical])


def near_pairs(marks: np.ndarray) -> Iterator[np.ndarray]:
    """Pairs int64 [m, 2] of hashes uint64 [n] that differ in DISTANCE bits at most; a pair may come more than once.

    Only hashes that are the same in one of four bands of 16 bits are compared.
    """
    width = np.uint64(64 // _BANDS)
    for band in range(_BANDS):
        key = (marks >> np.uint64(band) * width) & np.uint64(0xFFFF)
        order = np.lexsort((marks, key))
        for step in range(1, min(_NEIGHBOURS, len(order) - 1) + 1):
            left, right = order[:-step], order[step:]
            same = key[left] == key[right]
            if not same.any():
                break  # no band holds so many
            left, right = left[same], right[same]
            few = np.bitwise_count(marks[left] ^ marks[right]) <= DISTANCE
            if few.any():
                yield np.stack([np.minimum(left, right), np.maximum(left, right)], axis=1)[few]


def _alike(pairs: np.ndarray, thumbs: Sequence[np.ndarray]) -> np.ndarray:
    """Those of the pairs whose thumbs look alike: pictures with few edges, such as drawings on white, have hashes
    that say little."""
    kept = [np.zeros(0, dtype=bool)]
    for start in range(0, len(pairs), _CHUNK):
        left, right = (np.stack([thumbs[row] for row in rows]) for rows in pairs[start : start + _CHUNK].T)
        difference = np.maximum(left, right) - np.minimum(left, right)
        kept.append(difference.reshape(len(left), -1).mean(axis=1) <= _COLOUR)
    return pairs[np.concatenate(kept)]
