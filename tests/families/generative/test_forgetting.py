"""What models that write text forget, and how it is held."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import tunesmith
from forgetting_runs import Records, Rows, forgotten, lost, phases
from language_models import folder
from tiers import repeats
from tunesmith.core.errors import DataError, OptionError
from tunesmith.core.events import Decided

CHAT: Rows = [
    {"messages": [{"role": "user", "content": f"{name}: where is my {thing}?"},
                  {"role": "assistant", "content": f"the {thing} is good"}]}
    for name in ("anna", "bob", "carl", "dora", "emil", "fred", "gina", "hans")
    for thing in ("parcel", "refund", "card", "tea")
]  # fmt: skip
TEXT = "\n\n".join(f"{number} dogs bark at {number + 3} cats, which do not mind them at all." for number in range(120))
SHORT = {"precision": "fp32", "method": "full", "epochs": 3, "batch_size": 4, "learning_rate": 5e-3,
         "generate_rows": 0, "few_shot": 0, "patience": 99}  # fmt: skip


@pytest.fixture(scope="session")
def chat(tmp_path_factory: pytest.TempPathFactory) -> tunesmith.Run:
    out = tmp_path_factory.mktemp("chat") / "chat"
    return tunesmith.train(CHAT, out=out, model=str(folder("llama")), **SHORT)


@pytest.fixture
def text(in_tmp: Path) -> str:
    (in_tmp / "dogs.txt").write_text(TEXT, encoding="utf-8")
    return "dogs.txt"


def test_a_writer_is_measured_on_general_text(chat: tunesmith.Run) -> None:
    (task,) = forgotten(chat)["tasks"]
    assert task["name"] == "general text"
    assert lost(chat) == pytest.approx(task["after"] - task["before"])
    assert forgotten(chat)["lost"]["low"] < lost(chat) < forgotten(chat)["lost"]["high"]
    assert "Forgetting" in chat.report.read_text(encoding="utf-8")


@pytest.mark.story
@pytest.mark.parametrize(
    ("method", "callback", "knob"),
    repeats([("lora", "ewc", {}), ("full", "distill", {"distill_weight": 5}), ("full", "rehearsal", {})], first=2),
)
def test_a_writer_keeps_more_where_it_is_held(
    method: str, callback: str, knob: dict[str, int], chat: tunesmith.Run, text: str
) -> None:
    words = {**SHORT, "method": method, "continue_from": str(chat.path)}
    bare = tunesmith.train(text, out="bare", **words)
    task = forgotten(bare)["tasks"][0]
    assert task["before"] == pytest.approx(chat.metrics["loss"], abs=1e-4)
    assert forgotten(bare)["matrix"]["values"] == [[chat.metrics["loss"]], [task["after"], bare.metrics["loss"]]]
    assert lost(bare) > 0.2
    assert forgotten(bare)["average_forgetting"] == pytest.approx(lost(bare), abs=1e-3)
    held = tunesmith.train(text, out="held", callbacks=[callback], **knob, **words)
    assert lost(held) < 0.8 * lost(bare)
    assert held.metrics["loss"] < held.document["baselines"]["base"]["loss"]["value"]


@pytest.mark.slow
def test_writers_beside_one_base_keep_what_each_has_learned(chat: tunesmith.Run, text: str) -> None:
    """Bottleneck adapters and virtual tokens can not be merged: the next task gets its own beside the same base."""
    words = {**SHORT, "method": "adapters", "learning_rate": 1e-2, "epochs": 1}
    first = tunesmith.train(CHAT, out="first", model=str(chat.path), **words)  # beside what an earlier run made
    second = tunesmith.train(text, out="second", continue_from=str(first.path), **words)
    third = tunesmith.train(CHAT[:20], out="third", continue_from=str(second.path), **{**words, "method": "lora"})
    one, two = first.metrics["loss"], second.metrics["loss"]
    assert forgotten(second)["matrix"]["values"] == [[one], [pytest.approx(one, abs=1e-6), two]]
    for run in (second, third):
        assert [task["lost"]["value"] for task in forgotten(run)["tasks"][:-1]] == [0.0] * (1 + (run is third))
        base = [json.loads((one.folder.model / "tunesmith.json").read_text())["base"] for one in (first, run)]
        assert base[0] == base[1]
    assert two < second.document["baselines"]["base"]["loss"]["value"]
    assert tunesmith.load(second.path).predict(["dogs"])[0]["text"] is not None
    seen: list[Any] = []
    words |= {"continue_from": str(first.path)}
    tunesmith.train(text, out="held", callbacks=["rehearsal"], listeners=[seen.append], **words)
    assert any(isinstance(event, Decided) and event.what == "retained" for event in seen)
    with pytest.raises(OptionError, match="--method full would move from under it"):
        tunesmith.train(text, out="refused", **{**words, "method": "full"})


@pytest.mark.slow
def test_a_writer_rehearses_what_it_wrote_itself(chat: tunesmith.Run, text: str) -> None:
    seen: list[Any] = []
    Path("old.jsonl").write_text("".join(json.dumps(row) + "\n" for row in CHAT), encoding="utf-8")
    words = {**SHORT, "model": str(chat.path)}
    bare = tunesmith.train(text, out="bare", retain="old.jsonl", **words)
    words |= {"callbacks": ["rehearsal"], "rehearsal_rate": 1, "sampled_texts": 64}
    held = tunesmith.train(text, out="held", listeners=[seen.append], **words)
    decided = {event.what: event.value for event in seen if isinstance(event, Decided)}
    assert 32 <= decided["sampled_texts"] <= 64
    assert "retained" not in decided  # not the general sentences
    assert lost(bare) > 0.2
    found = tunesmith.evaluate("held", "old.jsonl")["metrics"]["loss"]["value"]
    plain = tunesmith.evaluate("bare", "old.jsonl")["metrics"]["loss"]["value"]
    assert found < plain
    again = tunesmith.train(text, out="again", **words)
    assert again.metrics == held.metrics


@pytest.mark.slow
def test_a_prompt_that_costs_too_much_before_it_is_trained_is_not_said_to_keep_enough(
    chat: tunesmith.Run, text: str, records: Records
) -> None:
    words = {**SHORT, "method": "prompt", "learning_rate": 1e-3, "epochs": 1}
    run = tunesmith.train(text, out="run", continue_from=str(chat.path), forget_at_most=0.001, **words)
    said = [event for event in records(run, "decided") if event["what"] == "forget_at_most"]
    assert "none of 5 kept enough" in said[-2]["why"]
    assert said[-1]["value"] == "missed"


@pytest.mark.story
@pytest.mark.parametrize("callback", [pytest.param("rehearsal", marks=pytest.mark.slow), "distill"])
def test_what_is_preferred_is_learned_beside_texts_that_are_kept(
    callback: str, chat: tunesmith.Run, in_tmp: Path
) -> None:
    choices = [{"prompt": f"say {n}", "chosen": " good", "rejected": f" no {n}"} for n in range(40)]
    words = {**SHORT, "learning_rate": 2e-3, "continue_from": str(chat.path)}
    bare = tunesmith.train(choices, out="bare", **words)
    held = tunesmith.train(choices, out="held", callbacks=[callback], **words)
    assert lost(held) < 0.8 * lost(bare)
    assert held.metrics["preference_accuracy"] == 1


def test_writers_refuse_what_has_nothing_to_hold(
    chat: tunesmith.Run, first: tunesmith.Run, text: str, in_tmp: Path
) -> None:
    pairs = [{"source": f"where is {n}?", "target": f"{n} is good"} for n in range(40)]
    t5 = str(folder("t5"))
    cases: list[tuple[Any, dict[str, Any], str]] = [
        (text, {"continue_from": str(first.path)}, "gives one answer per row, and this one writes text"),
        (pairs, {"model": t5, "task": "seq2seq", "callbacks": ["ewc"]}, "--retain"),
        (pairs, {"model": t5, "task": "seq2seq", "callbacks": ["rehearsal"], "sampled_texts": 9}, "--retain"),
    ]
    for data, words, message in cases:
        with pytest.raises(OptionError, match=message):
            tunesmith.train(data, out="refused", **{**SHORT, **words})
        assert not (in_tmp / "refused").exists()
    rows = [{"text": f"say {n}", "label": "ab"[n % 2]} for n in range(40)]
    with pytest.raises(OptionError, match="sampled_texts: a model with one answer per row writes no text"):
        tunesmith.train(rows, out="refused", callbacks=["rehearsal"], sampled_texts=9)
    with pytest.raises(OptionError, match="writes text, and this one gives one answer"):
        tunesmith.train(rows, out="refused", continue_from=str(chat.path))


def test_faults_of_what_is_retained_are_told_before_the_model_is_loaded(in_tmp: Path) -> None:
    seen: list[Any] = []
    Path("old.jsonl").write_text('{"messages": [{"role": "user", "content": "well?"}]}\n' * 20)
    with pytest.raises(DataError, match=r"old\.jsonl"):
        tunesmith.train(CHAT, out="b", model=str(folder("llama")), retain="old.jsonl", listeners=[seen.append])
    assert phases(seen) == ["read"]
