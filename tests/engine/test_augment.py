"""Pictures, boxes and masks that are changed together, and the same again for the same seed, epoch and row."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from tunesmith.engine import colours, geometry
from tunesmith.engine.augment import LEVELS, Augmentation, Pictures, of_level

SIZE = (24, 32)
BOX = np.array([[8, 6, 20, 16]], dtype=np.float32)


@pytest.fixture(scope="module")
def scene() -> Pictures:
    """Noise with a bright rectangle, which a box and a mask are drawn around."""
    pixels = np.random.default_rng(0).integers(0, 60, (6, *SIZE, 3)).astype(np.uint8)
    masks = np.zeros((6, *SIZE), dtype=np.uint8)
    left, top, right, bottom = BOX[0].astype(int)
    pixels[:, top:bottom, left:right], masks[:, top:bottom, left:right] = 250, 1
    return Pictures(pixels, [BOX] * 6, masks)


def around(seen: np.ndarray) -> np.ndarray:
    """The box around what is true in bool [height, width]."""
    rows, columns = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], dtype=np.float32)


@pytest.mark.parametrize("how", [
    Augmentation(flip="both"), Augmentation(crop=(0.6, 1.0), aspect=1.2), Augmentation(crop=(1.5, 2.0)),
    Augmentation(degrees=30), Augmentation(shear=15, flip="horizontal", crop=(0.9, 1.1)),
], ids=["flip", "crop", "edge", "turn", "shear"])  # fmt: skip
@pytest.mark.parametrize("size", [SIZE, (48, 48)])
def test_boxes_and_masks_move_with_their_picture(scene: Pictures, how: Augmentation, size: tuple[int, int]) -> None:
    found = how.apply(scene, size, seed=1, epoch=2, rows=np.arange(6))
    assert found.boxes is not None
    assert found.masks is not None
    assert found.kept is not None
    assert found.pixels.shape == (6, *size, 3)
    assert found.masks.shape == (6, *size)
    slack = 1.0 + max(size[0] / SIZE[0], size[1] / SIZE[1])
    for pixels, boxes, mask, kept in zip(found.pixels, found.boxes, found.masks, found.kept, strict=True):
        assert list(kept) == [0]
        assert boxes.dtype == np.float32
        assert boxes[0] == pytest.approx(around(mask == 1), abs=slack)
        assert boxes[0] == pytest.approx(around(pixels.min(-1) > 155), abs=slack)


def test_what_happens_follows_from_seed_epoch_and_row(scene: Pictures) -> None:
    how = of_level("strong", "horizontal")
    rows = np.array([3, 1, 4, 1, 5, 9])
    whole = how.apply(scene, (16, 16), seed=1, epoch=2, rows=rows).pixels
    assert np.array_equal(whole, how.apply(scene, (16, 16), seed=1, epoch=2, rows=rows).pixels)
    some = Pictures(scene.pixels[2:4])
    apart = how.apply(some, (16, 16), seed=1, epoch=2, rows=rows[2:4]).pixels
    assert np.abs(apart.astype(int) - whole[2:4]).max() <= 1  # whatever batch it is in
    for seed, epoch in ((2, 2), (1, 3)):
        assert not np.array_equal(whole, how.apply(scene, (16, 16), seed=seed, epoch=epoch, rows=rows).pixels)


def test_without_changes_the_middle_is_seen(scene: Pictures) -> None:
    assert not of_level("none", "both").changes
    assert all(of_level(level).changes for level in LEVELS if level != "none")
    same = Augmentation().apply(scene, SIZE, seed=0, epoch=0, rows=np.arange(6))
    assert np.array_equal(same.pixels, scene.pixels)
    assert np.array_equal(same.masks, scene.masks)
    middle = Augmentation().apply(scene, (20, 28), seed=0, epoch=0, rows=np.arange(6))
    assert np.array_equal(middle.pixels, scene.pixels[:, 2:22, 2:30])
    assert middle.boxes[0][0] == pytest.approx(BOX[0] - 2)


def test_a_box_that_is_hardly_left_is_gone() -> None:
    boxes = np.array([[0, 0, 10, 10], [9, 9, 30, 30], [2, 2, 2, 8]], dtype=np.float32)
    part = geometry.crop(np.array([[8, 8, 24, 24]]), (16, 16))[0]
    found, kept = geometry.move_boxes(boxes, part, (16, 16), visible=0.25)
    assert list(kept) == [1]
    assert found[0] == pytest.approx([1, 1, 16, 16])
    assert geometry.move_boxes(np.zeros((0, 4)), part, (16, 16))[0].shape == (0, 4)


def test_a_letterbox_keeps_shapes_and_finds_back() -> None:
    image = Image.new("RGB", (60, 20), (250, 0, 0))
    given = geometry.letterbox((20, 60), (32, 32))
    made = np.asarray(geometry.drawn(image, given, (32, 32), Image.Resampling.BILINEAR))
    assert (made[:10] == 114).all()
    assert (made[12:20, :, 0] > 240).all()
    box = np.array([[30, 0, 60, 20]], dtype=np.float32)
    there, _ = geometry.move_boxes(box, given, (32, 32))
    back, _ = geometry.move_boxes(there, geometry.invert(given[None])[0], (20, 60))
    assert back == pytest.approx(box, abs=1e-4)
    mask = geometry.drawn(Image.new("L", (60, 20), 3), given, (32, 32), Image.Resampling.NEAREST)
    assert set(np.unique(np.asarray(mask))) == {3, geometry.IGNORED}


def test_a_turn_is_counter_clockwise() -> None:
    pixels = torch.zeros(1, 3, 9, 9)
    pixels[:, :, 4, 8] = 255  # in the middle of the right side
    turned = geometry.warp(pixels, geometry.turn((9, 9), np.array([90.0])), (9, 9))
    assert int(turned[0, 0].argmax()) == 4  # in the middle of the upper side


def test_colours_change_as_they_say() -> None:
    pixels = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 255
    one, twice = np.ones(2), np.array([1.0, 0.5])
    same = colours.adjust(pixels, one, one, one, 0 * one)
    assert torch.allclose(same, pixels, atol=1e-3)
    assert torch.allclose(colours.adjust(pixels, twice, one, one, 0 * one)[1], pixels[1] / 2, atol=1e-3)
    assert torch.allclose(colours.adjust(pixels, one, one, 0 * one, 0 * one), colours.grey(pixels), atol=1e-3)
    red = torch.zeros(2, 3, 1, 1)
    red[:, 0] = 200
    turned = colours.adjust(red, one, one, one, np.array([120.0, 240.0]))
    assert [int(found.argmax()) for found in turned] == [1, 2]
    flat = torch.arange(64.0).view(1, 1, 8, 8).expand(1, 3, 8, 8)
    for stretch in (colours.autocontrast, colours.equalize):
        assert (float(stretch(flat).min()), float(stretch(flat).max())) == (0.0, 255.0)
        assert torch.equal(stretch(torch.full((1, 3, 4, 4), 7.0)), torch.full((1, 3, 4, 4), 7.0))
    assert set(colours.posterize(pixels, torch.tensor([1.0, 1.0])).unique().tolist()) == {0.0, 128.0}
    assert torch.equal(colours.solarize(pixels, torch.tensor([0.0, 256.0])), torch.stack([255 - pixels[0], pixels[1]]))
    assert float(colours.blur(pixels, torch.tensor([1.0, 2.0])).std()) < float(pixels.std())
