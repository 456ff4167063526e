"""Boxes around the things in a picture, each with a label."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import pyarrow as pa

from tunesmith.core.errors import Problem
from tunesmith.core.events import Emit, Warned
from tunesmith.data.picture_sizes import PictureSize, size_of
from tunesmith.data.profile import Profile, simple
from tunesmith.data.target_kind import TargetKind
from tunesmith.data.types import Columns
from tunesmith.data.values import to_label

_LOOKED_AT = 200
_NAMES = ("objects", "annotations", "boxes", "bboxes", "bounding_boxes")
LABELS = ("label", "category", "class", "name", "category_name", "class_name", "categories", "labels", "classes",
          "category_id", "class_id")  # fmt: skip
"""What the label of a box is called, or those of several."""
_CORNERS = (("xmin", "ymin", "xmax", "ymax"), ("x_min", "y_min", "x_max", "y_max"), ("x1", "y1", "x2", "y2"),
            ("x0", "y0", "x1", "y1"), ("left", "top", "right", "bottom"))  # fmt: skip
_SIDES = (("x", "y", "width", "height"), ("x", "y", "w", "h"), ("left", "top", "width", "height"),
          ("bbox_x", "bbox_y", "bbox_width", "bbox_height"))  # fmt: skip
_TINY = 1.0
"""Pixels of a side below which nothing is in a box."""
_ROUNDED = 1.0
"""Pixels that a box may lie outside of the picture by rounding, which nobody is told."""
_EXAMPLES = 3


def corners_of(names: Sequence[str]) -> tuple[Callable[[Mapping[str, Any]], list[float]], tuple[str, ...]] | None:
    """How a box (left, top, right, bottom) is made of fields with some of these names, and which; None: not at all."""
    known = {simple(name): name for name in names}
    for fields in (*_CORNERS, *_SIDES):
        if all(name in known for name in fields):
            mine = tuple(known[name] for name in fields)
            sides = fields in _SIDES

            def made(cell: Mapping[str, Any], mine: tuple[str, ...] = mine, sides: bool = sides) -> list[float]:
                numbers = [float(cell[name]) for name in mine]
                return _of_sides(numbers) if sides else numbers

            return made, mine
    return None


class BoxKind(TargetKind):
    """A target is {"width", "height", "boxes": [{"label", "box", "crowd", "used", "note"}]}: pixels of the picture as
    it is looked at; a box is left, top, right and bottom, cut at the edge of the picture. One that is not `used` is
    neither learned nor looked for; its `note` says why, and of others that they were cut.

    A cell may also be a list of objects, each with a label and either 'bbox' (left, top, width, height, as COCO has
    it), 'box' (left, top, right, bottom) or four fields; one object of lists, as `datasets` has it; or JSON of either.
    """

    arrow: ClassVar[pa.DataType] = pa.struct([
        ("width", pa.int32()), ("height", pa.int32()),
        ("boxes", pa.list_(pa.struct([
            ("label", pa.string()), ("box", pa.list_(pa.float64())), ("crowd", pa.bool_()), ("used", pa.bool_()),
            ("note", pa.string()),
        ]))),
    ])  # fmt: skip

    def claims(self, profile: Profile) -> float:
        cells = profile.cells[:_LOOKED_AT]
        if not cells or profile.kind not in ("other", "string"):
            return 0.0
        read = [_objects_or_none(cell) for cell in cells]
        known = [one for one in read if one is not None]
        name = simple(profile.name)
        if len(known) < (0.5 if name in _NAMES else 0.9) * len(read) or not any(known):
            return 0.0
        return self.sure + (1.0 - 0.01 * _NAMES.index(name) if name in _NAMES else 0.0)

    def keeps(self, kind: pa.DataType) -> bool:
        names = {kind.field(at).name for at in range(kind.num_fields)} if pa.types.is_struct(kind) else set()
        return kind == self.arrow or bool(names & {"bbox", "bboxes", "box", "boxes"} and names & set(LABELS))

    def why(self, profile: Profile) -> str:
        return f"boxes with labels, {sum(1 for _ in _every(profile)) / max(1, len(profile.cells)):.1f} a picture"

    def labels(self, profile: Profile) -> set[str]:
        return {one[0] for one in _every(profile)}

    def labels_of(self, target: Mapping[str, Any]) -> list[str]:
        return sorted({one["label"] for one in target["boxes"] if one["used"]})

    def shown(self, target: Mapping[str, Any]) -> str:
        counts = Counter(one["label"] for one in target["boxes"] if one["used"])
        return ", ".join(f"{count} {label}" for label, count in counts.most_common()) or "no boxes"

    def identity(self, target: Mapping[str, Any]) -> Hashable:
        return tuple((one["label"], *one["box"]) for one in target["boxes"])

    def read(
        self, column: pa.ChunkedArray, inputs: Sequence[pa.ChunkedArray], columns: Columns
    ) -> tuple[pa.Array, list[tuple[int, str]]]:
        names, faults = dict(columns.names), list[tuple[int, str]]()
        given = inputs[0].to_pylist() if inputs else [None] * len(column)
        found: list[dict[str, Any] | None] = []
        for row, (cell, picture) in enumerate(zip(column.to_pylist(), given, strict=True)):
            try:
                found.append(_target(cell, size_of(str(picture)), names))
            except ValueError as error:
                found.append(None)
                faults.append((row, str(error)))
        return pa.array(found, self.arrow), faults

    def warn(self, column: pa.ChunkedArray, place: Callable[[int], Problem], emit: Emit) -> None:
        told: dict[str, Counter[str]] = {}
        where: dict[str, list[str]] = {}
        for at, target in enumerate(row for chunk in column.chunks for row in chunk.to_pylist()):
            for one in target["boxes"]:
                if one["note"]:
                    kind = "cut boxes" if one["used"] else "boxes that are not learned"
                    told.setdefault(kind, Counter())[one["note"].partition(":")[0]] += 1
                    shown = ", ".join(f"{number:g}" for number in one["box"])
                    where.setdefault(kind, []).append(f"{place(at)}{one['label']} at {shown}")
        for kind, counts in told.items():
            each = ", ".join(f"{number:,} {why}" for why, number in counts.most_common())
            examples = "; ".join(where[kind][:_EXAMPLES])
            emit(Warned(kind, f"{counts.total():,} boxes: {each}. {examples}"))


def _target(cell: object, size: PictureSize | None, names: Mapping[str, str]) -> dict[str, Any] | None:
    """None of an empty cell. Raises ValueError."""
    if cell is None or (isinstance(cell, str) and not cell.strip()):
        return None
    if isinstance(cell, Mapping) and _is_target(cell):
        return dict(cell)
    if size is None:  # no picture, which is told of the input
        return {"width": 1, "height": 1, "boxes": []}
    boxes = []
    for label, box, crowd in _objects(cell):
        if names and label not in names and label not in names.values():
            raise ValueError(f"{label[:60]!r} is none of the labels that label_names names")
        kept, used, note = _within(box, size)
        boxes.append({"label": names.get(label, label), "box": kept, "crowd": crowd, "used": used, "note": note})
    return {"width": size.width, "height": size.height, "boxes": boxes}


def _is_target(cell: Mapping[Any, Any]) -> bool:
    """Whether it was read before."""
    return set(cell) == {"width", "height", "boxes"}


def _within(box: list[float], size: PictureSize) -> tuple[list[float], bool, str | None]:
    """The box cut at the edge of the picture, whether anything is in it, and what there is to say of it."""
    left, top, right, bottom = box
    if right - left < _TINY or bottom - top < _TINY:
        return box, False, f"have no area: {right - left:g} x {bottom - top:g} pixels"
    cut = [max(0.0, left), max(0.0, top), min(float(size.width), right), min(float(size.height), bottom)]
    if cut[2] - cut[0] < _TINY or cut[3] - cut[1] < _TINY:
        return box, False, f"lie outside of the picture: it has {size.width} x {size.height} pixels"
    beyond = max(abs(one - other) for one, other in zip(box, cut, strict=True))
    told = f"reach over the edge of the picture and are cut there: by {beyond:g} pixels" if beyond > _ROUNDED else None
    return cut, True, told


def _every(profile: Profile) -> Iterator[tuple[str, list[float], bool]]:
    """The boxes of the cells that can be read."""
    for cell in profile.cells:
        yield from _objects_or_none(cell) or ()


def _objects_or_none(cell: object) -> list[tuple[str, list[float], bool]] | None:
    """None of what holds no boxes."""
    try:
        return _objects(cell)
    except ValueError:
        return None


def _objects(cell: object) -> list[tuple[str, list[float], bool]]:
    """(label, box, whether it is a crowd) of each. Raises ValueError."""
    if isinstance(cell, str):
        written = cell
        try:
            cell = json.loads(written)
        except json.JSONDecodeError:
            raise ValueError(f"{written[:60]!r} holds no boxes") from None
    if isinstance(cell, Mapping):
        whole: Mapping[str, Any] = cell
        cell = whole["boxes"] if _is_target(whole) else _of_lists(whole)
    if not isinstance(cell, Sequence) or not all(isinstance(one, Mapping) for one in cell):
        raise ValueError(f"{str(cell)[:60]!r} is no list of boxes with their labels")
    return [_object(one) for one in cell]


def _of_lists(cell: Mapping[str, Any]) -> list[dict[str, Any]]:
    """An object of lists as a list of objects."""
    lists = {
        name: values for name, values in cell.items() if isinstance(values, Sequence) and not isinstance(values, str)
    }
    lengths = {len(values) for values in lists.values()}
    if not lists or len(lengths) > 1:
        told = ", ".join(f"{len(values)} {name}" for name, values in lists.items())
        raise ValueError(f"lists of different lengths: {told}" if lists else f"{str(cell)[:60]!r} holds no boxes")
    return [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]


def _object(cell: Mapping[str, Any]) -> tuple[str, list[float], bool]:
    name = next((one for one in LABELS if cell.get(one) is not None), None)
    label = None if name is None else to_label(cell[name])
    if label is None:
        raise ValueError(f"a box without a label: {str(dict(cell))[:80]}")
    try:
        if isinstance(given := next((cell[one] for one in ("bbox", "bboxes") if one in cell), None), Sequence):
            box = _of_sides([float(number) for number in given])
        elif isinstance(given := next((cell[one] for one in ("box", "boxes") if one in cell), None), Sequence):
            box = [float(number) for number in given]
        elif (made := corners_of(list(cell))) is not None:
            box = made[0](cell)
        else:
            raise ValueError
        if len(box) != 4 or not all(map(math.isfinite, box)):
            raise ValueError
    except (ValueError, TypeError):
        raise ValueError(f"{str(dict(cell))[:80]} has no box: expected bbox [left, top, width, height]") from None
    return label, box, bool(cell.get("crowd") or cell.get("iscrowd"))


def _of_sides(numbers: list[float]) -> list[float]:
    if len(numbers) != 4:
        return numbers
    left, top, width, height = numbers
    return [left, top, left + width, top + height]
