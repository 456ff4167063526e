"""Ways to end a run before its time, and what must be true of it afterwards."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tunesmith
from tunesmith.cli.main import main
from tunesmith.core import events

# 42 training rows in batches of two, four times: 84 steps, which take half a second
LONG = {"epochs": 4, "batch_size": 2, "save_steps": 5, "eval_steps": 42, "patience": 99}
FLAGS = [part for name, value in LONG.items() for part in ("--set", f"{name}={value}")]
STEPS = 84


def command_line(words: list[str], screen: str, folder: str) -> None:
    """`tunesmith WORDS` in a forked process, with what it prints in the file `screen`."""
    os.chdir(folder)
    descriptor = os.open(screen, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for standard in (1, 2):
        os.dup2(descriptor, standard)
    sys.argv = ["tunesmith", *words]
    main()


def weights(path: Path | tunesmith.Run) -> bytes:
    folder = path.path if isinstance(path, tunesmith.Run) else path
    return (folder / "model" / "model.safetensors").read_bytes()


class At:
    """A callback that does something after a step."""

    def __init__(self, step: int, action: Callable[[], None]):
        self.step, self.action = step, action

    def __call__(self, event: Any) -> None:
        if event.name == "step" and event.step == self.step:
            self.action()


class Killed(BaseException):
    """Ends a run as a kill does, as far as that is possible in one process."""


def kill() -> None:
    raise Killed


def scalars(run: Path, tag: str = "train/loss") -> list[int]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = EventAccumulator(str(run / "tensorboard"))
    board.Reload()
    return [scalar.step for scalar in board.Scalars(tag)]


def check_killed_run(run: Path, whole: tunesmith.Run, kills: int) -> None:
    """At most `save_steps` lost by each kill, exactly one result, and the weights of the whole run."""
    log = events.read(run / "events.jsonl")
    reached, lost = 0, []
    for record, following in zip(log, [*log[1:], None], strict=True):
        if record["event"] == "step":
            reached = record["step"]
        if following and following["event"] == "step" and following["step"] <= reached and record["event"] != "step":
            lost.append(reached - following["step"] + 1)
    assert len(lost) <= kills
    assert all(steps <= LONG["save_steps"] for steps in lost), lost
    assert [record["event"] for record in log].count("finished") == 1
    assert log[-1]["event"] == "finished"
    assert (run / "result.json").exists()
    assert weights(run) == weights(whole)
    leftovers = [path.name for path in run.rglob(".*") if path.name.startswith((".tmp", ".old", ".bad", ".model"))]
    assert leftovers == []
