"""The frozen bottom of the network runs once: same answers, less work, whole after an interruption."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import tunesmith
from tunesmith.engine.tokens import HiddenStates
from tunesmith.families.predictive import frozen_prefix
from tunesmith.models.loaders.encoder import load_text_base


def test_blocks_run_apart_give_what_the_whole_network_gives(tiny_model: Path) -> None:
    bundle = load_text_base(
        str(tiny_model), label_names=["a", "b"], problem_type="single_label_classification", dropout=0.0
    )
    texts = ["the card is broken", "thanks", "where is my order? it was late and i am angry"]
    for attention in ("eager", "sdpa"):
        bundle.model.network.set_attn_implementation(attention)
        batch = dict(bundle.tokenizer(texts, padding=True, return_tensors="pt"))
        with torch.no_grad():
            whole = bundle.model.eval().features(batch)
            apart = {"hidden": bundle.model.bottom(batch, 1), "blocks": torch.tensor(1)}
            above = bundle.model.features({**apart, "attention_mask": batch["attention_mask"]})
        torch.testing.assert_close(above, whole, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_states_are_read_as_they_were_written_with_zeros_after_each_row(tmp_path: Path, dtype: torch.dtype) -> None:
    states = torch.arange(24, dtype=torch.float32).reshape(6, 4).to(dtype)
    (tmp_path / "hidden.bin").write_bytes(states.view(torch.uint8).numpy().tobytes())
    read = HiddenStates(tmp_path / "hidden.bin", 4, 2, dtype).read(np.array([4, 0]), np.array([2, 3]))
    assert int(read["blocks"]) == 2
    assert torch.equal(read["hidden"][0, :2], states[4:])
    assert torch.equal(read["hidden"][1], states[:3])
    assert not read["hidden"][0, 2].any()


def test_a_short_file_is_an_error_and_not_zeros(tmp_path: Path) -> None:
    (tmp_path / "hidden.bin").write_bytes(b"\0" * 20)
    with pytest.raises(OSError, match="shorter"):
        HiddenStates(tmp_path / "hidden.bin", 4, 1, torch.float32).read(np.array([0]), np.array([2]))


@pytest.mark.story
def test_training_from_the_cache_ends_where_training_without_it_does(
    train: Callable[..., tunesmith.Run], ticket_file: Path, records: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = {"frozen_share": 0.5, "epochs": 1}
    cached = train(ticket_file, out="cached", **half)
    with monkeypatch.context() as patch:
        patch.setattr(frozen_prefix, "CACHE_BYTES", 0)
        plain = train(ticket_file, out="plain", **half)
    used = [
        next(event["value"] for event in records(run, "decided") if event["what"] == "frozen_cache")
        for run in (cached, plain)
    ]
    assert used == [True, False]
    left, right = (load_file(run.folder.model / "model.safetensors") for run in (cached, plain))
    for name, tensor in left.items():
        torch.testing.assert_close(right[name], tensor, atol=2e-4, rtol=1e-3)
