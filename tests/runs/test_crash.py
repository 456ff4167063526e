"""Whatever ends a run, nothing that was saved is lost, and what comes after is what would have come."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tunesmith
from crashes import FLAGS, LONG, STEPS, At, Killed, check_killed_run, kill, scalars, weights
from tiers import repeats
from tunesmith.core.errors import CorruptCheckpoint, FolderError, RunFailed, Stopped
from tunesmith.core.run import RunFolder
from tunesmith.engine.checkpoint import CheckpointStore, verify

Train = Callable[..., tunesmith.Run]
Records = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def command(tiny_model: Path, ticket_file: Path) -> list[Any]:
    """The same run as a command line, into the folder `run`."""
    return ["train", ticket_file, "--model", tiny_model, "--method", "full", "--out", "run",
            "--set", "precision=fp32", *FLAGS]  # fmt: skip


# signals


@pytest.mark.story
@pytest.mark.parametrize(
    "number",
    [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)],
    ids=["SIGTERM", "Ctrl-C"],
)
def test_a_signal_saves_and_stops_and_a_resume_gives_the_same_bits(
    number: signal.Signals, start: Any, command: list[Any], whole: tunesmith.Run, in_tmp: Path, records: Records
) -> None:
    run = in_tmp / "run"
    process = start(run, *command, bare=number == signal.SIGTERM)
    process.wait_for("step", many=30)
    assert RunFolder(run).status() == "running"
    with pytest.raises(FolderError, match="in use by process"):
        tunesmith.resume(run)
    process.send(number)
    assert process.end() == 130
    assert "tunesmith resume run" in process.screen
    assert not (run / "result.json").exists()
    assert not (run / "model").exists()
    assert RunFolder(run).status() == "paused"
    done = records(run, "step")[-1]["step"]
    assert 30 <= done < STEPS
    assert records(run, "saved")[-1]["step"] == done

    time.sleep(1)  # TensorBoard orders its files by the second in their names
    again = tunesmith.resume(run)
    steps = [event["step"] for event in records(run, "step")]
    assert steps == list(range(1, STEPS + 1))  # none was lost, none was done twice
    assert scalars(run) == steps
    assert weights(again) == weights(whole)
    assert again.document["test"] == whole.document["test"]
    assert len(records(run, "finished")) == 1


def test_a_second_ctrl_c_stops_at_once(
    train: Train, ticket_file: Path, records: Records, in_tmp: Path, request: pytest.FixtureRequest
) -> None:
    def twice() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # where a shell runs the tests in the background
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))  # it is ignored
    with pytest.raises(Stopped, match="at once") as caught:
        train(ticket_file, listeners=[At(32, twice)], **LONG)
    assert caught.value.exit_code == 130
    assert records(in_tmp / "run", "saved")[-1]["step"] == 30
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.story
@pytest.mark.parametrize("phase", repeats(["evaluate", "report", "read", "probe"], first=2))
def test_a_signal_in_any_phase_can_be_resumed(
    phase: str, train: Train, whole: tunesmith.Run, ticket_file: Path, in_tmp: Path
) -> None:
    def stop(event: Any) -> None:
        if event.name == "phase" and event.phase == phase and event.seconds is None:
            os.kill(os.getpid(), signal.SIGTERM)

    # after training there is little left to do, which may as well be done
    with contextlib.suppress(Stopped):
        train(ticket_file, listeners=[stop], **LONG)
    assert weights(tunesmith.resume(in_tmp / "run")) == weights(whole)


# kills


def kill_at_random(start: Any, command: list[Any], run: Path, chance: random.Random) -> bool:
    """Start or resume, SIGKILL after a random time; True if it was over before."""
    arguments = ["resume", run] if (run / "spec.yaml").exists() else command
    if arguments is command:
        shutil.rmtree(run, ignore_errors=True)  # killed before it had written down what it was asked
    process = start(run, *arguments)
    if chance.random() < 0.8:  # in the middle of its work; else at any time, its start included
        before = (run / "events.jsonl").read_text().count('"saved"') if (run / "events.jsonl").exists() else 0
        with contextlib.suppress(AssertionError):
            process.wait_for("saved", many=before + 1)
        time.sleep(chance.uniform(0, 0.8))
    else:
        time.sleep(chance.uniform(0, 1.5))
    process.send(signal.SIGKILL)
    return bool(process.end() == 0)


@pytest.mark.slow
@pytest.mark.parametrize("kills", [2, pytest.param(50, marks=pytest.mark.timeout(1800))], ids=["2", "50"])
def test_sigkill_at_random_moments(
    kills: int, start: Any, command: list[Any], whole: tunesmith.Run, in_tmp: Path, records: Records
) -> None:
    chance = random.Random(kills)
    survived, number = 0, 0
    while survived < kills:
        run = in_tmp / f"run-{number}"
        named = [str(run) if part == "run" else part for part in command]
        here, over = 0, False
        while not over and survived < kills and here < 5:
            over = kill_at_random(start, named, run, chance)
            survived += not over
            here += not over
        if not (run / "spec.yaml").exists():
            shutil.rmtree(run, ignore_errors=True)
            continue
        tunesmith.resume(run)
        check_killed_run(run, whole, here)
        number += 1


@pytest.mark.story
@pytest.mark.parametrize("step", repeats([84, 1, 43]))
def test_dying_after_any_step_loses_at_most_save_steps(
    step: int, train: Train, ticket_file: Path, whole: tunesmith.Run, in_tmp: Path, records: Records
) -> None:
    with pytest.raises(Killed):
        train(ticket_file, listeners=[At(step, kill)], **LONG)
    tunesmith.resume(in_tmp / "run")
    check_killed_run(in_tmp / "run", whole, kills=1)


@pytest.mark.story
@pytest.mark.parametrize("event", repeats(["save", "saved", "started"], first=2))
def test_dying_at_other_moments_is_no_different(
    event: str, train: Train, ticket_file: Path, whole: tunesmith.Run, in_tmp: Path, records: Records
) -> None:
    def die(heard: Any) -> None:
        if event in (heard.name, getattr(heard, "phase", None)):
            raise Killed

    with pytest.raises(Killed):
        train(ticket_file, listeners=[die], **LONG)
    assert RunFolder(in_tmp / "run").status() == "stopped"
    tunesmith.resume(in_tmp / "run")
    check_killed_run(in_tmp / "run", whole, kills=1)


@pytest.mark.story
def test_dying_while_the_spec_is_written_leaves_one_that_can_be_read(
    train: Train, ticket_file: Path, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, count = Path.write_text, 0

    def half(self: Path, text: str, **named: Any) -> int:
        nonlocal count
        if self.name == "spec.yaml":
            count += 1
            if count == 2:  # the first time there is nothing to lose yet
                real(self, text[: len(text) // 2], **named)
                raise Killed
        return real(self, text, **named)

    monkeypatch.setattr(Path, "write_text", half)
    with contextlib.suppress(Killed):
        train(ticket_file)
    assert train(ticket_file, out="whole").folder.status() == "finished"
    run = tunesmith.resume(in_tmp / "run")
    assert run.folder.spec.read_text(encoding="utf-8") == (in_tmp / "whole" / "spec.yaml").read_text(encoding="utf-8")


# numbers that are none


def test_a_base_model_with_a_nan_is_refused_before_the_first_step(
    train: Train, tiny_model: Path, ticket_file: Path, in_tmp: Path, records: Records
) -> None:
    from safetensors.torch import load_file, save_file

    shutil.copytree(tiny_model, in_tmp / "broken")
    tensors = load_file(in_tmp / "broken" / "model.safetensors")
    tensors["encoder.layer.1.output.dense.weight"][3, 3] = float("nan")
    save_file(tensors, in_tmp / "broken" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(tunesmith.TunesmithError, match="not finite"):
        train(ticket_file, model="broken")
    assert records(in_tmp / "run", "step") == []


def test_a_run_that_diverges_says_so_and_names_the_rows(
    train: Train, ticket_file: Path, in_tmp: Path, records: Records
) -> None:
    with pytest.raises(RunFailed, match="diverged at step") as caught:
        train(ticket_file, learning_rate=1e30, max_grad_norm=1e30, warmup_ratio=0.0, batch_size=4)
    assert caught.value.exit_code == 3
    rolled = records(in_tmp / "run", "rolled_back")
    assert [event["learning_rate_factor"] for event in rolled] == [0.5, 0.25]
    failed = records(in_tmp / "run", "failed")
    assert [event["code"] for event in failed] == ["diverged"]
    assert RunFolder(in_tmp / "run").status() == "failed"
    assert not (in_tmp / "run" / "result.json").exists()


# flipped bits


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_flipped_bit_of_a_real_checkpoint_is_found(whole: tunesmith.Run) -> None:
    path = sorted(whole.folder.checkpoints.glob("step-*"))[-1]
    files = sorted(path.iterdir())

    @settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def flip(data: st.DataObject) -> None:
        file = data.draw(st.sampled_from(files))
        place = data.draw(st.integers(0, file.stat().st_size - 1))
        bit = data.draw(st.integers(0, 7))
        with open(file, "r+b") as opened:
            opened.seek(place)
            byte = opened.read(1)[0]
            opened.seek(place)
            opened.write(bytes([byte ^ 1 << bit]))
        try:
            assert verify(path) is not None, f"{file.name} byte {place} bit {bit}"
            with pytest.raises(CorruptCheckpoint):
                CheckpointStore(path.parent, {}).load(path)
        finally:
            with open(file, "r+b") as opened:
                opened.seek(place)
                opened.write(bytes([byte]))

    flip()
    assert verify(path) is None


@pytest.mark.story
def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(
    train: Train, ticket_file: Path, whole: tunesmith.Run, in_tmp: Path, records: Records
) -> None:
    with pytest.raises(Killed):
        train(ticket_file, listeners=[At(37, kill)], **LONG)
    newest = sorted((in_tmp / "run" / "checkpoints").glob("step-*"))[-1]
    assert newest.name == "step-00000035"
    raw = bytearray((newest / "trainable.safetensors").read_bytes())
    raw[-1] ^= 1
    (newest / "trainable.safetensors").write_bytes(raw)
    tunesmith.resume(in_tmp / "run")
    steps = [event["step"] for event in records(in_tmp / "run", "step")]
    assert steps[:38] == [*range(1, 38), 31]
    assert weights(in_tmp / "run") == weights(whole)
    assert [path.name[:18] for path in (in_tmp / "run" / "checkpoints").glob(".bad-*")] == [".bad-step-00000035"]
    [warned] = [event for event in records(in_tmp / "run", "warned") if event["what"] == "damaged checkpoint"]
    assert "step-00000035" in warned["message"]
    assert "trainable.safetensors differs" in warned["message"]
    assert "from the one before" in warned["message"]
