"""What there is: runs, methods, tasks. Plain values, for a screen or as JSON, that show themselves in Python."""

from __future__ import annotations

import os
from pathlib import Path

from tunesmith.core import registry
from tunesmith.core.errors import FolderError, OptionError, TunesmithError
from tunesmith.core.files import read_json
from tunesmith.core.options import describe
from tunesmith.core.run import RunFolder, list_runs
from tunesmith.core.spec import Words
from tunesmith.display.cards import Listing
from tunesmith.runs.summary import in_full, readable, row


def runs(root: str | os.PathLike[str] = "runs") -> Listing:
    """The run folders below `root`: a list of dicts, with their state, first metric and verdict. Of a damaged one the
    status says so, and `problem` what is wrong. Raises FolderError for a folder that is not there; that `runs` is not
    means that nothing was trained yet."""
    place = Path(root)
    if not place.is_dir() and (place.exists() or place != Path("runs")):
        raise FolderError(f"{root}: there is no such folder.", "Give the folder in which the runs lie.")
    found = []
    for folder in list_runs(place):
        try:
            with readable(folder):
                found.append(row(folder))
        except TunesmithError as error:
            found.append({"run": str(folder.path), "status": "damaged", "task": "", "model": "", "method": "",
                          "data": "", "problem": error.message})  # fmt: skip
    return Listing(found, "Runs", without=("data", "low", "high"))


def run(path: str | Path) -> Words:
    """A run in full: its row, and what metrics.json holds once it is finished."""
    folder = RunFolder.open(path)
    with readable(folder):
        return in_full(folder)


SERIES = ("search", "folds", "seeds", "until", "ladder")
"""What the document of several runs is called, by the verb that wrote it: DOCUMENT.json in its folder."""


def series(path: str | Path) -> tuple[str, Words] | None:
    """(name of the document, the document) of a folder of several runs; None for any other."""
    for name in SERIES:
        file = Path(path) / f"{name}.json"
        if file.exists():
            return name, read_json(file)
    return None


def methods() -> Listing:
    """Methods and their options: a list of dicts."""
    return plugins("methods")


def tasks() -> Listing:
    """Tasks and their options: a list of dicts."""
    return plugins("tasks")


def plugins(seam: str) -> Listing:
    """Name, one line and options of every plugin of a seam; of one that can not be used, `problem` says why."""
    from tunesmith.runs import run_options

    found = []
    for name in registry.names(seam):
        try:
            plugin = registry.get(seam, name)
            run_options.check_option_names(**{seam: [name]} if seam == "callbacks" else {seam.removesuffix("s"): name})
            found.append({"name": name, "summary": plugin.summary, "options": describe(plugin.Options)})
        except OptionError as error:
            found.append({"name": name, "summary": "can not be used", "options": [], "problem": str(error)})
    return Listing(found, seam.capitalize(), without=("options",))
