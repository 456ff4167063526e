"""The one door for optional packages: the complaint comes at use, with the line that installs it."""

from __future__ import annotations

import importlib
from types import ModuleType

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
