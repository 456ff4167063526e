"""Identical and near-identical texts: MinHash over three-letter pieces, sorted bands, checked pairs.

The permutations are datasketch's; the arithmetic runs over whole batches of texts in numpy, and instead
of a dictionary of buckets the band hashes are sorted, so that a million texts take seconds and little
memory. Knows nothing of splits.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import xxhash

from tunesmith.data.profile import take

Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]

PERMUTATIONS = 64
_BATCH_ROWS = 8_192
_BATCH_CHARACTERS = 1 << 19
_PAIR_PIECES = 1_000_000  # pieces compared at once
_CHAIN_SHARE = 0.02
_PAIRS_A_TEXT = 8  # most pairs compared for each text, beside ...
_FREE_PAIRS = 200_000
_PIECE_BITS = np.uint64(48)
_PIECE_MASK = np.uint64(2**48 - 1)
_MOST_PAIRS = 50_000  # so that the number of a pair fits above the bits of a piece
_SEPARATOR = "\x00"
_PUNCTUATION = re.compile(r"[\s!-/:-@\[-`{-~\u00a0-\u00bf\u2000-\u206f\u3000-\u303f]+")


@dataclass
class Duplicates:
    """For each row (by position): `identical` numbers its text, `cluster` its near-identical texts.

    Rows of one text have one `identical`; texts of one `cluster` are near-identical to each other, or
    to a text that is. chained: texts of over-long chains, which were cut where no direct similarity holds.
    unchecked: likely pairs that were not compared, because too many texts resemble one another.
    """

    identical: Ints
    cluster: Ints
    chained: int = 0
    unchecked: int = 0


def find_duplicates(table: pa.Table, names: Sequence[str], threshold: float) -> Duplicates:
    """Number the texts of a table whose columns `names` hold one or two strings.

    threshold: Jaccard similarity of the sets of three-letter pieces from which on two texts are
    near-identical; 0 compares for identity only (after normalising). Deterministic.
    """
    marks = _Marks.of(table, names, threshold)
    _, first, identical = np.unique(marks.keys, return_index=True, return_inverse=True)
    order = np.argsort(first)  # number the texts in the order in which they first come
    rank = np.empty_like(order)
    rank[order] = np.arange(order.size)
    identical, first = rank[identical].astype(np.int64), first[order].astype(np.int64)
    if not threshold or not first.size:
        return Duplicates(identical, identical.copy())
    search = _Search(table.select(list(names)), first, marks, threshold, _PAIRS_A_TEXT * first.size + _FREE_PAIRS)
    clusters, chained = search.clusters()
    return Duplicates(identical, clusters[identical], chained, search.unchecked)


@dataclass
class _Marks:
    """What is kept of each row's text: a 64-bit key, band hashes (bands, rows), a byte of each minimum
    of its signature (rows, PERMUTATIONS), and its number of pieces."""

    keys: Words
    bands: npt.NDArray[np.uint32]
    sketches: npt.NDArray[np.uint8]
    sizes: npt.NDArray[np.int32]

    @classmethod
    def of(cls, table: pa.Table, names: Sequence[str], threshold: float) -> _Marks:
        """Mark all rows; without a threshold only the keys."""
        bands, rows = band_shape(threshold) if threshold else (0, 0)
        count = table.num_rows
        wide = PERMUTATIONS if threshold else 0
        marks = cls(
            np.empty(count, np.uint64),
            np.empty((bands, count), np.uint32),
            np.empty((count, wide), np.uint8),
            np.empty(count, np.int32),
        )
        start = 0
        for texts in _normalised(table, names):
            here = slice(start, start + len(texts))
            numbers = (xxhash.xxh3_64_intdigest(text.encode("utf-8", "surrogatepass")) for text in texts)
            marks.keys[here] = np.fromiter(numbers, dtype=np.uint64, count=len(texts))
            if threshold:
                pieces, starts = text_pieces(texts)
                signatures = minhash(pieces, starts)
                marks.bands[:, here] = _band_hashes(signatures, bands, rows)
                marks.sketches[here] = signatures.astype(np.uint8).T
                marks.sizes[here] = np.diff(np.append(starts, pieces.size))
            start += len(texts)
        return marks


def normalise(texts: Sequence[str]) -> list[str]:
    """Texts for comparison: NFKC, casefold, runs of white space and punctuation as one space.

    A text of nothing but punctuation is kept as it is, in lower case.
    """
    joined = _SEPARATOR.join(texts)
    if not joined.isascii():
        joined = unicodedata.normalize("NFKC", joined)
    parts = _PUNCTUATION.sub(" ", joined.casefold()).split(_SEPARATOR)
    return [part.strip() or text.strip().casefold() for part, text in zip(parts, texts, strict=True)]


def text_pieces(texts: Sequence[str]) -> tuple[Words, Ints]:
    """All three-character pieces of the texts (with a space at both ends), distinct within each text.

    Returns 48-bit hashes of the pieces as uint64, one text after another, and where each text begins. At
    most 65,536 texts at once.
    """
    joined = _SEPARATOR + _SEPARATOR.join(f" {text} " for text in texts)
    letters = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.uint64)
    ends = letters == 0
    owner = (np.cumsum(ends, dtype=np.uint64)[:-2] - np.uint64(1)) << _PIECE_BITS
    inside = ~(ends[:-2] | ends[1:-1] | ends[2:])
    keys = letters[:-2] | letters[1:-1] << np.uint64(21) | letters[2:] << np.uint64(42)
    keys *= np.uint64(0x9E3779B97F4A7C15)
    keys ^= keys >> np.uint64(31)
    keys *= np.uint64(0xD1B54A32D192ED03)
    keys >>= np.uint64(64) - _PIECE_BITS
    keys |= owner
    keys = keys[inside]
    keys.sort()
    fresh = np.ones(keys.size, dtype=bool)
    np.not_equal(keys[1:], keys[:-1], out=fresh[1:])
    keys = keys[fresh]
    starts = np.searchsorted(keys, np.arange(len(texts), dtype=np.uint64) << _PIECE_BITS)
    return keys & _PIECE_MASK, starts.astype(np.int64)


def minhash(pieces: Words, starts: Ints) -> npt.NDArray[np.uint32]:
    """MinHash signatures, (PERMUTATIONS, texts); the numbers are those of datasketch's 'affine32'."""
    from datasketch import MinHash

    factors, offsets = MinHash(num_perm=PERMUTATIONS, seed=1, scheme="affine32").permutations.astype(np.uint32)
    mixed = _fmix32(hash32(pieces))
    signatures = np.empty((PERMUTATIONS, starts.size), dtype=np.uint32)
    moved = np.empty_like(mixed)
    for number in range(PERMUTATIONS):
        np.multiply(mixed, factors[number], out=moved)
        np.add(moved, offsets[number], out=moved)
        np.minimum.reduceat(moved, starts, out=signatures[number])
    return signatures


def hash32(pieces: Words) -> npt.NDArray[np.uint32]:
    """The upper 32 bits of the pieces."""
    return (pieces >> (_PIECE_BITS - np.uint64(32))).astype(np.uint32)


def band_shape(threshold: float) -> tuple[int, int]:
    """Bands and rows a band: the most selective shape that finds 98 % of pairs at the threshold."""
    for rows in range(PERMUTATIONS, 0, -1):
        bands = PERMUTATIONS // rows
        if 1 - (1 - threshold**rows) ** bands >= 0.98:
            return bands, rows
    return PERMUTATIONS, 1


@dataclass
class _Search:
    """Candidate pairs, their check, and clusters, over distinct texts. `rows`: a table row for each."""

    table: pa.Table
    rows: Ints  # ascending
    marks: _Marks
    threshold: float
    budget: int  # pairs that may still be compared
    unchecked: int = 0

    def clusters(self) -> tuple[Ints, int]:
        """A cluster number per text, and the number of texts in chains that were cut."""
        labels = np.arange(self.rows.size)
        edges: list[Ints] = []
        for hashes in self.marks.bands:
            band = hashes[self.rows]
            order = np.argsort(band, kind="stable")
            for pairs in _bucket_pairs(band[order], order):
                found = self._near(pairs[labels[pairs[:, 0]] != labels[pairs[:, 1]]])
                if found.size:
                    edges.append(found)
                    left, right = labels[found].T
                    labels = connected(left, right, int(labels.max()) + 1)[labels]
        return self._cut_chains(labels, np.concatenate(edges) if edges else np.zeros((0, 2), np.int64))

    def _near(self, pairs: Ints) -> Ints:
        """Those of the pairs whose true Jaccard similarity reaches the threshold."""
        likely = [self._likely(pairs[start : start + _MOST_PAIRS]) for start in range(0, len(pairs), _MOST_PAIRS)]
        if not likely:
            return pairs
        pairs = np.unique(np.concatenate(likely), axis=0)
        self.unchecked += max(0, len(pairs) - self.budget)
        pairs = pairs[: self.budget]
        self.budget -= len(pairs)
        checked = [self._check(chunk) for chunk in self._chunks(pairs)]
        return np.concatenate(checked) if checked else pairs

    def _likely(self, pairs: Ints) -> Ints:
        """Pairs that may reach the threshold, by their sizes and by how many minima agree."""
        rows = self.rows[pairs]
        left, right = self.marks.sizes[rows[:, 0]], self.marks.sizes[rows[:, 1]]
        fits = np.minimum(left, right) >= self.threshold * np.maximum(left, right)
        pairs, rows = pairs[fits], rows[fits]
        agree = (self.marks.sketches[rows[:, 0]] == self.marks.sketches[rows[:, 1]]).sum(axis=1)
        expected = PERMUTATIONS * self.threshold
        # 2.5 standard deviations: 99 of 100 pairs at the threshold pass, and far more of closer ones
        return pairs[agree >= expected - 2.5 * np.sqrt(expected * (1 - self.threshold))]

    def _chunks(self, pairs: Ints) -> Iterator[Ints]:
        sizes = self.marks.sizes[self.rows[pairs]].sum(axis=1, dtype=np.int64)
        for _, chunk in _runs(np.cumsum(sizes) // _PAIR_PIECES):
            for start in range(chunk.start, chunk.stop, _MOST_PAIRS):
                yield pairs[start : min(start + _MOST_PAIRS, chunk.stop)]

    def _check(self, pairs: Ints) -> Ints:
        texts, places = np.unique(pairs, return_inverse=True)
        places = places.reshape(pairs.shape)
        pieces, starts = _all_pieces(take(self.table, self.rows[texts]))
        sizes = np.diff(np.append(starts, pieces.size))
        both = _common(pieces, starts, sizes, places)
        union = sizes[places].sum(axis=1) - both
        return pairs[both >= self.threshold * union]

    def _cut_chains(self, labels: Ints, edges: Ints) -> tuple[Ints, int]:
        """Where a chain of similarities grew too long, keep only texts that are near one representative."""
        _, numbers, counts = np.unique(labels, return_inverse=True, return_counts=True)
        long = (counts > max(50, _CHAIN_SHARE * labels.size))[numbers]
        if not long.any():
            return numbers.astype(np.int64), 0
        cut = np.arange(labels.size) + counts.size
        taken = ~long
        inside = edges[long[edges[:, 0]]]
        inside = np.concatenate([inside, inside[:, ::-1]])
        inside = inside[np.lexsort((inside[:, 1], inside[:, 0]))]
        for text, run in _runs(inside[:, 0]):
            if not taken[text]:
                near = inside[run, 1]
                near = near[~taken[near]]
                cut[near] = cut[text]
                taken[near] = True
                taken[text] = True
        return np.where(long, cut, numbers).astype(np.int64), int(long.sum())


def _normalised(table: pa.Table, names: Sequence[str]) -> Iterator[list[str]]:
    """Normalised texts of the rows in batches; the two texts of a pair are joined."""
    for start in range(0, table.num_rows, _BATCH_ROWS):
        columns = [normalise(table.column(name).slice(start, _BATCH_ROWS).to_pylist()) for name in names]
        texts = columns[0] if len(columns) == 1 else [" \x1f ".join(pair) for pair in zip(*columns, strict=True)]
        yield from _by_size(texts)


def _by_size(texts: list[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for text in texts:
        batch.append(text)
        size += len(text)
        if size > _BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _all_pieces(table: pa.Table) -> tuple[Words, Ints]:
    found = [text_pieces(texts) for texts in _normalised(table, table.column_names)]
    shifts = np.cumsum([0, *(pieces.size for pieces, _ in found)])
    starts = [start + shift for (_, start), shift in zip(found, shifts, strict=False)]
    return np.concatenate([pieces for pieces, _ in found]), np.concatenate(starts)


def _common(pieces: Words, starts: Ints, sizes: Ints, pairs: Ints) -> Ints:
    """Number of pieces that the two texts of each pair share."""
    texts = pairs.ravel()
    lengths = sizes[texts]
    ends = np.cumsum(lengths)
    places = np.arange(ends[-1]) + np.repeat(starts[texts] - (ends - lengths), lengths)
    owners = np.repeat(np.arange(texts.size, dtype=np.uint64) >> np.uint64(1), lengths)
    keys = pieces[places] | owners << _PIECE_BITS
    keys.sort()
    shared = keys[1:][keys[1:] == keys[:-1]] >> _PIECE_BITS
    return np.bincount(shared.astype(np.int64), minlength=len(pairs)).astype(np.int64)


def _bucket_pairs(hashes: npt.NDArray[np.uint32], order: Ints) -> Iterator[Ints]:
    """Pairs of texts that share a band hash: neighbours at distance 1 to 4, and each with the first."""
    same = hashes[1:] == hashes[:-1]
    if not same.any():
        return
    run = np.concatenate([[0], np.cumsum(~same)])
    first = order[np.searchsorted(run, run)]
    yield _sorted_pairs(first, order)
    for distance in range(1, 5):
        together = run[distance:] == run[:-distance]
        yield _sorted_pairs(order[:-distance][together], order[distance:][together])


def _sorted_pairs(left: Ints, right: Ints) -> Ints:
    pairs = np.stack([np.minimum(left, right), np.maximum(left, right)], axis=1)
    return pairs[pairs[:, 0] != pairs[:, 1]].astype(np.int64)


def connected(left: Ints, right: Ints, count: int) -> Ints:
    """int64 [count]: the same number for what these edges connect, directly or through others."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(left), dtype=np.int8), (left, right)), shape=(count, count))
    return connected_components(graph, directed=False)[1].astype(np.int64)


def _runs(values: Ints) -> Iterator[tuple[int, slice]]:
    """Each run of equal values, as (value, slice)."""
    if values.size == 0:
        return
    cuts = [0, *(np.flatnonzero(values[1:] != values[:-1]) + 1).tolist(), values.size]
    for start, end in itertools.pairwise(cuts):
        yield int(values[start]), slice(start, end)


def _band_hashes(signatures: npt.NDArray[np.uint32], bands: int, rows: int) -> npt.NDArray[np.uint32]:
    """One 32-bit hash for each band of each text: (bands, texts)."""
    grouped = signatures[: bands * rows].reshape(bands, rows, -1)
    mixed = np.zeros((bands, grouped.shape[2]), dtype=np.uint64)
    for row in range(rows):
        mixed = (mixed ^ grouped[:, row]) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(29)
    return (mixed >> np.uint64(32)).astype(np.uint32)


def _fmix32(values: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    values = (values ^ values >> np.uint32(16)) * np.uint32(0x85EBCA6B)
    values = (values ^ values >> np.uint32(13)) * np.uint32(0xC2B2AE35)
    mixed: npt.NDArray[np.uint32] = values ^ values >> np.uint32(16)
    return mixed
