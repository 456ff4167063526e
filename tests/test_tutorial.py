"""docs/tutorial.md works: its files are written and its commands executed, in order, in a fresh folder.

One process runs them all, so that the heavy libraries are imported once.
"""

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
SHOWN = "# only shown\n"
EXECUTED = ("console", "python")

DRIVER = '''\
import sys
from tunesmith.cli import main as program


def command(line, *arguments):
    """One command line, as the installed program would run it."""
    print("$", line, flush=True)
    sys.argv = ["tunesmith", *arguments]
    try:
        program.main()
    except SystemExit as stop:
        if stop.code:
            sys.exit(f"{line} ended with exit code {stop.code}")


'''


def blocks(text: str) -> Iterator[tuple[str, str, str]]:
    """Language, name of a file (or ""), and content of each fenced block that counts."""
    for found in FENCE.finditer(text):
        if not found[3].startswith(SHOWN):
            yield found[1], found[2] or "", found[3]


def program_of(text: str, folder: Path) -> tuple[str, list[str]]:
    """The page as one Python program, and its commands; the page's files are written to `folder`."""
    program, commands = [DRIVER], []
    for language, name, content in blocks(text):
        if name:
            (folder / name).write_text(content, encoding="utf-8")
        elif language == "python":
            program.append(content)
        elif language == "console":
            for line in content.splitlines():
                assert line.startswith("$ tunesmith "), f"only our own commands, without output: {line}"
                commands.append(line.removeprefix("$ "))
                program.append(f"command({line[2:]!r}, *{shlex.split(line)[2:]!r})\n")
    return "".join(program), commands


@pytest.mark.timeout(300)
def test_the_tutorial_works(in_tmp: Path, examples: Path, minilm: Path) -> None:
    shutil.copytree(examples, in_tmp / "examples")
    program, commands = program_of(TUTORIAL.read_text(encoding="utf-8"), in_tmp)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=240, check=False,
        env={**os.environ, "PYTHONWARNINGS": "ignore"}, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    assert len(commands) >= 10
    for name in ("tickets", "no-smoothing", "from-python"):
        assert (in_tmp / "runs" / name / "report.html").exists()
    header = (in_tmp / "answers.csv").read_text(encoding="utf-8").splitlines()[0]
    assert header.startswith("text,intent,predicted,probability,probability_account_access,")


def test_every_block_is_executed_written_or_marked_as_shown() -> None:
    """What is neither run nor marked is a promise that nobody checks."""
    unclear = [
        content.splitlines()[0]
        for language, name, content in blocks(TUTORIAL.read_text(encoding="utf-8"))
        if not name and language not in EXECUTED
    ]
    assert unclear == []


def test_every_command_is_used_in_the_tutorial() -> None:
    from tunesmith.cli.main import app

    text = TUTORIAL.read_text(encoding="utf-8")
    names = [command.name or command.callback.__name__ for command in app.registered_commands if command.callback]
    assert [name for name in names if f"tunesmith {name}" not in text] == []
