"""What the tests of forgetting share: settings that are made to forget, and what a run says of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tunesmith
from tunesmith.core.events import Phase

Rows = list[dict[str, Any]]
Records = Callable[..., list[dict[str, Any]]]

# everything moves, fast and from noise: made to forget
WILD = {"method": "full", "precision": "fp32", "frozen_share": 0.0, "head_init": "random", "batch_size": 8,
        "learning_rate": 5e-3, "epochs": 12, "patience": 99, "test_size": 0.4}  # fmt: skip


def forgotten(run: tunesmith.Run) -> dict[str, Any]:
    found: dict[str, Any] = run.document["forgetting"]
    return found


def lost(run: tunesmith.Run) -> float:
    return float(forgotten(run)["lost"]["value"])


def decided(run: tunesmith.Run, what: str, records: Records) -> list[Any]:
    return [event["value"] for event in records(run, "decided") if event["what"] == what]


def phases(seen: list[Any]) -> list[str]:
    """Names of the steps that were begun, of what a listener has heard."""
    return [one.phase for one in seen if isinstance(one, Phase) and one.seconds is None]
