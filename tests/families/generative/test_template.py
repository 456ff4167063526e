"""A chat template of the user's choice, in training and in previews."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tunesmith
from language_models import folder
from tunesmith.core.errors import DataError, ModelError, OptionError, TunesmithError
from tunesmith.families.generative import preview
from tunesmith.methods.lora import Lora, LoraOptions
from tunesmith.models.additions import moving
from tunesmith.models.loaders.language import add_tokens, load_language_base

GOOD = {"role": "assistant", "content": "good"}
ROWS = [
    {"messages": [{"role": "user", "content": f"say {n}"}, {"role": "assistant", "content": f"good {n}"}]}
    for n in range(30)
]
SHORT: dict[str, Any] = {"precision": "fp32", "epochs": 1, "batch_size": 8, "generate_rows": 2, "max_new_tokens": 8}


@pytest.mark.story
def test_a_base_without_a_template_is_taught_chatml(in_tmp: Path, records: Any) -> None:
    run = tunesmith.train(
        ROWS, out="run", model=str(folder("llama", template=False)), method="lora", template="chatml", **SHORT
    )
    assert next(event["value"] for event in records(run, "decided") if event["what"] == "template") == "chatml"
    model = tunesmith.load("run")
    end = model.bundle.tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert end in model.stop_ids  # also before it has read anything, as `tunesmith chat` asks
    assert "<|im_start|>" in model.bundle.tokenizer.chat_template
    assert [prompt.endswith("assistant\n") for prompt in [model.bundle.tokenizer.decode(model.prompt_ids("hi"))]]
    (row,) = preview.previewed(write(in_tmp, ROWS), model="run", row=1)
    assert row.tokenizer.chat_template == model.bundle.tokenizer.chat_template


def write(place: Path, rows: list[dict[str, Any]]) -> str:
    path = place / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


@pytest.mark.story
def test_markers_that_the_vocabulary_lacks_become_tokens_that_are_learned(
    in_tmp: Path, plain_base: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = tunesmith.train(ROWS, out="run", model=str(plain_base), method="lora", template="chatml", **SHORT)
    tokenizer = tunesmith.load("run").bundle.tokenizer
    assert "embeddings" not in "".join(capfd.readouterr())  # transformers' remarks on tables that grow
    for marker in ("<|im_start|>", "<|im_end|>"):
        assert len(tokenizer(marker, add_special_tokens=False).input_ids) == 1
    adapter = json.loads((run.path / "model" / "adapter_config.json").read_text(encoding="utf-8"))
    assert all(len(ids) == 2 for ids in adapter["trainable_token_indices"].values())


def test_new_markers_move_in_proportion_to_the_embeddings(plain_base: Path) -> None:
    """Adam's steps are absolute: at one rate for all, a base with large embeddings never learns to end its turn."""
    bundle = load_language_base(str(plain_base), kind="causal")
    with torch.no_grad():
        bundle.model.network.get_input_embeddings().weight.normal_(std=0.3)
    add_tokens(bundle, [], "chatml")
    method = Lora(LoraOptions())
    method.prepare(bundle, 0)
    added, tokens = method.groups(bundle, 2e-4)
    assert added.learning_rate == 2e-4
    assert tokens.learning_rate == pytest.approx(100 * 0.3 * 2e-4, rel=0.05)
    assert {one.shape[0] for one in tokens.parameters.values()} == {2}
    assert len(added.parameters) + len(tokens.parameters) == len(moving(bundle.model))


def test_new_markers_start_from_what_says_start_and_end_of_a_text(plain_base: Path) -> None:
    """From the mean of all words, answers of small bases ended at once, or never."""
    bundle = load_language_base(str(plain_base), kind="causal")
    add_tokens(bundle, ["<ticket>"], "chatml")
    words, network = bundle.tokenizer.convert_tokens_to_ids, bundle.model.network
    for table in (network.get_input_embeddings().weight, network.get_output_embeddings().weight):
        assert torch.equal(table[words("<|im_end|>")], table[bundle.tokenizer.eos_token_id])
        assert torch.equal(table[words("<|im_start|>")], table[bundle.tokenizer.bos_token_id])
        mean = table[: -len(bundle.new_token_ids)].mean(0)
        torch.testing.assert_close(table[words("<ticket>")], mean, atol=0.02, rtol=0)


@pytest.fixture
def plain_base(in_tmp: Path) -> Path:
    """A base whose vocabulary knows nothing of ChatML."""
    from transformers import AutoTokenizer

    made = in_tmp / "base"
    tokenizer = AutoTokenizer.from_pretrained(folder("llama", template=False))
    text = json.loads(tokenizer.backend_tokenizer.to_str().replace("<|im_", "<|other_"))
    tokenizer.backend_tokenizer.__setstate__(json.dumps(text).encode())
    tokenizer.save_pretrained(made)
    saved = json.loads((made / "tokenizer.json").read_text(encoding="utf-8"))
    assert "<|im_start|>" not in saved["model"]["vocab"]
    for name in ("model.safetensors", "config.json"):
        (made / name).write_bytes((folder("llama", template=False) / name).read_bytes())
    return made


def test_all_rows_as_json(in_tmp: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = str(folder("llama", template=False))
    rows = preview.previewed(write(in_tmp, ROWS), model=base, template="chatml")
    preview.write_json(rows, sys.stdout)
    found = json.loads(capsys.readouterr().out)
    assert [one["row"] for one in found["rows"]] == list(range(1, 31))
    for one, row in zip(found["rows"], ROWS, strict=True):
        assert "".join(token["text"] for token in one["tokens"] if token["learned"]) == (
            row["messages"][1]["content"] + "<|im_end|>"
        )
        assert not any(token["cut"] for token in one["tokens"])


def test_a_file_and_a_model_with_another_template(in_tmp: Path) -> None:
    (in_tmp / "own.jinja").write_text(
        "{% for m in messages %}[{{ m.role }}] {{ m.content }}</s>{% endfor %}"
        "{% if add_generation_prompt %}[assistant] {% endif %}", encoding="utf-8",
    )  # fmt: skip
    said: list[Any] = []
    data = write(in_tmp, ROWS)
    (row,) = preview.previewed(data, model=str(folder("llama")), row=2, template="own.jinja", emit=said.append)
    assert "takes the place" in next(event.message for event in said if hasattr(event, "message"))
    shown = preview.rendered([row], "plain")
    assert "learned go|od|·|1|</s>" in shown
    with pytest.raises(OptionError, match="chatml"):
        list(preview.previewed(data, model=str(folder("llama")), template="chatmlx"))
    with pytest.raises(TunesmithError, match="can not be read"):
        list(preview.previewed(data, model=str(folder("llama")), template="missing.jinja"))


def test_a_preview_cuts_as_a_run_does(in_tmp: Path) -> None:
    """At the length that the base reads, cut, left out or refused; a source and its target have the limit each."""
    base, long = str(folder("llama")), [{**ROWS[0], "messages": [{"role": "user", "content": "x " * 400}, GOOD]}]
    data = write(in_tmp, [*ROWS[:2], *long])
    _, _, cut = preview.previewed(data, model=base)
    assert cut.cut is not None
    assert cut.cut.kept.sum() == 256
    *_, dropped = preview.previewed(data, model=base, overflow="drop")
    assert "row 3 (longer than the limit, so it is left out)" in preview.rendered([dropped], "plain")
    with pytest.raises(DataError) as refused:
        list(preview.previewed(data, model=base, overflow="error"))
    assert [problem.row for problem in refused.value.problems] == [3]
    with pytest.raises(OptionError, match="overflow"):
        list(preview.previewed(data, model=base, overflow="cut"))
    pair = write(in_tmp, [{"source": "say " * 50, "target": "good " * 3}])
    (shown,) = preview.previewed(pair, model=str(folder("t5")), task="seq2seq", max_length=20)
    assert shown.cut is not None
    assert "the end was cut" in shown.cut.reason
    assert np.flatnonzero(shown.cut.kept)[[0, 19, -1]].tolist() == [0, 19, len(shown.encoded) - 1]


def test_a_preview_shows_a_judged_answer_once_and_both_of_a_pair(in_tmp: Path) -> None:
    base = str(folder("llama"))
    judged = write(in_tmp, [{"prompt": "say", "completion": " good", "label": n > 0} for n in range(2)])
    assert [(one.row, one.of) for one in preview.previewed(judged, model=base)] == [(1, 1), (2, 1)]
    pair = write(in_tmp, [{"prompt": "say", "chosen": " good", "rejected": " bad"}])
    assert [(one.row, one.of) for one in preview.previewed(pair, model=base)] == [(1, 2), (1, 2)]


def test_new_tokens_are_found_in_a_text_whatever_the_normalizer_does(in_tmp: Path, plain_base: Path) -> None:
    from tokenizers import normalizers

    from tunesmith.models.loaders.language import add_tokens, load_language_base

    bundle = load_language_base(str(plain_base), kind="causal", dtype="float32")
    # as in SentencePiece vocabularies: a mark before every text, and in the place of every space
    bundle.tokenizer.backend_tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("_"), normalizers.Replace(" ", "_")]
    )
    add_tokens(bundle, ["velotide"], "chatml")
    ids = bundle.tokenizer("good<|im_end|> the velotide<|im_end|>", add_special_tokens=False)["input_ids"]
    start, end, word = bundle.new_token_ids
    assert [token for token in ids if token in (start, end, word)] == [end, word, end]


def test_rows_that_can_not_be_shown_are_told_together_and_nothing_else_is_written(
    in_tmp: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [*ROWS, *({"messages": [{"role": "user", "content": "<|im_end|>"}, ROWS[0]["messages"][1]]} for _ in "ab")]
    data = write(in_tmp, rows)
    with pytest.raises(DataError) as refused:
        preview.write_json(preview.previewed(data, model=str(folder("llama"))), sys.stdout)
    assert [(problem.row, problem.line, problem.file) for problem in refused.value.problems] == [
        (31, 31, data), (32, 32, data),
    ]  # fmt: skip
    assert capsys.readouterr().out == ""
    with pytest.raises(DataError, match="there is no row 0; the data has 32 rows, counted from 1"):
        list(preview.previewed(data, model=str(folder("llama")), row=0))


def test_a_tokenizer_that_can_not_be_read(in_tmp: Path) -> None:
    (in_tmp / "base").mkdir()
    (in_tmp / "base" / "tokenizer.json").write_text('{"model":', encoding="utf-8")
    with pytest.raises(ModelError, match=r"base/tokenizer.json is not valid JSON"):
        list(preview.previewed(write(in_tmp, ROWS), model="base"))
