"""Pictures as they lie on disks: damaged, huge, transparent, turned, in 16 bits; and those that are nearly the same."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tunesmith.core.errors import DataError
from tunesmith.data import pictures
from tunesmith.data.looks import faults_of, look, looks
from tunesmith.data.near_pictures import DISTANCE, find_duplicates, near_pairs
from tunesmith.data.picture_features import THUMB, cheap_features, difference_hash
from tunesmith.data.pictures import read_picture


def _drawn(seed: int, size: tuple[int, int] = (90, 60)) -> Image.Image:
    """Soft shapes, as photographs have them."""
    small = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)


def test_every_kind_of_picture_becomes_rgb(tmp_path: Path) -> None:
    picture = _drawn(1)
    for suffix in (".png", ".bmp", ".tif", ".webp", ".gif", ".jpg"):
        picture.save(tmp_path / f"a{suffix}")
        found = read_picture(tmp_path / f"a{suffix}")
        assert found.mode == "RGB"
        assert found.size == (90, 60)
    picture.convert("CMYK").save(tmp_path / "cmyk.jpg")
    assert read_picture(tmp_path / "cmyk.jpg").mode == "RGB"
    picture.convert("1").save(tmp_path / "two.png")
    assert read_picture(tmp_path / "two.png").mode == "RGB"


def test_what_is_transparent_is_white(tmp_path: Path) -> None:
    Image.new("RGBA", (4, 4), (200, 0, 0, 0)).save(tmp_path / "clear.png")
    Image.new("RGBA", (4, 4), (0, 0, 0, 128)).save(tmp_path / "half.png")
    indexed = Image.new("P", (4, 4), 0)
    indexed.putpalette([0, 0, 0] * 256)
    indexed.save(tmp_path / "palette.png", transparency=0)
    assert read_picture(tmp_path / "clear.png").getpixel((0, 0)) == (255, 255, 255)
    assert read_picture(tmp_path / "half.png").getpixel((0, 0)) == (127, 127, 127)
    assert read_picture(tmp_path / "palette.png").getpixel((0, 0)) == (255, 255, 255)


def test_sixteen_bits_are_scaled_and_not_cut_off(tmp_path: Path) -> None:
    Image.fromarray(np.full((3, 3), 128 * 256, dtype=np.uint16)).save(tmp_path / "deep.png")
    assert read_picture(tmp_path / "deep.png").getpixel((1, 1)) == (128, 128, 128)
    Image.fromarray(np.full((3, 3), 0.5, dtype=np.float32)).save(tmp_path / "float.tif")
    with pytest.raises(DataError, match="numbers of any size"):
        read_picture(tmp_path / "float.tif")


def test_a_photograph_is_turned_upright_and_an_animation_is_its_first_frame(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    _drawn(2).save(tmp_path / "turned.jpg", exif=exif)
    assert read_picture(tmp_path / "turned.jpg").size == (60, 90)
    red, blue = (Image.new("RGB", (5, 5), colour) for colour in ("red", "blue"))
    red.save(tmp_path / "moving.gif", save_all=True, append_images=[blue])
    assert read_picture(tmp_path / "moving.gif").getpixel((0, 0)) == (255, 0, 0)


def test_what_is_wrong_with_a_file_is_said_in_words(tmp_path: Path) -> None:
    _drawn(3).save(tmp_path / "kitten.jpg")
    whole = (tmp_path / "kitten.jpg").read_bytes()
    (tmp_path / "half.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.png").write_text("no picture at all")
    (tmp_path / "script.png").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n")  # a program, to some
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    names = ("kitten.jpg", "kitten.jpeg", "half.jpg", "empty.png", "text.png", "script.png", "folder.png", "pipe.png")
    found = faults_of([tmp_path / name for name in names])
    assert found[0] is None
    wanted = ("Did you mean 'kitten.jpg'?", "truncated", "0 bytes", "in spite of its name", "in spite of its name",
              "a folder", "a pipe")  # fmt: skip
    for fault, words in zip(found[1:], wanted, strict=True):
        assert fault is not None
        assert words in fault
    assert "no folder" in str(faults_of([tmp_path / "nowhere" / "a.png"])[0])


def test_a_file_made_to_fill_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "MOST_PIXELS", 5_000)
    _drawn(4).save(tmp_path / "large.png")
    with pytest.raises(DataError, match="90 x 60 pixels would take more than"):
        read_picture(tmp_path / "large.png")
    monkeypatch.undo()
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2_000)  # Pillow's own limit, of which it warns or refuses at twice
    with pytest.raises(DataError, match="would take more than"):
        read_picture(tmp_path / "large.png")


def test_the_same_picture_saved_anew_is_identical_and_one_with_losses_is_near(tmp_path: Path) -> None:
    for number in range(40):
        _drawn(number).save(tmp_path / f"{number:02}.png")
    _drawn(7).save(tmp_path / "again.bmp")
    _drawn(9).save(tmp_path / "lossy.jpg", quality=60)
    _drawn(11, (45, 30)).save(tmp_path / "smaller.png")
    paths = sorted(tmp_path.iterdir())
    found = looks(paths)
    kept = [one for one in found if not isinstance(one, pictures.PictureFault)]
    groups = find_duplicates(kept, near=True)
    at = {path.name: row for row, path in enumerate(paths)}
    assert groups.identical[at["again.bmp"]] == groups.identical[at["07.png"]]
    assert groups.identical[at["lossy.jpg"]] != groups.identical[at["09.png"]]
    assert groups.cluster[at["lossy.jpg"]] == groups.cluster[at["09.png"]]
    assert groups.cluster[at["smaller.png"]] == groups.cluster[at["11.png"]]
    assert len(set(groups.cluster)) == 40  # and no two others
    assert len(set(find_duplicates(kept, near=False).cluster)) == 42


def test_bands_find_every_pair_that_is_near() -> None:
    random = np.random.default_rng(0)
    marks = random.integers(0, 2**63, 300, dtype=np.uint64)
    for row in range(100):  # some at every distance
        for bit in random.choice(64, row % 6, replace=False):
            marks[100 + row] = (marks[100 + row] if bit == -1 else marks[row]) ^ np.uint64(1 << int(bit))
    near = {
        (left, right) for left in range(300) for right in range(left + 1, 300)
        if (int(marks[left]) ^ int(marks[right])).bit_count() <= DISTANCE
    }  # fmt: skip
    assert near
    assert {tuple(pair) for some in near_pairs(marks) for pair in some.tolist()} == near


def test_drawings_on_white_are_told_apart(tmp_path: Path) -> None:
    """They have next to no edges, so that their hashes are alike."""
    for number in range(6):
        page = Image.new("RGB", (48, 48), "white")
        page.paste((200, 0, 0), (8 * number, 20, 8 * number + 8, 44))
        page.save(tmp_path / f"{number}.png")
    found = [look(path) for path in sorted(tmp_path.iterdir())]
    assert len(set(find_duplicates(found, near=True).cluster)) == 6


def test_features_know_colours_and_edges() -> None:
    thumbs = np.zeros((3, THUMB, THUMB, 3), dtype=np.uint8)
    thumbs[1, :, 24:] = (255, 0, 0)
    thumbs[2, 24:] = (255, 0, 0)
    found = cheap_features(thumbs)
    assert found.shape == (3, 964)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[1, :64], found[2, :64])  # of the same colours
    assert np.abs(found[1, 64:] - found[2, 64:]).max() > 0.05  # across each other
    assert not found[0, 64:].any()
    assert cheap_features(thumbs[:0]).shape == (0, 964)
    assert difference_hash(Image.fromarray(thumbs[2])) == 0
