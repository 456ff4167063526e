"""Turning boxes, points and masks as a picture is turned: compared with what Pillow does to the picture itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tunesmith.data.pictures import open_picture
from tunesmith.data.upright import turn_boxes, turn_pixels, turn_points, turned_size


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_box_stays_around_what_it_was_drawn_around(orientation: int, tmp_path: Path) -> None:
    stored = np.zeros((40, 60, 3), dtype=np.uint8)
    stored[5:15, 20:50] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(stored).save(tmp_path / "a.png", exif=exif)
    found = open_picture(tmp_path / "a.png")
    assert found.orientation == orientation
    assert found.size == turned_size((60, 40), orientation) == found.image.size
    upright = np.asarray(found.image)
    np.testing.assert_array_equal(turn_pixels(stored, orientation), upright)
    left, top, right, bottom = turn_boxes(np.array([[20.0, 5, 50, 15]]), (60, 40), orientation)[0].astype(int)
    assert (upright[top:bottom, left:right] == 255).all()
    assert upright.sum() == stored.sum() == upright[top:bottom, left:right].sum()
    corner = turn_points(np.array([0.0, 0.0]), (60, 40), orientation)
    assert set(corner.tolist()) <= {0.0, 40.0, 60.0}


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_a_photograph_read_small_says_how_large_it_is(orientation: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = np.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((1201, 801)).save(tmp_path / "a.jpg", exif=exif)
    whole, small = open_picture(tmp_path / "a.jpg"), open_picture(tmp_path / "a.jpg", least=100)
    assert whole.size == small.size == turned_size((1201, 801), orientation)
    assert small.kind == "JPEG RGB"
    assert 100 <= min(small.image.size) <= 200
    shrunk = whole.image.resize(small.image.size, Image.Resampling.BOX)
    assert np.abs(np.asarray(shrunk).astype(int) - np.asarray(small.image)).mean() < 15  # of another turn 60


def test_damaged_data_beside_a_picture_does_not_refuse_it(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 77
    Image.new("RGB", (5, 4)).save(tmp_path / "a.jpg", exif=exif)
    assert open_picture(tmp_path / "a.jpg").orientation == 1
