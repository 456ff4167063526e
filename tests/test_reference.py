"""docs/reference.md says what the code does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_reference_is_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "reference.py"), "--check"],
        capture_output=True, text=True, check=False, env={**os.environ, "COLUMNS": "60"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_option_has_a_help_text() -> None:
    from tunesmith.core import registry
    from tunesmith.core.options import describe
    from tunesmith.core.spec import RunSpec
    from tunesmith.data.types import SplitOptions
    from tunesmith.engine.options import EngineOptions

    plugins = [registry.get(seam, name).Options for seam in registry.SEAMS for name in registry.names(seam)]
    silent = [
        f"{model.__qualname__}.{row['name']}"
        for model in (RunSpec, EngineOptions, SplitOptions, *plugins)
        for row in describe(model)
        if not row["help"]
    ]
    assert silent == []
