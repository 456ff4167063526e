"""Pictures in pairs, and rows that come as often as their class needs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tunesmith.engine.augment import Augmentation
from tunesmith.engine.batching import resampled
from tunesmith.engine.mix import mix
from tunesmith.engine.objective import RowObjective
from tunesmith.engine.pixels import DecodedAnew, EncodedPictures, encode_pictures
from tunesmith.models.processor import PictureProcessor


@pytest.fixture
def pictures() -> EncodedPictures:
    """12 pictures of one level each, 10 times their number, with an edge of 2 pixels."""
    pixels = np.repeat(np.arange(0, 120, 10, dtype=np.uint8), 8 * 8 * 3).reshape(12, 8, 8, 3)
    processor = PictureProcessor(4, 4, resample=2, edge=8)
    return EncodedPictures(
        pixels, processor, np.zeros(32, dtype=np.uint8), targets=np.arange(12), row_ids=np.arange(12)
    )


@pytest.mark.parametrize(("mixup", "cutmix"), [(0.4, 0.0), (0.0, 1.0), (0.4, 1.0)])
def test_shares_say_what_is_left_of_each(mixup: float, cutmix: float) -> None:
    for seed in range(5):
        levels = torch.arange(6.0) * 10
        batch = {"pixel_values": levels[:, None, None, None].repeat(1, 3, 8, 8)}
        mix(batch, mixup, cutmix, np.random.default_rng(seed))
        partners, shares = batch["partners"], batch["shares"]
        wanted = shares * levels + (1 - shares) * levels[partners]
        assert torch.allclose(batch["pixel_values"].mean((1, 2, 3)), wanted, atol=1e-4)
        assert ((shares >= 0) & (shares <= 1)).all()


def test_the_loss_of_a_pair_is_that_of_both_by_their_shares(pictures: EncodedPictures) -> None:
    pictures.mixup = 0.4
    same = [pictures.training_batch(np.arange(12), seed=1, epoch=epoch)["pixel_values"] for epoch in (2, 2, 3)]
    assert torch.equal(same[0], same[1])
    assert not torch.equal(same[0], same[2])

    def own(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return (outputs[:, 0] - 10.0 * targets).abs()

    def level(batch: dict[str, torch.Tensor]) -> torch.Tensor:
        return batch["pixel_values"].mean((1, 2, 3))[:, None]

    objective = RowObjective(pictures, np.arange(12), own, 12, None, 1)
    items = objective.plan(0)[0]
    batch = pictures.training_batch(items, 1, 0)
    shares, apart = batch["shares"], 10.0 * (batch["targets"] - batch["targets"][batch["partners"]]).abs()
    loss = objective.loss(level, items, torch.device("cpu"))
    assert float(loss) == pytest.approx(float((2 * shares * (1 - shares) * apart).sum()), rel=1e-4)


def test_the_middle_is_what_a_network_reads(pictures: EncodedPictures) -> None:
    pictures.pixels[:, :2] = pictures.pixels[:, -2:] = 255  # the edge
    assert pictures.inputs(np.array([3]))["pixel_values"].unique().tolist() == [30.0]
    pictures.augmentation = Augmentation(crop=(0.5, 1.0))
    assert pictures.preview(np.arange(2), 0, 3)[1][0].pixels.shape == (4, 4, 3)
    assert float(pictures.training_batch(np.arange(12), 0, 0)["pixel_values"].max()) == 255
    assert pictures.mirrored(1).inputs(np.array([3]))["pixel_values"].unique().tolist() == [30.0]


def test_items_come_as_often_as_they_are_to() -> None:
    labels = np.array([0] * 90 + [1] * 10)
    chances = (1 / np.bincount(labels))[labels]
    drawn = resampled(chances, seed=0, epoch=1)
    assert len(drawn) == 100
    assert abs(int((labels[drawn] == 1).sum()) - 50) <= 1
    assert np.bincount(drawn, minlength=100)[90:].min() >= 5
    assert np.array_equal(drawn, resampled(chances, seed=0, epoch=1))
    assert not np.array_equal(drawn, resampled(chances, seed=0, epoch=2))


def test_pictures_that_would_fill_the_disk_are_decoded_for_each_batch(tmp_path: Path) -> None:
    files = [str(tmp_path / f"{number}.png") for number in range(4)]
    for number, file in enumerate(files):
        Image.fromarray(np.full((9, 9, 3), 50 * number, dtype=np.uint8)).save(file)
    processor = PictureProcessor(4, 4, resample=2, edge=8)
    kept = encode_pictures(files, processor, tmp_path / "kept")
    anew = encode_pictures(files, processor, tmp_path / "anew", most=100)
    assert isinstance(anew.pixels, DecodedAnew)
    assert not list((tmp_path / "anew").iterdir())
    for rows in (kept, anew):
        rows.augmentation = Augmentation(flip="horizontal", crop=(0.5, 1.0))
        rows.row_ids = np.arange(4)
    some = np.array([3, 1])
    assert torch.equal(kept.inputs(some)["pixel_values"], anew.inputs(some)["pixel_values"])
    both = (rows.training_batch(some, 0, 1)["pixel_values"] for rows in (kept, anew))
    assert torch.equal(*both)
