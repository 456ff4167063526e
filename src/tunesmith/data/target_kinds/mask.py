"""A class for each pixel of a picture: a mask of the same size."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from tunesmith.data import class_files, masks, pictures
from tunesmith.data.class_colours import colour_name, colour_value
from tunesmith.data.masks import IGNORED, Look, Mask, MaskFault
from tunesmith.data.picture_sizes import size_of
from tunesmith.data.profile import Profile, simple
from tunesmith.data.target_kind import TargetKind
from tunesmith.data.types import Columns

NAMES = (
    "mask", "masks", "segmentation", "segmentation_mask", "semantic_mask", "seg", "seg_map", "annotation",
    "annotations", "label", "labels", "ground_truth", "gt", "mask_path", "mask_file", "label_path", "annotation_path",
    "target",
)  # fmt: skip
"""Names of columns that hold masks."""
BINARY = (("0", "background"), ("255", "foreground"))
"""What 0 and 255 mean where no mask holds anything else."""
NOT_COUNTED = frozenset({"ignore", "ignored", "void"})
"""Names of classes whose places do not count."""
_MOSTLY = 0.9
_SHOWN = 10


class Masks(TargetKind):
    arrow: ClassVar[pa.DataType] = pa.string()

    def claims(self, profile: Profile) -> float:
        if profile.kind not in ("string", "other") or not profile.cells:
            return 0.0
        cells = [cell if isinstance(cell, str) else _uri(cell) or "" for cell in profile.cells]
        fits = sum(map(masks.is_written, cells)), sum(map(pictures.is_picture, cells))
        if fits[0] >= _MOSTLY * len(cells):
            return self.sure if any('"shapes"' in cell for cell in cells) else 3 * self.sure
        if fits[1] < _MOSTLY * len(cells):
            return 0.0
        name = simple(profile.name)
        if name in NAMES:
            return 2 * self.sure - NAMES.index(name) / 100
        return self.sure if "mask" in name or "segment" in name else 0.5

    def why(self, profile: Profile) -> str:
        return "a picture whose pixels are the classes of the pixels of another"

    def labels(self, profile: Profile) -> set[str]:
        """The values of the masks that can be read: '0', '1', ... or '#ff0000', ..."""
        found, colours = _found(profile)
        return {_label(value, one, colours) for one in found for value in one.values} - {str(IGNORED)}

    def meaning(self, columns: Columns, profile: Profile) -> tuple[Columns, str | None]:
        """Names from a file of classes beside the data; 0 and 255 as background and foreground; colours by their
        numbers."""
        found, colours = _found(profile)
        values = {value for one in found for value in one.values}
        for file, names in class_files.beside(profile.folder):
            known = _numbered(names)
            there = {_label(value, one, colours) for one in found for value in one.values} - {str(IGNORED)}
            if 2 * len(there & set(known)) > len(there):  # of the others it is told when all is read
                return replace(columns, names=tuple(known.items())), f"from the file {file.name}"
        if colours:
            named = sorted({_label(value, one, True) for one in found for value in one.values})
            return replace(columns, names=tuple((name, name) for name in named)), "each colour is a class"
        if values == {0, IGNORED}:
            return replace(columns, names=BINARY), "no mask holds anything but 0 and 255"
        return columns, None

    def anchored(self, column: pa.ChunkedArray, folder: Path) -> pa.ChunkedArray:
        return pa.chunked_array([pa.array([_absolute(cell, folder) for cell in column.to_pylist()], pa.string())])

    def labels_of(self, target: Any) -> Sequence[str]:
        return Mask.of(target).labels

    def shown(self, target: Any) -> str:
        pixels = Mask.of(target).pixels
        most = sorted(pixels.items(), key=lambda one: -one[1])
        return ", ".join(f"{count / max(1, sum(pixels.values())):.0%} {label}" for label, count in most)

    def identity(self, target: Any) -> Hashable:
        mask = Mask.of(target)
        return mask.digest, tuple(mask.names.items())

    def read(
        self, column: pa.ChunkedArray, inputs: Sequence[pa.ChunkedArray], columns: Columns
    ) -> tuple[pa.Array, list[tuple[int, str]]]:
        cells = [None if cell is None or not str(cell).strip() else str(cell).strip() for cell in column.to_pylist()]
        of = inputs[0].to_pylist() if inputs else [None] * len(cells)
        names = {colour_or_number(label): name for label, name in columns.names}
        colours = any(label.startswith("#") for label, _ in columns.names)

        def one(row: int) -> str | None:
            cell = cells[row]
            if cell is not None and masks.is_written(cell):
                mask = Mask.of(cell)
                return cell if mask.digest else checked(mask.given, of[row], mask.names, mask.colours)
            return None if cell is None else checked(cell, of[row], names, colours)

        found: list[str | None] = []
        faults: list[tuple[int, str]] = []
        for row, result in enumerate(_each(one, range(len(cells)))):
            if isinstance(result, MaskFault):
                found.append(None)
                shapes = str(cells[row]).startswith("{")
                faults.append((row, f"{'' if shapes else pictures.shown(str(cells[row])) + ': '}{result}"))
            else:
                found.append(result)
        return pa.array(found, self.arrow), faults


def checked(given: str, picture: object, names: Mapping[int, str], colours: bool) -> str | None:
    """A mask as a run keeps it, None where no place of it counts. `names`: of values, all of them where there are any;
    `colours`: whether values are colours. Raises MaskFault for a mask that does not fit its picture, or has other
    values than those."""
    found = masks.look(given)
    if isinstance(picture, str) and picture.strip():
        _check_size(found, picture)
    if why := masks.smeared(found, list(names)):
        raise MaskFault(why)
    values = [(value * masks.GREY if colours and not found.colours else value, count) for value, count in found.counts]
    if found.colours and not colours:
        raise MaskFault("it holds colours, and the masks of the training data hold numbers of classes")
    if not names:
        named = {value: str(value) for value, _ in values if value != IGNORED}
    else:
        ignored = set() if colours else {IGNORED}
        unknown = [(value, count) for value, count in values if value not in names and value not in ignored]
        if unknown:
            raise MaskFault(_unknown(unknown, names, colours))
        named = {value: names[value] for value, _ in values if value in names and names[value] not in NOT_COUNTED}
    if len(named) > masks.MOST_CLASSES:
        raise MaskFault(f"it has {len(named)} different values; at most {masks.MOST_CLASSES} classes are learned")
    pixels = Counter[str]()
    for value, count in values:
        if value in named:
            pixels[named[value]] += count
    return Mask(given, named, colours, found.digest, found.size, pixels).written() if named else None


def colour_or_number(label: str) -> int:
    """The value that stands for a class: of '#ff0000' the colour as a number. -1 for what is neither."""
    colour = colour_value(label) if label.startswith("#") else None
    return colour if colour is not None else int(label) if label.isdigit() else -1


def _check_size(found: Look, picture: str) -> None:
    size = size_of(picture)
    if size is None or found.size == (size.width, size.height):  # what is no picture is told elsewhere
        return
    told = f"it is {found.size[0]} x {found.size[1]} pixels, and its picture {size.width} x {size.height}"
    if found.size == size.stored:
        raise MaskFault(
            f"{told}: the picture lies turned in its file and is shown upright, as its EXIF data say, and the mask was "
            "drawn on what lies in the file; turn the mask too"
        )
    raise MaskFault(told)


def _unknown(unknown: Sequence[tuple[int, int]], names: Mapping[int, str], colours: bool) -> str:
    told = ", ".join(f"{_shown(value, colours)} ({count:,} pixels)" for value, count in unknown[:_SHOWN])
    more = f" and {len(unknown) - _SHOWN} more" if len(unknown) > _SHOWN else ""
    known = ", ".join(f"{_shown(value, colours)} is {name}" for value, name in list(names.items())[:_SHOWN])
    return f"it holds {told}{more}, which is no class ({known}{', ...' if len(names) > _SHOWN else ''})"


def _shown(value: int, colours: bool) -> str:
    return colour_name(value) if colours else str(value)


def _label(value: int, found: Look, colours: bool) -> str:
    if found.colours:
        return colour_name(value)
    return colour_name(value * masks.GREY) if colours else str(value)


def _numbered(names: list[str] | dict[str, str]) -> dict[str, str]:
    return names if isinstance(names, dict) else {str(number): name for number, name in enumerate(names)}


def _found(profile: Profile) -> tuple[list[Look], bool]:
    """What stands in the masks of a column that can be read and are not smeared, and whether they are of colours, as
    most are; of the others it is told when all is read."""
    cells = [cell for cell in (_absolute(cell, profile.folder) for cell in profile.cells) if cell is not None]
    found = _each(masks.look, [cell for cell in cells if not masks.is_written(cell)])
    clear = [one for one in found if isinstance(one, Look) and masks.smeared(one) is None]
    colours = 2 * sum(one.colours for one in clear) > len(clear)
    return [one for one in clear if colours or not one.colours], colours


def _each(compute: Any, of: Sequence[Any]) -> Iterator[Any]:
    """`compute` of each, or the MaskFault that it raised; on all cores, as decoding needs no interpreter."""

    def one(given: Any) -> Any:
        try:
            return compute(given)
        except MaskFault as fault:
            return fault

    return pictures.on_all_cores(one, of)


def _uri(cell: object) -> str | None:
    """A cell that holds a file itself, its bytes or what `datasets` makes of it, as a data URI."""
    if isinstance(cell, Mapping) and {"bytes", "path"} == set(cell):
        cell = cell["bytes"] or cell["path"]
    return pictures.uri_of(cell) if isinstance(cell, bytes) else cell if isinstance(cell, str) else None


def _absolute(cell: object, folder: Path) -> str | None:
    cell = cell if isinstance(cell, str) else _uri(cell)
    if cell is None or not str(cell).strip():
        return None
    given = str(cell).strip()
    if given.startswith(("{", pictures.URI)):
        return given
    return os.path.abspath(folder / Path(given).expanduser())
