"""Near-identical texts: the same numbers as datasketch, every close pair found, none invented."""

from __future__ import annotations

import itertools

import numpy as np
import pyarrow as pa
import pytest
from datasketch import MinHash

from toys import sentence
from tunesmith.data import duplicates


def jaccard(left: str, right: str) -> float:
    first, second = ({f" {text} "[n : n + 3] for n in range(len(text))} for text in (left, right))
    return len(first & second) / len(first | second)


def test_normalised_for_comparison() -> None:
    texts = ["Hello,  WORLD!", "\uff28ello world", "!!!", "Straße", "a\u00a0b\n c", "top-up", "🙂 ok"]
    assert duplicates.normalise(texts) == [
        "hello world",
        "hello world",
        "!!!",
        "strasse",
        "a b c",
        "top up",
        "🙂 ok",
    ]


def test_pieces_are_the_sets_of_three_letters() -> None:
    texts = ["abcabc", "a", "héllo wörld"]
    pieces, starts = duplicates.text_pieces(texts)
    sizes = np.diff(np.append(starts, pieces.size)).tolist()
    assert sizes == [len({f" {text} "[n : n + 3] for n in range(len(text))}) for text in texts]


def test_signatures_are_those_of_datasketch() -> None:
    pieces, starts = duplicates.text_pieces([sentence(1), sentence(2)])
    signatures = duplicates.minhash(pieces, starts)
    ends = [*starts[1:].tolist(), pieces.size]
    for text, (start, end) in enumerate(zip(starts.tolist(), ends, strict=True)):
        reference = MinHash(duplicates.PERMUTATIONS, seed=1, hashfunc=int, scheme="affine32")
        for number in duplicates.hash32(pieces[start:end]).tolist():
            reference.update(number)
        assert signatures[:, text].tolist() == reference.hashvalues.tolist()


@pytest.mark.parametrize("threshold", [0.6, 0.85, 0.95, 1.0])
def test_bands_find_98_percent_of_pairs(threshold: float) -> None:
    bands, rows = duplicates.band_shape(threshold)
    assert bands * rows <= duplicates.PERMUTATIONS
    assert 1 - (1 - threshold**rows) ** bands >= 0.98


@pytest.mark.story
def test_close_pairs_share_a_cluster_and_others_do_not() -> None:
    base = [f"{sentence(n)} {sentence(n + 300)} {sentence(n + 600)}" for n in range(150)]
    texts = [*base, *(text.replace("river", "rivers").replace("lamp", "lamb") for text in base[:100])]
    found = duplicates.find_duplicates(pa.table({"text": texts}), ["text"], 0.8)
    normal = duplicates.normalise(texts)
    wrong = [
        (left, right)
        for left, right in itertools.combinations(range(len(texts)), 2)
        if (jaccard(normal[left], normal[right]) >= 0.8) != (found.cluster[left] == found.cluster[right])
    ]
    assert len(wrong) <= 2


def test_both_texts_of_a_pair_count() -> None:
    table = pa.table({"a": ["one two", "One, two", "one two"], "b": ["three", "three!", "four"]})
    assert duplicates.find_duplicates(table, ["a", "b"], 0.0).identical.tolist() == [0, 0, 1]


def test_long_chains_are_cut() -> None:
    words = [f"{n:04x}"[::-1] * 2 for n in range(0, 60_000, 97)]
    texts = [" ".join(words[n : n + 40]) for n in range(500)]  # each is near the next, far from the rest
    found = duplicates.find_duplicates(pa.table({"text": texts}), ["text"], 0.85)
    assert found.chained == 500
    normal = duplicates.normalise(texts)
    for number in np.unique(found.cluster):
        members = np.flatnonzero(found.cluster == number).tolist()
        assert len(members) < 30
        assert any(all(jaccard(normal[one], normal[two]) >= 0.85 for two in members) for one in members)


def test_no_rows() -> None:
    assert duplicates.find_duplicates(pa.table({"text": pa.array([], pa.string())}), ["text"], 0.8).cluster.size == 0
