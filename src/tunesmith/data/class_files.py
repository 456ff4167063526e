"""Files that name classes: a name a line, a number or a colour with each, JSON, and what labelling tools write."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from tunesmith.core.errors import OptionError
from tunesmith.data.class_colours import in_colours
from tunesmith.data.label_names import given_names

FILES = (
    "classes.txt", "labels.txt", "codes.txt", "label_names.txt", "class_names.txt", "obj.names", "id2label.json",
    "classes.json", "class_dict.csv", "_classes.csv", "labelmap.txt", "label_colors.txt",
)  # fmt: skip
"""Names that such files have."""


def beside(folder: Path) -> Iterator[tuple[Path, list[str] | dict[str, str]]]:
    """Files of classes in a folder of data, or in the one above, with what they name."""
    for place in (folder, folder.parent):
        for name in FILES:
            path = place / name
            if path.is_file() and (names := _read(path)):
                yield path, names


def _read(path: Path) -> list[str] | dict[str, str]:
    """Names in order, or value (a number, or '#ff0000') -> name; nothing where the file is something else."""
    try:
        return in_colours(path) or given_names(str(path))
    except (OptionError, OSError, UnicodeDecodeError, csv.Error):
        return []
