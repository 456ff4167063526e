"""Which rows train, validate and test. Works on numbers (strata, groups, times), never on texts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Marks = npt.NDArray[np.int8]
TRAIN, VALIDATION, TEST = 0, 1, 2
NAMES = ("train", "validation", "test")


def group_numbers(values: Sequence[object]) -> Ints:
    """A number for each group; a row without one ('' or None) is a group of its own."""
    codes: dict[object, int] = {}
    keys = [(number,) if value is None or value == "" else str(value) for number, value in enumerate(values)]
    return np.fromiter((codes.setdefault(key, len(codes)) for key in keys), np.int64, len(keys))


def renumbered(numbers: Ints) -> Ints:
    """The same without gaps, from 0 on."""
    return np.unique(numbers, return_inverse=True)[1].astype(np.int64)


def wanted_sizes(rows: int, validation: float, test: float) -> tuple[int, int]:
    """Rows for validation and test: the shares, rounded, but at least one each where both are wanted."""
    sizes = [max(1, round(rows * share)) if share > 0 else 0 for share in (validation, test)]
    while sum(sizes) >= rows and max(sizes) > 0:
        sizes[int(np.argmax(sizes))] -= 1
    return sizes[0], sizes[1]


def stratify(strata: Ints, validation: int, test: int, seed: int) -> Marks:
    """A mark per row; each stratum gives its share, and keeps at least one row to train on.

    strata: a number per row. The splits have exactly `validation` and `test` rows unless the strata are
    too small for that.
    """
    rng = np.random.default_rng(seed)
    rows = strata.size
    _, codes, counts = np.unique(strata, return_inverse=True, return_counts=True)
    free = counts - 1
    for_test = _shares(counts, free, test, rng)
    for_validation = _shares(counts, free - for_test, validation, rng)
    order = np.lexsort((rng.random(rows), codes))
    rank = np.empty(rows, dtype=np.int64)
    rank[order] = np.arange(rows) - np.repeat(np.cumsum(counts) - counts, counts)
    marks = np.full(rows, TRAIN, dtype=np.int8)
    marks[rank < (for_test + for_validation)[codes]] = VALIDATION
    marks[rank < for_test[codes]] = TEST
    return marks


def _shares(counts: Ints, free: Ints, wanted: int, rng: np.random.Generator) -> Ints:
    """How many rows each stratum gives: in proportion, the remainder to the largest fractions."""
    ideal = counts * (wanted / max(1, counts.sum()))
    given = np.minimum(np.floor(ideal).astype(np.int64), free)
    while (missing := wanted - int(given.sum())) > 0:
        open_ = np.flatnonzero(given < free)
        if open_.size == 0:
            break
        first = open_[np.lexsort((rng.random(open_.size), given[open_] - ideal[open_]))][:missing]
        given[first] += 1
    return given


def by_group(groups: Ints, validation: int, test: int, seed: int) -> Marks:
    """A mark per row such that no group has two; groups are drawn at random until a split is full.

    With a group for each split that is wanted and for train, no split stays empty.
    """
    _, codes, counts = np.unique(groups, return_inverse=True, return_counts=True)
    mark_of = np.full(counts.size, TRAIN, dtype=np.int8)
    left = np.random.default_rng(seed).permutation(counts.size).tolist()
    asked = [(mark, wanted) for mark, wanted in ((TEST, test), (VALIDATION, validation)) if wanted]
    for place, (mark, wanted) in enumerate(asked):
        reserved = len(asked) - place  # one group for train and each split after this one
        chosen = _fill_with_groups(left, counts, wanted, len(left) - reserved)
        mark_of[chosen] = mark
        left = [group for group in left if group not in set(chosen)]
    marks: Marks = mark_of[codes]
    return marks


def _fill_with_groups(left: list[int], counts: Ints, wanted: int, most: int) -> list[int]:
    """Groups in their order until `wanted` rows are there; one that overshoots too far is passed over."""
    chosen: list[int] = []
    size = 0
    for group in left:
        if size >= wanted or len(chosen) >= most:
            break
        if size + counts[group] - wanted <= wanted - size:
            chosen.append(group)
            size += int(counts[group])
    if not chosen and most > 0:
        chosen.append(min(left, key=lambda group: (counts[group], group)))
    return chosen


def by_time(times: npt.NDArray[np.float64], validation: int, test: int) -> Marks:
    """A mark per row: the newest rows test, the next newest validate; rows of one time stay together.

    With a different time for each split that is wanted and for train, no split stays empty.
    """
    _, codes, counts = np.unique(times, return_inverse=True, return_counts=True)
    before = np.concatenate([[0], np.cumsum(counts)])  # rows older than the n-th time
    first = 2 if validation else 1
    cut_test = _nearest_cut(before, times.size - test, first, counts.size - 1) if test else counts.size
    cut_validation = cut_test
    if validation:
        cut_validation = _nearest_cut(before, int(before[cut_test]) - validation, 1, cut_test - 1)
    marks = np.full(times.size, TRAIN, dtype=np.int8)
    marks[codes >= cut_validation] = VALIDATION
    marks[codes >= cut_test] = TEST
    return marks


def _nearest_cut(before: Ints, rows: int, low: int, high: int) -> int:
    """The cut in low..high that has the number of older rows nearest to `rows`."""
    if high < low:
        return max(1, high)
    return low + int(np.argmin(np.abs(before[low : high + 1] - rows)))


def quantile_strata(numbers: npt.NDArray[np.float64]) -> Ints:
    """A stratum per number: up to ten ranges that hold about as many rows each."""
    bins = int(min(10, max(1, numbers.size // 10)))
    edges = np.quantile(numbers, np.linspace(0, 1, bins + 1)[1:-1])
    return np.searchsorted(edges, numbers, side="right").astype(np.int64)


def rarest_strata(lists: Sequence[Sequence[int]], label_counts: Ints) -> Ints:
    """A stratum per row of several labels: its rarest label; rows without labels make their own."""
    none = label_counts.size
    return np.fromiter(
        (min(row, key=lambda label: (label_counts[label], label), default=none) for row in lists),
        np.int64,
        len(lists),
    )
