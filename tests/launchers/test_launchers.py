"""A run is the same wherever it takes place; a process of its own says why it ended, and ends when it is left alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import tunesmith
from tunesmith.core import registry
from tunesmith.core.errors import DataError, Diverged, OptionError, Problem, RunFailed, Stopped
from tunesmith.core.events import Decided, Event
from tunesmith.launchers import process
from tunesmith.launchers.process import Process
from tunesmith.runs.protocols import Launcher
from tunesmith.studies.search import search
from tunesmith.studies.seeds import several_seeds


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module that a process can import, with the functions of ERRANDS."""
    (tmp_path / "errands.py").write_text(ERRANDS, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    return tmp_path


ERRANDS = """
import os, signal, sys, time
from pathlib import Path
from tunesmith.core.errors import DataError, Diverged, Problem
from tunesmith.core.events import Decided

def tell(job, emit):
    print("a library says something")
    for number in range(job["many"]):
        emit(Decided("number", number, "counted"))
        Path(job["file"]).write_text(str(number))

def refuse(job, emit):
    raise DataError([Problem("no text", "a.csv", row=3)], "Add it.")

def diverge(job, emit):
    raise Diverged("It diverged.", step=3, row_ids=[1, 2])

def break_down(job, emit):
    raise ValueError("a fault of ours")

def die(job, emit):
    os.kill(os.getpid(), signal.SIGKILL)

def sleep(job, emit):
    emit(Decided("begun", 1, ""))
    time.sleep(60)
"""


def test_every_launcher_is_one() -> None:
    for name in registry.names("launchers"):
        launcher: Launcher = registry.get("launchers", name)()
        assert launcher.summary, name


@pytest.mark.story
def test_a_process_tells_its_events_in_turn_and_ends_when_the_listener_has_enough(work: Path) -> None:
    heard: list[Any] = []
    job = {"many": 5, "file": str(work / "number")}
    Process().launch("errands:tell", job, work / "log", heard.append)
    assert heard == [Decided("number", number, "counted") for number in range(5)]
    assert not (work / "log").exists()

    class Enough(Exception):
        pass

    def listen(event: Event) -> None:
        if getattr(event, "value", 0) == 2:
            raise Enough

    with pytest.raises(Enough):
        Process().launch("errands:tell", job, work / "log", listen)
    assert (work / "number").read_text() == "1"  # it did not go on


@pytest.mark.story
def test_a_process_fails_as_its_work_does(work: Path) -> None:
    with pytest.raises(DataError, match=r"a.csv, row 3: no text\nAdd it") as data:
        Process().launch("errands:refuse", {}, work / "log")
    assert data.value.problems == [Problem("no text", "a.csv", row=3)]
    with pytest.raises(Diverged) as diverged:
        Process().launch("errands:diverge", {}, work / "log")
    assert (diverged.value.step, diverged.value.row_ids, diverged.value.code) == (3, [1, 2], "diverged")
    assert not (work / "log").exists()
    with pytest.raises(RunFailed, match="a fault of ours"):
        Process().launch("errands:break_down", {}, work / "log")
    assert "Traceback" in (work / "log").read_text()
    with pytest.raises(RunFailed, match="exit status -9"):
        Process().launch("errands:die", {}, work / "log")


@pytest.mark.story
def test_a_signal_is_passed_on(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def listen(_: Event) -> None:
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGTERM)).start()

    begun = time.monotonic()
    with pytest.raises(Stopped):
        Process().launch("errands:sleep", {}, work / "log", listen)
    monkeypatch.setattr(process, "PATIENCE", 0.2)

    def fail(_: Event) -> None:
        raise RunFailed("enough")

    with pytest.raises(RunFailed, match="enough"):
        Process().launch("errands:sleep", {}, work / "log", fail)
    assert time.monotonic() - begun < 30


@pytest.mark.slow
def test_a_search_is_the_same_in_processes(ticket_file: Path, tiny_model: Path, tmp_path: Path) -> None:
    space = {"learning_rate": [4e-3, 1e-7], "epochs": [2]}
    words: dict[str, Any] = {"model": str(tiny_model), "precision": "fp32", "method": "full", "space": space}
    found = {
        place: search(ticket_file, out=tmp_path / place, budget="2 trials", launcher=place, **words)
        for place in ("here", "process")
    }
    told = [[(t["words"], t["value"], t["loss"], t["step"], t["why"]) for t in one.trials] for one in found.values()]
    assert told[0] == told[1]
    assert found["here"].run.metrics == found["process"].run.metrics
    assert not list((tmp_path / "process").glob("*.log"))


def test_a_launcher_that_there_is_not(ticket_file: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"--launcher proces: There is no launcher .*\n.*'process'"):
        several_seeds(ticket_file, out=tmp_path / "s", launcher="proces")
    with pytest.raises(OptionError, match="launcher"):
        tunesmith.train(ticket_file, out=tmp_path / "r", launcher="process")  # type: ignore[call-arg]


@pytest.mark.story
def test_a_process_that_is_left_alone_ends(work: Path) -> None:
    """As where the one that started it was killed: its answers end."""
    job = {"many": 10**6, "file": str(work / "number")}
    parent = subprocess.Popen([sys.executable, "-c", LAUNCH, json.dumps(job), str(work / "log")])
    while not (work / "number").exists():
        time.sleep(0.05)
    parent.kill()
    parent.wait()
    time.sleep(0.5)
    before = (work / "number").read_text()
    time.sleep(0.5)
    assert (work / "number").read_text() == before


LAUNCH = """
import json, sys
from pathlib import Path
from tunesmith.launchers.process import Process
Process().launch("errands:tell", json.loads(sys.argv[1]), Path(sys.argv[2]))
"""
