"""Boxes as Pascal VOC writes them: an XML file a picture, in 'Annotations' beside 'JPEGImages', or beside each picture;
lists of names in 'ImageSets/Main' say which are to train, validate and test on."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import NamedTuple

from tunesmith.core.errors import Problem
from tunesmith.core.events import Emit
from tunesmith.data.annotations import rows
from tunesmith.data.annotations.rows import Row, Rows
from tunesmith.data.pictures import SUFFIXES

_FIX = "Mend or remove these files, or write them again as your tool exports Pascal VOC."
_HEAD = 4_096
_LOOKED_AT = 20
_LARGEST = 16 << 20
"""Bytes of an XML file that may be one of boxes."""
_LISTS = {"train": ("train", "trainval"), "validation": ("val", "validation", "valid"), "test": ("test",)}


class Place(NamedTuple):
    """A folder of annotations, and the list of those that belong to a part; None: all do."""

    folder: Path
    listed: Path | None = None


def find(path: Path, split: str) -> dict[str, Place] | None:
    """The parts of a folder as VOC has it, or of one with a folder a split."""
    if not path.is_dir():
        return None
    if (folder := _annotations(path)) is not None:
        found = {}
        for name, words in _LISTS.items():
            files = (path / "ImageSets" / "Main" / f"{word}.txt" for word in words)
            if (listed := next((file for file in files if file.is_file()), None)) is not None:
                found[name] = Place(folder, listed)
        return found or {split: Place(folder)}
    parts = {part: one for one in sorted(path.iterdir()) if one.is_dir() and (part := rows.split_of(one.name))}
    inside = {part: Place(place) for part, one in parts.items() if (place := _annotations(one)) is not None}
    return inside if "train" in inside else None


def read(place: Place, emit: Emit) -> Rows:
    """A row an XML file. Raises DataError with all that is wrong."""
    homes = _homes(place.folder)
    names = _stems(place)
    problems: list[Problem] = []
    found: Rows = []
    for line, name in names:
        file = place.folder / f"{name}.xml"
        if not file.is_file():
            listed = str(place.listed) if place.listed else None
            problems.append(Problem(f"it names {name!r}, and there is no {file}", listed, line=line))
            continue
        row, wrong = _row(file, homes)
        problems += wrong
        if row is not None and not wrong:
            found.append(row)
    rows.refuse(problems, _FIX)
    every = {file.stem for file in rows.notes_in(place.folder, ".xml")}
    left = [one for home in homes for one in rows.pictures_in(home) if one.stem not in every]
    rows.tell("pictures left out", left, f"pictures have no XML file in {place.folder}", emit)
    return found


def _annotations(path: Path) -> Path | None:
    """The folder with the XML files of boxes."""
    for folder in (path / "Annotations", path / "annotations", path):
        if folder.is_dir() and any(map(_is_voc, rows.notes_in(folder, ".xml")[:_LOOKED_AT])):
            return folder
    return None


def _is_voc(file: Path) -> bool:
    with file.open("rb") as stream:
        return b"<annotation" in stream.read(_HEAD)


def _homes(folder: Path) -> list[Path]:
    """Where the pictures lie."""
    above = folder.parent
    return [one for one in (above / "JPEGImages", above / "images", above / "Images", folder) if one.is_dir()]


def _stems(place: Place) -> list[tuple[int | None, str]]:
    """(line, name of a file without its ending) of the list, or all in the folder."""
    if place.listed is None:
        return [(None, file.stem) for file in rows.notes_in(place.folder, ".xml")]
    lines = rows.text_of(place.listed).splitlines()
    return [(number, line.split()[0]) for number, line in enumerate(lines, 1) if line.strip()]


def _row(file: Path, homes: list[Path]) -> tuple[Row | None, list[Problem]]:
    try:
        content = file.read_bytes()
        if len(content) > _LARGEST or b"<!ENTITY" in content:
            return None, [Problem("this is no file of boxes: it is too large, or declares entities", str(file))]
        if not content.strip():
            return None, [Problem("it is empty", str(file))]
        root = ElementTree.fromstring(content)  # entities are refused above
    except ElementTree.ParseError as error:
        return None, [Problem(f"this is no XML: {error}", str(file), line=error.position[0])]
    except (ValueError, LookupError) as error:  # an encoding that is none
        return None, [Problem(f"this is no XML: {error}", str(file))]
    image = _image(file, root.findtext("filename") or "", homes)
    if image is None:
        return None, [rows.absent(root.findtext("filename") or f"{file.stem}.jpg", file)]
    row, problems = Row(image, file), []
    for number, one in enumerate(root.iter("object"), 1):
        name, corners = (one.findtext("name") or "").strip(), _corners(one)
        if not name or corners is None:
            problems.append(Problem(f"object {number} has no name, or no bndbox of four numbers", str(file)))
        else:
            row.boxes.append(rows.box(name, corners))
    try:
        said = rows.size_said(root.findtext("size/width"), root.findtext("size/height"))
        wrong = rows.fitted(row, said)
    except ValueError as error:
        wrong = Problem(f"size: {error}", str(file))
    return row, problems + ([wrong] if wrong is not None else [])


def _image(file: Path, named: str, homes: list[Path]) -> Path | None:
    """By the name that the file gives, else by its own; old exports name pictures without their ending."""
    name = Path(named.replace("\\", "/")).name
    for home in homes:
        for tried in filter(None, (name, *(file.stem + suffix for suffix in _endings()))):
            if (home / tried).is_file() and (home / tried).suffix.lower() in SUFFIXES:
                return home / tried
    return None


def _endings() -> list[str]:
    return [ending for suffix in sorted(SUFFIXES) for ending in (suffix, suffix.upper())]


def _corners(one: ElementTree.Element) -> list[float] | None:
    found = [_number(one.findtext(f"bndbox/{side}")) for side in ("xmin", "ymin", "xmax", "ymax")]
    return None if any(number is None for number in found) else [number for number in found if number is not None]


def _number(text: str | None) -> float | None:
    try:
        found = float(text or "")
    except ValueError:
        return None
    return found if math.isfinite(found) else None
