"""Boxes as COCO writes them: one JSON file with 'images', 'annotations' and 'categories', beside or above its pictures.

Category ids may have holes; crowds stay crowds; a picture without boxes is one on which nothing is to be found.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from tunesmith.core.errors import DataError, Problem, did_you_mean
from tunesmith.core.events import Emit
from tunesmith.data import masks
from tunesmith.data.annotations import rows
from tunesmith.data.annotations.rows import Row, Rows
from tunesmith.data.picture_sizes import size_of

_HEAD = 1 << 20
_FIX = "Give each picture, box and category as COCO does: https://cocodataset.org/#format-data"


def find(path: Path, split: str) -> dict[str, Path] | None:
    """The files by split: one that is given, or those of a folder, of its folder 'annotations', or of a folder a
    split."""
    if path.is_file():
        return {split: path} if _is_coco(path) else None
    if not path.is_dir():
        return None
    places = [path, path / "annotations", *(one for one in sorted(path.iterdir()) if rows.split_of(one.name))]
    found: dict[str | None, Path] = {}
    for place in places:
        for file in sorted(place.glob("*.json")) if place.is_dir() else ():
            name = rows.split_of(file.stem) or (rows.split_of(place.name) if place != path else None)
            if name not in found and _is_coco(file):
                found[name] = file
    return rows.by_split(found, split) if found else None


def read(path: Path, emit: Emit) -> Rows:
    """A row a picture. Raises DataError with all that is wrong."""
    document = rows.load_json(path)
    names = _categories(document, path)
    folders = _folders(path)
    problems: list[Problem] = []
    found: dict[Any, Row] = {}
    sizes: dict[Any, tuple[int, int]] = {}
    shapes: dict[Any, list[tuple[str, object]]] = defaultdict(list)
    for number, image in enumerate(document["images"], 1):
        if not isinstance(image, dict) or not _is_id(image.get("id")) or not image.get("file_name"):
            problems.append(Problem(f"images: entry {number} has no 'id' or no 'file_name'", str(path)))
            continue
        place = _place(str(image["file_name"]), folders)
        if place is None:
            problems.append(rows.absent(image["file_name"], path))
        if image["id"] in found:
            problems.append(Problem(f"images: two entries have the id {image['id']}", str(path)))
        found[image["id"]] = Row(place or Path(str(image["file_name"])), path)
        try:
            sizes[image["id"]] = rows.size_said(image.get("width"), image.get("height"))
        except ValueError as error:
            problems.append(Problem(f"images: entry {number}: {error}", str(path)))
    boxless = not any(isinstance(one, dict) and "bbox" in one for one in document["annotations"])
    for number, one in enumerate(document["annotations"], 1):
        problem = _add(one, found, names, boxless)
        if problem is not None:
            problems.append(Problem(f"annotations: entry {number} {problem}", str(path)))
        elif one.get("segmentation"):
            shapes[one["image_id"]].append((names[one["category_id"]], one["segmentation"]))
    if not problems:
        problems = [wrong for key, row in found.items() if (wrong := rows.fitted(row, sizes[key])) is not None]
    rows.refuse(problems, _FIX)
    if shapes:
        for key, row in found.items():
            row.mask = masks.drawn_from(shapes[key], sorted(names.values()), _size(row, sizes[key]))
    known = {row.image.resolve() for row in found.values()}
    beside = {one for folder in {row.image.parent for row in found.values()} for one in rows.pictures_in(folder)}
    left = [one for one in beside if one.resolve() not in known]
    if path.parent in folders[:1] and len(left) < len(beside):
        rows.tell("pictures left out", left, f"pictures are not listed in {path}", emit)
    return list(found.values())


def _is_id(given: object) -> bool:
    return isinstance(given, int | float | str)


def _is_side(given: object) -> bool:
    return isinstance(given, int | float) and not isinstance(given, bool) and math.isfinite(given)


def _size(row: Row, said: tuple[int, int]) -> tuple[int, int]:
    """Width and height of the picture that shapes were drawn on."""
    if min(said) > 0 or (size := size_of(str(row.image))) is None:
        return said
    return size.width, size.height


def _is_coco(path: Path) -> bool:
    if path.suffix.lower() != ".json":
        return False
    with path.open("rb") as file:
        head, size = file.read(_HEAD), path.stat().st_size
        file.seek(max(0, size - _HEAD))
        text = head + file.read(_HEAD)
    return all(word in text for word in (b'"images"', b'"annotations"', b'"categories"'))


def _categories(document: Any, path: Path) -> dict[Any, str]:
    for key in ("images", "annotations", "categories"):
        if not isinstance(document, dict) or not isinstance(document.get(key), list):
            raise DataError(Problem(f"there is no list {key!r} in this file", str(path)), _FIX)
    whole = [
        one for one in document["categories"] if isinstance(one, dict) and _is_id(one.get("id")) and one.get("name")
    ]
    if len(whole) < len(document["categories"]) or not whole:
        raise DataError(Problem("categories: an entry has no 'id' or no 'name'", str(path)), _FIX)
    twice = [key for key, times in Counter(one["id"] for one in whole).items() if times > 1]
    if twice:
        raise DataError([Problem(f"categories: two have the id {key}", str(path)) for key in twice], _FIX)
    names = Counter(str(one["name"]) for one in whole)
    # two of one name would be one label
    return {
        one["id"]: str(one["name"]) if names[str(one["name"])] == 1 else f"{one['name']} ({one['id']})" for one in whole
    }


def _folders(path: Path) -> list[Path]:
    """Where its pictures may lie, the likeliest first."""
    above, stem = path.parent, path.stem
    named = [stem, stem.partition("_")[2]] if "_" in stem else [stem]
    split = rows.split_of(stem)
    named += list(rows.SPLITS.get(split or "", ()))
    homes = [above, above.parent]
    deep = [home / inner / name for home in homes for inner in ("", "images") for name in ("", *filter(None, named))]
    return list(dict.fromkeys(one for one in deep if one.is_dir()))


def _place(name: str, folders: list[Path]) -> Path | None:
    given = Path(name)
    if given.is_absolute() and given.is_file():
        return given
    for folder in folders:
        for tried in (folder / name, folder / given.name):
            if tried.is_file():
                return tried
    return None


def _add(one: Any, found: dict[Any, Row], names: dict[Any, str], boxless: bool) -> str | None:
    """Give a box, or where no annotation has one its label, to its picture, or say what is wrong with it."""
    if not isinstance(one, dict):
        return f"is no annotation: {str(one)[:60]!r}"
    if not _is_id(one.get("image_id")) or one["image_id"] not in found:
        return f"is of a picture with the id {one.get('image_id')}, which is not listed"
    if not _is_id(one.get("category_id")) or one["category_id"] not in names:
        near = did_you_mean(str(one.get("category_id")), [str(name) for name in names])
        return f"has the category id {one.get('category_id')}, which is none of the file's categories. {near}"
    if boxless:
        found[one["image_id"]].labels.append(names[one["category_id"]])
        return None
    given = one.get("bbox")
    if not isinstance(given, list) or len(given) != 4 or not all(map(_is_side, given)):
        return f"has no box of four numbers: {str(given)[:60]}"
    left, top, width, height = given
    crowd = bool(one.get("iscrowd"))
    corners = [left, top, left + width, top + height]
    found[one["image_id"]].boxes.append(rows.box(names[one["category_id"]], corners, crowd))
    return None
