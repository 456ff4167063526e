"""Methods beyond what every one is asked in the conformance tests: which weights move, and by how much."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import LlamaConfig, LlamaForCausalLM

import language_models
import tunesmith
from language_models import network
from tunesmith.core import registry
from tunesmith.core.errors import ModelError, OptionError
from tunesmith.families.predictive import linear_head
from tunesmith.models import additions
from tunesmith.models.blocks import depths, freeze, frozen_names, list_blocks
from tunesmith.models.bundle import Bundle
from tunesmith.models.language import LanguageModel
from tunesmith.models.loaders.encoder import load_text_base
from tunesmith.workflows import base_models

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")

PARTS = ["embeddings", "layers.0", "layers.1", "head"]


@pytest.fixture
def bundle(tiny_model: Path) -> Bundle:
    torch.manual_seed(0)
    return load_text_base(
        str(tiny_model), label_names=["no", "yes"], problem_type="single_label_classification", dropout=0.0
    )


@pytest.fixture
def llama() -> Any:
    """A language model as methods see one: a network, and an output layer that was trained before."""
    config = LlamaConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=3, num_attention_heads=2, intermediate_size=32,
        tie_word_embeddings=False,
    )  # fmt: skip
    model = torch.nn.Module()
    model.network = LlamaForCausalLM(config)
    model.head = model.network.lm_head  # a second name for the same layer
    model.adapted = None
    return model


def make(name: str, **words: Any) -> Any:
    plugin = registry.get("methods", name)
    return plugin(plugin.Options(**words))


def train(tickets: Any, model: Path, method: str, **words: Any) -> tunesmith.Run:
    """Trained and measured on the same rows, so that the weights of the last epochs are the best."""
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in tickets), encoding="utf-8")
    return tunesmith.train(
        "rows.jsonl", validation="rows.jsonl", test="rows.jsonl", model=str(model), method=method, out=method,
        precision="fp32", **{"epochs": 2, "callbacks": [], "learning_rate": 1e-2, **words},
    )  # fmt: skip


def body(tiny_model: Path, run: tunesmith.Run) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Weights of the base model before and after, without its pooler, which is not used."""
    before = load_file(tiny_model / "model.safetensors")
    after = load_file(run.folder.model / "model.safetensors")
    return {n: (before[n], after[f"bert.{n}"]) for n in before if not n.startswith("pooler.")}


@pytest.mark.story
def test_bitfit_moves_every_bias_and_nothing_else(tiny_model: Path, tickets: Any, in_tmp: Path) -> None:
    pairs = body(tiny_model, train(tickets, tiny_model, "bitfit"))
    moved = {name for name, (before, after) in pairs.items() if not torch.equal(before, after)}
    # adding one number to every score of a row changes no softmax, so key biases have no gradient
    assert moved | {n for n in pairs if n.endswith("key.bias")} == {n for n in pairs if n.endswith("bias")}


def test_bitfit_needs_biases(llama: Any) -> None:
    with pytest.raises(ModelError, match="no biases"):
        make("bitfit").prepare(Bundle(llama, None, "tiny-llama", "", 64, 64), 0)


@pytest.mark.story
def test_ia3_multiplies_its_scales_into_the_weights(tiny_model: Path, tickets: Any, in_tmp: Path) -> None:
    run = train(tickets, tiny_model, "ia3", learning_rate=1e-3)
    adapter = run.folder.model / "adapter"
    assert json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))["peft_type"] == "IA3"
    scales = load_file(adapter / "adapter_model.safetensors")
    assert len(scales) == 2 * 3
    for name, (before, after) in body(tiny_model, run).items():
        scale = scales.get(f"base_model.model.bert.{name.rpartition('.')[0]}.ia3_l")
        if scale is None:
            assert torch.equal(before, after), name
        elif name.endswith("weight"):
            assert not torch.allclose(scale, torch.ones(()))
            torch.testing.assert_close(after, before * scale)
        else:  # an output's scale takes its bias along, an input's does not
            torch.testing.assert_close(after, before * scale.flatten() if len(scale) > 1 else before)


@pytest.mark.story
def test_dora_keeps_lengths_apart_and_merges(tiny_model: Path, tickets: Any, in_tmp: Path) -> None:
    run = train(tickets, tiny_model, "lora", dora=True)
    tensors = load_file(run.folder.model / "adapter" / "adapter_model.safetensors")
    low, length = "lora_A.weight", "lora_magnitude_vector"
    stem = "base_model.model.bert.encoder.layer.0.intermediate.dense"
    before, after = body(tiny_model, run)["encoder.layer.0.intermediate.dense.weight"]
    added = before + tensors[f"{stem}.lora_B.weight"] @ tensors[f"{stem}.{low}"] * 32 / 16**0.5
    expected = tensors[f"{stem}.{length}"][:, None] * added / added.norm(dim=1, keepdim=True)
    torch.testing.assert_close(after, expected)
    assert not torch.allclose(before, after)


def test_scratch_forgets_the_base_model(bundle: Bundle) -> None:
    before = {name: p.detach().clone() for name, p in bundle.model.named_parameters()}
    make("scratch").prepare(bundle, 1)
    drawn = {name: p.detach().clone() for name, p in bundle.model.named_parameters()}
    unused = "network.bert.pooler.dense.weight"  # the mean is written in its place
    for name, weight in before.items():
        if weight.ndim == 2 and name != unused:
            assert not torch.equal(weight, drawn[name]), name
            assert float(drawn[name].std()) == pytest.approx(bundle.model.config.initializer_range, rel=0.3)
    make("scratch").prepare(bundle, 1)
    assert all(torch.equal(p, drawn[name]) for name, p in bundle.model.named_parameters())
    make("scratch").prepare(bundle, 2)
    assert not all(torch.equal(p, drawn[name]) for name, p in bundle.model.named_parameters())


@pytest.mark.parametrize(("family", "patterns"), [("bert", ["embeddings", "layers.0"]), ("gpt2", ["embeddings"])])
def test_scratch_leaves_what_is_frozen(bundle: Bundle, family: str, patterns: list[str]) -> None:
    if family == "gpt2":  # whose embeddings are its output layer too
        bundle.model = LanguageModel(network(family))
    freeze(bundle.model, patterns)
    before = {name: p.detach().clone() for name, p in bundle.model.named_parameters()}
    kept = frozen_names(bundle.model, patterns)
    make("scratch").prepare(bundle, 1)
    for name, parameter in bundle.model.named_parameters():
        if name in kept or (parameter.ndim == 2 and parameter.requires_grad):
            assert torch.equal(before[name], parameter) == (name in kept), name


@pytest.mark.parametrize(
    ("names", "keys_and_values", "ends"),
    [
        (["bert.encoder.layer.0.attention.self.query", "bert.encoder.layer.0.attention.self.key",
          "bert.encoder.layer.0.attention.self.value", "bert.encoder.layer.0.attention.output.dense",
          "bert.encoder.layer.0.intermediate.dense", "bert.encoder.layer.0.output.dense"], [1, 2], [5]),
        (["model.layers.0.self_attn.q_proj", "model.layers.0.self_attn.k_proj", "model.layers.0.self_attn.v_proj",
          "model.layers.0.self_attn.o_proj", "model.layers.0.mlp.gate_proj", "model.layers.0.mlp.up_proj",
          "model.layers.0.mlp.down_proj"], [1, 2], [6]),
        (["distilbert.transformer.layer.0.attention.q_lin", "distilbert.transformer.layer.0.attention.k_lin",
          "distilbert.transformer.layer.0.attention.v_lin", "distilbert.transformer.layer.0.attention.out_lin",
          "distilbert.transformer.layer.0.ffn.lin1", "distilbert.transformer.layer.0.ffn.lin2"], [1, 2], [5]),
        (["layers.0.attn.Wqkv", "layers.0.attn.Wo", "layers.0.mlp.Wi", "layers.0.mlp.Wo"], [0], [3]),
        (["gpt_neox.layers.0.attention.query_key_value", "gpt_neox.layers.0.attention.dense",
          "gpt_neox.layers.0.mlp.dense_h_to_4h", "gpt_neox.layers.0.mlp.dense_4h_to_h"], [0], [3]),
        (["mpnet.encoder.layer.0.attention.attn.q", "mpnet.encoder.layer.0.attention.attn.k",
          "mpnet.encoder.layer.0.attention.attn.v", "mpnet.encoder.layer.0.attention.attn.o",
          "mpnet.encoder.layer.0.intermediate.dense", "mpnet.encoder.layer.0.output.dense"], [1, 2], [5]),
    ],
)  # fmt: skip
def test_layers_are_known_by_name_in_every_family(
    names: list[str], keys_and_values: list[int], ends: list[int]
) -> None:
    assert additions.key_value_targets(names) == [names[i] for i in keys_and_values]
    assert additions.feed_forward_targets(names) == [names[i] for i in ends]


def test_the_output_layer_of_a_language_model_stays_as_it_is(llama: Any) -> None:
    method = make("ia3")
    method.prepare(Bundle(llama, None, "tiny-llama", "", 64, 64), 0)
    moving = set(additions.moving(llama))
    assert len(moving) == 3 * 3
    assert all("ia3_l" in name for name in moving)
    assert llama.adapted is not None
    scales, head = method.groups(Bundle(llama, None, "", "", 64, 64), 1e-3)
    assert set(scales.parameters) == moving
    assert not head.parameters


def test_adding_to_a_frozen_network_is_refused(bundle: Bundle) -> None:
    for parameter in bundle.model.body_parameters():
        parameter.requires_grad_(False)
    with pytest.raises(OptionError, match="BertForSequenceClassification"):
        make("lora").prepare(bundle, 0)


# blocks


def test_blocks_are_listed_from_the_bottom_and_hold_every_parameter(bundle: Bundle, llama: Any) -> None:
    blocks = list_blocks(bundle.model)
    assert [block.name for block in blocks] == PARTS
    assert sum(block.parameters for block in blocks) == sum(p.numel() for p in bundle.model.parameters())
    assert blocks[1].parameters == blocks[2].parameters == 4 * (32 * 32 + 32) + 2 * 32 * 64 + 64 + 32 + 4 * 32
    del llama.head
    assert [block.name for block in list_blocks(llama)] == ["embeddings", "layers.0", "layers.1", "layers.2", "head"]
    assert list_blocks(llama)[-1].parameters == 16 + 50 * 16  # the last normalisation and the output layer


@pytest.mark.parametrize("family", ["llama", "llama-tied", "gpt2", "t5"])
def test_the_listing_of_a_base_that_writes_text_holds_its_output_layer(family: str) -> None:
    listed = base_models.blocks(str(language_models.folder(family)))
    assert listed == [block._asdict() for block in list_blocks(LanguageModel(network(family)))]


@pytest.mark.parametrize(
    ("patterns", "chosen"),
    [
        (["embeddings"], [0]),
        (["layers.0-1"], [1, 2]),
        (["embeddings,layers.0"], [0, 1]),
        (["layers.*", "head"], [1, 2, 3]),
        ([], []),
    ],
)
def test_patterns_name_blocks(bundle: Bundle, patterns: list[str], chosen: list[int]) -> None:
    depth_of, _ = depths(bundle.model)
    assert frozen_names(bundle.model, patterns) == {name for name, depth in depth_of.items() if depth in chosen}


@pytest.mark.parametrize("pattern", ["layers.2", "layers.0-2", "layers.1-0", "layer.0", "encoder.*", ""])
def test_a_pattern_that_names_nothing_is_refused(bundle: Bundle, pattern: str) -> None:
    with pytest.raises(OptionError, match=r"embeddings, layers.0 to layers.1, head") as error:
        frozen_names(bundle.model, ["embeddings", pattern])
    assert repr(pattern) in str(error.value)


@pytest.mark.story
def test_a_run_leaves_what_it_is_told_to_freeze(tickets: Any, tiny_model: Path, in_tmp: Path) -> None:
    run = train(tickets, tiny_model, "full", freeze=["embeddings,layers.0"], frozen_share=0)
    for name, (before, after) in body(tiny_model, run).items():
        assert torch.equal(before, after) != ("layer.1." in name), name


@pytest.mark.story
@pytest.mark.parametrize("method", ["full", "lora", "adapters", "contrastive", "prompt"])
def test_a_head_that_is_frozen_stays_where_it_began(
    method: str, tickets: Any, tiny_model: Path, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heads: list[torch.Tensor] = []

    def seen(step: Any) -> Any:
        def run(work: Any, *arguments: Any) -> Any:
            done = step(work, *arguments)
            heads.append(work.bundle.model.head.weight.detach().clone())
            return done

        return run

    monkeypatch.setattr(linear_head, "start", seen(linear_head.start))
    monkeypatch.setattr(linear_head, "finish", seen(linear_head.finish))
    train(tickets, tiny_model, method, freeze=["head"])
    before, after = heads
    assert torch.equal(before, after)


def test_a_block_that_is_not_there_is_refused_before_anything_is_computed(
    tickets: Any, tiny_model: Path, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tunesmith.families.predictive.features.features_of_base", None)
    with pytest.raises(OptionError, match=r"'layers\.7' names no block"):
        train(tickets, tiny_model, "head", freeze=["layers.7"])
    assert not Path("head").exists()


def test_a_model_that_is_frozen_as_a_whole_is_refused(tickets: Any, tiny_model: Path, in_tmp: Path) -> None:
    with pytest.raises(OptionError, match="Nothing is left that could move"):
        train(tickets, tiny_model, "full", freeze=["embeddings,layers.0-1,head"])


def test_what_is_frozen_before_gets_no_additions(bundle: Bundle) -> None:
    freeze(bundle.model, ["embeddings", "layers.0"])
    make("lora").prepare(bundle, 0)
    depth_of, top = depths(bundle.model)
    assert {depth_of[name] for name in additions.moving(bundle.model)} == {top - 1, top}
