"""Pictures as data: folders, tables of paths and data URIs; what is refused, and what counts as the same."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image as Pillow

import tunesmith
from tunesmith.core.errors import DataError, ModelError, OptionError
from tunesmith.data.pictures import read_pictures, to_uri
from tunesmith.data.profile import profile_table
from tunesmith.data.types import Columns
from tunesmith.modalities.image import Image

COLUMNS = Columns(("image",), ("label",), "label", modality="image")


def drawn(seed: int, warm: bool) -> Pillow.Image:
    """Soft shapes of a colour, no two alike."""
    random = np.random.default_rng([seed, warm])
    shapes = random.integers(0, 130, (5, 5, 3)) + (np.array([120, 40, 0]) if warm else np.array([0, 40, 120]))
    return Pillow.fromarray(shapes.astype(np.uint8)).resize((40, 30), Pillow.Resampling.BICUBIC)


@pytest.fixture
def folder(in_tmp: Path) -> Path:
    """24 pictures in a folder per class, in a folder."""
    for seed in range(12):
        for name in ("warm", "cold"):
            place = in_tmp / "photos" / name
            place.mkdir(parents=True, exist_ok=True)
            drawn(seed, name == "warm").save(place / f"{name}-{seed:02}.png")
    return in_tmp / "photos"


def _check(data: Path | str, **words: Any) -> Any:
    return tunesmith.check(str(data), **{"model": "tiny-convnet", **words})


def test_a_folder_per_class_is_found_without_being_told(folder: Path) -> None:
    found = _check(folder)
    assert (found["task"], found["method"]) == ("image-classification", "scratch")
    assert found["columns"]["inputs"] == ["image"]
    assert sum(found["splits"].values()) == 24
    assert found["lengths"] is None  # which are counted in tokens
    assert found["estimate"]["seconds"] > 0


def test_folders_of_parts_and_tables_of_paths_are_read(folder: Path) -> None:
    for part, seeds in (("train", range(8)), ("val", range(8, 10)), ("test", range(10, 12))):
        for name in ("warm", "cold"):
            (folder.parent / "parts" / part / name).mkdir(parents=True)
            for seed in seeds:
                shutil.copy(folder / name / f"{name}-{seed:02}.png", folder.parent / "parts" / part / name)
    assert _check(folder.parent / "parts")["splits"] == {"train": 16, "validation": 4, "test": 4}
    rows = [(path.relative_to(folder), path.parent.name) for path in sorted(folder.glob("*/*.png"))]
    (folder / "list.csv").write_text("file,kind\n" + "".join(f"{path},{kind}\n" for path, kind in rows))
    found = _check(folder / "list.csv")
    assert found["columns"]["inputs"] == ["file"]
    assert found["columns"]["target"] == ["kind"]
    lines = [json.dumps({"picture": str(path), "tags": [kind, "all"]}) + "\n" for path, kind in rows]
    (folder / "list.jsonl").write_text("".join(lines))
    assert _check(folder / "list.jsonl", target="tags")["columns"]["kind"] == "labels"


def test_every_row_that_is_no_picture_is_named(folder: Path) -> None:
    rows = [f"photos/{path.parent.name}/{path.name},{path.parent.name}" for path in sorted(folder.glob("*/*.png"))]
    (folder / "warm" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    rows += ["photos/warm/warm-0.png,warm", "photos/warm/broken.png,warm"]
    (folder.parent / "list.csv").write_text("image,label\n" + "\n".join(rows))
    with pytest.raises(DataError) as caught:
        _check(folder.parent / "list.csv")
    assert len(caught.value.problems) == 2
    assert "line 26" in str(caught.value)
    assert "Did you mean 'warm-" in str(caught.value)


def test_the_same_picture_is_in_one_part_only(folder: Path) -> None:
    """Saved in another format, or with losses."""
    for seed in range(12):
        picture = drawn(seed, True)
        picture.save(folder / "warm" / f"again-{seed:02}.bmp")
        picture.save(folder / "warm" / f"lossy-{seed:02}.jpg", quality=70)
    audit = _check(folder)["audit"]
    assert audit["duplicates"]["rows_with_a_picture_seen_before"] == 12
    assert audit["duplicates"]["near_identical_pictures"] == 12
    assert audit["leakage"]["leaked_test_rows"] == 0


def test_what_was_made_for_texts_is_refused(folder: Path, tiny_model: Path) -> None:
    for method in ("prefix", "prompt", "progressive"):
        with pytest.raises(OptionError, match=r"does not fit the pictures of image-classification"):
            _check(folder, method=method)
    with pytest.raises(ModelError, match="reads texts, and this task reads pictures"):
        _check(folder, model=str(tiny_model))
    (folder / "list.csv").write_text("a,label\n" + "warm/warm-00.png,b\ncold/cold-00.png,c\n" * 12)
    with pytest.raises(DataError, match="holds pictures, and the task reads texts"):
        _check(folder / "list.csv", task="text-classification")


def test_pictures_are_given_in_python_as_they_are_at_hand(folder: Path) -> None:
    path = folder / "warm" / "warm-00.png"
    picture = Pillow.open(path).convert("RGB")
    image = Image()
    given: list[Any] = [str(path), path, picture, np.asarray(picture), to_uri(picture), {"image": str(path), "x": 1}]
    cells = image.inputs(given, COLUMNS)["image"]
    assert cells[0] == str(path)
    assert cells[2].startswith("data:image/png;base64,")
    assert image.is_input(picture)
    assert image.is_input(np.asarray(picture))
    assert not image.is_input([picture])
    with pytest.raises(DataError) as caught:
        image.inputs([3, "nowhere.png", np.zeros((4, 4)), str(path)], COLUMNS)
    assert [problem.row for problem in caught.value.problems] == [1, 3]
    with pytest.raises(DataError, match="no such file"):
        image.inputs(["nowhere.png"], COLUMNS)


@pytest.mark.parametrize(
    ("cells", "claimed"),
    [
        (["a.png", "b.JPG", "c d/e.webp"], True), (["data:image/png;base64,AAAA"] * 3, True),
        (["see a.png", "no picture", "at all"], False), ([1.0, 2.0], False), (["a.txt", "b.csv"], False),
    ],
)  # fmt: skip
def test_a_column_is_claimed_by_the_names_in_it(cells: list[Any], claimed: bool) -> None:
    assert (Image().claims(profile_table(pa.table({"a": cells}))[0]) > 0) is claimed


@pytest.mark.slow
def test_columns_of_files_and_of_pictures_are_read(folder: Path) -> None:
    """Bytes, what `datasets` makes of an image, pictures of Pillow, and pixels."""
    files = sorted(folder.glob("*/*.png"))
    labels = [path.parent.name for path in files]
    content = [path.read_bytes() for path in files]
    structs = [{"bytes": one, "path": path.name} for one, path in zip(content, files, strict=True)]
    pq.write_table(pa.table({"image": structs, "label": labels}), folder / "a.parquet")
    pq.write_table(pa.table({"bytes": content, "label": labels}), folder / "b.parquet")
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["cold", "warm"])})
    made = datasets.Dataset.from_dict({"image": list(map(str, files)), "label": labels}, features=features)
    opened = [Pillow.open(path).convert("RGB") for path in files]
    rows = [{"image": one, "label": label} for one, label in zip(opened, labels, strict=True)]
    frame = pd.DataFrame({"image": [np.asarray(one) for one in opened], "label": labels})
    found = [tunesmith.check(data) for data in (folder, folder / "a.parquet", folder / "b.parquet", made, rows, frame)]
    assert {one["task"] for one in found} == {"image-classification"}
    assert {tuple(one["audit"]["labels"]) for one in found} == {("cold", "warm")}
    assert all(sum(one["splits"].values()) == 24 for one in found)
    assert len({one["audit"]["pictures"]["sizes"]["40 x 30"] for one in found}) == 1


@pytest.mark.slow
def test_the_same_data_elsewhere_is_the_same(folder: Path) -> None:
    first = _check(folder)["audit"]["fingerprint"]
    shutil.move(folder, folder.parent / "moved")
    assert _check(folder.parent / "moved")["audit"]["fingerprint"] == first
    drawn(99, True).save(folder.parent / "moved" / "warm" / "warm-00.png")
    assert _check(folder.parent / "moved")["audit"]["fingerprint"] != first


def test_folders_are_read_as_people_pack_them(folder: Path) -> None:
    """In a folder of their own, with folders within classes, what systems leave, and numbers as names."""
    root = folder.parent / "packed"
    for number, name in enumerate(("warm", "cold")):
        place = root / "dataset" / str(number) / "more"
        shutil.copytree(folder / name, place)
        (place.parent / ".DS_Store").write_bytes(b"x")
        (place.parent / "Thumbs.db").write_bytes(b"x")
        (place / "._a.png").write_bytes(b"x")
        (place / "notes.heic").write_bytes(b"x")
    (root / "__MACOSX" / "0").mkdir(parents=True)
    found = _check(root)
    assert list(found["audit"]["labels"]) == ["0", "1"]
    assert found["task"] == "image-classification"
    assert sum(found["splits"].values()) == 24
    told = [one["message"] for one in found["warnings"] if one["what"] == "files left out"]
    assert len(told) == 1
    assert "2 of .heic" in told[0]
    (root / "dataset" / "2").mkdir()
    with pytest.raises(DataError, match="this folder of a class holds no picture"):
        _check(root)


def test_a_table_called_metadata_is_about_the_files_beside_it(folder: Path) -> None:
    root = folder.parent / "beside"
    for part, seeds in (("train", range(9)), ("test", range(9, 12))):
        (root / part).mkdir(parents=True)
        lines = ["file_name,label"]
        for name in ("warm", "cold"):
            for seed in seeds:
                shutil.copy(folder / name / f"{name}-{seed:02}.png", root / part)
                lines.append(f"{name}-{seed:02}.png,{name}")
        (root / part / "metadata.csv").write_text("\n".join(lines))
    found = _check(root)
    assert found["splits"]["test"] == 6
    assert found["columns"]["inputs"] == ["file_name"]
    rows = [{"file_name": path.name, "label": path.name[:4]} for path in (root / "train").glob("*.png")]
    (root / "train" / "metadata.csv").unlink()
    (root / "train" / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert sum(_check(root / "train")["splits"].values()) == 18


def test_a_zip_of_a_folder_is_the_same_data(folder: Path) -> None:
    shutil.make_archive("packed", "zip", folder.parent, "photos")
    first, second = _check(folder), _check(folder.parent / "packed.zip")
    assert first["audit"]["fingerprint"] == second["audit"]["fingerprint"]
    assert len(Image().inputs([str(folder / "warm" / "warm-00.png")], COLUMNS)["image"]) == 1


def test_what_is_no_input_beside_pictures_is_told_and_not_taken_for_data(folder: Path) -> None:
    (folder / "bird").mkdir()
    (folder / "bird" / "notes.txt").write_text("no text to learn")
    with pytest.raises(DataError, match="bird: this folder of a class holds no picture"):
        _check(folder)
    shutil.rmtree(folder / "bird")
    for name in ("Thumbs.db", "ehthumbs.db", "Icon\r", "._cold-00.png", "cold-00.png:Zone.Identifier"):
        (folder / "cold" / name).write_bytes(b"x")
    files = sorted(folder.rglob("????-??.png"))
    table = pd.DataFrame(
        {"picture": [file.read_bytes() for file in files], "label": [file.parent.name for file in files]}
    )
    table.loc[24] = [b"", "cold"]
    with pytest.raises(DataError, match=r"row 25, column 'picture': .* it is empty: 0 bytes"):
        tunesmith.check(table, model="tiny-convnet")
    rows = [f"{file},{file.parent.name}" for file in files]
    rows[3:5] = [f",{files[3].parent.name}", f"{files[4]},"]
    (folder.parent / "data.csv").write_text("\n".join(["image,label", *rows]) + "\n")
    assert sum(_check(folder.parent / "data.csv")["splits"].values()) == 22
    named = [f"{file.relative_to(folder)},{file.parent.name}" for file in files[:20]]
    (folder / "metadata.csv").write_text("\n".join(["file_name,label", *named]) + "\n")
    told = [one["message"] for one in _check(folder)["warnings"]]
    assert [one.partition(" does ")[2][:32] for one in told] == ["not name 4 pictures beside it, s"]


def test_what_can_not_be_read_is_dropped_where_that_is_asked(folder: Path) -> None:
    (folder / "warm" / "empty.png").write_bytes(b"")
    (folder / "cold" / "text.jpg").write_text("no picture")
    with pytest.raises(DataError, match="unreadable=drop") as caught:
        _check(folder)
    assert len(caught.value.problems) == 2
    found = _check(folder, unreadable="drop")
    ledger = found["audit"]["ledger"]
    assert ledger["used"] == 24
    assert ledger["reasons"]["dropped"] == {
        "the picture can not be read: empty": 1, "the picture can not be read: no picture": 1
    }  # fmt: skip
    assert "empty.png, row 1, column 'image': it is empty" in next(
        w["message"] for w in found["warnings"] if w["what"] == "unreadable"
    )


@pytest.mark.slow
def test_names_are_looked_for_below_the_folder_of_their_table(folder: Path) -> None:
    (folder.parent / "train_images").mkdir()
    rows = []
    for path in sorted(folder.glob("*/*.png")):
        shutil.copy(path, folder.parent / "train_images")
        rows.append((path.name, path.stem, path.parent.name))
    shutil.rmtree(folder)
    (folder.parent / "a.csv").write_text("name,kind\n" + "".join(f"{name},{kind}\n" for name, _, kind in rows))
    found = _check("a.csv")
    assert ("base folder", "train_images") in {(d["what"], str(d["value"])) for d in found["decisions"]}
    (folder.parent / "train_images" / "b.csv").write_text(
        "id,kind\n" + "".join(f"{stem},{kind}\n" for _, stem, kind in rows)
    )
    assert _check("train_images/b.csv", task="image-classification", text="id")["audit"]["kept"] == 24


def test_a_model_is_asked_about_every_picture_before_it_says_what_is_wrong(folder: Path) -> None:
    for name in ("a.png", "b.jpg"):
        (folder / "warm" / name).write_bytes(b"no picture")
    cells = Image().inputs([str(path) for path in sorted(folder.glob("*/*"))], COLUMNS)["image"]
    with pytest.raises(DataError) as caught:
        list(read_pictures(cells))
    assert [Path(str(problem.file)).name for problem in caught.value.problems] == ["a.png", "b.jpg"]
    with pytest.raises(DataError, match="nothing is fetched"):
        Image().inputs(["https://example.com/a.png"], COLUMNS)
