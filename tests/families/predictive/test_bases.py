"""Bases of many families with one answer per text: what is head and what is body, and whether they learn."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import tunesmith
from tunesmith.core import registry
from tunesmith.core.errors import OptionError
from tunesmith.models import virtual
from tunesmith.models.blocks import depths
from tunesmith.models.loaders.encoder import load_text_base, save_text_model

SIZES = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 64,
         "max_position_embeddings": 66, "pad_token_id": 0}  # fmt: skip
RELATIVE = {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "type_vocab_size": 0}
FAMILIES: dict[str, dict[str, Any]] = {
    "bert": SIZES,
    "roberta": SIZES,
    "xlm-roberta": SIZES,  # has its head before its body
    "camembert": SIZES,
    "mpnet": SIZES,
    "distilbert": {"dim": 32, "n_layers": 3, "n_heads": 2, "hidden_dim": 64, "max_position_embeddings": 66},
    "electra": {**SIZES, "embedding_size": 16},
    "albert": {**SIZES, "embedding_size": 16},
    "deberta": {**SIZES, **RELATIVE},
    "deberta-v2": {**SIZES, **RELATIVE, "position_buckets": 16, "norm_rel_ebd": "layer_norm"},
    "modernbert": {**SIZES, "bos_token_id": 2, "eos_token_id": 3, "cls_token_id": 2, "sep_token_id": 3},
    "gpt2": {"n_embd": 32, "n_layer": 3, "n_head": 2, "n_positions": 66, "pad_token_id": None},
    "llama": {**SIZES, "pad_token_id": None},
}
LEARNS = {"precision": "fp32", "epochs": 8, "learning_rate": 5e-3, "batch_size": 8, "patience": 9, "test_size": 0.4}

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")


@pytest.fixture
def base(request: pytest.FixtureRequest, tiny_model: Path, tmp_path: Path) -> Path:
    from transformers import AutoConfig, AutoModel, AutoTokenizer

    folder = tmp_path / "base"
    shutil.copytree(tiny_model, folder)
    torch.manual_seed(0)
    words = len(AutoTokenizer.from_pretrained(tiny_model))
    AutoModel.from_config(
        AutoConfig.for_model(request.param, vocab_size=words, **FAMILIES[request.param])
    ).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("base", FAMILIES, indirect=True)
def test_the_head_is_the_top_and_reads_the_features(base: Path) -> None:
    bundle = load_text_base(
        str(base), label_names=["a", "b", "c"], problem_type="single_label_classification", dropout=0.0
    )
    model = bundle.model.eval()
    depth_of, top = depths(model)
    assert top == (2 if model.config.model_type == "albert" else 4)  # whose blocks share their weights
    assert {depth for name, depth in depth_of.items() if model.head_name in name} == {top}
    assert {depth for name, depth in depth_of.items() if "embed" in name or ".wte" in name} == {0}
    texts = ["thanks, the card works again", "where is it?", "broken"]
    batch = dict(bundle.tokenizer(texts, padding=True, return_tensors="pt"))
    with torch.no_grad():
        torch.testing.assert_close(model.head(model.features(batch)), model(batch), atol=1e-5, rtol=1e-5)


SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("progressive", "gradual", "adapters")]


@pytest.mark.story
@pytest.mark.parametrize("method", ["full", "lora", *SLOW])
@pytest.mark.parametrize("base", ["xlm-roberta", "deberta-v2", "modernbert", "mpnet", "gpt2", "llama"], indirect=True)
def test_a_base_of_any_family_is_trained_and_saved(base: Path, method: str, tickets: Any, in_tmp: Path) -> None:
    run = tunesmith.train(tickets, out="run", model=str(base), method=method, **{**LEARNS, "epochs": 1})
    answers = run.model.predict([row["text"] for row in tickets[:4]])
    assert {answer["label"] for answer in answers} <= {"praise", "complaint", "question"}


@pytest.mark.story
@pytest.mark.parametrize("method", ["full", "progressive"])
@pytest.mark.parametrize(
    "base",
    [
        "distilbert",
        "modernbert",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("electra", "gpt2", "roberta")),
    ],
    indirect=True,
)
def test_a_run_of_any_family_is_continued_with_all_that_its_head_reads(
    base: Path, method: str, tickets: Any, in_tmp: Path
) -> None:
    """Some have a layer between body and head, which moves and is neither."""
    words = {**LEARNS, "method": method, "epochs": 1, "keep_cache": True}
    first = tunesmith.train(tickets, out="first", model=str(base), seed=1, **words)
    others = [{"text": row["text"], "label": f"{number // 5 % 2}"} for number, row in enumerate(tickets)]
    second = tunesmith.train(others, out="second", continue_from="first", **words)
    begun = load_text_base(
        str(second.folder.cache / "base"), label_names=["0", "1"], problem_type="single_label_classification",
        dropout=0.0,
    ).model.eval()  # fmt: skip
    ended = first.model.bundle.model
    batch = dict(
        first.model.bundle.tokenizer(["thanks, the card works again", "where?"], padding=True, return_tensors="pt")
    )
    with torch.no_grad():
        torch.testing.assert_close(begun.features(batch), ended.features(batch))
    found = second.document["forgetting"]
    assert found["tasks"][0]["before"] == pytest.approx(first.metrics["accuracy"])
    assert method == "full" or found["lost"]["value"] == 0


@pytest.mark.story
@pytest.mark.parametrize("base", ["gpt2", "llama", "xlm-roberta"], indirect=True)
def test_a_decoder_learns_labels_and_numbers(base: Path, tickets: Any, in_tmp: Path) -> None:
    run = tunesmith.train(tickets, out="labels", model=str(base), method="full", **LEARNS)
    assert run.metrics["accuracy"] > 0.6
    rows = [{"text": row["text"], "score": 50.0 + 10 * (row["label"] == "praise") + 0.01 * i}
            for i, row in enumerate(tickets)]  # fmt: skip
    run = tunesmith.train(rows, out="numbers", model=str(base), method="full", **LEARNS)
    assert run.metrics["rmse"] < run.document["baselines"]["mean"]["rmse"]["value"]


WITHOUT = {
    "prefix": {"mpnet", "distilbert", "albert", "deberta", "deberta-v2", "modernbert"},  # take no keys and values
    "prompt": {"gpt2", "llama"},  # would look for the last token by words that are no words
}


def before(bundle: Any, method: str, folder: Path) -> None:
    """Virtual tokens before pairs of texts: what is trained is what peft alone then reads."""
    from peft import AutoPeftModelForSequenceClassification

    adapted = getattr(virtual, f"add_{method}")(bundle, virtual.first_words(bundle, 6, None, 0))
    moving = {name for name, parameter in bundle.model.named_parameters() if parameter.requires_grad}
    assert {name for name in moving if bundle.model.head_name not in name} == {
        "prompted.prompt_encoder.default.embedding.weight"
    }
    with torch.no_grad():
        for name in moving:
            parameter = bundle.model.get_parameter(name)
            parameter.add_(torch.randn_like(parameter), alpha=0.5)
    texts = [["thanks, the card works again", "where is it?"], ["broken", "it is here now, why"]]
    batch = dict(bundle.tokenizer(*texts, padding=True, return_tensors="pt"))
    model = bundle.model.eval()
    with torch.no_grad():
        ours = model(batch)
        torch.testing.assert_close(model.head(model.features(batch)), ours, atol=1e-5, rtol=1e-5)
        save_text_model(bundle, folder, max_length=40)
        alone = AutoPeftModelForSequenceClassification.from_pretrained(folder)
        torch.testing.assert_close(alone(**batch).logits, ours, atol=1e-5, rtol=1e-5)
        with adapted.disable_adapter():
            off = model(batch)
        model.prompted = None
        assert torch.equal(model(batch), off)
        assert (off - ours).abs().max() > 1e-2


@pytest.mark.parametrize("method", WITHOUT)
@pytest.mark.parametrize("base", FAMILIES, indirect=True)
def test_virtual_tokens_before_a_base_of_any_family(base: Path, method: str, tmp_path: Path) -> None:
    bundle = load_text_base(
        str(base), label_names=["a", "b", "c"], problem_type="single_label_classification", dropout=0.0
    )
    moving = {name for name, parameter in bundle.model.named_parameters() if parameter.requires_grad}
    plugin = registry.get("methods", method)
    check = plugin(plugin.Options()).check_network
    if bundle.model.config.model_type in WITHOUT[method]:
        with pytest.raises(OptionError, match=r"no place for a prefix|how long the other texts of the batch are"):
            check(bundle)
    else:
        check(bundle)
    assert bundle.model.prompted is None
    assert moving == {name for name, parameter in bundle.model.named_parameters() if parameter.requires_grad}
    if bundle.model.config.model_type not in WITHOUT[method]:
        before(bundle, method, tmp_path / "saved")


@pytest.mark.parametrize("method", WITHOUT)
def test_virtual_tokens_before_the_first_token_that_counts(method: str, tiny_model: Path, tmp_path: Path) -> None:
    bundle = load_text_base(
        str(tiny_model), label_names=["a", "b", "c"], problem_type="single_label_classification", dropout=0.0
    )
    bundle.model.pooling = "cls"
    before(bundle, method, tmp_path / "saved")
