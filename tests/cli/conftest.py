"""Finished runs for the command line, which `run` calls in this process."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import tunesmith


def write_csv(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture(scope="session")
def ticket_csv(tmp_path_factory: pytest.TempPathFactory, tickets: list[dict[str, str]]) -> Path:
    """The sixty tickets as a CSV file."""
    return write_csv(tmp_path_factory.mktemp("csv") / "tickets.csv", tickets)


@pytest.fixture
def quick(tiny_model: Path) -> list[Any]:
    """Flags for a run that takes half a second."""
    return ["--model", tiny_model, "--method", "full", "--set", "precision=fp32", "--set", "max_steps=4"]


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, ticket_csv: Path) -> Path:
    """A finished run of single labels, in a folder `runs`."""
    out = tmp_path_factory.mktemp("trained") / "runs" / "one"
    tunesmith.train(ticket_csv, model=str(tiny_model), method="full", precision="fp32", max_steps=20, out=out)
    return out


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, tickets: list[dict[str, str]]) -> Path:
    """A finished run on pairs of texts."""
    rows = [
        {"left": row["text"], "right": tickets[(7 * i) % 60]["text"], "same": ("yes", "no")[i % 2]}
        for i, row in enumerate(tickets)
    ]
    out = tmp_path_factory.mktemp("pairs") / "run"
    words = {"text": ["left", "right"], "target": "same", "method": "head"}
    tunesmith.train(rows, model=str(tiny_model), precision="fp32", out=out, **words)
    return out
