"""Folders of pictures with folders of masks beside them, whose files belong together by their names."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from tunesmith.core.errors import DataError, Problem, did_you_mean
from tunesmith.core.events import Decided, Emit
from tunesmith.data import tables
from tunesmith.data.arrowfile import BATCH_ROWS
from tunesmith.data.folders import files_in, folders_in
from tunesmith.data.jsonlayout import SPLIT_WORDS
from tunesmith.data.layout import Layout, divided
from tunesmith.data.modality import DataModality
from tunesmith.data.part import Hints, Part
from tunesmith.data.pictures import SUFFIXES

Pattern = tuple[str, str, str]
"""What stands before and behind the name of a picture in that of its mask, and what of the picture's own name is left
out."""

PICTURES = ("images", "image", "imgs", "img", "pictures", "photos", "jpegimages", "leftimg8bit", "rgb")
MASKS = (
    "masks", "mask", "annotations", "annotation", "labels", "label", "segmentationclass", "segmentation", "gtfine",
    "gt", "groundtruth", "ground_truth", "labelids",
)  # fmt: skip
"""Names of folders, in lower case."""
_ENDINGS = (
    "", "_mask", "-mask", "_masks", "_label", "_labels", "-label", "_seg", "_segmentation", "_gt", "_annotation", "_l",
    "_p", "_m", "_gtfine_labelids", "_labelids",
)  # fmt: skip
"""What a mask's name has behind that of its picture."""
_BEGINNINGS = ("mask_", "label_", "seg_", "gt_")
_PICTURE_ENDINGS = ("", "_leftimg8bit", "_image", "_img", "_rgb")
_FIX = "Give every picture a mask of the same name (a.jpg and a.png), and leave no mask without its picture."
_SHOWN = 1_000
_LOOKED_AT = 200


class MaskFolders(Layout):
    """Known are images/ and masks/ (or labels/, annotations/), each perhaps divided in train, val and test, and such
    divisions with images/ and masks/ in each. A part lies where its pictures do."""

    def parts(self, folder: Path, modality: DataModality) -> Mapping[str, Path] | None:
        if modality.suffixes & tables.SUFFIXES:  # no pictures
            return None
        if (whole := _pair(folder)) is not None:
            of_pictures, of_masks = (divided(one) for one in whole)
            shared = {name: of_pictures[name] for name in of_pictures if name in of_masks}
            found = shared if "train" in shared else {"": whole[0]}
        else:
            inside = {name: _pair(one) for name, one in divided(folder).items()}
            found = {name: pair[0] for name, pair in inside.items() if pair is not None}
        first = found.get("train", found.get(""))
        return found if first is not None and (_belong(first) or _is_bare(_masks_of(first))) else None

    def read(self, at: Path, split: str, modality: DataModality, *, emit: Emit, cache_dir: Path, hints: Hints) -> Part:
        if _is_bare(_masks_of(at)):
            raise DataError(Problem("this folder holds no masks", str(_masks_of(at))), _FIX)
        problems: list[Problem] = []
        rows = _matched(at, _masks_of(at), problems)
        if problems:
            raise DataError(problems[:_SHOWN], _FIX)
        emit(
            Decided(
                "layout", "masks beside pictures", f"{at} holds {len(rows)} {modality.nouns}, {_masks_of(at)} masks"
            )
        )
        cells = [{modality.roles[0]: picture, "mask": mask} for picture, mask in rows]
        batches = (
            tables.table_of_rows(cells[start : start + BATCH_ROWS])
            for start in range(0, max(len(cells), 1), BATCH_ROWS)
        )
        part = tables.read_tables(batches, split, str(at), cache_dir, emit)
        part.row_files = [picture for picture, _ in rows]
        return part


def _pair(path: Path) -> tuple[Path, Path] | None:
    """The folder of pictures and that of masks in a folder."""
    inside = {entry.name.lower(): entry for entry in folders_in(path)}
    found = [next((inside[name] for name in names if name in inside), None) for names in (PICTURES, MASKS)]
    return None if found[0] is None or found[1] is None else (found[0], found[1])


def _masks_of(pictures: Path) -> Path:
    """The folder of masks that belongs to one of pictures."""
    if (pair := _pair(pictures.parent)) is not None and pair[0] == pictures:
        return pair[1]
    pair = _pair(pictures.parent.parent)
    assert pair is not None
    own = {SPLIT_WORDS[one.name.lower()]: one for one in folders_in(pair[1]) if one.name.lower() in SPLIT_WORDS}
    return own[SPLIT_WORDS[pictures.name.lower()]]


def _belong(pictures: Path) -> bool:
    """Whether files in the folder of masks have the names of pictures."""
    by_key = {_key(file, folder): [file] for folder in [_masks_of(pictures)] for file in _files(folder)}
    wanted = list(_files(pictures))
    return bool(wanted) and _fits(wanted, pictures, by_key, _pattern(wanted, pictures, by_key)) > 0


def _is_bare(masks: Path) -> bool:
    """Whether a folder that can be one of masks alone holds nothing."""
    return "mask" in masks.name.lower() and next(files_in(masks, deep=True), None) is None


def _files(folder: Path) -> list[Path]:
    return [file for file in files_in(folder, deep=True) if file.suffix.lower() in SUFFIXES]


def _matched(pictures: Path, masks: Path, problems: list[Problem]) -> list[tuple[str, str]]:
    """Paths of each picture and its mask."""
    by_key: dict[str, list[Path]] = defaultdict(list)
    for file in _files(masks):
        by_key[_key(file, masks)].append(file)
    wanted = _files(pictures)
    pattern = _pattern(wanted, pictures, by_key)
    rows, used = list[tuple[str, str]](), set[str]()
    for file in wanted:
        key = _wanted(_key(file, pictures), pattern)
        found = by_key.get(key, [])
        used.add(key)
        if len(found) == 1:
            rows.append((str(file.absolute()), str(found[0].absolute())))
        elif found:
            names = ", ".join(one.name for one in found[:5])
            problems.append(Problem(f"it has {len(found)} masks: {names}", str(file)))
        else:
            hint = did_you_mean(key, by_key)
            near = f" ({hint})" if hint.startswith("Did") else ""
            problems.append(Problem(f"this picture has no mask {key} in {masks}{near}", str(file)))
    for key, found in by_key.items():
        if key not in used:
            problems += [Problem(f"this mask has no picture in {pictures}", str(file)) for file in found]
    return rows


def _key(file: Path, folder: Path) -> str:
    """The name of a file below its folder, in lower case and without suffix."""
    return file.relative_to(folder).with_suffix("").as_posix().lower()


def _wanted(key: str, pattern: Pattern) -> str:
    """The key of the mask of a picture."""
    beginning, ending, own = pattern
    folder, slash, name = key[: len(key) - len(own)].rpartition("/") if key.endswith(own) else key.rpartition("/")
    return f"{folder}{slash}{beginning}{name}{ending}"


def _pattern(pictures: Sequence[Path], folder: Path, masks: Mapping[str, object]) -> Pattern:
    """What fits most, the first of those that fit alike."""
    ways: list[Pattern] = [("", ending, own) for own in _PICTURE_ENDINGS for ending in _ENDINGS]
    ways += [(beginning, "", "") for beginning in _BEGINNINGS]
    return max(ways, key=lambda way: _fits(pictures, folder, masks, way))


def _fits(pictures: Sequence[Path], folder: Path, masks: Mapping[str, object], pattern: Pattern) -> int:
    """How many of the first pictures have a mask."""
    return sum(_wanted(_key(file, folder), pattern) in masks for file in pictures[:_LOOKED_AT])
