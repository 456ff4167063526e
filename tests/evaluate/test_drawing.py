"""Pictures for a page: nothing moves, and what is laid over is where it belongs."""

from __future__ import annotations

import numpy as np

from tunesmith.evaluate import drawing

GREY = np.full((60, 80, 3), 100, dtype=np.uint8)


def test_a_sheet_holds_every_picture_whole() -> None:
    high = np.full((60, 30, 3), 100, dtype=np.uint8)
    sheet = drawing.sheet([[GREY, high], [GREY]], side=40)
    assert sheet.shape == (64, 84, 3)  # cells of 40 x 30, as the first picture is shaped, and gaps
    assert (sheet[:30, :40] == 100).all()
    assert (sheet[:30, 44:56] == 255).all()  # in the middle of its cell
    assert (sheet[:30, 57:71] == 100).all()
    assert (sheet[34:, 44:] == 255).all()
    assert drawing.sheet([[GREY[:30, :40]]], side=80).shape == (60, 80, 3)  # small ones are made larger
    assert drawing.to_uri(sheet, 50).startswith("data:image/jpeg;base64,")


def test_boxes_are_drawn_where_they_are() -> None:
    found, truth = np.array([[10.0, 20, 50, 40]]), np.array([[12.0, 20, 50, 40]])
    drawn = drawing.boxes(GREY, found, [1], ["cell 0.9"], truth)
    assert tuple(drawn[30, 10]) == drawing.COLOURS[1]
    wide = drawing.boxes(GREY, np.array([[60.0, 0, 79, 20]]), [1], ["cell 0.9"])
    assert (wide[:, 79] == drawing.COLOURS[1]).all(1).any()  # its name does not leave the picture
    assert tuple(drawn[30, 12]) == drawing.TRUTH
    assert tuple(drawn[30, 30]) == (100, 100, 100)
    assert np.array_equal(drawing.boxes(GREY, np.zeros((0, 4)), []), GREY)


def test_masks_and_heat_leave_the_rest_as_it_is() -> None:
    mask = np.zeros((60, 80), dtype=np.uint8)
    mask[10:20], mask[20:30] = 2, 255
    laid = drawing.masks(GREY, mask, plain=0)
    assert (laid[:10] == 100).all()
    assert (laid[20:] == 100).all()
    assert not (laid[10:20] == 100).any()
    heat = drawing.heat(GREY, np.array([[0.0, 1.0]]))
    assert (heat[:, 0] == 100).all()
    assert heat[0, -1, 0] > 200
