"""Imports by name; the one door for optional packages, whose complaint comes at use, with the line that installs it."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

from tunesmith.core.errors import MissingPackageError


def require(module: str, *, extra: str, why: str) -> ModuleType:
    """Import `module`, or raise MissingPackageError naming `pip install 'tunesmith[extra]'`."""
    try:
        return importlib.import_module(module)
    except ImportError:
        package = module.partition(".")[0]
        raise MissingPackageError(
            f"{why} needs the package {package!r}, which is not installed.",
            f"Install it with: pip install 'tunesmith[{extra}]'",
        ) from None


def resolve(target: str) -> Any:
    """What "module:name" stands for. Raises ImportError, AttributeError."""
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)
