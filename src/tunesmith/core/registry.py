"""Turns the name of a plugin into its class: the only place that does.

A seam is a folder (`tasks`, `methods`, `callbacks`) whose `__init__` holds a `TABLE` of
`name: "module:Class"`. Another package adds to it with an entry point in the group
`tunesmith.<seam>`. Nothing is imported before it is asked for.
"""

from __future__ import annotations

import importlib
import os
import sys
from functools import cache
from importlib.metadata import entry_points
from typing import Any

from tunesmith.core.errors import OptionError, did_you_mean
from tunesmith.core.imports import resolved

SEAMS = ("tasks", "methods", "callbacks")
"""Those with options of their own. Launchers, families and studies are reached by name too."""


def names(seam: str) -> list[str]:
    """Names that can be asked for, the built-in ones first and in the order of their TABLE."""
    return list(targets(seam))


def get(seam: str, name: str) -> Any:
    """The plugin class called `name`. Raises OptionError with the nearest name."""
    known = targets(seam)
    if name not in known:
        singular = seam.removesuffix("s")
        raise OptionError(f"There is no {singular} called {name!r}.", did_you_mean(name, known))
    return resolved(known[name])


def targets(seam: str) -> dict[str, str]:
    """Where every plugin of a seam lies: name -> "module:Class". Imports none of them."""
    table: dict[str, str] = dict(importlib.import_module(f"tunesmith.{seam}").TABLE)
    for name, target in added(seam):
        table.setdefault(name, target)
    return table


def added(seam: str) -> list[tuple[str, str]]:
    """(name, "module:name") of all that other packages bring."""
    return _added(seam, tuple((path, _changed(path)) for path in sys.path))


def canonical(seam: str, name: str) -> str:
    """The first name of the plugin that `name` stands for, as a plugin may have earlier names too."""
    known = targets(seam)
    return next((first for first in known if known[first] == known.get(name)), name)


@cache
def _added(seam: str, _: tuple[tuple[str, int], ...]) -> list[tuple[str, str]]:
    """Reading what is installed takes as long as a step of training, and is asked
    dozens of times in a run: it is read again when a folder of packages has changed."""
    return [(point.name, point.value) for point in entry_points(group=f"tunesmith.{seam}")]


def _changed(path: str) -> int:
    try:
        return os.stat(path or ".").st_mtime_ns
    except OSError:
        return 0
