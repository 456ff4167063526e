"""A model folder of somebody else is looked through before a library reads it; what is wrong is one clear error."""

from __future__ import annotations

import json
import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import language_models
from tunesmith.core.errors import ModelError
from tunesmith.models.config import read_config
from tunesmith.models.guard import loading
from tunesmith.models.loaders.encoder import load_text_base
from tunesmith.models.loaders.language import load_language_base
from tunesmith.models.pretrained import fingerprint
from tunesmith.models.weight_files import read_header, read_weights
from tunesmith.workflows.base_models import blocks


@pytest.fixture
def base(tiny_model: Path, in_tmp: Path) -> Path:
    """A copy of a small encoder, to damage."""
    return Path(shutil.copytree(tiny_model, in_tmp / "base"))


@pytest.fixture
def writer(in_tmp: Path) -> Path:
    """A copy of a small language model."""
    return Path(shutil.copytree(language_models.folder("llama"), in_tmp / "writer"))


def load(folder: Path) -> Any:
    words: dict[str, Any] = {"label_names": ["a", "b"], "problem_type": "single_label_classification", "dropout": 0.0}
    return load_text_base(str(folder), **words)


def edit(path: Path, **keys: Any) -> None:
    content = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    path.write_text(json.dumps({**content, **keys}), encoding="utf-8")


def header(path: Path, change: Callable[[dict[str, Any], list[str]], Any]) -> None:
    """Write a safetensors file anew with another header; the bytes behind it stay."""
    content = path.read_bytes()
    length = struct.unpack("<Q", content[:8])[0]
    described = json.loads(content[8 : 8 + length])
    names = sorted(set(described) - {"__metadata__"}, key=lambda name: described[name]["data_offsets"])
    text = change(described, names)
    made = (text if isinstance(text, str) else json.dumps(described)).encode()
    path.write_bytes(struct.pack("<Q", len(made)) + made + content[8 + length :])


def sharded(folder: Path) -> dict[str, str]:
    """Two files and an index in place of one file of weights; gives the index."""
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    names = sorted(weights)
    files = {name: f"model-{1 + (name > names[len(names) // 2])}.safetensors" for name in names}
    for file in set(files.values()):
        save_file({name: weights[name] for name in names if files[name] == file}, folder / file, {"format": "pt"})
    (folder / "model.safetensors").unlink()
    edit(folder / "model.safetensors.index.json", metadata={}, weight_map=files)
    return files


HUGE = 10**9
VALUES = [
    ("hidden_size", HUGE), ("hidden_size", "abc"), ("hidden_size", -32), ("hidden_size", None), ("hidden_size", [1]),
    ("num_hidden_layers", 1_000_000), ("num_attention_heads", 0), ("num_attention_heads", 7), ("vocab_size", HUGE),
    ("vocab_size", -1), ("max_position_embeddings", HUGE), ("max_position_embeddings", 16_000_000),
    ("intermediate_size", 2**24 - 1), ("num_labels", HUGE), ("hidden_act", "nothing"), ("hidden_act", 5),
    ("dtype", "float99"), ("id2label", {"a": "b"}), ("id2label", 5), ("architectures", 5), ("architectures", [{}]),
    ("model_type", ["bert"]), ("pad_token_id", "x"), ("eos_token_id", {}), ("layer_norm_eps", "abc"),
    ("attn_implementation", "owner/kernels"), ("_attn_implementation", "kernels-community/flash:fast"),
    ("quantization_config", {"quant_method": "gptq"}), ("transformers_weights", "../x.safetensors"),
    ("is_decoder", "abc"), ("text_config", {"hidden_size": HUGE}),
]  # fmt: skip


@pytest.mark.parametrize(("key", "value"), VALUES, ids=lambda value: str(value)[:24])
def test_a_config_with_such_a_value_is_refused_by_its_name(key: str, value: Any, base: Path) -> None:
    edit(base / "config.json", **{key: value})
    with pytest.raises(ModelError) as refused:
        load(base)
    assert str(base) in str(refused.value)


@pytest.mark.parametrize("text", ["", "[1]", "5", "null", "{", '{"model_type": "bert", "a": ' + "[" * 100_000,
                                  '{"model_type": "bert", "a": ' + "[" * 200 + "]" * 200 + "}", "\xff"])  # fmt: skip
@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json", "generation_config.json"])
def test_json_that_is_no_object_is_refused_with_its_file(file: str, text: str, base: Path) -> None:
    (base / file).write_text(text, encoding="latin-1")
    for use in (load, lambda folder: read_config(str(folder)), lambda folder: blocks(str(folder))):
        with pytest.raises(ModelError, match=file):
            use(base)


def overlap(described: dict[str, Any], names: list[str]) -> None:
    described[names[1]]["data_offsets"] = described[names[0]]["data_offsets"]
    described[names[1]]["shape"] = described[names[0]]["shape"]


def twice(described: dict[str, Any], names: list[str]) -> str:
    first = json.dumps({names[0]: described[names[0]]})[1:-1]
    return json.dumps(described)[:-1] + ", " + first + "}"


def changed(field: str, value: Any) -> Callable[[dict[str, Any], list[str]], None]:
    return lambda described, names: described[names[-1]].update({field: value})


HEADERS: dict[str, Callable[[dict[str, Any], list[str]], Any]] = {
    "negative shape": changed("shape", [-1, -4]), "huge shape": changed("shape", [2**40, 2**40]),
    "shape is text": changed("shape", "x"), "shape is true": changed("shape", [True]),
    "unknown dtype": changed("dtype", "F99"), "dtype is a list": changed("dtype", [1]),
    "other dtype": changed("dtype", "F16"),
    "backwards": changed("data_offsets", [8, 0]), "negative": changed("data_offsets", [-8, 0]),
    "beyond": changed("data_offsets", [0, 2**60]), "one offset": changed("data_offsets", [0]),
    "unknown field": changed("more", 1), "overlap": overlap, "twice": twice,
    "gone": lambda described, names: described.pop(names[1]) and None,
    "entry is a number": lambda described, names: described.update({names[0]: 5}),
    "list": lambda *_: "[1, 2]", "deep": lambda *_: "[" * 100_000, "no json": lambda *_: "{",
}  # fmt: skip


@pytest.mark.parametrize("what", HEADERS)
def test_a_header_that_does_not_fit_its_file_is_refused(what: str, base: Path) -> None:
    header(base / "model.safetensors", HEADERS[what])
    with pytest.raises(ModelError, match=r"model\.safetensors is not a whole safetensors file: "):
        load(base)


@pytest.mark.parametrize(
    "content", [b"", b"\x00" * 7, b"\xff" * 64, struct.pack("<Q", 2**62) + b"{}", b"PK\x03\x04" * 9]
)
def test_what_is_no_safetensors_at_all_is_refused(content: bytes, base: Path) -> None:
    (base / "model.safetensors").write_bytes(content)
    with pytest.raises(ModelError, match="not a whole safetensors file"):
        load(base)


def test_weights_in_several_files_load_and_count_for_the_fingerprint(base: Path) -> None:
    whole = load(base)
    files = sharded(base)
    again = load(base)
    bodies = [one.model.network.base_model.parameters() for one in (whole, again)]
    assert all(bool((one == two).all()) for one, two in zip(*bodies, strict=True))
    assert sorted(read_weights(base).shapes) == sorted(files)
    for file in sorted(set(files.values())):
        before, content = fingerprint(base), (base / file).read_bytes()
        (base / file).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        assert fingerprint(base) != before


NAMED = ["pytorch_model.bin", "../outside.safetensors", "/etc/passwd", "sub/x.safetensors", "", "absent.safetensors",
         "..\\x.safetensors", 5, None, ["a"]]  # fmt: skip


@pytest.mark.parametrize("named", NAMED)
def test_an_index_names_safetensors_files_of_its_folder_only(named: Any, base: Path) -> None:
    shutil.copy(base / "model.safetensors", base.parent / "outside.safetensors")
    files: dict[str, Any] = dict(sharded(base))
    (base / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    edit(base / "model.safetensors.index.json", weight_map={**files, sorted(files)[0]: named})
    with pytest.raises(ModelError, match=r"model\.safetensors\.index\.json"):
        load(base)


@pytest.mark.parametrize("weight_map", [None, 5, [], {}, "x"])
def test_an_index_without_a_map_is_refused(weight_map: Any, base: Path) -> None:
    sharded(base)
    edit(base / "model.safetensors.index.json", weight_map=weight_map)
    with pytest.raises(ModelError, match=r"model\.safetensors\.index\.json"):
        load(base)


def test_an_index_may_not_leave_open_which_file_a_tensor_is_from(base: Path) -> None:
    files = sharded(base)
    shutil.copy(base / "model-1.safetensors", base / "model-3.safetensors")
    edit(base / "model.safetensors.index.json", weight_map={**files, "more": "model-3.safetensors"})
    with pytest.raises(ModelError, match="in two of the files"):
        load(base)


@pytest.mark.parametrize(
    "file", ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors", "vocab.txt"]
)
@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "dangling"])
def test_only_regular_files_are_opened(kind: str, file: str, base: Path) -> None:
    path = base / file
    path.unlink(missing_ok=True)
    make = {"pipe": lambda: os.mkfifo(path), "device": lambda: path.symlink_to("/dev/zero"), "folder": path.mkdir,
            "dangling": lambda: path.symlink_to("nowhere")}  # fmt: skip
    make[kind]()
    with pytest.raises(ModelError, match=file.replace(".", r"\.")):
        load(base)


def test_a_link_out_of_the_folder_is_followed_for_weights_and_within_the_hub_cache_only(
    base: Path, in_tmp: Path
) -> None:
    shutil.move(base / "model.safetensors", in_tmp / "weights")
    (base / "model.safetensors").symlink_to(in_tmp / "weights")
    load(base)
    shutil.move(base / "tokenizer.json", in_tmp / "secret")
    (base / "tokenizer.json").symlink_to(in_tmp / "secret")
    with pytest.raises(ModelError, match=r"tokenizer\.json is a link to .*secret, outside"):
        load(base)
    snapshot = in_tmp / "models--owner--name" / "snapshots" / "1a2b"
    snapshot.parent.mkdir(parents=True)
    shutil.move(base, snapshot)
    (snapshot / "tokenizer.json").unlink()
    (snapshot.parent.parent / "blobs").mkdir()
    shutil.move(in_tmp / "secret", snapshot.parent.parent / "blobs" / "3c4d")
    (snapshot / "tokenizer.json").symlink_to("../../blobs/3c4d")
    load(snapshot)


@pytest.mark.parametrize("value", ["abc", -5, 0, None, [], {}, "1"])
def test_a_length_that_is_none_is_refused(value: Any, base: Path) -> None:
    edit(base / "sentence_bert_config.json", max_seq_length=value)
    if value is None:
        load(base)
        return
    with pytest.raises(ModelError, match=r"sentence_bert_config\.json"):
        load(base)
    (base / "sentence_bert_config.json").unlink()
    edit(base / "tokenizer_config.json", model_max_length=value)
    with pytest.raises(ModelError, match=r"tokenizer_config\.json|tokenizer of the model folder"):
        load(base)


PUBLISHED: list[dict[str, Any]] = [
    {"pad_token_id": -1}, {"num_labels": 5}, {"problem_type": None}, {"head_dim": None}, {"layer_types": None},
    {"unknown": {"a": [1, 2]}}, {"attn_implementation": "eager"},
]  # fmt: skip


@pytest.mark.parametrize("keys", PUBLISHED)
def test_what_published_configs_have_is_taken(keys: dict[str, Any], base: Path) -> None:
    edit(base / "config.json", **keys)
    load(base)


@pytest.mark.parametrize(("file", "keys"), [
    ("config.json", {"num_hidden_layers": 10**6}), ("config.json", {"hidden_size": HUGE}),
    ("config.json", {"num_key_value_heads": 0}), ("config.json", {"eos_token_id": "x"}),
    ("config.json", {"rope_parameters": {"rope_type": "none such"}}),
    ("generation_config.json", {"eos_token_id": {}}), ("tokenizer_config.json", {"eos_token": 5}),
    ("tokenizer_config.json", {"tokenizer_class": 5}), ("tokenizer.json", {"model": {"type": "BPE"}}),
])  # fmt: skip
def test_a_language_model_is_refused_likewise(file: str, keys: dict[str, Any], writer: Path) -> None:
    edit(writer / file, **keys)
    with pytest.raises(ModelError):
        load_language_base(str(writer), kind="causal")


def test_the_guard_passes_our_own_errors_and_ctrl_c_and_tells_what_libraries_say() -> None:
    for own in (ModelError("ours"), KeyboardInterrupt()):
        with pytest.raises(type(own)), loading("folder"):
            raise own
    with (
        pytest.raises(ModelError, match=r"The tokenizer in folder can not be read: KeyError: 'a'\."),
        loading("folder", "tokenizer"),
    ):
        raise KeyError("a")
    with pytest.raises(ModelError, match="not enough memory"), loading("folder"):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes")


def test_reading_a_header_gives_shapes(base: Path) -> None:
    shapes = read_header(base / "model.safetensors")
    assert shapes["embeddings.position_embeddings.weight"] == (64, 32)
