"""Toys for the data tests: files written from lines, and `prepare` with its events caught."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from toys import sentence
from tunesmith.core.events import Event
from tunesmith.data.prepare import prepare
from tunesmith.data.prepared import PreparedData
from tunesmith.data.types import ReadOptions, SplitOptions, ValueOptions


class Bench:
    """Prepares data in a folder of its own and remembers the events."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.events: list[Event] = []

    def write(self, name: str, lines: list[str] | bytes, encoding: str = "utf-8") -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(lines if isinstance(lines, bytes) else ("\n".join(lines) + "\n").encode(encoding))
        return path

    def __call__(self, source: Any, seed: int = 0, **given: Any) -> PreparedData:
        names = SplitOptions.model_fields
        chosen = {name: given.pop(name) for name in list(given) if name in names}
        options = SplitOptions(**{"validation_size": 0.1, "test_size": 0.1, **chosen})
        words = {name: given.pop(name) for name in list(given) if name in ReadOptions.model_fields}
        reading = given.pop("reading", None) or ReadOptions(**words)
        values = ValueOptions(**{name: given.pop(name) for name in list(given) if name in ValueOptions.model_fields})
        return prepare(
            source,
            options=options,
            values=values,
            reading=reading,
            seed=seed,
            emit=self.events.append,
            cache_dir=self.folder / "cache",
            **given,
        )

    def said(self, what: str) -> str:
        """Value and reason (or message) of the events about this, in one string."""
        found = [event.record() for event in self.events if event.record().get("what") == what]
        return " | ".join(f"{event.get('value', '')} {event.get('why', event.get('message'))}" for event in found)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def ticket_lines() -> Callable[..., list[str]]:
    """CSV lines: a header, and `count` rows of two classes in turn."""

    def lines(count: int = 20, labels: str = "ab", delimiter: str = ",") -> list[str]:
        rows = [f"{sentence(n)}{delimiter}{labels[n % len(labels)]}" for n in range(count)]
        return [f"text{delimiter}label", *rows]

    return lines
