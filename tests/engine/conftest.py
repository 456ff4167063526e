"""A training that takes milliseconds: a linear model on features, through the real loop."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tunesmith.core.events import Event
from tunesmith.engine.checkpoint import CheckpointStore
from tunesmith.engine.loop import Setup
from tunesmith.engine.objective import RowObjective
from tunesmith.engine.optim import ParameterGroup
from tunesmith.engine.options import EngineOptions
from tunesmith.engine.stop import StopRequest
from tunesmith.engine.tokens import EncodedRows

ROWS, WIDTH, CLASSES = 48, 6, 3


class TinyModel(nn.Module):
    """Features to logits through one hidden layer with dropout, so that randomness is in play."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.body = nn.Linear(WIDTH, 8)
        self.dropout = nn.Dropout(0.2)
        self.head = nn.Linear(8, CLASSES)

    def forward(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        return self.head(self.dropout(torch.tanh(self.body(batch["features"]))))


def toy_rows() -> EncodedRows:
    random = np.random.default_rng(0)
    targets = np.arange(ROWS) % CLASSES
    features = random.normal(size=(ROWS, WIDTH)).astype(np.float32)
    features[np.arange(ROWS), targets] += 2
    lengths = random.integers(3, 20, ROWS)
    return EncodedRows(
        ids=np.zeros(int(lengths.sum()), dtype=np.int32), types=None,
        offsets=np.concatenate([[0], np.cumsum(lengths)]), cut=np.zeros(0, dtype=np.int64), pad_token_id=0,
        targets=targets.astype(np.int64), row_ids=np.arange(ROWS) + 1000, features=features,
    )  # fmt: skip


@pytest.fixture
def make_setup(tmp_path: Path) -> Callable[..., tuple[Setup, list[Event]]]:
    """`make_setup(folder="a", epochs=3, callbacks=[...], **engine options)` gives a Setup and its events."""

    def make(
        folder: str = "run", epochs: int = 3, callbacks: Any = (), model: nn.Module | None = None,
        rows: EncodedRows | None = None, **options: Any,
    ) -> tuple[Setup, list[Event]]:  # fmt: skip
        model = model or TinyModel()
        rows = rows or toy_rows()
        events: list[Event] = []

        def loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
            return nn.functional.cross_entropy(logits, targets, reduction="none")

        def evaluate() -> dict[str, float]:
            model.eval()
            with torch.no_grad():
                batch = rows.collate(np.arange(ROWS))
                value = float(loss(model(batch), batch["targets"]).mean())
            model.train()
            return {"loss": value}

        store = CheckpointStore(tmp_path / folder / "checkpoints", {"data": "d"})
        setup = Setup(
            model=model, objective=RowObjective(rows, np.arange(ROWS), loss, 4, None, seed=7), evaluate=evaluate,
            metric="loss", higher_is_better=False, groups=[ParameterGroup(dict(model.named_parameters()), 0.01)],
            epochs=epochs, precision="fp32", options=EngineOptions(**options),
            checkpoints=store, callbacks=list(callbacks), emit=events.append, stop=StopRequest(), seed=7,
            device=torch.device("cpu"),
        )  # fmt: skip
        return setup, events

    return make
