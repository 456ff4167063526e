"""Boxes in the files that the usual tools write, and what is found in them before anything is trained."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tunesmith.core.errors import DataError
from tunesmith.core.events import Event, Warned
from tunesmith.data.images import ImageData
from tunesmith.data.prepare import prepare
from tunesmith.data.prepared import PreparedData
from tunesmith.data.types import SplitOptions

Read = Callable[..., PreparedData]
BOXES = {"a": [("cat", [2, 3, 12, 23])], "b": [("dog", [5, 5, 25, 15]), ("cat", [0, 0, 9, 9])]}


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def of(source: object, log: list[Event] | None = None) -> PreparedData:
        cache = tmp_path / "cache"
        return prepare(
            source, kinds=("boxes",), options=SplitOptions(near_duplicates=0), modalities=(ImageData(),), seed=0,
            emit=[].append if log is None else log.append, cache_dir=cache,
        )  # fmt: skip

    return of


def pictures(folder: Path, count: int = 12, orientation: int | None = None) -> list[str]:
    """Pictures of 40 x 30 pixels, none like another, as they lie in their files."""
    folder.mkdir(parents=True, exist_ok=True)
    names = []
    for number in range(count):
        image = Image.new("RGB", (40, 30), (20 * number, 255 - 20 * number, 90))
        image.paste((255, 255, 255), (number, 2, number + 9, 15 + number))
        exif = Image.Exif()
        if orientation:
            exif[0x0112] = orientation
        names.append(f"{folder.name}-{number:02d}.jpg")
        image.save(folder / names[-1], exif=exif)
    return names


def coco(folder: Path, **changed: Any) -> dict[str, Any]:
    names = pictures(folder / "train")
    made = {
        "images": [{"id": 7 * at, "file_name": name, "width": 40, "height": 30} for at, name in enumerate(names)],
        "categories": [{"id": 3, "name": "cat"}, {"id": 90, "name": "dog"}],
        "annotations": [
            {"image_id": 7 * at, "category_id": 90 if at % 2 else 3, "bbox": [2, 3, 10, 20], "iscrowd": at // 10}
            for at in range(11)
        ],
    }  # fmt: skip
    made |= changed
    (folder / "annotations").mkdir(exist_ok=True)
    (folder / "annotations" / "instances_train.json").write_text(json.dumps(made))
    return made


def boxes_of(data: PreparedData, name: str) -> list[dict[str, Any]]:
    return next(row["target"]["boxes"] for row in data.rows if Path(row["image"]).name == name)


def test_coco_has_holes_in_its_ids_crowds_and_pictures_without_boxes(tmp_path: Path, read: Read) -> None:
    coco(tmp_path)
    data = read(tmp_path)
    assert data.label_names == ["cat", "dog"]
    assert len(data.rows) == 12
    assert boxes_of(data, "train-11.jpg") == []  # nothing is on it
    assert boxes_of(data, "train-01.jpg") == [
        {"label": "dog", "box": [2.0, 3.0, 12.0, 23.0], "crowd": False, "used": True, "note": None}
    ]
    assert boxes_of(data, "train-10.jpg")[0]["crowd"]
    assert read(tmp_path / "annotations" / "instances_train.json").fingerprint == data.fingerprint


def test_a_coco_file_with_faults_is_refused_with_all_of_them(tmp_path: Path, read: Read) -> None:
    made = coco(tmp_path)
    made["images"][0]["file_name"] = "elsewhere.jpg"
    made["annotations"][1]["category_id"] = 4
    made["annotations"][2]["image_id"] = 999
    made["annotations"][3]["bbox"] = [1, 2, 3]
    made["annotations"][4]["bbox"] = [float("nan"), 2, 3, 4]
    made["annotations"][5]["category_id"] = [3]
    made["annotations"][6] = "a cat"
    made["images"][7]["id"] = [7]
    made["images"][8]["width"] = "wide"
    coco(tmp_path, **made)
    with pytest.raises(DataError) as error:
        read(tmp_path)
    said = str(error.value)
    for part in (
        "instances_train.json", "elsewhere.jpg", "category id 4", "id 999", "entry 4 has no box", "entry 5 has no box",
        "category id [3]", "entry 7 is no annotation", "entry 8 has no 'id'", "'wide' and '30' are no width and height",
    ):  # fmt: skip
        assert part in said
    coco(tmp_path, categories=[{"id": 3, "name": "cat"}, {"id": 3, "name": "dog"}])
    with pytest.raises(DataError, match="two have the id 3"):
        read(tmp_path)


def test_labels_of_whole_pictures_are_the_categories_of_their_boxes(tmp_path: Path) -> None:
    def whole(**words: Any) -> PreparedData:
        return prepare(
            tmp_path, kinds=("label", "labels"), options=SplitOptions(near_duplicates=0), modalities=(ImageData(),),
            seed=0, emit=[].append, cache_dir=tmp_path / "cache", **words,
        )  # fmt: skip

    made = coco(tmp_path)
    data = whole()
    assert (data.columns.target, data.columns.kind, data.label_names) == (("label",), "label", ["cat", "dog"])
    assert len(data.rows) == 11  # of one picture nothing is said
    made["annotations"].append({"image_id": 0, "category_id": 90, "bbox": [0, 0, 9, 9]})
    for one in made["annotations"]:
        del one["bbox"]  # which labels of whole pictures do not need
    coco(tmp_path, **made)
    data = whole()
    assert (data.columns.target, data.columns.kind) == (("labels",), "labels")
    assert sorted(map(len, data.rows["target"][:])) == [0, *[1] * 10, 2]


def test_choices_of_label_studio_are_labels_of_whole_pictures(tmp_path: Path, read: Read) -> None:
    tasks = [
        {"data": {"image": f"/data/upload/1/0123abcd-{name}"},
         "annotations": [{"result": [{"type": "choices", "value": {"choices": ["ab"[at % 2]]}}]}]}
        for at, name in enumerate(pictures(tmp_path / "images"))
    ]  # fmt: skip
    (tmp_path / "export.json").write_text(json.dumps(tasks))
    data = prepare(
        tmp_path / "export.json", options=SplitOptions(near_duplicates=0), modalities=(ImageData(),), seed=0,
        emit=[].append, cache_dir=tmp_path / "cache",
    )  # fmt: skip
    assert (data.columns.target, data.label_names) == (("label",), ["a", "b"])


def test_a_size_that_is_not_the_pictures_is_told(tmp_path: Path, read: Read) -> None:
    made = coco(tmp_path)
    made["images"][2] |= {"width": 80, "height": 60}
    coco(tmp_path, **made)
    with pytest.raises(DataError, match=r"train-02.jpg has 40 x 30 pixels, and the file says 80 x 60"):
        read(tmp_path)


def voc(folder: Path, boxes: dict[str, list[Any]], size: tuple[int, int] = (40, 30), orientation: int = 1) -> None:
    names = pictures(folder / "JPEGImages", orientation=orientation)
    (folder / "Annotations").mkdir()
    for at, name in enumerate(names):
        objects = "".join(
            f"<object><name>{label}</name><bndbox><xmin>{x}</xmin><ymin>{y}</ymin><xmax>{right}</xmax>"
            f"<ymax>{bottom}</ymax></bndbox></object>"
            for label, (x, y, right, bottom) in boxes.get(name, BOXES["ab"[at % 2]])
        )
        sides = f"<size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>"
        text = f"<annotation><filename>{Path(name).stem}</filename>{sides}{objects}</annotation>"
        (folder / "Annotations" / f"{Path(name).stem}.xml").write_text(text)


def test_voc_keeps_its_split_and_reports_boxes_without_area(tmp_path: Path, read: Read) -> None:
    odd = [("cat", [5, 5, 5, 5]), ("cat", [50, 5, 60, 9]), ("dog", [30, 20, 55, 29]), ("dog", [1, 1, 9, 9])]
    voc(tmp_path, {"JPEGImages-00.jpg": odd})
    sets = tmp_path / "ImageSets" / "Main"
    sets.mkdir(parents=True)
    for name, numbers in {"train": range(6), "val": (6, 7, 8), "test": (9, 10, 11)}.items():
        (sets / f"{name}.txt").write_text("".join(f"JPEGImages-{number:02d}\n" for number in numbers))
    log: list[Event] = []
    data = read(tmp_path, log)
    assert {name: len(rows) for name, rows in data.splits.items()} == {"train": 6, "validation": 3, "test": 3}
    told = {event.what: event.message for event in log if isinstance(event, Warned)}
    assert "2 boxes: 1 have no area, 1 lie outside of the picture" in told["boxes that are not learned"]
    assert "JPEGImages-00.jpg, row 1: cat at 5, 5, 5, 5" in told["boxes that are not learned"]
    assert "1 reach over the edge" in told["cut boxes"]
    found = boxes_of(data, "JPEGImages-00.jpg")
    assert [one["used"] for one in found] == [False, False, True, True]
    assert found[2]["box"] == [30, 20, 40, 29]
    (sets / "train.txt").write_text("JPEGImages-00\nnowhere\n")
    with pytest.raises(DataError, match=r"train.txt, line 2: it names 'nowhere', and there is no .*nowhere.xml"):
        read(tmp_path)


def test_an_xml_file_without_its_picture_and_a_broken_one(tmp_path: Path, read: Read) -> None:
    voc(tmp_path, {})
    (tmp_path / "JPEGImages" / "JPEGImages-03.jpg").unlink()
    (tmp_path / "Annotations" / "JPEGImages-04.xml").write_text("<annotation><object></annotation>")
    with pytest.raises(DataError) as error:
        read(tmp_path)
    assert "JPEGImages-03.xml: it names the picture JPEGImages-03, which is not there" in str(error.value)
    assert "JPEGImages-04.xml, line 1: this is no XML" in str(error.value)


def test_what_systems_leave_beside_annotations_is_none(tmp_path: Path, read: Read) -> None:
    voc(tmp_path / "voc", {})
    yolo(tmp_path / "yolo")
    for place in ("voc/Annotations/._a.xml", "voc/JPEGImages/@eaDir/a.jpg", "yolo/labels/train/._a.txt"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).write_bytes(b"\0\5\x16\7")
    log: list[Event] = []
    assert [len(read(tmp_path / name, log).rows) for name in ("voc", "yolo")] == [12, 24]
    assert not [event for event in log if isinstance(event, Warned) and "left out" in event.what]


def test_boxes_on_a_picture_that_its_exif_turns_are_turned_with_it(tmp_path: Path, read: Read) -> None:
    voc(tmp_path, {}, orientation=6)  # the files are 40 x 30, and looked at they are 30 x 40
    data = read(tmp_path)
    row = next(row["target"] for row in data.rows if row["image"].endswith("00.jpg"))
    assert (row["width"], row["height"]) == (30, 40)
    assert row["boxes"][0]["box"] == [30 - 23, 2, 30 - 3, 12]
    upright = tmp_path / "upright"
    voc(upright, {}, size=(30, 40), orientation=6)  # who wrote these saw them upright
    assert boxes_of(read(upright), "JPEGImages-00.jpg")[0]["box"] == [2, 3, 12, 23]


def yolo(folder: Path) -> Path:
    for split in ("train", "val"):
        for name in pictures(folder / "images" / split):
            (folder / "labels" / split).mkdir(parents=True, exist_ok=True)
            line = "0 0.25 0.5 0.25 0.5\n1 0.5 0.5 0.2 0.2\n"
            (folder / "labels" / split / name.replace(".jpg", ".txt")).write_text(line)
    settings = folder / "data.yaml"
    settings.write_text("train: images/train\nval: images/val\nnames: {0: cat, 1: dog}\n")
    return settings


def test_yolo_by_folder_and_by_its_yaml(tmp_path: Path, read: Read) -> None:
    settings = yolo(tmp_path)
    (tmp_path / "labels" / "train" / "train-05.txt").unlink()
    log: list[Event] = []
    data = read(tmp_path, log)
    assert boxes_of(data, "train-00.jpg")[0]["box"] == [5.0, 7.5, 15.0, 22.5]
    assert boxes_of(data, "train-05.jpg") == []
    assert any("train-05.jpg" in event.message for event in log if isinstance(event, Warned))
    assert read(settings).fingerprint == data.fingerprint


def test_yolo_files_with_faults(tmp_path: Path, read: Read) -> None:
    yolo(tmp_path)
    labels = tmp_path / "labels" / "train"
    (labels / "train-01.txt").write_text("0 0.5 0.5 0.1 0.1\n7 0.5 0.5 0.1 0.1\n")
    (labels / "train-02.txt").write_text("0 0.5 0.5\n")
    (labels / "train-03.txt").write_text("1.5 0.5 0.5 0.1 0.1\n")
    (labels / "train-04.txt").write_bytes(b"\xff\xfe\0\1")
    (labels / "lonely.txt").write_text("0 0.5 0.5 0.1 0.1\n")
    with pytest.raises(DataError) as error:
        read(tmp_path)
    said = str(error.value)
    assert "train-01.txt, line 2: the class 7 is none of the 2" in said
    assert "train-02.txt, line 1: '0 0.5 0.5' is no class with four numbers" in said
    assert "train-03.txt, line 1: '1.5 0.5 0.5 0.1 0.1' is no class with four numbers" in said
    assert "train-04.txt: this is no text in UTF-8" in said
    assert "lonely.txt: there is no picture that belongs to these boxes" in said
    (tmp_path / "data.yaml").unlink()
    for name in ("train-01", "train-02", "train-03", "train-04"):
        (labels / f"{name}.txt").write_text("0 0.5 0.5 0.1 0.1\n")
    with pytest.raises(DataError, match="nothing says what their classes are called"):
        read(tmp_path)


@pytest.mark.parametrize(
    "cell",
    [
        {"bbox": [[2, 3, 10, 20]], "categories": ["cat"]},
        [{"label": "cat", "bbox": [2, 3, 10, 20]}],
        [{"category": "cat", "xmin": 2, "ymin": 3, "xmax": 12, "ymax": 23}],
        [{"name": "cat", "x": 2, "y": 3, "width": 10, "height": 20}],
        json.dumps([{"label": "cat", "box": [2, 3, 12, 23]}]),
    ],
)
def test_objects_in_a_cell(tmp_path: Path, read: Read, cell: object) -> None:
    names = pictures(tmp_path / "some")
    other = json.loads(json.dumps(cell).replace("20", "19").replace("23", "22"))
    lines = [{"image": f"some/{name}", "objects": other if at else cell} for at, name in enumerate(names)]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    data = read(path)
    assert boxes_of(data, names[0])[0]["box"] == [2, 3, 12, 23]
    assert data.label_names == ["cat"]


def test_a_table_with_a_box_in_each_row(tmp_path: Path, read: Read) -> None:
    names = pictures(tmp_path / "some")
    lines = ["filename,width,height,class,xmin,ymin,xmax,ymax"]
    lines += [f"some/{name},40,30,{'cat' if at % 2 else 'dog'},2,3,12,{20 + at % 2}" for at, name in enumerate(names)]
    lines += [f"some/{names[0]},40,30,cat,20,5,30,9"]
    lines[-3] = f"some/{names[-2]},40,30,,,,,"
    path = tmp_path / "boxes.csv"
    path.write_text("\n".join(lines))
    data = read(path)
    assert len(data.rows) == 12
    assert [one["label"] for one in boxes_of(data, names[0])] == ["dog", "cat"]
    assert boxes_of(data, names[-2]) == []
    lines[2] = lines[2].replace(",40,30,", ",80,30,")
    lines[4] = lines[4].replace(",2,3,", ",two,3,")
    path.write_text("\n".join(lines))
    with pytest.raises(DataError) as error:
        read(path)
    assert "boxes.csv, line 5, row 4: no box: cat, two, 3, 12, 21" in str(error.value)
    assert "boxes.csv, line 3, row 2: the picture" in str(error.value)


def test_rectangles_of_label_studio(tmp_path: Path, read: Read) -> None:
    names = pictures(tmp_path / "images")
    tasks: list[dict[str, Any]] = []
    for at, name in enumerate(names):
        value = {
            "x": 5,
            "y": 10,
            "width": 25,
            "height": 50,
            "rotation": 0,
            "rectanglelabels": ["cat" if at % 2 else "dog"],
        }
        result = {"type": "rectanglelabels", "original_width": 40, "original_height": 30, "value": value}
        tasks.append({"data": {"image": f"/data/upload/1/12345678-{name}"}, "annotations": [{"result": [result]}]})
    path = tmp_path / "export.json"
    path.write_text(json.dumps(tasks))
    data = read(path)
    assert boxes_of(data, names[0])[0] | {"note": None} == {
        "label": "dog", "box": [2.0, 3.0, 12.0, 18.0], "crowd": False, "used": True, "note": None,
    }  # fmt: skip
    tasks[3]["data"]["image"] = "/data/upload/1/nowhere.jpg"
    tasks[4]["annotations"][0]["result"][0]["value"]["rotation"] = 30
    path.write_text(json.dumps(tasks))
    with pytest.raises(DataError) as error:
        read(path)
    assert "row 4: it names /data/upload/1/nowhere.jpg, and no such picture lies here" in str(error.value)
    assert "row 5: a rectangle is turned" in str(error.value)
