"""The files and folders that are the user's own, without what systems leave beside them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

SYSTEM_NAMES = frozenset({
    "__macosx", "@eadir", "$recycle.bin", "system volume information", "lost+found", "thumbs.db", "ehthumbs.db",
    "ehthumbs_vista.db", "desktop.ini", "icon\r", "__pycache__",
})  # fmt: skip
"""What systems leave in folders of files, in lower case, beside names that begin with a dot."""
_SYSTEM_ENDINGS = (":zone.identifier", "~")


def visible(name: str) -> bool:
    """Whether an entry of a folder is the user's own."""
    lower = name.lower()
    return not (name.startswith((".", "~$")) or lower in SYSTEM_NAMES or lower.endswith(_SYSTEM_ENDINGS))


def folders_in(folder: Path) -> list[Path]:
    """The sub-folders of a folder, sorted."""
    return [entry for entry in sorted(folder.iterdir()) if visible(entry.name) and entry.is_dir()]


def files_in(folder: Path, *, deep: bool = False) -> Iterator[Path]:
    """The files of a folder, sorted, and with `deep` those of its sub-folders behind them."""
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(filter(visible, folders)) if deep else []
        yield from (Path(place, name) for name in sorted(filter(visible, names)))
