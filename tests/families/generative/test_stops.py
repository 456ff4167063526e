"""Generative runs that are refused, and runs that are stopped."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import tunesmith
from crashes import At, Killed, kill
from language_models import folder, network
from language_runs import CHAT, FEEDBACK, PREFERENCE, SHORT, TRANSLATION, Records, Rows, Train, jsonl, short_run
from tunesmith.core.errors import DataError, ModelError, OptionError
from tunesmith.core.events import Warned
from tunesmith.models.loaders import language as load_language
from tunesmith.workflows.predict import predict_file


@pytest.fixture(name="train")
def _train(in_tmp: Path) -> Train:
    return short_run


# refusals before training


@pytest.mark.story
def test_a_model_without_a_chat_template_gets_no_conversations(in_tmp: Path) -> None:
    model = folder("llama", template=False)
    with pytest.raises(tunesmith.TunesmithError, match="chat template"):
        tunesmith.train(CHAT, out="run", model=str(model), **SHORT)
    assert not (in_tmp / "run").exists()
    rows = [{"prompt": row["prompt"], "completion": row["chosen"]} for row in PREFERENCE]
    assert tunesmith.train(rows, out="run", model=str(model), **SHORT).folder.status() == "finished"


@pytest.mark.parametrize(
    ("rows", "words", "error", "says"),
    [
        ([{**row, "messages": [row["messages"][0], {**row["messages"][1], "weight": 0}]} for row in CHAT], {},
         DataError, "learned|assistant"),
        (CHAT, {"family": "t5", "task": "chat"}, ModelError, "encoder-decoder"),
        (TRANSLATION, {"task": "seq2seq"}, ModelError, "not an encoder-decoder"),
        (CHAT, {"method": "head"}, OptionError, "head"),
        (CHAT, {"task": "preference"}, DataError, "chat"),
        (CHAT, {"max_length": 9999}, OptionError, "at most 256"),
        (PREFERENCE, {"packing": True}, OptionError, "can not pack"),
    ],
    ids=["nothing is learned", "an encoder-decoder for chat", "a causal one for pairs", "the method head",
         "data of another form", "longer than the model reads", "packed pairs"],
)  # fmt: skip
def test_what_can_not_work_is_refused_before_training(
    rows: Rows, words: dict[str, Any], error: type[Exception], says: str, train: Train, in_tmp: Path
) -> None:
    with pytest.raises(error, match=says):
        train(rows, **words)
    assert not (in_tmp / "run").exists()


@pytest.mark.parametrize(
    ("rows", "words", "says"),
    [
        (CHAT, {"task": "preference"}, "--task preference does not learn"),
        (CHAT, {"method": "head"}, "does not fit tasks that write text"),
        (CHAT, {"overflow": "crop"}, "'truncate', 'drop' or 'error'"),
        (CHAT, {"group": "nobody"}, "there is no such column"),
        (CHAT[:2], {}, r"no example is left for validation \(2 in all\)"),
        ([{"text": "Too short."}], {"task": "chat"}, r"no example is left for validation and test \(1 in all\)"),
    ],
    ids=["another form", "another family", "a choice that is none", "no such group", "too few", "too little text"],
)
def test_check_refuses_what_training_would(rows: Rows, words: dict[str, Any], says: str, train: Train) -> None:
    for verb in (tunesmith.check, train):
        with pytest.raises(tunesmith.TunesmithError, match=says):
            verb(rows, **words)  # type: ignore[operator]


@pytest.mark.story
def test_a_short_text_file_can_be_learned(train: Train, in_tmp: Path) -> None:
    (in_tmp / "story.txt").write_text("".join(f"The dog number {n} sat down.\n" for n in range(60)), encoding="utf-8")
    assert min(tunesmith.check(in_tmp / "story.txt", task="chat")["splits"].values()) > 0
    assert train(in_tmp / "story.txt", task="chat").folder.status() == "finished"


def test_the_run_folder_says_what_became_of_every_row(train: Train, in_tmp: Path) -> None:
    long = {"messages": [{"role": "user", "content": "say " * 300}, CHAT[0]["messages"][1]]}
    run = train(jsonl(in_tmp / "chat.jsonl", [*CHAT, long]), overflow="drop", max_steps=1)
    ledger = pq.read_table(run.path / "data" / "ledger.parquet").to_pylist()
    assert [entry["status"] for entry in ledger] == ["used"] * len(CHAT) + ["dropped"]
    assert ledger[-1]["reason"] == "longer than the limit of 256 tokens"
    assert (ledger[-1]["row"], ledger[-1]["line"]) == (len(CHAT) + 1, len(CHAT) + 1)
    splits = pq.read_table(run.path / "data" / "splits.parquet").to_pylist()
    assert [entry["row_id"] for entry in splits] == list(range(len(CHAT) + 1))
    audit = json.loads((run.path / "data" / "audit.json").read_text(encoding="utf-8"))
    assert audit["ledger"]["dropped"] == 1
    assert {name: sum(entry["split"] == name for entry in splits) for name in audit["splits"]} == audit["splits"]
    assert (run.path / "data" / "fingerprint.json").exists()


@pytest.mark.story
def test_rows_that_can_not_be_answered_are_told_together(train: Train, in_tmp: Path) -> None:
    run = train(CHAT)
    asked = in_tmp / "asked.jsonl"
    hi = '{"messages": [{"role": "user", "content": "hi"}]}'
    asked.write_text("\n".join((hi, "{bad", '{"messages": 5}')), encoding="utf-8")
    with pytest.raises(DataError) as refused:
        predict_file(run.path / "model", str(asked), in_tmp / "out.jsonl", max_new_tokens=4)
    assert [(problem.row, problem.line) for problem in refused.value.problems] == [(2, 2), (3, 3)]
    answers = []
    for line in (hi, '{"conversations": [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "yo"}]}'):
        asked.write_text(line, encoding="utf-8")
        assert predict_file(run.path / "model", str(asked), in_tmp / "out.jsonl", max_new_tokens=4) == 1
        answers.append(json.loads((in_tmp / "out.jsonl").read_text("utf-8"))["predicted"])
    assert answers[0] == answers[1]  # both say the same


def load_with(place: Path, rows: int, end: Any) -> list[Any]:
    """What is said as a base of some 300 tokens loads that has embeddings for `rows`."""
    shutil.copytree(folder("llama"), place / "base", dirs_exist_ok=True)
    network("llama", vocab_size=rows, eos_token_id=end).save_pretrained(place / "base")
    heard: list[Any] = []
    load_language.load_language_base(str(place / "base"), kind="causal", emit=heard.append)
    return [event for event in heard if isinstance(event, Warned)]


def test_a_tokenizer_much_smaller_than_the_vocabulary_is_refused(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some unused embeddings are normal; no model has an end of text that its tokenizer lacks."""
    assert load_with(in_tmp, 400, 2) == load_with(in_tmp, 800, 2) == load_with(in_tmp, 400, [399, 2]) == []
    assert load_with(in_tmp, 400, 50_256) == []  # GPT-2's default, in the configuration of another model
    with pytest.raises(ModelError, match="most of these would never be used"):
        load_with(in_tmp, 1_600, 2)
    with pytest.raises(ModelError, match="number 399"):
        load_with(in_tmp, 400, 399)
    monkeypatch.setattr(load_language, "_PADDING", 50)
    (warned,) = load_with(in_tmp, 400, 2)
    assert "Is it the model's own tokenizer?" in warned.message


def test_a_tokenizer_of_another_model_is_refused(in_tmp: Path) -> None:
    shutil.copytree(folder("llama"), in_tmp / "base")
    config = json.loads((in_tmp / "base" / "config.json").read_text(encoding="utf-8"))
    network("llama", vocab_size=100).save_pretrained(in_tmp / "base")
    assert config["vocab_size"] > 100
    with pytest.raises(ModelError, match="do not belong together"):
        tunesmith.train(CHAT, out="run", model=str(in_tmp / "base"), **SHORT)


@pytest.mark.story
def test_a_special_token_without_an_embedding_is_no_matter_until_a_text_holds_it(train: Train, in_tmp: Path) -> None:
    from transformers import AutoTokenizer

    base = in_tmp / "base"
    shutil.copytree(folder("llama"), base)
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"]})
    tokenizer.save_pretrained(base)
    words = {**SHORT, "max_steps": 1}
    assert tunesmith.train(CHAT, out="run", model=str(base), **words).folder.status() == "finished"
    rows = [{"prompt": f"say {n}", "completion": f"good {n}"} for n in range(20)]
    with pytest.raises(DataError, match="row 21: the text holds '<image>', a token that the model can not read"):
        tunesmith.train([*rows, {"prompt": "<image>", "completion": "good"}], out="other", model=str(base), **words)


# kills

STEADY = {"epochs": 2, "save_steps": 2, "eval_steps": 4}


def model_bytes(run: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted((run / "model").glob("*model.safetensors")))


@pytest.mark.story
@pytest.mark.parametrize(
    ("rows", "words"),
    [(CHAT, {"method": "lora", "lora_dropout": 0.1, "packing": True}), (PREFERENCE, {"method": "lora"}),
     (TRANSLATION, {"family": "t5", "task": "seq2seq"}),
     *(pytest.param(rows, words, marks=pytest.mark.slow) for rows, words in (
         (CHAT, {"method": "full"}), (FEEDBACK, {"method": "full"}),
         (CHAT, {"method": "lora", "new_tokens": ["<ticket>"]}),
     ))],
    ids=["lora with dropout", "preference", "seq2seq with dropout", "full", "feedback", "new tokens"],
)  # fmt: skip
def test_a_killed_run_ends_as_if_nothing_had_been(
    rows: Rows, words: dict[str, Any], train: Train, in_tmp: Path, records: Records
) -> None:
    whole = train(rows, out="whole", **words, **STEADY)
    with pytest.raises(Killed):
        train(rows, **words, **STEADY, listeners=[At(5, kill)])
    again = tunesmith.resume(in_tmp / "run")
    steps = [event["step"] for event in records(again, "step")]
    assert steps == [1, 2, 3, 4, 5, *range(5, steps[-1] + 1)]
    assert model_bytes(again.path) == model_bytes(whole.path)
    assert again.document["test"] == whole.document["test"]


@pytest.mark.slow
def test_sigkill_in_a_process_of_its_own(start: Any, train: Train, in_tmp: Path) -> None:
    data = jsonl(in_tmp / "chat.jsonl", CHAT)
    words = {**SHORT, **STEADY, "epochs": 6}
    whole = train(data, out="whole", **words)
    flags = [part for name, value in words.items() if name != "method" for part in ("--set", f"{name}={value}")]
    run = in_tmp / "run"
    process = start(run, "train", data, "--model", folder("llama"), "--method", "full", "--out", run, *flags)
    process.wait_for("saved", many=3)
    process.send(signal.SIGKILL)
    assert process.end() == -signal.SIGKILL
    assert not (run / "result.json").exists()
    tunesmith.resume(run)
    assert model_bytes(run) == model_bytes(whole.path)
