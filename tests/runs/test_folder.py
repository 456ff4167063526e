"""One folder belongs to one run; a full disk pauses it."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import tunesmith
from crashes import LONG, At, Killed, check_killed_run, kill, weights
from tunesmith.cli import show
from tunesmith.core.errors import DataError, FolderError, Stopped, UsageError
from tunesmith.core.run import RunFolder
from tunesmith.engine.checkpoint import verify
from tunesmith.workflows import catalogues

Train = Callable[..., tunesmith.Run]
Records = Callable[..., list[dict[str, Any]]]


# one folder, one run


def test_two_runs_can_not_use_one_folder(train: Train, ticket_file: Path, in_tmp: Path) -> None:
    refused: list[FolderError] = []

    def others() -> None:
        assert RunFolder("run").status() == "running"
        for another in (lambda: tunesmith.resume("run"), lambda: train(ticket_file)):
            with pytest.raises(FolderError) as caught:
                another()
            refused.append(caught.value)

    train(ticket_file, listeners=[At(3, others)])
    assert [error.exit_code for error in refused] == [2, 2]
    assert f"in use by process {os.getpid()}" in str(refused[0])
    assert "already used" in str(refused[1])
    assert RunFolder("run").status() == "finished"


def test_a_finished_run_is_not_run_again(whole: tunesmith.Run, records: Records) -> None:
    before = {path: path.stat().st_mtime_ns for path in whole.path.rglob("*") if path.name != ".lock"}
    again = tunesmith.resume(whole.path)
    assert again.metrics == whole.metrics
    assert {path: path.stat().st_mtime_ns for path in before} == before
    with pytest.raises(FolderError, match="already used"):
        tunesmith.train("x.csv", out=whole.path)


@pytest.mark.story
def test_a_run_is_not_continued_with_other_data(
    train: Train, ticket_file: Path, in_tmp: Path, records: Records
) -> None:
    shutil.copy(ticket_file, "own.csv")
    shutil.copy(ticket_file, "old.csv")
    with pytest.raises(Killed):
        train("own.csv", retain="old.csv", listeners=[At(8, kill)], **LONG)
    shown = show.run(catalogues.run("run"))
    assert "trained  step 8 of 84, epoch" in shown
    assert re.search(r"latest   validation at step \d+: loss \d\.\d+, ", shown)
    assert re.search(r"saved    at step \d+, from where it would go on\ncontinue with: tunesmith resume run", shown)
    for name in ("old.csv", "own.csv"):
        with open(name, "a", encoding="utf-8") as file:
            file.write("this row came later,praise\n")
        with pytest.raises(DataError, match=rf"{name}.* is not what it was when the run .* began") as caught:
            tunesmith.resume(in_tmp / "run")
        assert caught.value.exit_code == 2
    assert records(in_tmp / "run", "phase")[-1]["phase"] == "read", "before anything is computed"
    assert "failed   " in show.run(catalogues.run("run"))
    assert len(records(in_tmp / "run", "step")) == 8
    for name in ("old.csv", "own.csv"):
        shutil.copy(ticket_file, name)  # as it was: it goes on
    assert tunesmith.resume(in_tmp / "run").folder.status() == "finished"


# full disks


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """`small_disk("2m")` mounts a disk of that size; needs the rights to do so."""
    mounted: list[Path] = []

    def mount(size: str) -> Path:
        folder = tmp_path / "disk"
        folder.mkdir()
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True, check=False
        )
        if done.returncode:
            pytest.skip("no small disk can be mounted here")
        mounted.append(folder)
        return folder

    if os.geteuid() or not shutil.which("mount"):
        pytest.skip("only root can mount a small disk")
    yield mount
    for folder in mounted:
        subprocess.run(["umount", "-l", str(folder)], check=False)


def test_a_disk_too_small_for_two_checkpoints_is_refused(
    train: Train, ticket_file: Path, small_disk: Any, in_tmp: Path
) -> None:
    disk = small_disk("500k")
    with pytest.raises(UsageError, match="two checkpoints need") as caught:
        train(ticket_file, out=str(disk / "run"), frozen_share=0.0)
    assert caught.value.exit_code == 2
    assert not (disk / "run").exists()


# the thread that writes for TensorBoard has nobody to tell
@pytest.mark.story
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize(
    "left",
    [0, 100_000],
    ids=["full", "almost full"],
)
def test_a_disk_that_fills_up_pauses_the_run(
    left: int, train: Train, ticket_file: Path, whole: tunesmith.Run, small_disk: Any, records: Records
) -> None:
    disk = small_disk("12m")

    def fill() -> None:
        with open(disk / "other", "wb") as file, contextlib.suppress(OSError):
            while shutil.disk_usage(disk).free > left:
                file.write(b"x" * 4096)
                file.flush()

    with pytest.raises(Stopped) as caught:
        train(ticket_file, out=str(disk / "run"), listeners=[At(22, fill)], **LONG)
    assert caught.value.reason == "disk_full"
    assert caught.value.exit_code == 130
    assert "tunesmith resume" in str(caught.value)
    saved = sorted((disk / "run" / "checkpoints").glob("step-*"))
    assert all(verify(path) is None for path in saved)
    assert saved[-1].name == "step-00000020"
    assert RunFolder(disk / "run").status() in ("paused", "stopped")

    (disk / "other").unlink()
    again = tunesmith.resume(disk / "run")
    assert weights(again) == weights(whole)
    for line in again.folder.events.read_text(encoding="utf-8").splitlines():
        assert line.startswith("{"), line
    check_killed_run(disk / "run", whole, kills=1)


@pytest.mark.story
@pytest.mark.parametrize("kind", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_in_any_other_phase_pauses_too(
    kind: int, train: Train, ticket_file: Path, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tunesmith.evaluate import report

    def full(*_: Any) -> None:
        raise OSError(kind, os.strerror(kind))

    with monkeypatch.context() as patch:
        patch.setattr(report, "write_report", full)
        with pytest.raises(Stopped, match="disk is full"):
            train(ticket_file)
    assert not (in_tmp / "run" / "result.json").exists()
    assert RunFolder(in_tmp / "run").status() in ("paused", "stopped")
    assert tunesmith.resume(in_tmp / "run").folder.status() == "finished"
