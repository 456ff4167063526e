"""The tokenizer of a folder is read whatever form it has, or refused in one whole sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from transformers import AutoTokenizer

import language_models
import tunesmith
from tunesmith.core.errors import ModelError
from tunesmith.models.tokenizer import read_tokenizer

ROWS = [{"messages": [{"role": "user", "content": f"say {n}"}, {"role": "assistant", "content": "good"}]}
        for n in range(30)]  # fmt: skip


def pair(folder: Path, end: str = "<|endoftext|>", model_type: str = "llama") -> Path:
    """A folder with vocab.json and merges.txt, as GPT-2 was published, beside the config of another type of model."""
    folder.mkdir(parents=True, exist_ok=True)
    raw = json.loads(language_models.tokenizer().backend_tokenizer.to_str())["model"]
    words = {end if word == "</s>" else word: number for word, number in raw["vocab"].items()}
    (folder / "vocab.json").write_text(json.dumps(words), encoding="utf-8")
    (folder / "merges.txt").write_text("\n".join(map(" ".join, raw["merges"])) + "\n", encoding="utf-8")
    (folder / "config.json").write_text(json.dumps({"model_type": model_type}), encoding="utf-8")
    return folder


@pytest.mark.parametrize("model_type", ["llama", "mistral", "bert", "gemma2"])  # refused by transformers, or left empty
def test_a_vocabulary_as_gpt2_has_it_is_read_beside_any_model(model_type: str, tmp_path: Path) -> None:
    events = []
    found = read_tokenizer(pair(tmp_path / "base", model_type=model_type), events.append)
    text = "say something, good  parcel"
    assert found(text).input_ids == language_models.tokenizer()(text).input_ids
    assert found.eos_token_id == language_models.tokenizer().eos_token_id
    assert [(event.what, event.value) for event in events] == [("tokenizer", "GPT-2's")]


@pytest.mark.parametrize("gone", ["merges.txt", "<|endoftext|>"])
def test_half_of_such_a_vocabulary_is_refused(gone: str, tmp_path: Path) -> None:
    folder = pair(tmp_path / "base", "</s>" if gone == "<|endoftext|>" else "<|endoftext|>")
    (folder / gone).unlink(missing_ok=True)
    with pytest.raises(ModelError) as refused:
        read_tokenizer(folder)
    assert "vocab.json without tokenizer.json" in str(refused.value)
    assert gone in str(refused.value)


def test_what_transformers_says_in_several_lines_is_told_in_full(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llama"}', encoding="utf-8")
    (tmp_path / "tokenizer.json").write_text('{"model": {}}', encoding="utf-8")
    with pytest.raises(ModelError, match=r"can not be read: \S[^\n]*[^:]\.\n"):
        read_tokenizer(tmp_path)


@pytest.mark.story
def test_a_run_on_such_a_base_is_a_plain_model_in_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    language_models.network("llama").save_pretrained(tmp_path / "base")
    config = json.loads((tmp_path / "base/config.json").read_text(encoding="utf-8"))
    pair(tmp_path / "base")
    (tmp_path / "base/config.json").write_text(json.dumps(config), encoding="utf-8")
    run = tunesmith.train(
        ROWS, out="run", model="base", template="chatml", method="full", precision="fp32", max_steps=2,
        generate_rows=1, max_new_tokens=4, few_shot=1,
    )  # fmt: skip
    plain, ours = AutoTokenizer.from_pretrained(run.path / "model"), tunesmith.load(run.path).bundle.tokenizer
    assert (
        plain("say good").input_ids == ours("say good").input_ids == language_models.tokenizer()("say good").input_ids
    )
