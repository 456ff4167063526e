"""Masks beside pictures: kept at the size of training, and changed at random together with them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from tunesmith.core.events import ignore
from tunesmith.data.pictures import to_uri
from tunesmith.engine.augment import of_level
from tunesmith.engine.masked import encode_masks
from tunesmith.engine.pixels import encode_pictures
from tunesmith.models.processor import plain
from tunesmith.tasks.image_segmentation import ImageSegmentation


def test_pictures_and_masks_change_together_and_by_seed_epoch_and_row_alone(tmp_path: Path) -> None:
    chance = np.random.default_rng(0)
    maps = [np.kron(chance.integers(0, 2, (4, 6)), np.ones((20, 20))).astype(np.uint8) for _ in range(6)]
    pictures = [to_uri(Image.fromarray(np.repeat(255 * one[..., None], 3, 2))) for one in maps]
    encoded = encode_pictures(pictures, plain(48), tmp_path)
    rows = encode_masks(lambda: iter(maps), len(maps), encoded, tmp_path, lambda: None)
    rows = rows.with_targets(np.arange(6), np.arange(6))
    assert isinstance(rows.masks, np.memmap)
    assert rows.masks.shape == (6, 48, 48)
    still = rows.collate(np.arange(6))
    assert ((still["pixel_values"][:, 0] > 0).numpy() == (still["targets"] == 1).numpy()).mean() > 0.95
    ImageSegmentation(ImageSegmentation.Options()).settle_rows(rows, None, ignore)
    assert rows.augmentation == replace(of_level("standard", "horizontal"), erase=0.0)
    drawn = rows.training_batch(np.array([4, 1]), seed=3, epoch=2)
    counted = drawn["targets"] != 255
    light = drawn["pixel_values"].mean(1) > 0
    agree = (light == (drawn["targets"] == 1))[counted].float().mean()
    assert agree > 0.8  # colours change too
    alone = rows.training_batch(np.array([1]), seed=3, epoch=2)
    assert np.array_equal(alone["targets"][0].numpy(), drawn["targets"][1].numpy())
    assert np.array_equal(alone["pixel_values"][0].numpy(), drawn["pixel_values"][1].numpy())
    other = rows.training_batch(np.array([1]), seed=3, epoch=3)
    assert not np.array_equal(other["targets"].numpy(), alone["targets"].numpy())
