"""Checkpoints are whole or do not exist."""

from __future__ import annotations

import contextlib
import os
import shutil

import pytest
import torch

from tunesmith.core.errors import CorruptCheckpoint
from tunesmith.engine import checkpoint
from tunesmith.engine.checkpoint import CheckpointStore, verify

TENSORS = {"trainable": {"w": torch.arange(6.0)}, "optimizer": {"exp_avg:w": torch.ones(6)}}


@pytest.fixture
def store(tmp_path):
    return CheckpointStore(tmp_path / "checkpoints", {"data": "abc"})


def test_what_was_saved_is_what_is_loaded(store):
    path = store.save(3, TENSORS, {"step": 3})
    tensors, state = store.load(path)
    assert state == {"step": 3}
    assert torch.equal(tensors["trainable"]["w"], torch.arange(6.0))
    assert store.newest() == path


def test_saving_a_step_again_replaces_it(store):
    store.save(3, TENSORS, {"step": 3, "again": False})
    path = store.save(3, TENSORS, {"step": 3, "again": True})
    assert store.load(path)[1]["again"] is True
    assert [p.name for p in store.folder.iterdir()] == ["step-00000003"]


def test_every_flipped_byte_is_found(store):
    path = store.save(1, TENSORS, {"step": 1})
    checked = 0
    for file in sorted(path.iterdir()):
        whole = file.read_bytes()
        for position in range(len(whole)):
            damaged = bytearray(whole)
            damaged[position] ^= 1 << (position % 8)
            file.write_bytes(damaged)
            assert verify(path) is not None, f"{file.name} byte {position}"
            checked += 1
        file.write_bytes(whole)
    assert verify(path) is None
    assert checked > 500


@pytest.mark.parametrize("damage", ["cut", "longer", "missing", "extra"])
def test_a_damaged_checkpoint_is_set_aside_and_the_one_before_is_used(store, damage):
    good = store.save(1, TENSORS, {"step": 1})
    bad = store.save(2, TENSORS, {"step": 2})
    victim = bad / "trainable.safetensors"
    if damage == "cut":
        os.truncate(victim, victim.stat().st_size - 1)
    elif damage == "longer":
        victim.write_bytes(victim.read_bytes() + b"\0")
    elif damage == "missing":
        victim.unlink()
    else:
        (bad / "more.safetensors").write_bytes(b"x")
    with pytest.raises(CorruptCheckpoint):
        store.load(bad)
    assert store.newest() == good
    assert len(list(store.folder.glob(".bad-*"))) == 1


def test_a_checkpoint_of_other_data_is_refused(store, tmp_path):
    store.save(1, TENSORS, {"step": 1})
    with pytest.raises(CorruptCheckpoint, match="data changed"):
        CheckpointStore(tmp_path / "checkpoints", {"data": "xyz"}).newest()


class Killed(BaseException):
    """Not an Exception, and the clean-up of `save` must not help: a SIGKILL runs no clean-up."""


BOUNDARIES = ("mkdir", "save_file", "write_text", "fsync", "rename")


def calls_of_a_save(store, monkeypatch, limit):
    """Count the file operations of one save; with `limit`, die at that one, before or after it."""
    count = 0

    def wrap(owner, name, after):
        real = getattr(owner, name)

        def counted(*arguments, **named):
            nonlocal count
            count += 1
            if count == limit and not after:
                raise Killed
            result = real(*arguments, **named)
            if count == limit and after:
                raise Killed
            return result

        monkeypatch.setattr(owner, name, counted)

    from pathlib import Path

    for owner, name in (
        (Path, "mkdir"),
        (checkpoint, "save_file"),
        (Path, "write_text"),
        (os, "fsync"),
        (os, "rename"),
    ):
        wrap(owner, name, after=calls_of_a_save.after)
    monkeypatch.setattr(shutil, "rmtree", lambda *a, **k: None)  # the dead clean nothing up
    return lambda: count


@pytest.mark.parametrize("after", [False, True])
def test_a_kill_at_every_boundary_of_a_save_leaves_a_checkpoint_that_loads(tmp_path, after):
    calls_of_a_save.after = after
    with pytest.MonkeyPatch.context() as patch:
        store = CheckpointStore(tmp_path / "count", {"data": "abc"})
        total = calls_of_a_save(store, patch, limit=None)
        store.save(1, TENSORS, {"step": 1})
        store.save(2, TENSORS, {"step": 2})
        boundaries = total()
    assert boundaries >= 20

    for limit in range(1, boundaries + 1):
        store = CheckpointStore(tmp_path / f"{after}-{limit}", {"data": "abc"})
        acknowledged = 0
        with pytest.MonkeyPatch.context() as patch:
            calls_of_a_save(store, patch, limit=limit)
            try:
                for step in (1, 2):
                    store.save(step, TENSORS, {"step": step})
                    acknowledged = step
            except Killed:
                pass
        newest = CheckpointStore(store.folder, {"data": "abc"}).newest()
        found = int(newest.name.split("-")[1]) if newest else 0
        assert found >= acknowledged
        if newest:
            assert store.load(newest)[1] == {"step": found}
        leftovers = [p.name for p in store.folder.glob(".tmp-*")] if store.folder.exists() else []
        assert leftovers == []


def test_a_kill_while_a_step_is_replaced_loses_nothing(tmp_path):
    for limit in range(1, 40):
        store = CheckpointStore(tmp_path / str(limit), {"data": "abc"})
        store.save(1, TENSORS, {"step": 1})
        calls_of_a_save.after = True
        with pytest.MonkeyPatch.context() as patch:
            calls_of_a_save(store, patch, limit=limit)
            with contextlib.suppress(Killed):
                store.save(1, TENSORS, {"step": 1})
        assert CheckpointStore(store.folder, {"data": "abc"}).newest() is not None
