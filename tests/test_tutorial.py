"""docs/tutorial.md works: its files are written and its commands executed, in order, in a fresh folder."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

TUTORIAL = Path(__file__).resolve().parent.parent / "docs" / "tutorial.md"
FENCE = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(text: str) -> Iterator[tuple[str, str, str]]:
    """Language, name of a file (or ""), and content of each fenced block."""
    for found in FENCE.finditer(text):
        yield found[1], found[2] or "", found[3]


@pytest.mark.timeout(600)
def test_the_tutorial_works(in_tmp: Path, examples: Path, minilm: Path) -> None:
    shutil.copytree(examples, in_tmp / "examples")
    program: list[str] = []
    ran = 0
    for language, name, content in blocks(TUTORIAL.read_text(encoding="utf-8")):
        if name:
            (in_tmp / name).write_text(content, encoding="utf-8")
        elif language == "console":
            for line in content.splitlines():
                assert line.startswith("$ tunesmith "), f"only our own commands, without output: {line}"
                execute([sys.executable, "-m", "tunesmith.cli.main", *shlex.split(line)[2:]], line)
                ran += 1
        elif language == "python":
            program.append(content)
    execute([sys.executable, "-c", "\n".join(program)], "the Python blocks")
    assert ran >= 10
    assert (in_tmp / "runs" / "tickets" / "report.html").exists()
    assert (in_tmp / "answers.csv").exists()


def execute(command: list[str], what: str) -> None:
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=300, check=False,
        env={**os.environ, "PYTHONWARNINGS": "ignore"}, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, f"{what}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
