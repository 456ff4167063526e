"""Boxes as YOLO writes them: a text file a picture, a line a box: its class, and middle, width and height as shares of
the picture. The names of the classes stand in data.yaml, or one a line in classes.txt."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from tunesmith.core.errors import DataError, Problem
from tunesmith.core.events import Emit, Warned
from tunesmith.data.annotations import rows
from tunesmith.data.annotations.rows import Row, Rows
from tunesmith.data.folders import files_in, visible
from tunesmith.data.picture_sizes import size_of

_FIX = "Write a line a box: class, x and y of its middle, width, height; the four from 0 to 1."
_LOOKED_AT = 50
_LISTS = ("classes.txt", "obj.names", "classes.names")


class Place(NamedTuple):
    """The pictures of a part (a folder, or a file that lists them), the names of the classes, and where these stand."""

    pictures: Path
    names: tuple[str, ...]
    names_file: Path


def find(path: Path, split: str) -> dict[str, Place] | None:
    """The parts that data.yaml names, or those of a folder with 'images' and 'labels'."""
    if path.is_file():
        settings = _settings(path)
        return None if settings is None else _of_settings(path, settings)
    if not path.is_dir():
        return None
    for file in (*sorted(path.glob("*.yaml")), *sorted(path.glob("*.yml"))):
        if (settings := _settings(file)) is not None:
            return _of_settings(file, settings)
    listed = next((path / name for name in _LISTS if (path / name).is_file()), None)
    if listed is None:
        _refuse_nameless(path)
        return None
    images = path / "images" if (path / "images").is_dir() else path
    if not any(_labels(image).is_file() for image in rows.pictures_in(images)):
        return None
    names = tuple(line.strip() for line in rows.text_of(listed).splitlines() if line.strip())
    inner = {name: one for one in sorted(images.iterdir()) if one.is_dir() and (name := rows.split_of(one.name))}
    parts = inner if "train" in inner else {split: images}
    return {name: Place(one, names, listed) for name, one in parts.items()}


def read(place: Place, emit: Emit) -> Rows:
    """A row a picture. Raises DataError with all that is wrong."""
    found, bare, outlines = list[Row](), list[Path](), list[Path]()
    problems: list[Problem] = []
    seen: set[Path] = set()
    for line, image in _pictures(place.pictures):
        if not image.is_file():
            problems.append(rows.absent(image, place.pictures, line))
            continue
        labels = _labels(image)
        seen.add(labels)
        row = Row(image, labels)
        if not labels.is_file():
            bare.append(image)
        elif _read_labels(row, place, problems):
            outlines.append(labels)
        found.append(row)
    for folder in {file.parent for file in seen}:
        alone = [file for file in rows.notes_in(folder, ".txt") if file not in seen and file.name not in _LISTS]
        if place.pictures.is_dir():
            problems += [Problem("there is no picture that belongs to these boxes", str(file)) for file in alone]
    rows.refuse(problems, _FIX)
    if not found:
        raise DataError(Problem("there are no pictures", str(place.pictures)), "Check the paths in data.yaml.")
    rows.tell("pictures without boxes", bare, "pictures have no file of boxes: there is nothing on them", emit)
    if outlines:
        told = f"{len(outlines):,} files hold outlines (of segmentation); the boxes around them are learned"
        emit(Warned("outlines", f"{told}: {outlines[0]}"))
    return found


def _settings(path: Path) -> dict[str, Any] | None:
    """What a YAML file says, where it names parts and classes."""
    if path.suffix.lower() not in (".yaml", ".yml") or not visible(path.name):
        return None
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except (yaml.YAMLError, UnicodeDecodeError):
        return None
    except (OSError, RecursionError):
        return None
    return found if isinstance(found, dict) and {"names", "train"} <= set(found) else None


def is_settings(path: Path) -> bool:
    """Whether a YAML file names parts and classes, as YOLO's data.yaml does."""
    return _settings(path) is not None


def _refuse_nameless(path: Path) -> None:
    """Raises DataError for a folder of YOLO's with numbers of classes that nothing names."""
    if not rows.pictures_in(path / "images"):
        return
    notes = [file for file in files_in(path / "labels", deep=True) if file.suffix == ".txt"][:_LOOKED_AT]
    lines = [line.split() for file in notes for line in rows.text_of(file).splitlines() if line.strip()]
    if lines and all(len(cells) >= 5 and all(map(_is_number, cells)) for cells in lines):
        problem = Problem(
            "there are boxes as YOLO writes them, and nothing says what their classes are called", str(path)
        )
        raise DataError(problem, "Put a file classes.txt into this folder, a name a line, or a data.yaml with 'names'.")


def _is_number(cell: str) -> bool:
    try:
        return math.isfinite(float(cell))
    except ValueError:
        return False


def _of_settings(path: Path, settings: dict[str, Any]) -> dict[str, Place]:
    names = _names(settings["names"], path)
    home = path.parent / str(settings.get("path") or ".")
    parts: dict[str, Place] = {}
    problems = []
    for split, words in rows.SPLITS.items():
        given = next((settings[word] for word in words if settings.get(word)), None)
        if given is None:
            continue
        first = str(given[0] if isinstance(given, list) and given else given)
        # some exports write '../train/images' for a folder that lies beside the file
        tried = [home / first, path.parent / first, path.parent / first.removeprefix("../")]
        place = next((one.resolve() for one in tried if one.exists()), None)
        if place is None:
            problems.append(Problem(f"{split}: there is no {given}", str(path)))
        else:
            parts[split] = Place(place, names, path)
    if "train" not in parts:
        rows.refuse(problems, "Name folders that are there, from the folder of this file on, or from its `path`.")
    return parts


def _names(given: Any, path: Path) -> tuple[str, ...]:
    if isinstance(given, dict):
        numbers = sorted(given, key=str) if not all(isinstance(one, int) for one in given) else sorted(given)
        if numbers != list(range(len(numbers))):
            raise DataError(
                Problem(f"the classes are numbered {numbers}, and not from 0 on", str(path)), "Number all classes."
            )
        return tuple(str(given[number]) for number in numbers)
    if isinstance(given, list) and given:
        return tuple(map(str, given))
    raise DataError(Problem("'names' is no list of classes", str(path)), "names: [cat, dog]")


def _pictures(place: Path) -> list[tuple[int | None, Path]]:
    """(line, picture) of a folder, or of a file that lists them."""
    if place.is_dir():
        return [(None, image) for image in rows.pictures_in(place)]
    lines = rows.text_of(place).splitlines()
    return [(number, place.parent / line.strip()) for number, line in enumerate(lines, 1) if line.strip()]


def _labels(image: Path) -> Path:
    """The file of its boxes: beside it, or in 'labels' where it lies in 'images'."""
    parts = list(image.parts)
    for at in reversed(range(len(parts) - 1)):
        if parts[at] == "images":
            parts[at] = "labels"
            return Path(*parts).with_suffix(".txt")
    return image.with_suffix(".txt")


def _read_labels(row: Row, place: Place, problems: list[Problem]) -> bool:
    """Whether there are outlines in the file of a row, whose boxes are added to it."""
    size = size_of(str(row.image))
    if size is None:  # no picture, which is told where it is read
        return False
    outlines = False
    try:
        text = rows.text_of(row.file)
    except DataError as error:
        problems += error.problems
        return False
    for number, line in enumerate(text.splitlines(), 1):
        cells = line.split()
        if not cells:
            continue
        try:
            kind, numbers = float(cells[0]), [float(cell) for cell in cells[1:]]
        except ValueError:
            kind, numbers = -1, []
        corners = len(numbers) in (4, 5) or (len(numbers) > 5 and len(numbers) % 2 == 0)
        if not corners or not kind.is_integer() or not all(map(math.isfinite, numbers)):
            problems.append(Problem(f"{line[:60]!r} is no class with four numbers", str(row.file), line=number))
            continue
        if not 0 <= kind < len(place.names):
            told = f"the class {kind:g} is none of the {len(place.names)} in {place.names_file}"
            problems.append(Problem(told, str(row.file), line=number))
            continue
        if max(numbers[:4]) > 2:
            problems.append(Problem(f"{line[:60]!r}: pixels, and no shares of the picture", str(row.file), line=number))
            continue
        outlines |= len(numbers) > 5
        row.boxes.append(rows.box(place.names[int(kind)], _corners(numbers, size.width, size.height)))
    return outlines


def _corners(numbers: list[float], width: int, height: int) -> list[float]:
    if len(numbers) > 5:
        across, down = [x * width for x in numbers[::2]], [y * height for y in numbers[1::2]]
        return [min(across), min(down), max(across), max(down)]
    x, y, wide, high = numbers[:4]
    return [(x - wide / 2) * width, (y - high / 2) * height, (x + wide / 2) * width, (y + high / 2) * height]
