"""A plan from a config alone: counts that can be checked by hand, other machines, and errors that help."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from language_runs import folder, short_run
from tunesmith.core.errors import DataError, ModelError, OptionError
from tunesmith.engine import devices
from tunesmith.families.plan import plan
from tunesmith.families.plan_data import count_lengths, token_lengths
from tunesmith.families.plan_words import Plan, render
from tunesmith.workflows import base_models


@pytest.fixture
def table(in_tmp: Path, tickets: list[dict[str, str]]) -> Path:
    path = in_tmp / "tickets.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in tickets), encoding="utf-8")
    return path


@pytest.fixture
def chats(in_tmp: Path) -> Path:
    path = in_tmp / "chats.jsonl"
    rows = [
        {"messages": [{"role": "user", "content": f"what is {n}?"}, {"role": "assistant", "content": "a " * 9 * n}]}
        for n in range(1, 31)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def llama(tmp_path: Path) -> Path:
    """A folder with nothing but the config of a 7-billion-weight Llama."""
    from transformers import LlamaConfig

    folder = tmp_path / "llama"
    LlamaConfig().save_pretrained(folder)
    return folder


@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.slow
def test_an_earlier_run_is_planned_as_its_base_is(chats: Path, method: str) -> None:
    short_run(chats, out="earlier", method=method, max_steps=1, generate_rows=0, few_shot=0)
    again, base = (plan(chats, model=model) for model in ("earlier", str(folder("llama"))))
    assert (again.parameters, again.tokens) == (base.parameters, base.tokens)


@pytest.mark.story
def test_a_table_and_an_encoder(table: Path, tiny_model: Path) -> None:
    from transformers import AutoTokenizer

    made = plan(table, model=str(tiny_model), method="full", epochs=2, batch_size=8)
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    lengths = [len(tokenizer(json.loads(line)["text"])["input_ids"]) for line in table.read_text().splitlines()]
    assert made.tokens.total == pytest.approx(sum(lengths), rel=0.02)
    assert (made.tokens.longest, made.batch_length, made.tokens.sampled) == (max(lengths), max(lengths), 60)
    assert made.form == "label"
    assert made.steps == 2 * 6  # 48 training rows in batches of 8
    assert made.fits
    assert 0 < made.seconds < 600
    assert "measured" in made.seconds_how
    assert made.memory["total"] == pytest.approx(sum(v for k, v in made.memory.items() if k != "total"))
    assert made.disk["checkpoints"] == 3 * 12 * made.parameters["trainable"]
    assert made.disk["model"] == 4 * made.parameters["total"]


@pytest.mark.story
def test_few_rows_plan_the_method_that_train_would_take(table: Path, tiny_model: Path) -> None:
    made = plan(table, model=str(tiny_model))
    assert (made.method, made.epochs, made.steps) == ("contrastive", 24, 24)
    assert made.seconds > 0


@pytest.mark.story
def test_the_words_are_those_of_train(table: Path, tiny_model: Path, minilm: Path) -> None:
    small, large = (plan(table, model=str(tiny_model), method="lora", rank=rank) for rank in (4, 8))
    head = 2 * 32 + 2
    assert large.parameters["trainable"] - head == 2 * (small.parameters["trainable"] - head)
    assert plan(table, target="label", text="text").model == "minilm"
    with pytest.raises(OptionError, match="Did you mean 'rank'"):
        plan(table, model=str(tiny_model), method="lora", rnk=4)
    with pytest.raises(OptionError, match="does not fit"):
        plan(table, model=str(tiny_model), method="qlora")


@pytest.mark.slow
def test_what_is_frozen_by_hand_does_not_move(table: Path, chats: Path, tiny_model: Path) -> None:
    words: dict[str, Any] = {"model": str(tiny_model), "method": "full", "frozen_share": 0.0}
    whole = plan(table, **words)
    some = plan(table, **words, freeze=["embeddings,layers.0"])
    below = sum(block["parameters"] for block in base_models.blocks(str(tiny_model))[:2])
    assert whole.parameters["trainable"] - some.parameters["trainable"] == below
    assert some.memory["total"] < whole.memory["total"]
    llama = {"model": str(folder("llama")), "method": "full"}
    assert (
        plan(chats, **llama, freeze=["embeddings"]).parameters["trainable"]
        < plan(chats, **llama).parameters["trainable"]
    )
    with pytest.raises(OptionError, match=r"'layers\.7' names no block"):
        plan(table, **words, freeze=["layers.7"])


@pytest.mark.story
def test_a_stage_of_unfreezing_costs_what_moves_in_it(table: Path, tiny_model: Path) -> None:
    words = {"model": str(tiny_model), "device": "t4", "epochs": 3}
    slow, fast = (plan(table, method="gradual", stages=stages, frozen_share=0, **words) for stages in (1, 3))
    assert slow.parameters == fast.parameters  # at the end, where the peak is
    assert slow.memory == fast.memory
    assert fast.seconds < slow.seconds


@pytest.mark.slow
def test_seven_billion_weights_without_one_of_them(chats: Path, llama: Path) -> None:
    plans = {
        method: plan(chats, model=str(llama), method=method, device="RTX 4090", batch_size=1)
        for method in ("full", "lora", "qlora")
    }
    assert plans["lora"].parameters["total"] == 6_738_415_616
    assert [plans[method].fits for method in ("full", "lora", "qlora")] == [False, True, True]
    assert plans["full"].memory["weights"] > 2 * plans["lora"].memory["weights"]
    assert plans["full"].largest_batch == 0 < plans["lora"].largest_batch < plans["qlora"].largest_batch
    assert any("--method qlora" in note for note in plans["full"].notes)
    assert 3.8e9 < plans["qlora"].memory["weights"] < 4.5e9  # 3.2 GB in NF4, word tables in bf16
    assert plans["lora"].disk["model"] < 2e8
    assert "guessed" in plans["lora"].tokens.how
    assert "not measured" in plans["lora"].seconds_how


@pytest.mark.slow
def test_a_larger_machine_is_faster_and_takes_more(chats: Path, tmp_path: Path) -> None:
    from transformers import LlamaConfig

    LlamaConfig(num_hidden_layers=4).save_pretrained(tmp_path / "four-blocks")
    small, large = (
        plan(chats, model=str(tmp_path / "four-blocks"), device=name, max_length=256, batch_size=4, epochs=1)
        for name in ("l4", "h100")
    )
    assert large.seconds < small.seconds
    assert large.largest_batch > small.largest_batch
    assert small.memory == large.memory


@pytest.mark.story
def test_conversations_are_counted_as_the_template_writes_them(chats: Path, shared_data: Path) -> None:
    model = shared_data / "w_stories260k" / "hf"
    with pytest.raises(ModelError, match="no chat template"):
        plan(chats, model=str(model))  # as a run refuses it
    made = plan(chats, model=str(model), template="chatml")
    assert (made.form, made.method, made.tokens.rows) == ("chat", "lora", 30)
    assert made.tokens.how == "tokenised"
    assert made.max_length == 512


@pytest.mark.slow
def test_judged_answers_are_read_once_more(tmp_path: Path, llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the answer of another row, of which nothing is learned."""
    read: dict[str, float] = {}
    monkeypatch.setattr(devices, "seconds", lambda *_, **words: read.update(words) or 1.0)
    label = [{"prompt": f"say {n}", "completion": "well and good", "label": bool(n % 2)} for n in range(20)]
    for rows in (label, [{"prompt": row["prompt"], "completion": row["completion"]} for row in label]):
        path = tmp_path / "rows.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        made = plan(path, model=str(llama), epochs=1, device="h100")
        assert read["read"] == pytest.approx(made.tokens.mean * (20 if rows is label else 4), rel=0.1)


def test_the_rest_of_many_rows_is_extrapolated_and_said_so(tiny_model: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    counted = count_lengths(*token_lengths(["the card", "the card is lost"], tokenizer), rows=100)
    assert (counted.mean, counted.longest, counted.total) == (5, 6, 500)
    assert "2 of 100 rows" in counted.how
    guessed = count_lengths(*token_lengths(["x" * 42], None))
    assert (guessed.total, "guessed" in guessed.how) == (12, True)
    with pytest.raises(DataError, match="no text"):
        token_lengths([], None)


@pytest.mark.story
def test_it_is_shown_as_a_table_and_as_json(table: Path, tiny_model: Path) -> None:
    made = plan(table, model=str(tiny_model), method="lora", device="t4")
    assert isinstance(made, Plan)
    assert json.loads(json.dumps(made.as_dict()))["tokens"]["rows"] == made.tokens.rows
    shown, deep = render(made), render(made, verbose=True)
    for words in ("it fits", "small additions to it", "a GPU (t4)", "to learn from", "Nothing was trained"):
        assert words in shown
    assert re.search(r"^memory +\d+ MB at the most", shown, re.MULTILINE)
    for words in ("the largest that fits", "checkpoints", "fp32", "sdpa"):
        assert words in deep
        assert words not in shown


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        ({"model": "owner/nobody-has-this"}, ModelError, "not on this machine and the hub did not give it"),
        ({"model": "minilmm"}, ModelError, "Did you mean 'minilm'"),
        ({"device": "h1000"}, OptionError, "Did you mean 'h100'"),
        ({"method": "qlorra"}, OptionError, "Did you mean 'qlora'"),
        ({"max_length": 4_096}, OptionError, "at most 64"),
    ],
)
def test_mistakes_are_named(
    table: Path, tiny_model: Path, words: dict[str, object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        plan(table, **{"model": str(tiny_model), **words})  # type: ignore[arg-type]


def test_a_folder_without_config_is_refused(table: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match=r"no config\.json"):
        plan(table, model=str(tmp_path / "empty"))
