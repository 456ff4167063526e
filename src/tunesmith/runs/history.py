"""What a run's events tell afterwards: its curves, its choices; and what it ran with."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from pathlib import Path

from tunesmith.core import events
from tunesmith.core.spec import Words
from tunesmith.core.version import VERSION

_CURVES = ("step", "epoch", "loss", "learning_rate", "gradient_norm")


def read_curves(path: Path) -> dict[str, list[dict[str, float]]]:
    """Losses and validation metrics by step from events.jsonl; after a resume the later record counts."""
    train: dict[int, dict[str, float]] = {}
    validation: dict[int, dict[str, float]] = {}
    rolled_back: list[dict[str, float]] = []
    for record in events.read(path):
        if record["event"] == "step":
            train[record["step"]] = {name: record[name] for name in _CURVES}
        elif record["event"] == "evaluated":
            epoch = train[record["step"]]["epoch"] if record["step"] in train else 0.0
            point = {"step": record["step"], "epoch": epoch, "best": record["best"]}
            validation[record["step"]] = {**point, **record["metrics"]}
        elif record["event"] == "rolled_back":
            rolled_back.append({name: record[name] for name in ("step", "to_step")})
    return {
        "train": [train[step] for step in sorted(train)],
        "validation": [validation[step] for step in sorted(validation)],
        "rolled_back": rolled_back,
    }


def latest(log: Sequence[Words], event: str, names: tuple[str, ...]) -> list[Words]:
    """Records of one kind, each said once however often the run was resumed."""
    found = {}
    for record in log:
        if record["event"] == event:
            short = {name: record[name] for name in names}
            found[json.dumps(short, sort_keys=True, default=str)] = short
    return list(found.values())


def versions() -> dict[str, str]:
    import torch
    import transformers

    return {
        "tunesmith": VERSION,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }
