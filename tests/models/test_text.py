"""Pooling that survives saving: the saved model is a plain transformers model with the same logits."""

from __future__ import annotations

import shutil
import struct
from types import SimpleNamespace

import pytest
import torch

from tunesmith.core.errors import ModelError
from tunesmith.models import catalog
from tunesmith.models.blocks import depths
from tunesmith.models.loaders.encoder import load_text_base, load_text_finished, save_text_model

LABELS = ["bad", "good", "so-so"]
TEXTS = [
    "the card is broken",
    "thanks",
    "where is my order? it was late and i am angry, please help me again",
]


def load(folder, **named):
    return load_text_base(
        str(folder), label_names=LABELS, problem_type="single_label_classification", dropout=0.0, **named
    )


def batch(bundle):
    return dict(bundle.tokenizer(TEXTS, padding=True, return_tensors="pt"))


def logits(bundle):
    with torch.no_grad():
        return bundle.model.eval()(batch(bundle))


@pytest.fixture(params=["tiny", "minilm", "roberta"])
def base(request, tmp_path):
    if request.param == "tiny":
        return request.getfixturevalue("tiny_model")
    if request.param == "minilm":
        return request.getfixturevalue("minilm")
    from transformers import RobertaConfig, RobertaModel

    folder = tmp_path / "roberta"
    shutil.copytree(request.getfixturevalue("tiny_model"), folder)
    config = RobertaConfig(
        vocab_size=400, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=66, pad_token_id=0, type_vocab_size=2,
    )  # fmt: skip
    RobertaModel(config).save_pretrained(folder)
    return folder


def test_a_saved_model_loads_with_plain_transformers_and_answers_the_same(base, tmp_path):
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    bundle = load(base)
    torch.nn.init.normal_(bundle.model.head.weight, std=0.3)
    ours = logits(bundle)
    save_text_model(bundle, tmp_path / "model", max_length=32)

    plain = AutoModelForSequenceClassification.from_pretrained(tmp_path / "model").eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    with torch.no_grad():
        theirs = plain(**tokenizer(TEXTS, padding=True, return_tensors="pt")).logits
    assert (ours - theirs).abs().max() < 1e-5
    assert plain.config.id2label == dict(enumerate(LABELS))
    assert plain.config.label2id == {"bad": 0, "good": 1, "so-so": 2}
    assert plain.config.num_labels == 3
    assert tokenizer.model_max_length == 32

    again = load_text_finished(tmp_path / "model")
    assert (ours - logits(again)).abs().max() < 1e-5
    assert again.max_length == 32
    assert len(list(again.model.network.base_model.encoder.layer)) == len(
        list(bundle.model.network.base_model.encoder.layer)
    )


def test_pooling_is_the_mean_over_the_tokens_that_are_not_padding(minilm):
    bundle = load(minilm)
    inputs = batch(bundle)
    with torch.no_grad():
        features = bundle.model.eval().features(inputs)
        hidden = bundle.model.network.base_model(**inputs).last_hidden_state
    mask = inputs["attention_mask"].unsqueeze(-1)
    mean = (hidden * mask).sum(1) / mask.sum(1)
    assert bundle.model.pooling == "mean"
    alike = torch.cosine_similarity(features, mean - mean.mean(-1, keepdim=True))
    assert alike.min() > 0.999  # normalised and lightly squashed, but the mean all the same


def test_rows_do_not_depend_on_the_padding_beside_them(minilm):
    bundle = load(minilm)
    together = logits(bundle)
    with torch.no_grad():
        alone = torch.cat([bundle.model(dict(bundle.tokenizer([t], return_tensors="pt"))) for t in TEXTS])
    assert (together - alone).abs().max() < 1e-4


def test_depths_count_blocks_from_the_embeddings_to_the_head(tiny_model):
    found, top = depths(load(tiny_model).model)
    assert top == 3
    assert found["network.bert.embeddings.word_embeddings.weight"] == 0
    assert found["network.bert.encoder.layer.0.attention.self.query.weight"] == 1
    assert found["network.bert.encoder.layer.1.output.dense.weight"] == 2
    assert found["network.classifier.weight"] == 3


# what is refused


def test_a_packaged_copy_that_differs_from_the_published_weights_is_refused(minilm, tmp_path, monkeypatch):
    copy = tmp_path / "copy"
    shutil.copytree(minilm, copy)
    weights = copy / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    monkeypatch.setattr(catalog, "_packaged", lambda entry: copy if entry.package else None)
    with pytest.raises(ModelError, match=r"not the published ones.*53aa5117") as caught:
        load("minilm")
    assert "einstall" in str(caught.value)


def test_a_model_with_pickled_weights_only_is_refused_with_the_way_to_convert_it(tiny_model, tmp_path):
    folder = tmp_path / "pickled"
    shutil.copytree(tiny_model, folder)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="save_pretrained") as caught:
        load(folder)
    assert "pytorch_model.bin" in str(caught.value)
    bare = tmp_path / "bare"  # as weights of other tools lie around
    bare.mkdir()
    (bare / "resnet.th").write_bytes(b"\x80")
    with pytest.raises(ModelError, match=r"resnet\.th[\s\S]*save_pretrained"):
        load(bare)


def test_a_model_of_the_hub_that_has_pickles_only_is_not_fetched(monkeypatch):
    import huggingface_hub

    files = [SimpleNamespace(rfilename=name) for name in ("config.json", "pytorch_model.bin")]
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", lambda *_, **__: SimpleNamespace(siblings=files))
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: pytest.fail("it was fetched"))
    with pytest.raises(ModelError, match="'someone/old' has only pickled weights"):
        load("someone/old")


@pytest.mark.parametrize(
    "content", [b"", b"\x80\x04pickle", struct.pack("<Q", 2**40) + b"{}", struct.pack("<Q", 2) + b"no"]
)
def test_a_file_that_only_calls_itself_safetensors_is_refused(tiny_model, tmp_path, content):
    folder = tmp_path / "fake"
    shutil.copytree(tiny_model, folder)
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(ModelError, match="safetensors"):
        load(folder)


def test_truncated_weights_are_refused(tiny_model, tmp_path):
    folder = tmp_path / "cut"
    shutil.copytree(tiny_model, folder)
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[:-10])
    with pytest.raises(ModelError, match="should be"):
        load(folder)


def test_a_model_that_does_not_fit_the_task_is_refused_with_what_would_fit(tmp_path):
    from transformers import ViTConfig, ViTModel

    config = ViTConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=1, intermediate_size=16, image_size=16)
    ViTModel(config).save_pretrained(tmp_path / "vit")
    with pytest.raises(ModelError, match=r"vit.*reads pictures, and this task reads texts.*\n.*minilm"):
        load(tmp_path / "vit")


def test_code_in_a_model_folder_is_never_run(tiny_model, tmp_path):
    import json

    folder = tmp_path / "code"
    shutil.copytree(tiny_model, folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "evil", "auto_map": {"AutoConfig": "evil.Config"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(ModelError, match="its own code is not run"):
        load(folder)
    assert not (tmp_path / "ran").exists()


def test_unknown_names_get_the_nearest_one_and_an_unreachable_hub_what_is_here(minilm):
    with pytest.raises(ModelError, match="Did you mean 'minilm'"):
        catalog.fetch("minilmm")
    with pytest.raises(ModelError, match="hub can not be reached") as caught:
        catalog.fetch("someone/some-model")
    assert "minilm" in caught.value.fix


def test_a_folder_without_config_or_with_a_broken_one_says_so(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match=r"no config\.json"):
        load(tmp_path / "empty")
    (tmp_path / "empty" / "config.json").write_text("{")
    with pytest.raises(ModelError, match="not valid JSON"):
        load(tmp_path / "empty")


def test_a_tokenizer_with_more_tokens_than_the_model_has_embeddings_is_refused(tiny_model, tmp_path):
    from transformers import AutoTokenizer

    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(["more", "words"])
    tokenizer.save_pretrained(folder)
    with pytest.raises(ModelError, match=r"tokens and the model embeddings for [\d,]+: they do not belong together"):
        load(folder)
