"""Whether a plugin of another package is what its seam asks for; told when it is loaded, in words.

What it must have, and what it may, is the protocol of its seam: a class whose abstract methods, and class variables
without a value, each plugin brings itself (`engine.protocols`).
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Collection, Iterator, Mapping, Sequence
from importlib.metadata import EntryPoint
from typing import Any

from tunesmith.core import renamed
from tunesmith.core.errors import OptionError
from tunesmith.core.imports import resolve
from tunesmith.core.options import Options, nearest


def singular(seam: str) -> str:
    """What one plugin of a seam is called: 'method' of "methods"."""
    name = seam.rpartition(".")[2]
    return f"{name.removesuffix('ies')}y" if name.endswith("ies") else name.removesuffix("s")


def origin(seam: str, point: EntryPoint) -> str:
    """Where it comes from, for people."""
    package = point.dist.name if point.dist else point.value.partition(":")[0].partition(".")[0]
    what = singular(seam)
    return f"{what} {point.name!r} of the package {package} (entry point {point.value})"


def load(seam: str, point: EntryPoint, families: Mapping[str, str], modalities: Collection[str]) -> Any:
    """The plugin, with the defaults of its protocol. `families`: where those lie that are installed; `modalities`:
    names of those that are.

    Raises OptionError where it can not be used.
    """
    who = origin(seam, point)
    try:
        found = resolve(point.value)
    except (Exception, SystemExit) as error:  # whatever another package does while it is imported
        told = f"The {who} can not be imported: {type(error).__name__}: {error}."
        raise OptionError(told, "Install what it needs, update the package, or uninstall it.") from error
    protocols = importlib.import_module(f"tunesmith.{seam}").__dict__.get("PROTOCOLS")
    if protocols is None:
        return found
    kind, faults = _with_defaults(found, protocols, families)
    asked = inspect.getattr_static(kind, "modality", None)
    if isinstance(asked, str) and asked not in modalities:
        faults.append(f"it is of the modality {asked!r}, which is not installed (known: {', '.join(modalities)})")
    if faults:
        told = f"The {who} can not be used: {'; '.join(faults)}."
        raise OptionError(told, "Correct it, update the package, or uninstall it.")
    return kind


def faults_of(kind: type, protocol: type) -> Iterator[str]:
    """What is wrong with a class that has the defaults of its protocol."""
    known = {"options", *dir(protocol), *_annotated(protocol), *renamed.ATTRIBUTES}
    own = [base for base in kind.__mro__ if base not in protocol.__mro__ and _home(base) == _home(kind)]
    for name in sorted({name for base in own for name in (*vars(base), *_annotated(base)) if name[0] != "_"} - known):
        near = nearest(name, {name for name in known if name[0] != "_"})
        fix = near if near.startswith("Did") else "Names of its own begin with an underscore."
        yield f"{name!r} is no attribute that a plugin can have ({fix.removesuffix('.')})"
    needed = {name for name, what in _annotated(protocol).items() if "ClassVar" in str(what)}
    missing = {name for name in needed if not hasattr(kind, name)} | {*vars(kind).get("__abstractmethods__", ())}
    if missing:
        yield f"it has no {', '.join(sorted(missing))}"
    options = inspect.getattr_static(kind, "Options", Options)
    if not (isinstance(options, type) and issubclass(options, Options)):
        yield "its Options are no class below tunesmith.core.options.Options"
    for name, asked in inspect.getmembers(protocol, inspect.isroutine):
        if (name[0] != "_" or name == "__init__") and name not in missing and not _takes(kind, name, asked):
            yield f"its {name} does not take {inspect.signature(asked)}"


def protocol_of(kind: type, targets: Sequence[str], families: Mapping[str, str]) -> type | None:
    """The protocol of a class, of those of its seam; of tasks that of their family, None where it is not installed."""
    protocols: list[type] = [resolve(target) for target in targets]
    asked = inspect.getattr_static(kind, "family", None)
    if len(protocols) == 1 or asked is None:
        return protocols[0]
    place = families.get(asked, asked)  # a family has earlier names too
    return next((one for one in protocols if families.get(vars(one)["family"]) == place), None)


def _with_defaults(found: Any, targets: Sequence[str], families: Mapping[str, str]) -> tuple[Any, list[str]]:
    if not isinstance(found, type):
        return found, ["it is no class"]
    found = _with_new_names(found)
    protocol = protocol_of(found, targets, families)
    if protocol is None:
        asked = inspect.getattr_static(found, "family")
        return found, [f"it is of the family {asked!r}, which is not installed (known: {', '.join(families)})"]
    if not issubclass(found, protocol):
        found = type(found.__name__, (found, protocol), {"__module__": found.__module__, "__doc__": found.__doc__})
    return found, list(faults_of(found, protocol))


def _with_new_names(found: type) -> type:
    old = [name for name, new in renamed.ATTRIBUTES.items() if hasattr(found, name) and new not in vars(found)]
    if not old:
        return found
    for name in old:
        renamed.say(f"{found.__name__}.{name}", renamed.ATTRIBUTES[name])
    own = {renamed.ATTRIBUTES[name]: inspect.getattr_static(found, name) for name in old}
    return type(found.__name__, (found,), {"__module__": found.__module__, "__doc__": found.__doc__, **own})


def _annotated(kind: type) -> dict[str, object]:
    return {name: what for base in kind.__mro__ for name, what in inspect.get_annotations(base).items()}


def _home(kind: type) -> str:
    return kind.__module__.partition(".")[0]


def _takes(kind: type, name: str, asked: Any) -> bool:
    """Whether it can be called as the protocol says."""
    own = inspect.getattr_static(kind, name)
    if not isinstance(own, staticmethod | classmethod) and not inspect.isfunction(own):
        return not callable(asked) or callable(own)
    given = list(inspect.signature(asked).parameters.values())
    if not inspect.ismethod(asked):  # a function of a class begins with self
        given = given[1:]
    by_place = [one for one in given if one.kind is not one.KEYWORD_ONLY]
    by_name = {one.name: None for one in given if one.kind is one.KEYWORD_ONLY}
    itself = [] if isinstance(own, staticmethod | classmethod) else [None]
    try:
        inspect.signature(getattr(kind, name)).bind(*itself, *by_place, **by_name)
    except TypeError:
        return False
    return True
