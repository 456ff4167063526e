"""What `check` passes a run takes, and what a run refuses before its first step `check` refuses with the same words."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tunesmith
from language_models import folder
from language_runs import CHAT, PREFERENCE, TRANSLATION, Rows
from tunesmith.cli.show_check import checked_language
from tunesmith.core.options import nearest
from tunesmith.families.generative import preview

SYSTEM = [{"messages": [{"role": "system", "content": "Be brief."}, *row["messages"]]} for row in CHAT]
PLAIN = "{% for m in messages %}{{ '[' + m.role + '] ' + m.content + eos_token }}{% endfor %}"
ASKS = "{% if add_generation_prompt %}{{ '[assistant] ' }}{% endif %}"
NO_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('no system here') }}{% endif %}" + PLAIN + ASKS
DROPS = PLAIN.replace("{{", "{% if m.role != 'system' %}{{").replace("}}{% endfor", "}}{% endif %}{% endfor") + ASKS
TURNS = (
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('in turns') }}"
    "{% endif %}{{ '[' + m.role + '] ' + m.content + eos_token }}{% endfor %}" + ASKS
)
GREETED = [{"messages": [{"role": "assistant", "content": "Welcome."}, *row["messages"]]} for row in CHAT]
CONTROL = [{"messages": [{"role": "user", "content": f"say </s> {n}"}, CHAT[0]["messages"][1]]} for n in range(30)]


def said(found: Callable[[], Any]) -> str:
    """What is wrong, in the words of an error or of a check's problems."""
    try:
        answer = found()
    except tunesmith.TunesmithError as error:
        return str(error)
    return "\n".join(problem["message"] for problem in answer["problems"])


REFUSED: dict[str, tuple[Rows, dict[str, Any], str]] = {
    "a template without a system message": (SYSTEM, {"template": NO_SYSTEM}, "no system here"),
    "a template that drops it": (SYSTEM, {"template": DROPS}, "leaves out message 1"),
    "a template that wants turns": (GREETED, {"template": TURNS}, "in turns"),
    "special tokens in the texts": (CONTROL, {}, "is a special token"),
    "no template": (CHAT, {"model": "bare"}, "has no chat template"),
    "an encoder-decoder for chat": (CHAT, {"model": "t5"}, "is not a causal language model"),
    "a causal one for pairs": (TRANSLATION, {"task": "seq2seq"}, "is not an encoder-decoder"),
    "longer than the model reads": (CHAT, {"max_length": 9999}, "max_length=9999 is more than"),
    "packed pairs": (PREFERENCE, {"packing": True}, "can not pack"),
    "no such blocks": (CHAT, {"freeze": "layers.90", "method": "full"}, "layers.90"),
    "new words that stay unlearned": (CHAT, {"new_tokens": ["zonk"], "method": "bitfit"}, "would stay unlearned"),
    "too long to learn": (CHAT, {"overflow": "error", "max_length": 8}, "at most 8 are allowed"),
    "a day that is none": (CHAT, {"date": "2026-13-01"}, "date"),
}


@pytest.mark.story
@pytest.mark.parametrize("case", REFUSED)
def test_check_refuses_what_a_run_refuses(case: str, in_tmp: Path) -> None:
    rows, words, message = REFUSED[case]
    words = dict(words)
    model = {"bare": folder("llama", template=False), "t5": folder("t5")}.get(words.pop("model", ""), folder("llama"))
    if text := words.pop("template", None):
        (in_tmp / "own.jinja").write_text(text, encoding="utf-8")
        words["template"] = "own.jinja"
    assert message in said(lambda: tunesmith.check(rows, model=str(model), **words))
    assert message in said(lambda: tunesmith.plan(rows, model=str(model), **words))
    assert message in said(lambda: tunesmith.train(rows, out="run", model=str(model), precision="fp32", **words))


@pytest.mark.parametrize(
    "words",
    [{}, {"template": "chatml"}, {"new_tokens": ["zonk"]}, {"method": "prompt"}, {"freeze": "embeddings"}],
    ids=["as it is", "markers", "new words", "virtual tokens", "frozen"],
)
def test_check_puts_every_row_into_tokens(words: dict[str, Any]) -> None:
    name = "llama" if "template" not in words else "gpt2"
    found = tunesmith.check(CHAT, model=str(folder(name)), **words)
    assert (found["problems"], found["unchecked"]) == ([], [])
    assert any(decision["what"] == "max_length" for decision in found["decisions"])


def test_check_shows_examples_their_lengths_and_the_cost() -> None:
    found = tunesmith.check(CHAT, model=str(folder("llama")), max_length=24)
    assert [set(one) for one in found["samples"]] == [{"text", "target", "turns"}] * 3
    assert found["lengths"]["unit"] == "tokens"
    assert found["lengths"]["longest"] > 24 == found["lengths"]["limit"]
    assert found["estimate"]["seconds"] > 0 < found["estimate"]["memory_bytes"]
    shown = checked_language(found)
    for words in ("such as  reads", "writes", "half of the texts have at most", "of 40 examples: ", "of memory and"):
        assert words in shown
    judged = checked_language(tunesmith.check(PREFERENCE, model="somebody/some-model"))
    for words in ("better   ", "worse    ", "words, 95 of 100", "not known before the model is here"):
        assert words in judged


def test_what_is_not_checked_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    found = tunesmith.check(CHAT, model="somebody/some-model")
    assert found["unchecked"] == ["how the model reads the rows: somebody/some-model is not on this machine"]
    monkeypatch.setattr("tunesmith.families.generative.check._MOST", 10)
    found = tunesmith.check(CHAT, model=str(folder("llama")))
    assert found["unchecked"] == [f"how the model reads {len(CHAT) - 10} of the {len(CHAT)} rows"]


def test_what_a_template_does_not_show_is_told() -> None:
    rows = [
        {"messages": [{**row["messages"][0], "name": "Annabel"}, {**row["messages"][1], "reasoning_content": "Hm, so"}]}
        for row in CHAT
    ]
    told = [one["message"] for one in tunesmith.check(rows, model=str(folder("llama")))["warnings"]]
    for what in ("the names of speakers", "the thoughts of answers"):
        assert any(what in message and message.startswith(f"{len(CHAT)} examples") for message in told)


def test_a_template_that_asks_for_today_reads_the_same_on_another_day(in_tmp: Path) -> None:
    own = in_tmp / "own.jinja"
    own.write_text("{{ 'On ' + strftime_now('%d.%m.%Y %H:%M:%S.%f') + ' ' }}" + PLAIN + ASKS, encoding="utf-8")
    words: dict[str, Any] = {"model": str(folder("llama")), "template": str(own)}
    (today,) = [one for one in tunesmith.check(CHAT, **words)["decisions"] if one["what"] == "date"]
    assert len(str(today["value"])) == len("2026-01-31")
    rows = in_tmp / "rows.jsonl"
    rows.write_text("".join(json.dumps(row) + "\n" for row in CHAT), encoding="utf-8")
    (row,) = preview.previewed(str(rows), row=1, date="2025-02-03", **words)
    assert "On 03.02.2025 00:00:00.000000" in row.tokenizer.decode(row.encoded.ids)


# tables


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("table") / "rows.csv"
    kinds = ("bread", "bikes", "books")
    lines = [f"the {kinds[n % 3]} of number {n} are here again,{kinds[n % 3]}" for n in range(60)]
    file.write_text("\n".join(["text,label", *lines]), encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"class_weights": {"breed": 2.0}}, "Did you mean 'bread'?"),
        ({"max_length": 100_000}, "max_length=100000 is more than"),
        ({"learning_rate": "2e-5x"}, "got '2e-5x'"),
        ({"num_train_epochs": 3}, "It is called 'epochs' here."),
        ({"method": "qlora"}, "does not fit"),
        ({"method": "prompt", "virtual_tokens": 5_000}, "virtual_tokens=5000 leave"),
    ],
)
def test_check_refuses_what_a_run_on_a_table_refuses(
    words: dict[str, Any], message: str, table: Path, tiny_model: Path, in_tmp: Path
) -> None:
    for look in (tunesmith.check, tunesmith.plan):
        assert message in said(lambda look=look: look(table, model=str(tiny_model), **words))
    assert message in said(lambda: tunesmith.train(table, out="run", model=str(tiny_model), **words))


def test_names_that_other_tools_have() -> None:
    known = ("epochs", "batch_size", "learning_rate", "max_length", "rank", "validation_size")
    asked = ("num_train_epochs", "per-device-train-batch-size", "LR", "max_seq_length", "lora_r", "val_size", "epoch5")
    assert [nearest(name, known).split("'")[1] for name in asked] == [*known, "epochs"]


# what plain transformers makes of a finished run


@pytest.mark.story
def test_a_plain_pipeline_gives_the_answers_of_the_run(table: Path, tiny_model: Path, in_tmp: Path) -> None:
    from transformers import pipeline

    lines = [line.rpartition(",") for line in table.read_text(encoding="utf-8").splitlines()[1:]]
    rows = [
        {"text": text, "labels": [label, "new"] if number % 2 else [label], "price": 10.0 * len(label) + number % 5}
        for number, (text, _, label) in enumerate(lines)
    ]
    words: dict[str, Any] = {"text": "text", "model": str(tiny_model), "method": "head", "epochs": 1}
    asked = "the bread of number 7 is here again"
    several = tunesmith.train(rows, out="several", target="labels", **words)
    answers = pipeline("text-classification", str(several.path / "model"))(asked, top_k=None)
    own = tunesmith.load("several").predict(asked)["probabilities"]
    assert {one["label"]: one["score"] for one in answers} == pytest.approx(own, abs=1e-5)
    number = tunesmith.train(rows, out="number", target="price", task="text-regression", **words)
    (answer,) = pipeline("text-classification", str(number.path / "model"))(asked)
    assert answer["score"] == pytest.approx(tunesmith.load("number").predict(asked)["value"], rel=1e-4)
