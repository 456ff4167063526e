"""Which number format a machine computes in, whatever else it is doing."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tunesmith.core.events import Decided, Event
from tunesmith.engine import hardware


def chosen(width: int = 384) -> tuple[str, str]:
    said: list[Event] = []
    found = hardware.choose_precision("auto", torch.device("cpu"), width, said.append)
    (decided,) = said
    assert isinstance(decided, Decided)
    assert decided.value == found
    return found, decided.why


@pytest.fixture
def instructions(monkeypatch: pytest.MonkeyPatch) -> Any:
    def pretend(machine: str, native: bool) -> None:
        monkeypatch.setattr(hardware.platform, "machine", lambda: machine)
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: native)

    return pretend


@pytest.mark.parametrize(
    ("native", "width", "format", "why"),
    [(True, 384, "bf16", "multiplies in bf16"), (True, 16, "fp32", "width 16"), (False, 384, "fp32", "no bf16")],
)
def test_a_busy_x86_chooses_as_an_idle_one(
    native: bool, width: int, format: str, why: str, instructions: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    instructions("x86_64", native)
    times = {torch.float32: 1.0, torch.bfloat16: 0.1 if format == "fp32" else 10.0}  # would choose the other one
    monkeypatch.setattr(hardware, "seconds_per_product", lambda dtype, *_: times[dtype])
    found, said = chosen(width)
    assert found == format
    assert why in said


@pytest.mark.parametrize(("ratio", "format"), [(3.0, "bf16"), (1.1, "fp32")])
def test_other_processors_are_measured(
    ratio: float, format: str, instructions: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    instructions("aarch64", True)
    monkeypatch.setattr(hardware, "seconds_per_product", lambda dtype, *_: ratio if dtype == torch.float32 else 1.0)
    assert chosen()[0] == format
