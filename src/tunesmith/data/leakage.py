"""Twins across splits: count them, move them to one side, or say which test rows they taint."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tunesmith.data.duplicates import Duplicates, connected
from tunesmith.data.profile import take
from tunesmith.data.split import TEST, TRAIN, VALIDATION, Ints, Marks, renumbered
from tunesmith.data.types import Leakage

_EXAMPLES = 20
_BIG_SHARE = 0.1
_SMALL_CLUSTER = 10
Flags = npt.NDArray[np.bool_]


def measure(marks: Marks, found: Duplicates, threshold: float) -> Leakage:
    """Count rows of validation and test that have a duplicate in an earlier split."""
    identical = find_leaks(marks, found.identical)
    near = find_leaks(marks, found.cluster) & ~identical
    return Leakage(
        identical_rows=int(identical.sum()),
        near_identical_rows=int(near.sum()),
        clusters=int(((_table(marks, found.cluster) > 0).sum(axis=1) > 1).sum()),
        remaining_rows=int(identical.sum() + near.sum()),
        threshold=threshold,
    )


def find_leaks(marks: Marks, numbers: Ints) -> Flags:
    """Rows of validation whose number also stands in train, and of test in train or validation."""
    size = int(numbers.max()) + 1 if numbers.size else 0
    in_train, in_validation = np.zeros(size, dtype=bool), np.zeros(size, dtype=bool)
    in_train[numbers[marks == TRAIN]] = True
    in_validation[numbers[marks == VALIDATION]] = True
    return ((marks != TRAIN) & in_train[numbers]) | ((marks == TEST) & in_validation[numbers])


def move_together(marks: Marks, found: Duplicates, strata: Ints, seed: int) -> tuple[Marks, int]:
    """New marks such that no cluster stands in two splits, and how many rows changed theirs for it.

    A cluster goes to the split that holds most of its rows (train at a draw). Splits that lost rows are
    then filled up with whole clusters of train; every stratum keeps a row in train, and no split that
    had rows ends empty if clusters allow it.
    """
    wanted = np.bincount(marks, minlength=3)
    side = np.argmax(_table(marks, found.cluster), axis=1).astype(np.int8)
    moved_marks = side[found.cluster]
    moved = int((moved_marks != marks).sum())
    in_train = np.bincount(strata[moved_marks == TRAIN], minlength=int(strata.max()) + 1)
    lost = np.isin(strata, np.flatnonzero(in_train == 0))
    moved_marks[np.isin(found.cluster, found.cluster[lost])] = TRAIN
    for mark in (TEST, VALIDATION):
        _fill(moved_marks, mark, int(wanted[mark]), found.cluster, strata, seed)
    return moved_marks, moved


def movable(found: Duplicates) -> Duplicates:
    """The same, but without clusters that hold too much of the data to stand on one side.

    Where a tenth of all texts are near-identical, they are the nature of the data (filled-in forms);
    only identical texts are then kept together.
    """
    counts = np.bincount(found.cluster)
    big = (counts > max(_SMALL_CLUSTER, _BIG_SHARE * found.cluster.size))[found.cluster]
    units = np.where(big, counts.size + found.identical, found.cluster)
    return Duplicates(found.identical, renumbered(units))


def merge_groups(groups: Ints, found: Duplicates) -> Ints:
    """Groups joined where they share a (near-)identical text; as they are if that joins a tenth of all rows."""
    _, codes = np.unique(groups, return_inverse=True)
    clusters = found.cluster + codes.max() + 1
    merged = connected(codes, clusters, int(clusters.max()) + 1)[codes]
    biggest = max(np.bincount(codes).max(), 0.1 * codes.size)
    return merged if np.bincount(merged).max() <= biggest else groups


def examples(
    table: pa.Table, text: str, marks: Marks, found: Duplicates, names: tuple[str, ...]
) -> list[dict[str, Any]]:
    """Up to 20 pairs of duplicates across splits: splits, row ids, texts, and whether they are identical."""
    identical = find_leaks(marks, found.identical)
    rows = np.flatnonzero(identical | find_leaks(marks, found.cluster))[:_EXAMPLES]
    pairs = []
    for row in rows.tolist():
        numbers = found.identical if identical[row] else found.cluster
        duplicates = np.flatnonzero((numbers == numbers[row]) & (marks < marks[row]))
        pairs.append((row, int(duplicates[0]), bool(identical[row])))
    places = sorted({place for row, duplicate, _ in pairs for place in (row, duplicate)})
    shown = dict(zip(places, take(table.select(["row_id", text]), places).to_pylist(), strict=True))
    return [
        {
            "splits": [names[marks[duplicate]], names[marks[row]]],
            "row_ids": [shown[duplicate]["row_id"], shown[row]["row_id"]],
            "texts": [shown[duplicate][text][:300], shown[row][text][:300]],
            "identical": same,
        }
        for row, duplicate, same in pairs
    ]


def repeated(found: Duplicates, codes: Ints, noun: str, nouns: str) -> dict[str, int]:
    """How many rows repeat an input, alone and with their target (its number in `codes`), as the audit has it."""
    texts = int(np.unique(found.identical).size)
    both = int(np.unique(np.stack([found.identical, codes]), axis=1).shape[1])
    return {
        f"rows_with_a_{noun}_seen_before": int(found.identical.size) - texts,
        f"rows_with_{noun}_and_target_seen_before": int(found.identical.size) - both,
        f"near_identical_{nouns}": texts - int(np.unique(found.cluster).size),
        f"{nouns}_in_cut_chains": found.chained,
        "likely_pairs_not_compared": found.unchecked,
    }


def _table(marks: Marks, numbers: Ints) -> Ints:
    """Rows of each cluster (first axis) in train, validation and test."""
    size = int(numbers.max()) + 1
    return np.bincount(numbers * 3 + marks, minlength=size * 3).reshape(size, 3)


def _fill(marks: Marks, mark: int, wanted: int, clusters: Ints, strata: Ints, seed: int) -> None:
    missing = wanted - int((marks == mark).sum())
    if missing <= 0:
        return
    order = np.argsort(clusters, kind="stable")
    counts = np.bincount(clusters)
    begins = np.cumsum(counts) - counts
    in_train = np.bincount(strata[marks == TRAIN], minlength=int(strata.max()) + 1)
    empty = missing == wanted
    for cluster in np.random.default_rng([seed, mark]).permutation(counts.size):
        if missing <= 0:
            break
        rows = order[begins[cluster] : begins[cluster] + counts[cluster]]
        if rows.size == 0 or rows.size > missing or marks[rows[0]] != TRAIN:
            continue
        own = np.bincount(strata[rows], minlength=in_train.size) if rows.size > 1 else None
        left = in_train[strata[rows[0]]] - 1 if own is None else (in_train - own)[own > 0].min()
        if left < 1:
            continue
        marks[rows] = mark
        in_train[strata[rows]] -= 1 if own is None else own[strata[rows]]
        missing -= rows.size
        empty = False
    found, counts = np.unique(clusters[marks == TRAIN], return_counts=True)
    if empty and found.size > 1:  # better a big cluster than an empty split, as long as train keeps another one
        marks[clusters == found[np.argmin(counts)]] = mark
