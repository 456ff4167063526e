"""Metrics of masks, held to plain numpy; pixels are counted at the size of the true mask."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tunesmith.core.errors import DataError
from tunesmith.data.masks import Mask
from tunesmith.evaluate import masks
from tunesmith.evaluate.measured import compute, paired_difference, with_intervals
from tunesmith.evaluate.targets.mask import MaskTarget

CLASSES = ["ground", "leaf", "never"]


@pytest.fixture
def truth(tmp_path: Path) -> list[Mask]:
    chance = np.random.default_rng(0)
    found = []
    for number in range(6):
        values = chance.choice([0, 7, 255], (12, 10), p=[0.6, 0.3, 0.1]).astype(np.uint8)
        Image.fromarray(values).save(tmp_path / f"{number}.png")
        found.append(Mask(str(tmp_path / f"{number}.png"), {0: "ground", 7: "leaf"}, False, str(number)))
    return found


def test_metrics_agree_with_plain_numpy(truth: list[Mask]) -> None:
    index = {name: at for at, name in enumerate(CLASSES)}
    given = np.random.default_rng(1).integers(0, 3, (6, 12, 10)).astype(np.uint8)
    wanted = np.stack([mask.read(index) for mask in truth])
    measured = masks.count(given, truth, CLASSES)
    counted = wanted != 255
    ious, dices, recalls = [], [], []
    for one in range(3):
        mine, theirs = (given == one) & counted, wanted == one
        ious.append((mine & theirs).sum() / (mine | theirs).sum())
        dices.append(2 * (mine & theirs).sum() / (mine.sum() + theirs.sum()))
        if theirs.any():
            recalls.append((mine & theirs).sum() / theirs.sum())
    found = compute(measured)
    assert found["miou"] == pytest.approx(np.mean(ious), abs=1e-12)
    assert found["dice"] == pytest.approx(np.mean(dices), abs=1e-12)
    assert found["class_accuracy"] == pytest.approx(np.mean(recalls), abs=1e-12)
    assert found["pixel_accuracy"] == pytest.approx((given == wanted)[counted].mean(), abs=1e-12)
    interval = with_intervals(measured)["miou"]
    assert interval["low"] < interval["value"] < interval["high"]
    for at, row in enumerate(measured.per_class()):
        assert (row["label"], row["iou"], row["f1"]) == (CLASSES[at], pytest.approx(ious[at]), pytest.approx(dices[at]))
        assert row["iou_low"] <= row["iou"] <= row["iou_high"]
    assert measured.confused is not None
    assert measured.confused.sum() == counted.sum()
    best = masks.count(wanted.clip(max=2), truth, CLASSES)
    assert compute(best)["miou"] == 1.0
    assert paired_difference(best, measured, "miou")["low"] > 0
    again = MaskTarget("mask", CLASSES).from_columns(measured.columns())
    assert compute(again) == compute(measured)
    part = measured.take(np.array([1, 3]))
    assert compute(part) == compute(masks.count(given[[1, 3]], [truth[1], truth[3]], CLASSES))


def test_answers_are_made_as_large_as_the_true_mask(tmp_path: Path) -> None:
    large = np.zeros((40, 60), dtype=np.uint8)
    large[:, 30:] = 1
    Image.fromarray(large).save(tmp_path / "large.png")
    mask = Mask(str(tmp_path / "large.png"), {0: "ground", 1: "leaf"}, False, "large")
    small = large[::10, ::10]
    assert compute(masks.count(small[None], [mask], CLASSES[:2]))["miou"] == 1.0
    slope = np.tril(np.ones((8, 8), dtype=np.uint8))
    smooth = masks.resized(slope, (80, 80))
    assert set(np.unique(smooth)) == {0, 1}
    assert np.abs(smooth - np.tril(np.ones((80, 80)))).mean() < 0.06
    (tmp_path / "large.png").unlink()
    gone = Mask(str(tmp_path / "large.png"), {0: "ground", 1: "leaf"}, False, "other")
    with pytest.raises(DataError, match="no such file"):
        masks.count(small[None], [gone], CLASSES[:2])
