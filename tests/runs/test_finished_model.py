"""A finished model is what the run saved, or is told not to be; so is what stands beside it."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import language_models
import tunesmith
from tunesmith.cli.main import main
from tunesmith.core.errors import ModelError, UsageError
from tunesmith.models import manifest
from tunesmith.models.config import read_config
from tunesmith.models.manifest import MANIFEST, check_manifest, write_manifest


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, tickets: list[dict[str, str]]) -> Path:
    """Two runs: `text`, a whole model, and `lora`, an adapter beside its base."""
    home = tmp_path_factory.mktemp("finished")
    words: dict[str, Any] = {"precision": "fp32", "max_steps": 1}
    tunesmith.train(tickets, out=home / "text", model=str(tiny_model), method="full", **words)
    talks = [{"messages": [{"role": "user", "content": f"say {n}"}, {"role": "assistant", "content": "good"}]}
             for n in range(24)]  # fmt: skip
    shutil.copytree(language_models.folder("llama"), home / "base")
    tunesmith.train(
        talks, out=home / "lora", model=str(home / "base"), method="lora", generate_rows=1, max_new_tokens=4,
        few_shot=1, **words,
    )  # fmt: skip
    return home


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Callable[[str], Path]:
    """A copy of one of the runs, to damage; gives the folder of its model."""
    return lambda name: Path(shutil.copytree(trained / name, tmp_path / name)) / "model"


def flip(path: Path, at: int = -1) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def edit(path: Path, **keys: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **keys}), encoding="utf-8")


@pytest.mark.story
@pytest.mark.parametrize(("name", "file"), [
    ("text", "model.safetensors"), ("text", "tokenizer.json"), ("lora", "adapter_model.safetensors"),
])  # fmt: skip
def test_a_flipped_byte_is_told(name: str, file: str, run: Callable[[str], Path]) -> None:
    model = run(name)
    tunesmith.load(model.parent)
    flip(model / file)
    with pytest.raises(ModelError, match=rf"{file} is not as the run saved it: its content has changed"):
        tunesmith.load(model.parent)
    (model / MANIFEST).unlink()  # as runs have none that were made before there was one
    if file.endswith(".safetensors"):
        tunesmith.load(model.parent)


def test_a_file_that_is_gone_or_cut_is_told(run: Callable[[str], Path]) -> None:
    model = run("text")
    content = (model / "model.safetensors").read_bytes()
    (model / "model.safetensors").write_bytes(content[:-8])
    with pytest.raises(ModelError, match=f"it holds {len(content) - 8:,} bytes, and held {len(content)}"):
        tunesmith.load(model)
    (model / "model.safetensors").write_bytes(content)
    (model / "README.md").write_text("mine")
    (model / "notes.txt").write_text("mine too")
    tunesmith.load(model)
    (model / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match=r"tokenizer\.json is not as the run saved it: it can not be read"):
        tunesmith.load(model)


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"files": 5}', '{"files": {"../x": {}}}', '{"files": {"a": 5}}'])
def test_a_damaged_manifest_is_told(content: str, run: Callable[[str], Path]) -> None:
    model = run("text")
    (model / MANIFEST).write_text(content)
    with pytest.raises(ModelError, match=r"MANIFEST\.json"):
        tunesmith.load(model)


def test_large_files_are_compared_by_samples_and_with_verify_as_a_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifest, "_WHOLE_BYTES", 1000)
    monkeypatch.setattr(manifest, "_SAMPLES", 4)
    monkeypatch.setattr(manifest, "_SAMPLE_BYTES", 100)
    (tmp_path / "weights").write_bytes(bytes(10_000))
    write_manifest(tmp_path)
    check_manifest(tmp_path, whole=True)
    flip(tmp_path / "weights", 5_000)  # between two samples
    check_manifest(tmp_path)
    with pytest.raises(ModelError, match="its content has changed"):
        check_manifest(tmp_path, whole=True)
    flip(tmp_path / "weights", 9_999)
    with pytest.raises(ModelError, match="its content has changed"):
        check_manifest(tmp_path)


@pytest.mark.story
def test_verify_is_a_flag_of_what_uses_a_model(
    run: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    model = run("text")
    monkeypatch.setattr(sys, "argv", ["tunesmith", "predict", str(model.parent), "where is my card?", "--verify"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    flip(model / "model.safetensors")
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    said = capfd.readouterr().err
    assert "is not as the run saved it" in said
    assert "Traceback" not in said


MARKS: list[Any] = [
    {}, [1], 5, {"base": "SELF"}, {"base": "owner/repo"}, {"base": 5}, {"base": None}, {"network": "x"}, {"task": 5},
    {"task": "text-classification"}, {"max_length": "x"}, {"base_fingerprint": 5},
]  # fmt: skip


@pytest.mark.parametrize("keys", MARKS, ids=str)
@pytest.mark.parametrize("name", ["text", "lora"])
def test_a_damaged_record_is_told(name: str, keys: Any, run: Callable[[str], Path]) -> None:
    model = run(name)
    (model / MANIFEST).unlink()
    if isinstance(keys, dict) and keys:
        value = {key: str(model) if one == "SELF" else one for key, one in keys.items()}
        if name == "text" and keys != {"task": 5}:
            return  # the others are no words of its record, or right
        edit(model / "tunesmith.json", **value)
    else:
        (model / "tunesmith.json").write_text(json.dumps(keys))
    with pytest.raises(UsageError):
        tunesmith.load(model.parent)


@pytest.mark.parametrize("name", ["text", "lora"])
def test_a_model_of_a_later_version_says_what_to_do(name: str, run: Callable[[str], Path]) -> None:
    model = run(name)
    (model / MANIFEST).unlink()
    edit(model / "tunesmith.json", format=2)
    with pytest.raises(ModelError, match=r"has the format 2.*reads 1"):
        tunesmith.load(model.parent)


def test_an_adapter_whose_base_is_gone_or_another_is_told(run: Callable[[str], Path], trained: Path) -> None:
    model = run("lora")
    (model / MANIFEST).unlink()
    edit(model / "tunesmith.json", base=str(trained / "nowhere"))
    for use in (lambda: tunesmith.load(model), lambda: read_config(str(model.parent))):
        with pytest.raises(ModelError, match=r"The base of the adapter in .* is gone"):
            use()
    edit(model / "tunesmith.json", base=str(model))
    for use in (lambda: tunesmith.load(model), lambda: read_config(str(model.parent))):
        with pytest.raises(ModelError, match="names itself"):
            use()


ADAPTERS: list[dict[str, Any]] = [
    {"target_modules": "(a+)+$"}, {"target_modules": ["(a|a)*b"]}, {"target_modules": 5}, {"exclude_modules": "(.*)*x"},
    {"rank_pattern": {"(a+)+$": 4}}, {"alpha_pattern": 5}, {"layers_pattern": "(x+x+)+y"}, {"r": 10**9}, {"r": 0},
    {"r": "8"}, {"r": None}, {"lora_alpha": 1e300}, {"layer_replication": [[0, 10**6]]}, {"peft_type": "OFT"},
    {"peft_type": 5}, {"peft_type": None}, {"megatron_config": {"a": 1}}, {"init_lora_weights": "pissa_niter_1000000"},
    {"modules_to_save": 5}, {"trainable_token_indices": "x"}, {"lora_dropout": "x"}, {"task_type": "x"},
]  # fmt: skip


@pytest.mark.parametrize("keys", ADAPTERS, ids=str)
def test_an_adapter_config_that_no_run_wrote_is_refused(keys: dict[str, Any], run: Callable[[str], Path]) -> None:
    model = run("lora")
    (model / MANIFEST).unlink()
    edit(model / "adapter_config.json", **keys)
    with pytest.raises(ModelError):
        tunesmith.load(model)


def test_a_pickled_adapter_is_not_read(run: Callable[[str], Path]) -> None:
    model = run("lora")
    (model / MANIFEST).unlink()
    shutil.move(model / "adapter_model.safetensors", model / "adapter_model.bin")
    with pytest.raises(ModelError, match=r"no adapter_model\.safetensors"):
        tunesmith.load(model)
