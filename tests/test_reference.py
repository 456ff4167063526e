"""The generated pages say what the code does, and the written ones leave nothing out."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.story
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
    from tunesmith.data.types import ReadOptions, SplitOptions
    from tunesmith.engine.options import EngineOptions

    plugins = [registry.get(seam, name).Options for seam in registry.SEAMS for name in registry.names(seam)]
    silent = [
        f"{model.__qualname__}.{row['name']}"
        for model in (RunSpec, EngineOptions, SplitOptions, ReadOptions, *plugins)
        for row in describe(model)
        if not row["help"]
    ]
    assert silent == []


def test_every_finding_is_explained() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    sources = (ROOT / "src" / "tunesmith" / "evaluate").glob("*.py")
    pattern = r'\bfinding\("(\w+)"|"name": "(\w+)", "severity"'
    names = {a or b for path in sources for a, b in re.findall(pattern, path.read_text(encoding="utf-8"))}
    assert len(names) >= 10, "the pattern no longer finds them"
    assert {name for name in names if f"| `{name}` |" not in page} == set()


def test_the_data_page_names_every_file_suffix() -> None:
    from tunesmith.data.tables import SUFFIXES

    page = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    assert {suffix for suffix in SUFFIXES if f"`{suffix}`" not in page} == set()
