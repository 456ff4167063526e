"""A tokenizer is a program of somebody else: one that makes gigabytes of a sentence, or nothing, is refused."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

import language_models
from tunesmith.core.errors import ModelError
from tunesmith.models.chat_template import TemplateEncoder
from tunesmith.models.guard import tokens
from tunesmith.models.tokenizer import needed_tokens, read_tokenizer


@pytest.fixture
def writer(in_tmp: Path) -> Path:
    return Path(shutil.copytree(language_models.folder("llama"), in_tmp / "writer"))


def put(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **values}), encoding="utf-8")


def replace(times: int) -> dict[str, Any]:
    return {"type": "Replace", "pattern": {"String": "a"}, "content": "a" * times}


def around(*pieces: dict[str, Any], **known: int) -> dict[str, Any]:
    tokens = {name: {"id": name, "ids": [number], "tokens": [name]} for name, number in known.items()}
    return {"type": "TemplateProcessing", "single": list(pieces), "pair": [], "special_tokens": tokens}


TEXT = {"Sequence": {"id": "A", "type_id": 0}}
MARK = {"SpecialToken": {"id": "x", "type_id": 0}}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"normalizer": {"type": "Sequence", "normalizers": [replace(1000)] * 3}}, "normalizer is"),
        ({"normalizer": {"type": "Sequence", "normalizers": [replace(9)] * 3}}, "at most 64 letters of one"),
        ({"normalizer": {"type": "Prepend", "prepend": "a" * 1000}}, "normalizer is"),
        ({"post_processor": around(MARK, x=1)}, "post_processor.single"),
        ({"post_processor": {"type": "Sequence", "processors": [around(MARK, x=1)]}}, "post_processor.single"),
        ({"post_processor": around(TEXT, *[MARK] * 1000, x=1)}, "at most 64 tokens"),
    ],
)
def test_what_makes_more_of_a_text_than_it_is(writer: Path, values: dict[str, Any], said: str) -> None:
    put(writer / "tokenizer.json", **values)
    with pytest.raises(ModelError, match=r"tokenizer\.json") as caught:
        read_tokenizer(writer)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "values",
    [{"model_max_length": "abc"}, {"model_max_length": [1]}, {"model_max_length": -5}, {"chat_template": {"a": 1}},
     {"chat_template": [{"name": "default", "template": 5}]}, {"chat_template": ["x"]}, {"padding_side": "up"},
     {"tokenizer_class": "RagTokenizer"}],
)  # fmt: skip
def test_settings_of_another_kind(writer: Path, values: dict[str, Any]) -> None:
    put(writer / "tokenizer_config.json", **values)
    with pytest.raises(ModelError, match=next(iter(values)) if "tokenizer_class" not in values else "can not be read"):
        read_tokenizer(writer)


@pytest.mark.parametrize(
    ("file", "values"),
    [
        ("special_tokens_map.json", {"bos_token": {"content": "<s>", "\x1b]0;x\x07": 1}}),
        ("special_tokens_map.json", {"auto_map": {"AutoTokenizer": "x.T"}}),
        ("tokenizer_config.json", {"added_tokens_decoder": {"1": {"content": "<s>", "\x1b[31m": 1}}}),
        ("tokenizer_config.json", {"unk_token": {"content": "<s>", "__type": "AddedToken", "evil": 1}}),
    ],
)  # fmt: skip
def test_keys_of_tokens_that_a_library_would_print(
    writer: Path, file: str, values: dict[str, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    (writer / file).touch()
    kept = json.loads((writer / file).read_text() or "{}")
    (writer / file).write_text(json.dumps({**kept, **values}))
    with pytest.raises(ModelError, match="no other keys") as caught:
        read_tokenizer(writer)
    assert "\x1b" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_tokens_put_around_a_text_need_embeddings_too(writer: Path) -> None:
    put(writer / "tokenizer.json", post_processor=around(TEXT, MARK, x=99_999))
    assert needed_tokens(read_tokenizer(writer)) == 100_000


def test_types_that_the_network_has_not(tiny_model: Path, in_tmp: Path) -> None:
    base = Path(shutil.copytree(tiny_model, in_tmp / "base"))
    put(base / "tokenizer.json", post_processor=around(TEXT, {"SpecialToken": {"id": "x", "type_id": 77}}, x=1))
    with pytest.raises(ModelError, match="each type_id below 2"):
        read_tokenizer(base)


def test_templates_beside_the_main_one_are_files_of_the_folder(writer: Path, in_tmp: Path) -> None:
    (in_tmp / "secret").write_text("secret")
    (writer / "additional_chat_templates").mkdir()
    extra = writer / "additional_chat_templates" / "default.jinja"
    extra.symlink_to(in_tmp / "secret")
    with pytest.raises(ModelError, match="outside of the model folder"):
        read_tokenizer(writer)
    extra.unlink()
    os.mkfifo(extra)
    with pytest.raises(ModelError, match="regular files only"):
        read_tokenizer(writer)


def test_several_templates_and_none_for_conversations(writer: Path) -> None:
    (writer / "chat_template.jinja").unlink()
    put(writer / "tokenizer_config.json", chat_template=[{"name": "rag", "template": "{{ messages }}"}])
    with pytest.raises(ModelError, match="none of them is called 'default'"):
        TemplateEncoder(read_tokenizer(writer))


class Panic(BaseException):
    """As the tokenizers package raises where it gives up on an expression."""


def test_a_tokenizer_that_gives_up_on_a_text() -> None:
    def gives_up(text: str) -> None:
        raise Panic("retry-limit-in-match over")

    with pytest.raises(ModelError, match="fails on a text: retry-limit-in-match over"):
        tokens(gives_up, "aaaa")
