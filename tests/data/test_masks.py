"""Masks: what their pixels mean, which picture they belong to, and what is wrong with some, with path and row."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tunesmith.core.errors import DataError
from tunesmith.core.events import ignore
from tunesmith.data.masks import Mask
from tunesmith.data.prepare import prepare
from tunesmith.data.prepared import PreparedData
from tunesmith.data.types import ReadOptions, SplitOptions, ValueOptions
from tunesmith.runs import choose

SIDE = 20


def shape(number: int, value: int = 1) -> np.ndarray:
    """A square of `value` on 0, at a place of its own."""
    mask = np.zeros((SIDE, SIDE), dtype=np.uint8)
    mask[number % 10 : number % 10 + 6, number // 2 : number // 2 + 5] = value
    return mask


def photo(path: Path, number: int, size: tuple[int, int] = (SIDE, SIDE), **how: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(number).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, **how)


def pairs(folder: Path, count: int = 12, value: int = 1) -> Path:
    for number in range(count):
        photo(folder / "images" / f"p{number}.jpg", number)
        (folder / "masks").mkdir(exist_ok=True)
        Image.fromarray(shape(number, value)).save(folder / "masks" / f"p{number}.png")
    return folder


def read(source: object, tmp_path: Path, **values: Any) -> PreparedData:
    modality = choose.modality_named("image")
    return prepare(
        source, kinds=("label", "labels", "mask"), options=SplitOptions(), reading=ReadOptions(),
        values=ValueOptions(**values), modalities=[modality], seed=0, emit=ignore, cache_dir=tmp_path / "cache",
    )  # fmt: skip


def classes(data: PreparedData, row: int = 0) -> np.ndarray:
    index = {name: at for at, name in enumerate(data.label_names or ())}
    return Mask.of(data.rows["target"][row]).read(index)


def refused(source: object, tmp_path: Path, **values: Any) -> str:
    with pytest.raises(DataError) as caught:
        read(source, tmp_path, **values)
    return str(caught.value)


def test_folders_of_pictures_and_masks(tmp_path: Path) -> None:
    data = read(str(pairs(tmp_path / "data")), tmp_path)
    assert (data.columns.kind, data.columns.inputs, data.columns.target) == ("mask", ("image",), ("mask",))
    assert data.label_names == ["0", "1"]
    number = int(Path(data.rows["image"][3]).stem[1:])
    assert np.array_equal(classes(data, 3), shape(number))

    divided = tmp_path / "divided"
    for split in ("train", "val", "test"):
        pairs(divided / split)
    data = read(str(divided), tmp_path / "2")
    assert {name: len(rows) for name, rows in data.splits.items()} == {"train": 12, "validation": 12, "test": 12}

    endings = pairs(tmp_path / "endings")
    for file in sorted((endings / "masks").iterdir()):
        file.rename(file.with_name(f"{file.stem}_mask.png"))
    (endings / "classes.txt").write_text("ground\nsquare\n", encoding="utf-8")
    (endings / "masks" / ".DS_Store").write_bytes(b"x")
    assert read(str(endings), tmp_path / "3").label_names == ["ground", "square"]


def test_partners_that_are_missing_are_named(tmp_path: Path) -> None:
    folder = pairs(tmp_path / "data")
    (folder / "masks" / "p3.png").unlink()
    (folder / "images" / "p5.jpg").unlink()
    told = refused(str(folder), tmp_path)
    assert "p3.jpg: this picture has no mask p3" in told
    assert "p5.png: this mask has no picture" in told
    for mask in (folder / "masks").iterdir():
        mask.unlink()
    assert "masks: this folder holds no masks" in refused(str(folder), tmp_path)


def test_binary_masks_and_ignored_places(tmp_path: Path) -> None:
    data = read(str(pairs(tmp_path / "binary", value=255)), tmp_path)
    assert data.label_names == ["background", "foreground"]
    folder = pairs(tmp_path / "ignored")
    mask = shape(0)
    mask[0] = 255
    Image.fromarray(mask).save(folder / "masks" / "p0.png")
    data = read(str(folder), tmp_path / "2")
    row = [Path(path).stem for path in data.rows["image"]].index("p0")
    assert data.label_names == ["0", "1"]
    assert (classes(data, row)[0] == 255).all()


def test_palettes_and_colours(tmp_path: Path) -> None:
    rows = []
    for number in range(12):
        photo(tmp_path / f"{number}.png", number)
        image = Image.fromarray(shape(number), "P")
        image.putpalette([0, 0, 0, 200, 10, 10])
        image.save(tmp_path / f"palette-{number}.png")
        coloured = np.array([[9, 9, 9], [200, 10, 10]], dtype=np.uint8)[shape(number)]
        Image.fromarray(coloured).save(tmp_path / f"colour-{number}.png")
        rows.append({"photo": f"{number}.png", "mask": f"palette-{number}.png", "seg": f"colour-{number}.png"})
    table = tmp_path / "rows.csv"
    table.write_text("seg,photo\n" + "".join(f"{row['seg']},{row['photo']}\n" for row in rows), encoding="utf-8")
    data = read(str(table), tmp_path)
    assert (data.columns.inputs, data.label_names) == (("photo",), ["#090909", "#c80a0a"])
    named = read(str(table), tmp_path / "2", label_names={"200,10,10": "hand", "#090909": "ground"})
    assert named.label_names == ["ground", "hand"]
    assert np.array_equal(classes(named, 2), shape(2))
    told = refused(str(table), tmp_path / "3", label_names={"ground": "#090909", "hand": "#c80a0b"})
    assert "colour-0.png: it holds #c80a0a (30 pixels), which is no class" in told
    assert f"{table}, line 2, row 1" in told
    lines = tmp_path / "metadata.jsonl"
    lines.write_text("".join(json.dumps({"file_name": r["photo"], "mask": r["mask"]}) + "\n" for r in rows))
    data = read(str(lines), tmp_path / "4", label_names=["ground", "hand"])
    assert data.label_names == ["ground", "hand"]
    assert np.array_equal(classes(data, 2), shape(2))


def test_bad_masks_are_named_with_path_and_row(tmp_path: Path) -> None:
    folder = pairs(tmp_path / "data", 16)
    masks = folder / "masks"
    Image.fromarray(shape(0)[:, :10]).save(masks / "p0.png")
    (masks / "p1.png").write_bytes(b"")
    Image.fromarray(shape(2, 255)).save(masks / "p2.png", "JPEG")
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)).save(masks / "p3.png")
    Image.fromarray(shape(4, 9)).save(masks / "p4.png")
    Image.fromarray(np.dstack([shape(5)] * 3 + [shape(5)])).save(masks / "p5.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    photo(folder / "images" / "p6.jpg", 6, (30, 20), exif=exif)
    Image.fromarray(np.zeros((20, 30), dtype=np.uint8)).save(masks / "p6.png")
    photo(folder / "images" / "p7.jpg", 7, (30, 20), exif=exif)
    Image.fromarray(np.ones((30, 20), dtype=np.uint8)).save(masks / "p7.png")  # upright, as the picture is shown
    told = refused(str(folder), tmp_path, label_names=["ground", "square"])
    for words in (
        "p0.png: it is 10 x 20 pixels, and its picture 20 x 20", "p1.png: it is empty: 0 bytes",
        "p2.png: it is a JPEG, which smears", "p3.png: it holds colours",
        "p4.png: it holds 9 (30 pixels), which is no class", "p5.png: it is transparent in part",
        "p6.png: it is 30 x 20 pixels, and its picture 20 x 30: the picture lies turned",
    ):  # fmt: skip
        assert words in told, (words, told)
    assert "p7.png" not in told


def test_values_that_are_no_class(tmp_path: Path) -> None:
    folder = pairs(tmp_path / "data")
    told = refused(str(folder), tmp_path, label_names={0: "ground"})
    assert "p0.png: it holds 1 (30 pixels), which is no class (0 is ground)" in told
    for number in range(2):
        soft = np.asarray(Image.fromarray(shape(number, 200)).resize((200, 200), Image.Resampling.BILINEAR))
        photo(folder / "images" / f"p{number}.jpg", number, (200, 200))
        Image.fromarray(soft).save(folder / "masks" / f"p{number}.png")
    assert "all but two of them rare" in refused(str(folder), tmp_path / "2")


def test_shapes_of_coco_become_masks(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    images, annotations = [], []
    for number in range(12):
        photo(tmp_path / "images" / f"{number}.jpg", number)
        images.append({"id": number, "file_name": f"{number}.jpg", "width": SIDE, "height": SIDE})
        left, top = number // 2, number % 10
        box = [left, top, left + 5, top, left + 5, top + 6, left, top + 6]
        covered = shape(number).T.ravel()  # column by column
        ends = [*np.flatnonzero(np.diff(covered)) + 1, covered.size]
        runs = {"size": [SIDE, SIDE], "counts": np.diff([0, *([0] if covered[0] else []), *ends]).tolist()}
        annotations.append({"id": number, "image_id": number, "category_id": 7, "bbox": [left, top, 5, 6],
                            "segmentation": runs if number % 2 else [box]})  # fmt: skip
    document = {"images": images, "annotations": annotations, "categories": [{"id": 7, "name": "square"}]}
    file = tmp_path / "annotations.json"
    file.write_text(json.dumps(document), encoding="utf-8")
    data = read(str(file), tmp_path)
    assert data.label_names == ["background", "square"]
    for row, path in enumerate(data.rows["image"]):
        assert np.array_equal(classes(data, row), shape(int(Path(path).stem)))
    annotations[3]["segmentation"] = [[1, 2, 3, 4]]
    file.write_text(json.dumps(document), encoding="utf-8")
    told = refused(str(file), tmp_path / "2")
    assert "3.jpg" in told
    assert "fewer than three corners" in told
