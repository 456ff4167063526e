"""Additions beside a frozen base: at first they change nothing, switched off they leave it, merged they stay true."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from language_models import CONTEXT, network, tokenizer
from tunesmith.core import registry
from tunesmith.models.additions import quiet_peft
from tunesmith.models.bundle import Bundle
from tunesmith.models.language import LanguageModel
from tunesmith.models.loaders.encoder import load_text_base

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")

ADDED = {
    "lora": ("lora", {}),
    "dora": ("lora", {"dora": True}),
    "ia3": ("ia3", {}),
    "pfeiffer": ("adapters", {}),
    "houlsby": ("adapters", {"adapter_type": "houlsby"}),
}
MERGED = ["lora", "dora", "ia3"]
CASES = [("rows", name) for name in ADDED] + [(family, name) for family in ("llama", "gpt2") for name in MERGED]


def make(name: str) -> Any:
    method, words = ADDED.get(name, (name, {}))
    plugin = registry.get("methods", method)
    return plugin(plugin.Options(**words))


class Rows:
    """An encoder with a head, and rows for it."""

    def __init__(self, folder: Path):
        torch.manual_seed(0)
        self.bundle: Any = load_text_base(
            str(folder), label_names=["no", "yes"], problem_type="single_label_classification", dropout=0.0
        )
        self.batch = dict(self.bundle.tokenizer(["the card is lost", "thanks"], padding=True, return_tensors="pt"))

    def answer(self) -> Tensor:
        """What the head reads: the head itself is trained too, and is none of the base."""
        with torch.no_grad():
            return self.bundle.model.eval().features(self.batch)  # type: ignore[no-any-return]

    def loss(self) -> Tensor:
        return torch.nn.functional.cross_entropy(self.bundle.model(self.batch), torch.tensor([0, 1]))


class Written:
    """A language model, and texts for it."""

    def __init__(self, family: str):
        model = LanguageModel(network(family).eval())
        self.bundle = Bundle(model, tokenizer(family), family, "", CONTEXT, kind="causal")
        ids = torch.randint(5, 250, (2, 9), generator=torch.Generator().manual_seed(0))
        self.batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}

    def answer(self) -> Tensor:
        with torch.no_grad():
            logits: Tensor = self.bundle.model.eval().running(**self.batch, use_cache=False).logits
        return logits

    def loss(self) -> Tensor:
        places = {"positions": torch.arange(9), "labels": torch.arange(9) + 20}
        losses: Tensor = self.bundle.model({**self.batch, **places})[0]
        return losses.mean()


def trained(case: Any, name: str) -> Any:
    """The method, after three real steps."""
    method = make(name)
    method.prepare(case.bundle, 0)
    groups = [
        {"params": list(group.parameters.values()), "lr": 30 * group.learning_rate}
        for group in method.groups(case.bundle, method.learning_rate)
    ]
    optimizer = torch.optim.AdamW([group for group in groups if group["params"]])
    case.bundle.model.train()
    for _ in range(3):
        optimizer.zero_grad()
        case.loss().backward()
        optimizer.step()
    return method


def off(case: Any, method: Any) -> AbstractContextManager[Any]:
    adapted = getattr(case.bundle.model, "adapted", None) or method._peft
    return adapted.disable_adapter()  # type: ignore[no-any-return]


@pytest.fixture(params=CASES, ids="-".join)
def case(request: pytest.FixtureRequest, tiny_model: Path) -> tuple[Any, str]:
    family, name = request.param
    return (Rows(tiny_model) if family == "rows" else Written(family)), name


def test_before_any_step_the_answers_are_those_of_the_base(case: tuple[Any, str]) -> None:
    rows, name = case
    base = rows.answer()
    make(name).prepare(rows.bundle, 0)
    assert torch.equal(rows.answer(), base)


@pytest.mark.parametrize("family", ["rows", "gpt2"])
def test_bitfit_starts_from_the_base(family: str, tiny_model: Path) -> None:
    rows: Any = Rows(tiny_model) if family == "rows" else Written(family)
    base = rows.answer()
    make("bitfit").prepare(rows.bundle, 0)
    assert torch.equal(rows.answer(), base)


def test_switched_off_after_training_the_answers_are_those_of_the_base(case: tuple[Any, str]) -> None:
    rows, name = case
    base = rows.answer()
    method = trained(rows, name)
    moved = rows.answer()
    assert (moved - base).abs().max() > 1e-3
    with off(rows, method):
        assert torch.equal(rows.answer(), base)
    assert torch.equal(rows.answer(), moved)  # and on again


@pytest.mark.parametrize("family", ["llama", "gpt2"])
@pytest.mark.parametrize("name", ["prefix", "prompt"])
def test_virtual_tokens_are_switched_off_after_training(name: str, family: str) -> None:
    rows = Written(family)
    base = rows.answer()
    method = trained(rows, name)
    moved = rows.answer()
    assert (moved[:, -base.shape[1] :] - base).abs().max() > 1e-4
    with off(rows, method):
        assert torch.equal(rows.answer(), base)
    assert torch.equal(rows.answer(), moved)


def test_taken_out_after_training_the_weights_are_those_of_the_base(case: tuple[Any, str]) -> None:
    rows, name = case
    head = {f"{part}.{kind}" for part in ("classifier", "score") for kind in ("weight", "bias")}
    before = {key: tensor.clone() for key, tensor in rows.bundle.model.network.state_dict().items()}
    method = trained(rows, name)
    with quiet_peft():
        after = method._peft.unload().state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[key], before[key]) for key in before if key not in head)


@pytest.mark.parametrize("case", [case for case in CASES if case[1] in MERGED], ids="-".join, indirect=True)
def test_merged_the_answers_stay(case: tuple[Any, str], tmp_path: Path) -> None:
    rows, name = case
    base = rows.answer()
    method = trained(rows, name)
    expected = rows.answer()
    method.merge(rows.bundle, tmp_path)
    rows.bundle.model.adapted = None
    assert not any("lora_" in key or "ia3_" in key for key in rows.bundle.model.network.state_dict())
    torch.testing.assert_close(rows.answer(), expected, atol=1e-4, rtol=1e-4)
    assert (rows.answer() - base).abs().max() > 1e-3
