"""Whole runs on the tiny model: under a second each in this process, some five in one of their own."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import tunesmith
from crashes import LONG, command_line
from forgetting_runs import WILD, Rows
from tunesmith.cli.main import main
from tunesmith.core import events

FORK = multiprocessing.get_context("forkserver")
FORK.set_forkserver_preload(["tunesmith.runs.train", "sklearn.linear_model", "torch.utils.tensorboard", "crashes"])


@pytest.fixture(scope="session")
def ticket_file(tmp_path_factory: pytest.TempPathFactory, tickets: list[dict[str, str]]) -> Path:
    """The sixty tickets as a CSV file."""
    path = tmp_path_factory.mktemp("tickets") / "tickets.csv"
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["text", "label"])
        writer.writeheader()
        writer.writerows(tickets)
    return path


@pytest.fixture
def train(in_tmp: Path, tiny_model: Path) -> Callable[..., tunesmith.Run]:
    """`train(data, out="run", **words)`: a run of `full` with the tiny model in fp32."""

    def call(data: Any, out: str = "run", **words: Any) -> tunesmith.Run:
        given = {"model": str(tiny_model), "precision": "fp32", "method": "full", "epochs": 2, **words}
        return tunesmith.train(data, out=out, **given)

    return call


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, ticket_file: Path) -> tunesmith.Run:
    """The run that nothing interrupts."""
    out = tmp_path_factory.mktemp("whole") / "run"
    words = {"model": str(tiny_model), "method": "full", "precision": "fp32", **LONG}
    return tunesmith.train(ticket_file, out=out, **words)


def records(run: Path | tunesmith.Run, name: str | None = None) -> list[dict[str, Any]]:
    """The events of a run, or those of one name."""
    path = run.path if isinstance(run, tunesmith.Run) else Path(run)
    return [record for record in events.read(path / "events.jsonl") if name in (None, record["event"])]


@pytest.fixture(name="records")
def _records() -> Callable[..., list[dict[str, Any]]]:
    return records


class Process:
    """A command line under way, in a process of its own: forked from one that has imported everything,
    or, with `bare`, started from nothing as a user does."""

    def __init__(self, folder: Path, arguments: tuple[Any, ...], bare: bool):
        self._events = folder / "events.jsonl"
        self._screen = folder.parent / f"{folder.name}.screen"
        words = [str(argument) for argument in arguments]
        self._process: Any
        if bare:
            with open(self._screen, "w", encoding="utf-8") as screen:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "tunesmith.cli.main", *words],
                    stdin=subprocess.DEVNULL, stdout=screen, stderr=screen,
                )  # fmt: skip
        else:
            self._process = FORK.Process(target=command_line, args=(words, str(self._screen), os.getcwd()))
            self._process.start()
        self.pid: int = self._process.pid

    @property
    def screen(self) -> str:
        """What it has printed."""
        return self._screen.read_text(encoding="utf-8") if self._screen.exists() else ""

    def _code(self) -> int | None:
        return self._process.poll() if isinstance(self._process, subprocess.Popen) else self._process.exitcode

    def wait_for(self, event: str, many: int = 1, timeout: float = 120) -> None:
        """Until the run has said `event` so many times."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            if self._events.exists() and self._events.read_text(encoding="utf-8").count(f'"event": "{event}"') >= many:
                return
            if self._code() is not None:
                raise AssertionError(f"it ended before {many} x {event}: {self.screen}")
            time.sleep(0.002)
        raise AssertionError(f"no {many} x {event} in {timeout} s")

    def send(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def end(self, timeout: float = 120) -> int:
        """Wait for its end; returns the exit code, negative for a signal."""
        end = time.monotonic() + timeout
        while self._code() is None and time.monotonic() < end:
            time.sleep(0.002)
        code = self._code()
        assert code is not None, f"it runs for more than {timeout} s"
        return code

    def stop(self) -> None:
        if self._code() is None:
            self.send(signal.SIGKILL)
            self.end()


@pytest.fixture
def start(in_tmp: Path) -> Iterator[Callable[..., Process]]:
    """`start(run folder, "train", ..., bare=False)` starts a command line and returns at once."""
    started: list[Process] = []

    def call(folder: Path, *arguments: Any, bare: bool = False) -> Process:
        started.append(Process(folder, arguments, bare))
        return started[-1]

    yield call
    for process in started:
        process.stop()


@dataclass
class Said:
    """What a command answered."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        """The one JSON object on standard output."""
        assert self.stdout.endswith("\n")
        assert self.stdout.count("\n") == 1
        return json.loads(self.stdout)


@pytest.fixture
def run(in_tmp: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """`run("check", "a.csv").code == 0`: as `tunesmith check a.csv` in a fresh folder, in this process, so without a
    second import of torch for every call; `stdin` comes through a pipe."""

    def call(*arguments: object, stdin: str | bytes = b"") -> Said:
        content = stdin.encode() if isinstance(stdin, str) else stdin
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content), encoding="utf-8"))
        monkeypatch.setattr(sys, "argv", ["tunesmith", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as caught:
            main()
        said = capfd.readouterr()
        return Said(int(caught.value.code or 0), said.out, said.err)

    return call


@pytest.fixture(scope="session")
def first(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, tickets: Rows) -> tunesmith.Run:
    """A run that has learned what the tickets are about."""
    out = tmp_path_factory.mktemp("first") / "first"
    run = tunesmith.train(tickets, out=out, model=str(tiny_model), **{**WILD, "learning_rate": 3e-3})
    assert run.metrics["accuracy"] > 0.9
    return run


@pytest.fixture(scope="session")
def others(tickets: Rows) -> Rows:
    """The same texts with labels that cut across the first task's."""
    return [{"text": row["text"], "label": "even" if (i // 5) % 2 else "odd"} for i, row in enumerate(tickets)]
