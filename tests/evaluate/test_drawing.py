"""Pictures for a page: nothing moves, and what is laid over is where it belongs."""

from __future__ import annotations

import numpy as np

from tunesmith.evaluate import drawing

GREY = np.full((60, 80, 3), 100, dtype=np.uint8)


def test_a_sheet_holds_every_picture_whole() -> None:
    sheet = drawing.sheet([[GREY, GREY], [GREY]], side=40)
    assert sheet.shape == (82, 82, 3)
    assert (sheet[5:35, :40] == 100).all()  # 4 to 3, in the middle of its square
    assert (sheet[:5, :40] == 255).all()
    assert (sheet[42:, 42:] == 255).all()
    assert drawing.to_uri(sheet, 50).startswith("data:image/jpeg;base64,")


def test_boxes_are_drawn_where_they_are() -> None:
    found, truth = np.array([[10.0, 20, 50, 40]]), np.array([[12.0, 20, 50, 40]])
    drawn = drawing.boxes(GREY, found, [1], ["cell 0.9"], truth)
    assert tuple(drawn[30, 10]) == drawing.COLOURS[1]
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
