"""Bottleneck adapters: the identity at first, stacked in order, saved beside the base and read by others."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import PeftModel, get_peft_model

import tunesmith
from readers import by_transformers, by_tunesmith
from tunesmith.core import registry
from tunesmith.models.additions import add_to
from tunesmith.models.bottleneck import BottleneckConfig, BottleneckLayer
from tunesmith.models.bundle import Bundle
from tunesmith.models.loaders.encoder import load_text_base

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")


@pytest.fixture
def bundle(tiny_model: Path) -> Bundle:
    torch.manual_seed(0)
    return load_text_base(
        str(tiny_model), label_names=["no", "yes"], problem_type="single_label_classification", dropout=0.0
    )


@pytest.mark.parametrize(("adapter_type", "many"), [("pfeiffer", 2), ("houlsby", 4)])
def test_they_stand_after_the_parts_of_each_block(bundle: Bundle, adapter_type: str, many: int) -> None:
    plugin = registry.get("methods", "adapters")
    plugin(plugin.Options(adapter_type=adapter_type)).prepare(bundle, 0)
    assert sum(isinstance(module, BottleneckLayer) for module in bundle.model.modules()) == many


@torch.no_grad()
def test_adapters_stack_in_order(bundle: Bundle) -> None:
    config = BottleneckConfig(target_modules=["encoder.layer.0.output.dense"], reduction_factor=8)
    peft = add_to(bundle.model, config, 0)
    peft.add_adapter("second", BottleneckConfig(target_modules=["encoder.layer.0.output.dense"], reduction_factor=4))
    layer = next(m for m in bundle.model.modules() if isinstance(m, BottleneckLayer))
    assert not any(p.requires_grad for p in layer.bottleneck_down["second"].parameters())
    for name in ("default", "second"):
        layer.bottleneck_up[name].weight.normal_()
    x = torch.randn(3, 64)
    result = layer.base_layer(x)
    for name in ("default", "second"):
        result = result + layer.bottleneck_up[name](layer.bottleneck_down[name](result).relu())
    peft.base_model.set_adapter(["default", "second"])
    torch.testing.assert_close(layer(x), result)


@pytest.mark.slow
def test_a_new_process_reads_saved_adapters(
    train: Callable[..., tunesmith.Run], ticket_file: Path, tickets: Any
) -> None:
    run = train(ticket_file, method="adapters", learning_rate=3e-3)
    texts = [row["text"] for row in tickets[:5]]
    expected = run.model.probabilities(texts)
    np.testing.assert_allclose(by_transformers(run.folder.model, texts, "bottleneck"), expected, atol=1e-5)
    np.testing.assert_allclose(by_tunesmith(run.folder.model, texts), expected, atol=1e-5)
    saved = json.loads((run.folder.model / "adapter_config.json").read_text(encoding="utf-8"))
    assert saved["peft_type"] == "BOTTLENECK"
    size = (run.folder.model / "adapter_model.safetensors").stat().st_size
    assert size < 0.1 * (run.folder.model / "model.safetensors").stat().st_size


def test_adapters_are_peft_models_of_their_own(bundle: Bundle, in_tmp: Path) -> None:
    """Saved and loaded by PEFT alone, onto a network without our head."""
    network = bundle.model.network
    peft = get_peft_model(network, BottleneckConfig(target_modules=["output.dense"]))
    with torch.no_grad():
        for layer in (m for m in peft.modules() if isinstance(m, BottleneckLayer)):
            layer.bottleneck_up["default"].weight.normal_()
    peft.save_pretrained("adapter")
    batch = dict(bundle.tokenizer(["the card is lost"], return_tensors="pt"))
    expected = peft.eval()(**batch).logits
    again = PeftModel.from_pretrained(peft.unload(), "adapter").eval()
    torch.testing.assert_close(again(**batch).logits, expected)
