"""Boxes as Label Studio exports them (JSON): rectangles in hundredths of the picture's sides; and choices, which are of
whole pictures.

What an export says of a picture is where the tool kept it; pictures are looked for beside the export by their names.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tunesmith.core.errors import Problem
from tunesmith.core.events import Emit
from tunesmith.data.annotations import rows
from tunesmith.data.annotations.rows import Row, Rows
from tunesmith.data.label_studio import kept_annotations, results
from tunesmith.data.picture_sizes import size_of
from tunesmith.data.pictures import SUFFIXES

_FIX = "Export as JSON, and put the pictures beside it, or into a folder 'images' beside it."
_HEAD = 1 << 20
_PICTURE = re.compile(rb'"data"\s*:\s*\{[^{}]*\.(?:jpe?g|png|webp|bmp|tiff?|gif)"', re.IGNORECASE)
_LACKS = "a rectangle lacks x, y, width or height in per cent, or the size of its picture is no number"


def find(path: Path, split: str) -> dict[str, Path] | None:
    return {split: path} if path.is_file() and _is_export(path) else None


def read(path: Path, emit: Emit) -> Rows:
    """A row a task. Raises DataError with all that is wrong."""
    found: Rows = []
    problems: list[Problem] = []
    unlabelled: list[Path] = []
    tasks = rows.load_json(path)
    for number, task in enumerate(tasks if isinstance(tasks, list) else [tasks], 1):
        if not isinstance(task, dict) or not isinstance(task.get("data"), dict):
            problems.append(Problem("this is no task of Label Studio: 'data' is missing", str(path), row=number))
            continue
        named = next((str(value) for value in task["data"].values() if _is_picture(value)), None)
        image = None if named is None else _place(named, path)
        if image is None:
            told = "the task names no picture" if named is None else f"it names {named}, and no such picture lies here"
            problems.append(Problem(told, str(path), row=number))
            continue
        done = kept_annotations(task)
        if not done:
            unlabelled.append(image)
            continue
        row = Row(image, path)
        problems += _add_boxes(row, results(done[0]), number)
        found.append(row)
    rows.refuse(problems, _FIX)
    rows.tell("pictures left out", unlabelled, "pictures were not annotated", emit)
    return found


def _is_export(path: Path) -> bool:
    """Whether a file holds rectangles, or choices for pictures."""
    if path.suffix.lower() != ".json":
        return False
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if b'"data"' not in head or head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] != b"[":
        return False
    return b'"rectanglelabels"' in head or (b'"choices"' in head and _PICTURE.search(head) is not None)


def _is_picture(value: object) -> bool:
    return isinstance(value, str) and Path(_name(value)).suffix.lower() in SUFFIXES


def _name(given: str) -> str:
    """The path that a task's address ends with."""
    parts = urlsplit(given)
    inner = parse_qs(parts.query).get("d")
    return unquote(inner[0] if inner else parts.path or given)


def _place(given: str, path: Path) -> Path | None:
    name = Path(_name(given))
    # uploads get a prefix of eight letters and a hyphen
    plain = name.name.partition("-")[2] if name.name[8:9] == "-" else name.name
    homes = (path.parent, path.parent / "images", path.parent / "media" / "upload")
    tried = [home / one for home in homes for one in (str(name).lstrip("/"), name.name, plain)]
    return next((one for one in tried if one.is_file()), None)


def _add_boxes(row: Row, found: list[Any], number: int) -> list[Problem]:
    problems = []
    size = size_of(str(row.image))
    for result in found:
        value = result.get("value")
        if isinstance(value, dict) and isinstance(value.get("choices"), list):
            row.labels += map(str, value["choices"])
        if not isinstance(value, dict) or "rectanglelabels" not in value or size is None:
            continue  # another kind of result; or no picture, which is told where it is read
        labels = value["rectanglelabels"] if isinstance(value["rectanglelabels"], list) else []
        try:
            shares = [float(value[side]) / 100 for side in ("x", "y", "width", "height")]
            said = rows.size_said(result.get("original_width"), result.get("original_height"))
        except (KeyError, TypeError, ValueError):
            shares = []
        if len(labels) != 1 or not shares or not all(map(math.isfinite, shares)):
            told = f"a rectangle has {len(labels)} labels" if shares and len(labels) != 1 else _LACKS
            problems.append(Problem(told, str(row.file), row=number))
            continue
        sides = size.stored if said == size.stored else (size.width, size.height)
        left, top, width, height = (share * sides[at % 2] for at, share in enumerate(shares))
        one = rows.box(str(labels[0]), [left, top, left + width, top + height])
        if value.get("rotation"):
            problems.append(Problem("a rectangle is turned, and boxes are upright", str(row.file), row=number))
        if (wrong := rows.fitted(Row(row.image, row.file, [one]), said)) is not None:
            problems.append(wrong)
        row.boxes.append(one)
    return problems
