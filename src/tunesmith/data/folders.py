"""The files and folders that are the user's own, without what systems leave beside them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

SYSTEM_NAMES = frozenset({"__MACOSX", "@eaDir", "$RECYCLE.BIN", "Thumbs.db", "desktop.ini", "__pycache__"})
"""What systems leave in folders of files, beside names that begin with a dot."""


def visible(name: str) -> bool:
    """Whether an entry of a folder is the user's own."""
    return not name.startswith(".") and name not in SYSTEM_NAMES


def folders_in(folder: Path) -> list[Path]:
    """The sub-folders of a folder, sorted."""
    return [entry for entry in sorted(folder.iterdir()) if visible(entry.name) and entry.is_dir()]


def files_in(folder: Path, *, deep: bool = False) -> Iterator[Path]:
    """The files of a folder, sorted, and with `deep` those of its sub-folders behind them."""
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(filter(visible, folders)) if deep else []
        yield from (Path(place, name) for name in sorted(filter(visible, names)))
