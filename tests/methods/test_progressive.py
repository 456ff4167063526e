"""Progressive networks: each task in a column of its own, what earlier ones answer is kept to the bit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tunesmith
from crashes import At, Killed, kill, weights
from readers import by_transformers
from tunesmith.core import registry
from tunesmith.core.errors import ModelError, OptionError
from tunesmith.models import column
from tunesmith.models.bundle import Bundle
from tunesmith.models.loaders.encoder import load_text_base

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")
FAST = {"method": "progressive", "precision": "fp32", "batch_size": 8, "learning_rate": 3e-3, "epochs": 6}
Rows = list[dict[str, Any]]


@pytest.fixture
def bundle(tiny_model: Path) -> Bundle:
    torch.manual_seed(0)
    found = load_text_base(
        str(tiny_model), label_names=["no", "yes"], problem_type="single_label_classification", dropout=0.0
    )
    found.model.eval()
    return found


def method(**words: Any) -> Any:
    plugin = registry.get("methods", "progressive")
    return plugin(plugin.Options(**words))


@torch.no_grad()
def features(bundle: Bundle) -> torch.Tensor:
    batch = dict(bundle.tokenizer(["the card is lost", "thanks"], padding=True, return_tensors="pt"))
    return bundle.model.features(batch)


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_a_column_starts_as_what_was_known_and_leaves_it(bundle: Bundle, share: float) -> None:
    before = features(bundle)
    plugin = method(shared_share=share)
    plugin.prepare(bundle, 0)
    assert len(column.layers(bundle.model.network)) == (2 if share == 0 else 1)
    torch.testing.assert_close(features(bundle), before, rtol=0, atol=0)
    moved = [parameter for parameter in bundle.model.parameters() if parameter.requires_grad]
    with torch.no_grad():
        for parameter in moved:
            parameter.add_(torch.randn_like(parameter))
    assert (features(bundle) - before).abs().max() > 0.1
    with plugin.reading(bundle, None):
        assert torch.equal(features(bundle), before)


@torch.no_grad()
def test_a_block_reads_its_own_column_and_all_earlier_ones() -> None:
    base = torch.nn.Linear(4, 4)
    config = column.ColumnConfig(columns=2, first_block="a", last_block="b", reduction_factor=2)
    layer = column.ColumnLayer(base, "default", config, "a", 4)
    for (block, down, up), number in zip(layer.columns(), (1, 2), strict=True):
        assert down.in_features == 4 * number
        for parameter in (*block.parameters(), *up.parameters()):
            parameter.normal_()
    x = torch.randn(3, 4)
    expected = [base(x)]
    for number, (block, down, up) in enumerate(layer.columns(), 1):
        expected.append(block(x + up(down(x.repeat(1, number)).relu())))
    torch.testing.assert_close(layer(x), torch.cat(expected, dim=-1))
    layer.reading = 1
    torch.testing.assert_close(layer(x), torch.cat(expected[:2], dim=-1))


@pytest.mark.slow
def test_three_tasks_in_turn_lose_nothing(in_tmp: Path, tiny_model: Path, tickets: Rows) -> None:
    parities = [{"text": row["text"], "label": "even" if (i // 5) % 2 else "odd"} for i, row in enumerate(tickets)]
    lengths = [{"text": row["text"], "label": "long" if len(row["text"]) > 20 else "short"} for row in tickets]
    tunesmith.train(tickets, out="one", model=str(tiny_model), **{**FAST, "method": "full"})
    second = tunesmith.train(parities, out="two", continue_from="one", **FAST)
    third = tunesmith.train(lengths, out="three", continue_from="two", **FAST)
    for run in (second, third):
        found = run.document["forgetting"]
        assert [task["before"] for task in found["tasks"]] == [task["after"] for task in found["tasks"]]
        assert found["lost"] == {"value": 0.0, "low": 0.0, "high": 0.0}
        assert found["drift"]["cka"] == pytest.approx(1.0)
    one, two = (third.document["forgetting"]["matrix"]["values"][stage][stage] for stage in (0, 1))
    assert third.document["forgetting"]["matrix"]["values"][2][:2] == [one, two]

    saved = json.loads((third.folder.model / "adapter_config.json").read_text(encoding="utf-8"))
    assert (saved["peft_type"], saved["columns"]) == ("COLUMN", 2)
    texts = [row["text"] for row in tickets[:5]]
    expected = third.model.probabilities(texts)
    np.testing.assert_allclose(by_transformers(third.folder.model, texts, "column"), expected, atol=1e-5)

    with pytest.raises(OptionError, match="column of its own: --method progressive"):
        tunesmith.train(parities, out="four", continue_from="three", method="full")
    with pytest.raises(ModelError, match="beside it, what a run added"):
        tunesmith.train(parities, out="five", model=str(third.folder.model))


@pytest.mark.story
def test_a_killed_run_goes_on_with_the_same_bits(
    train: Callable[..., tunesmith.Run], ticket_file: Path, in_tmp: Path
) -> None:
    words = {**FAST, "save_steps": 2, "epochs": 2}
    whole = train(ticket_file, "whole", **words)
    with pytest.raises(Killed):
        train(ticket_file, "killed", listeners=[At(7, kill)], **words)
    assert weights(tunesmith.resume(in_tmp / "killed")) == weights(whole)
