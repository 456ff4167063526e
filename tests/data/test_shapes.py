"""Polygons and runs as masks: pycocotools is the oracle."""

from __future__ import annotations

import numpy as np
import pytest
from pycocotools import mask as oracle

from tunesmith.data import shapes


@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")  # pycocotools' own
def test_polygons_and_runs_are_filled_as_pycocotools_fills_them() -> None:
    chance = np.random.default_rng(0)
    for _ in range(40):
        height, width = (int(side) for side in chance.integers(5, 60, 2))
        count = int(chance.integers(3, 9))
        polygon = (chance.random((count, 2)) * [width + 10, height + 10] - 5).ravel().tolist()
        wanted = oracle.decode(oracle.merge(oracle.frPyObjects([polygon], height, width))).astype(bool)
        assert np.array_equal(shapes.fill([polygon], (height, width)), wanted)
        noise = chance.random((height, width)) < 0.3
        runs = oracle.encode(np.asfortranarray(noise.astype(np.uint8)))
        letters = {"size": [height, width], "counts": runs["counts"].decode()}
        assert np.array_equal(shapes.fill(letters, (height, width)), noise)
    assert shapes.fill({"size": [2, 2], "counts": [1, 2, 1]}, (2, 2)).tolist() == [[False, True], [True, False]]


def test_smaller_shapes_lie_on_larger_ones_and_faults_are_told() -> None:
    small, large = [2, 2, 4, 2, 4, 4, 2, 4], [0, 0, 8, 0, 8, 8, 0, 8]
    drawn = shapes.draw([(1, [small]), (300, [large])], (8, 8))
    assert (drawn[3, 3], drawn[7, 7]) == (1, 300)
    for bad, words in (
        ([], "neither polygons nor runs"), ([[1, 2, 3, 4]], "fewer than three"), ([[1, 2, 3]], "no list of x, y"),
        ({"size": [2, 2], "counts": [1]}, "do not add up"), ({"size": [3, 2], "counts": [6]}, "of 2 x 3 pixels"),
        ({"counts": "~"}, "letters of COCO"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=words):
            shapes.fill(bad, (2, 2))
