"""Toy runs of every kind end with the bits that were recorded: weights, metrics, predictions, choices, events."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.mark.slow
def test_runs_of_every_kind_end_as_they_were_recorded(tmp_path: Path) -> None:
    """In a process of its own, as its libraries must be told which kernels to use before they are loaded."""
    done = subprocess.run(
        [sys.executable, str(HERE / "record.py")],
        capture_output=True, text=True, timeout=280, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout[-6000:]}\n{done.stderr[-3000:]}"
    assert done.stdout.strip() == "nothing changed"
