"""The seam of a layout: how a folder of many files is data, and what each part of it holds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path

from tunesmith.core import registry
from tunesmith.core.events import Emit
from tunesmith.data.folders import folders_in
from tunesmith.data.jsonlayout import SPLIT_WORDS
from tunesmith.data.modality import DataModality
from tunesmith.data.part import Hints, Part


class Layout(ABC):
    """It has no state. Layouts are asked in the order of their table, the first that knows a folder reads it."""

    @abstractmethod
    def parts(self, folder: Path, modality: DataModality) -> Mapping[str, Path] | None:
        """Where 'train', 'validation' and 'test' lie, or where all of it lies under ''; None for another layout."""

    @abstractmethod
    def read(self, at: Path, split: str, modality: DataModality, *, emit: Emit, cache_dir: Path, hints: Hints) -> Part:
        """The rows of one part, called `split`, their modality's inputs among them. Raises DataError."""


def layout_of(folder: Path, modality: DataModality) -> tuple[Layout, Mapping[str, Path]] | None:
    """The layout of a folder, and where its parts lie; None where no layout knows it."""
    for kind in registry.usable("data.layouts").values():
        layout: Layout = kind()
        if parts := layout.parts(folder, modality):
            return layout, parts
    return None


def divided(folder: Path) -> dict[str, Path]:
    """The sub-folders that are called train, validation or test, or as people call those."""
    return {SPLIT_WORDS[entry.name.lower()]: entry for entry in folders_in(folder) if entry.name.lower() in SPLIT_WORDS}
