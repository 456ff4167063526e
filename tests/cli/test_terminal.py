"""What a command prints: text of others steers no terminal, and no stream, signal or disk brings a traceback."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tunesmith.cli import arguments, show
from tunesmith.core.errors import DataError
from tunesmith.core.events import Decided, Warned
from tunesmith.core.text import is_formula, quoted_formula, visible, visible_within
from tunesmith.display.progress import listener
from tunesmith.workflows.check import check

HOSTILE = "a\x1b]0;owned\x07\x1b[2J\x9b31m\u202eevil\u2066\r\x7f"


def harmless(text: str) -> bool:
    return all(letter in "\n\t" or letter.isprintable() for letter in text)


def test_control_characters_are_shown_as_escapes() -> None:
    assert visible("\x1b[31m\u202e\x9b\r") == r"\x1b[31m\u202e\x9b\r"
    assert visible("Grüße, 北京 👩\u200d🚀\n\tכן") == "Grüße, 北京 👩\u200d🚀\n\tכן"
    assert visible("half \ud83d") == r"half \ud83d"
    assert harmless(str(visible_within({HOSTILE: [HOSTILE, (HOSTILE, 5)], "path": Path(HOSTILE)})))


def test_screens_show_escapes_and_json_holds_the_text(capsys: pytest.CaptureFixture[str]) -> None:
    found = {"predictions": [{"label": HOSTILE, "probability": 0.5, "probabilities": {HOSTILE: 0.5}}]}
    arguments.print_found(found, False, show.predicted)
    assert harmless(capsys.readouterr().out)
    arguments.print_found(found, True, show.predicted)
    assert json.loads(capsys.readouterr().out) == found


def test_events_and_warnings_show_escapes(capsys: pytest.CaptureFixture[str]) -> None:
    say = listener()
    say(Decided("label", HOSTILE, HOSTILE))
    say(Warned(HOSTILE, HOSTILE))
    show.warned(Warned(HOSTILE, HOSTILE))
    assert harmless(capsys.readouterr().err)


def test_cells_that_a_spreadsheet_would_run() -> None:
    formulas = [
        "=1+1", "=cmd|' /C calc'!A0", "+cmd|' /C calc'!A0", "-2+3+cmd|' /C calc'!A0", "@SUM(1+1)*cmd|' /C calc'!A0",
        "+1+1", "-2+3", "@SUM(1)", "\t=1", "=HYPERLINK(\"http://x\")", "+A1+B2", "-Sheet2!A1", "+49-30-1234",
        "\n=1", " =cmd|' /C calc'!A0", "\uff1d1+1", "\uff0bcmd|' /C calc'!A0",
    ]  # fmt: skip
    assert [text for text in formulas if not is_formula(text)] == []
    plain = [
        "-5", "+5", "-5.5", "-5,5", "-1.234,5", "-1e-5", "-5 %", "a=b", "", "1-1", "@anna thanks! :(", "- buy milk",
        "+1 for this", "-", "--", "+49 30 1234", "@user I - we - agree", " a=b", "\nhello",
    ]  # fmt: skip
    assert [text for text in plain if is_formula(text)] == []
    assert quoted_formula("=1") == "'=1"
    assert quoted_formula(-5) == -5


# --- streams, signals, errors: a process with a small program in the place of the commands --------

PROGRAM = """
import errno, os, sys, time
from tunesmith.cli import arguments, process
from tunesmith.core import files
from tunesmith.core.errors import OptionError

def says(**_):
    found = {"name": "Gr\\xfc\\xdfe \\udcff \\x1b[2J"}
    arguments.print_found(found, "--json" in sys.argv, lambda found: found["name"] * 3000)

def refuses(**_):
    raise OptionError("no \\x1b[2J", "Gr\\xfc\\xdfe")

def full(**_):
    raise OSError(errno.ENOSPC, "No space left on device")

def opens(**_):
    open("n" * 300)

def waits(**_):
    with files.scratch() as folder, files.new_file(folder.parent / "out.csv"):
        files.write_text(folder / "texts", "secret")
        print("ready", flush=True)
        time.sleep(60)

process.end(lambda: process.run(globals()[sys.argv[1]]))
"""


def shell(command: str) -> subprocess.CompletedProcess[str]:
    """A line of bash in which {} is the program."""
    line = command.replace("{}", f"'{sys.executable}' -c \"$PROGRAM\"")
    done = subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "PROGRAM": PROGRAM},
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    return done


@pytest.mark.parametrize(
    ("command", "code", "told"),
    [
        ("{} says >&-", 0, ""),
        ("{} refuses 2>&- <&-", 2, ""),
        ("{} refuses 2> /dev/full", 2, ""),
        ("{} says > /dev/full", 2, "disk is full"),
        ("{} says | true; exit ${PIPESTATUS[0]}", 141, ""),
        ("{} full", 2, "disk is full"),
        ("{} opens", 2, "File name too long"),
    ],
)
def test_streams_that_take_nothing_and_disks(in_tmp: Path, command: str, code: int, told: str) -> None:
    done = shell(command)
    assert done.returncode == code
    assert told in done.stderr


def test_streams_that_do_not_know_all_letters(in_tmp: Path) -> None:
    assert "Gr\\xfc\\xdfe" in shell("PYTHONIOENCODING=ascii {} says").stdout
    assert json.loads(shell("PYTHONIOENCODING=ascii {} says --json").stdout)["name"].startswith("Gr\xfc\xdfe")
    assert json.loads(shell("{} refuses --json").stdout)["error"]["fix"] == "Gr\xfc\xdfe"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_stopped_command_leaves_nothing_behind(in_tmp: Path, number: signal.Signals) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "waits"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "TMPDIR": str(in_tmp)},
    )  # fmt: skip
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    child.send_signal(number)
    _, said = child.communicate(timeout=60)
    assert child.returncode == 130
    assert "Stopped by" in said
    assert list(in_tmp.iterdir()) == []


def test_paths_that_are_no_utf8_or_too_long(in_tmp: Path) -> None:
    for name in ("\udcff\udcfe.csv", "n" * 300 + ".csv"):
        with pytest.raises(DataError) as caught:
            check(name)
        assert harmless(visible(str(caught.value)))
