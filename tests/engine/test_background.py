"""What is computed beside a run: begun at once, waited for, heard, and its faults are the run's."""

from __future__ import annotations

import threading

import pytest
import torch

from tunesmith.core.events import Decided, Emit, Event
from tunesmith.engine.background import BackgroundTask, leave_one_core


def test_it_begins_at_once_and_is_heard_when_it_is_asked() -> None:
    begun, heard = threading.Event(), list[Event]()

    def compute(emit: Emit) -> int:
        begun.set()
        for number in range(3):
            emit(Decided("number", number, "counting"))
        return 7

    beside = BackgroundTask(compute)
    assert begun.wait(10)
    assert not heard
    assert beside.result(heard.append) == 7
    assert beside.result(heard.append) == 7
    assert [event.value for event in heard if isinstance(event, Decided)] == [0, 1, 2]


def test_its_fault_comes_where_the_result_is_asked_for() -> None:
    def compute(_: Emit) -> None:
        raise ValueError("no words")

    beside = BackgroundTask(compute)
    beside.wait(lambda: None)
    with pytest.raises(ValueError, match="no words"):
        beside.result(lambda _: None)


def test_a_stop_does_not_wait_for_it() -> None:
    end = threading.Event()
    beside = BackgroundTask(lambda _: end.wait(60))

    def check() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        beside.wait(check)
    end.set()
    assert beside.result(lambda _: None) is True


def test_torch_has_all_its_cores_again() -> None:
    before = torch.get_num_threads()
    with leave_one_core():
        assert torch.get_num_threads() == max(1, before - 1)
    assert torch.get_num_threads() == before
