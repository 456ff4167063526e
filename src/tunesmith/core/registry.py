"""Turns the name of a plugin into its class: the only place that does.

A seam is a folder (`tasks`, `methods`, `callbacks`) whose `__init__` holds a `TABLE` of
`name: "module:Class"`. Another package adds to it with an entry point in the group
`tunesmith.<seam>`. Nothing is imported before it is asked for.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping
from functools import cache, lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from tunesmith.core.errors import OptionError, did_you_mean
from tunesmith.core.imports import resolve
from tunesmith.core.plugins import load, singular

SEAMS = ("tasks", "methods", "callbacks")
"""Those with options of their own. Launchers, families and studies are reached by name too."""
_Installed = tuple[tuple[tuple[str, int], ...], ...]
"""The packages of each folder in which they are looked for, and when each has changed."""


def names(seam: str) -> list[str]:
    """Names that can be asked for, the built-in ones first and in the order of their TABLE."""
    return list(targets(seam))


def get(seam: str, name: str) -> Any:
    """The plugin class called `name`. Raises OptionError with the nearest name, or with what is wrong with a plugin of
    another package."""
    known = targets(seam)
    if name not in known:
        raise OptionError(f"There is no {singular(seam)} called {name!r}.", did_you_mean(name, known))
    point = outside(seam, name)
    return resolve(known[name]) if point is None else _loaded(seam, point)


def usable(seam: str) -> dict[str, Any]:
    """Every plugin of a seam by name, without those of other packages that can not be used."""
    found = {}
    for name in names(seam):
        try:
            found[name] = get(seam, name)
        except OptionError:  # `tunesmith doctor` and the lists of plugins say why
            continue
    return found


def targets(seam: str) -> Mapping[str, str]:
    """Where every plugin of a seam lies: name -> "module:Class". Imports none of them."""
    return _targets(seam, _installed())


def outside(seam: str, name: str) -> EntryPoint | None:
    """The entry point of a plugin that another package brings; None for one of ours."""
    return None if name in _own(seam) else external_plugins(seam)[name]


@cache
def _own(seam: str) -> dict[str, str]:
    return dict(importlib.import_module(f"tunesmith.{seam}").TABLE)


@cache
def _targets(seam: str, installed: _Installed) -> dict[str, str]:
    own = _own(seam)
    return own | {name: point.value for name, point in _added(seam, installed).items() if name not in own}


@cache
def _loaded(seam: str, point: EntryPoint) -> Any:
    return load(seam, point, targets("families"), names("modalities"))


def external_plugins(seam: str) -> dict[str, EntryPoint]:
    """What other packages bring, by name."""
    return _added(seam, _installed())


def canonical(seam: str, name: str) -> str:
    """The first name of the plugin that `name` stands for, as a plugin may have earlier names too."""
    known = targets(seam)
    return next((first for first in known if known[first] == known.get(name)), name)


@cache
def _added(seam: str, _: _Installed) -> dict[str, EntryPoint]:
    """Reading what is installed takes as long as a step of training, and is asked
    dozens of times in a run: it is read again when a folder of packages has changed."""
    return {point.name: point for point in reversed(list(entry_points(group=f"tunesmith.{seam}")))}


def _installed() -> _Installed:
    return tuple(_packages(path or os.getcwd(), _changed(path)) for path in sys.path)


@lru_cache(maxsize=128)
def _packages(path: str, _: int) -> tuple[tuple[str, int], ...]:
    """What says which packages lie in a folder, and when each has changed; most other files of it are none of these, as
    those of a run that is written to the working directory."""
    try:
        with os.scandir(path) as found:
            kept = [one for one in found if one.name.endswith((".dist-info", ".egg-info"))]
            return tuple(sorted((one.path, one.stat().st_mtime_ns) for one in kept))
    except OSError:
        return ()


def _changed(path: str) -> int:
    try:
        return os.stat(path or ".").st_mtime_ns
    except OSError:
        return 0
