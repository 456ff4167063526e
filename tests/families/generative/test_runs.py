"""Whole generative runs on tiny models: what they learn, cut and save."""

from __future__ import annotations

import json
import math
import re
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

import tunesmith
from language_models import folder, network
from language_runs import (
    CHAT,
    FEEDBACK,
    NAMES,
    PAIRS,
    PREFERENCE,
    SHORT,
    TRANSLATION,
    Records,
    Rows,
    Train,
    base,
    jsonl,
    short_run,
)  # fmt: skip
from tiers import repeats
from tunesmith.cli import show
from tunesmith.core.errors import DataError, ModelError
from tunesmith.evaluate import metrics_json, report
from tunesmith.evaluate.evidence import Evidence
from tunesmith.families.generative.items import start_token
from tunesmith.models.additions import quiet_peft
from tunesmith.workflows import catalogues


@pytest.fixture(name="train")
def _train(in_tmp: Path) -> Train:
    return short_run


# what is learned


@pytest.mark.parametrize(("family", "first"), [("t5", 0), ("bart", 2)])
def test_a_decoder_begins_with_the_token_that_its_config_names(family: str, first: int) -> None:
    bundle: Any = SimpleNamespace(model=network(family), tokenizer=SimpleNamespace(pad_token_id=1))
    assert start_token(bundle) == first


@pytest.mark.story
@pytest.mark.parametrize("method", repeats(["lora", "full", "qlora"]))
def test_conversations_lower_the_loss(method: str, train: Train) -> None:
    run = train(CHAT, method=method)
    assert run.metrics["loss"] < base(run) - 0.1
    assert run.document["verdict"]["outcome"] == "better"
    cost = run.document["cost"]
    assert cost["predicted"]["peak_memory_bytes"] > 1e8
    assert 0 < cost["train_seconds"] < cost["wall_seconds"]
    assert "peak memory, predicted" in report_text(run)
    weights = [load_file(file) for file in run.folder.model.glob("*.safetensors")]
    assert cost["trainable_parameters"] == sum(one.numel() for part in weights for one in part.values())
    assert f"trained  {cost['trainable_parameters']:,} parameters" in show.run(catalogues.run(run.path), verbose=True)


@pytest.mark.story
def test_an_answer_is_learned_by_heart_and_ends(train: Train) -> None:
    rows = [{"messages": [{"role": "user", "content": f"say {n}"}, {"role": "assistant", "content": "good"}]}
            for n in range(40)]  # fmt: skip
    run = train(rows, epochs=10, learning_rate=1e-2)
    assert run.metrics["exact_match"] == 1
    assert run.metrics["stop_rate"] == 1
    assert base(run, "exact_match") == 0
    unended = sum(2 * (1 - found["stop_rate"]["value"]) for found in run.document["baselines"].values())
    assert report_text(run).count("[not ended]</span></td>") == round(unended) > 0
    assert tunesmith.load(run.path).predict(["say 99"]) == [{"text": "good", "stopped": True}]


@pytest.mark.story
@pytest.mark.parametrize(
    ("family", "method"), repeats([("gemma2", "full"), ("llama-tied", "lora"), ("gpt2", "full"), ("gpt2", "lora")])
)
def test_other_families_learn_too(family: str, method: str, train: Train, records: Records) -> None:
    run = train(CHAT, family, method=method)
    assert run.metrics["loss"] < base(run)
    decided = {event["what"] for event in records(run, "decided")}
    assert "chunked_logits" not in decided  # ours were the network's own


@pytest.mark.story
@pytest.mark.parametrize("kind", ["sigmoid", "ipo"])
def test_better_answers_become_likelier_than_worse_ones(kind: str, train: Train) -> None:
    run = train(PREFERENCE, method="full", preference_loss=kind)
    assert run.metrics["preference_accuracy"] > 0.9
    assert run.metrics["reward_margin"] > 0
    assert (base(run, "reward_margin"), base(run, "preference_accuracy")) == (0, 0.5)
    assert base(run) == pytest.approx({"sigmoid": math.log(2), "ipo": 25}[kind])
    assert run.document["test"]["loss"]["value"] < base(run)
    assert run.document["task"] == "preference"
    assert 0 < run.document["test"]["kl_to_base"]["value"] < 20


@pytest.mark.story
def test_the_distance_to_the_base_is_the_same_for_an_adapter_and_its_sum(train: Train) -> None:
    """The base with the adapter off is the base that is loaded again."""
    beside = train(PREFERENCE, out="a", method="lora", max_steps=2)
    assert beside.document["test"]["kl_to_base"]["value"] > 1e-6
    untouched = train(PREFERENCE, out="b", method="full", learning_rate=1e-12, max_steps=1)
    assert untouched.document["test"]["kl_to_base"]["value"] == pytest.approx(0, abs=1e-5)


@pytest.mark.story
def test_judged_answers_get_rewards_of_the_right_sign(train: Train) -> None:
    run = train(FEEDBACK)
    assert run.metrics["preference_accuracy"] > 0.9
    assert (base(run, "preference_accuracy"), base(run)) == (0.5, 0.5)  # rounding gives the base no preference
    assert run.document["test"]["loss"]["value"] < 0.5
    assert run.document["task"] == "preference"


@pytest.mark.story
@pytest.mark.parametrize("method", repeats(["full", "lora"]))
@pytest.mark.parametrize("family", ["t5", "bart"])
def test_text_to_text_lowers_the_loss(family: str, method: str, train: Train) -> None:
    run = train(TRANSLATION, family, method=method, task="seq2seq")
    assert run.metrics["loss"] < base(run) - 0.1
    assert {"lead", "copy_source"} <= run.document["baselines"].keys()


@pytest.mark.story
def test_a_base_that_is_shown_nothing_is_the_base(train: Train) -> None:
    """Of several turns too: what is measured follows the prompt of the first."""
    rows = [
        {"messages": [*row["messages"], {"role": "user", "content": "why?"}, {"role": "assistant", "content": "it is"}]}
        for row in CHAT
    ]
    run = train(rows, max_length=70, max_steps=1)  # no room for an example before the question
    shown, plain = (run.document["baselines"][name]["loss"]["value"] for name in ("few_shot", "base"))
    assert shown == pytest.approx(plain, abs=1e-5)


@pytest.mark.story
def test_plain_text_goes_on_in_further_sequences(train: Train, told: list[Evidence]) -> None:
    rows = [{"text": " ".join(f"{name} {thing}" for thing in ("parcel", "refund") * 30)} for name in NAMES * 2]
    run = train(rows, max_length=64)
    assert run.metrics["loss"] < base(run)
    assert ledger(told[0]) == {"rows": 20, "used": 20, "cut": 0, "dropped": 0}
    assert run.document["test"]["loss"]["value"] > 0


@pytest.mark.story
def test_packed_or_not_the_first_step_is_the_same(train: Train, records: Records) -> None:
    short = [{"prompt": f"{n}:", "completion": " good" * (1 + n % 9)} for n in range(40)]
    values = []
    for packing in (True, False):
        run = train(short, out=f"run-{packing}", packing=packing, batch_size=64, max_steps=1, few_shot=0)
        values.append(records(run, "step")[0])
    assert values[0]["loss"] == pytest.approx(values[1]["loss"], abs=1e-5)
    assert values[0]["gradient_norm"] == pytest.approx(values[1]["gradient_norm"], rel=1e-4)


@pytest.mark.story
def test_gradient_checkpointing_changes_nothing_but_memory(
    train: Train, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch.utils.checkpoint

    real, calls = torch.utils.checkpoint.checkpoint, 0

    def counted(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        return real(*arguments, **named)

    monkeypatch.setattr("torch.utils.checkpoint.checkpoint", counted)
    monkeypatch.setattr("transformers.modeling_utils.checkpoint", counted, raising=False)
    losses = []
    for asked in (False, True):
        run = train(CHAT, out=f"run-{asked}", method="lora", gradient_checkpointing=asked, max_steps=3)
        losses.append([event["loss"] for event in records(run, "step")])
        assert (calls > 0) is asked
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)


@pytest.mark.story
def test_dropout_is_active_while_training_only(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    from tunesmith.models.language import LanguageModel

    real, seen = LanguageModel.forward, set()

    def watched(self: LanguageModel, batch: Any) -> Any:
        seen.add((torch.is_grad_enabled(), self.network.training))
        return real(self, batch)

    monkeypatch.setattr(LanguageModel, "forward", watched)
    train(TRANSLATION, "t5", task="seq2seq", max_steps=2)
    assert seen == {(True, True), (False, False)}


# files of one's own


@pytest.mark.story
def test_given_files_are_validated_and_tested_on(train: Train, in_tmp: Path) -> None:
    parts = {"train": CHAT[:26], "validation": CHAT[26:32], "test": CHAT[32:]}
    files = {name: jsonl(in_tmp / f"{name}.jsonl", rows) for name, rows in parts.items()}
    run = train(files["train"], validation=str(files["validation"]), test=str(files["test"]))
    audit = report_text(run)
    assert "26" in audit
    assert run.document["test"]["loss"]["value"] < base(run)
    from tunesmith.core import events

    steps = [event for event in events.read(run.path / "events.jsonl") if event["event"] == "step"]
    assert sum(event["rows"] for event in steps if event["epoch"] <= 1) == 26


@pytest.mark.story
def test_prompts_that_are_learned_and_tested_are_a_finding(train: Train, in_tmp: Path) -> None:
    parts = {"train": CHAT[:26], "validation": CHAT[26:32], "test": CHAT[24:26] + CHAT[32:]}
    files = {name: jsonl(in_tmp / f"{name}.jsonl", rows) for name, rows in parts.items()}
    run = train(files["train"], validation=str(files["validation"]), test=str(files["test"]), epochs=1)
    found = {one["name"]: one for one in run.document["findings"]}
    assert found["leakage"]["severity"] == "warning"
    assert found["leakage"]["evidence"].startswith("2 rows")
    order = ["problem", "warning", "info"]
    assert [*found.values()] == sorted(found.values(), key=lambda one: order.index(one["severity"]))


# what is too long


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[Evidence]:
    """What the reports are made of, one for each run."""
    found: list[Evidence] = []
    real = report.write_report
    monkeypatch.setattr(report, "write_report", lambda evidence, path: (found.append(evidence), real(evidence, path)))
    return found


def ledger(evidence: Evidence) -> dict[str, int]:
    """What became of the rows."""
    counts = {name: evidence.audit["ledger"][name] for name in ("rows", "used", "cut", "dropped")}
    assert counts["rows"] == counts["used"] + counts["cut"] + counts["dropped"]
    return counts


LONG_ROWS: Rows = [
    {"messages": [{"role": "user", "content": "x" * 90 if n % 4 == 0 else f"say {n}"},
                  {"role": "assistant", "content": f"good {n}"}]}
    for n in range(40)
]  # fmt: skip


@pytest.mark.story
def test_what_is_too_long_is_cut_left_out_or_refused(train: Train, records: Records, told: list[Evidence]) -> None:
    cut = train(LONG_ROWS, out="truncate", max_length=64, max_steps=2)
    assert ledger(told[0]) == {"rows": 40, "used": 30, "cut": 10, "dropped": 0}
    dropped = train(LONG_ROWS, out="drop", max_length=64, max_steps=2, overflow="drop")
    assert ledger(told[1]) == {"rows": 40, "used": 30, "cut": 0, "dropped": 10}
    for run, status in ((cut, "cut"), (dropped, "dropped")):  # kept in the folder, row by row
        table = pq.read_table(run.path / "data" / "ledger.parquet").to_pylist()
        told_of = [row for row in table if row["status"] != "used"]
        assert {row["status"] for row in told_of} == {status}
        assert [row["row"] for row in told_of] == list(range(1, 41, 4))
        assert all(row["reason"] for row in told_of)
        splits = pq.read_table(run.path / "data" / "splits.parquet")
        assert splits["row_id"].to_pylist() == list(range(40))
        assert set(splits["split"].to_pylist()) == {"train", "validation", "test"}
        assert json.loads((run.path / "data" / "columns.json").read_text())["form"] == "chat"
        assert json.loads((run.path / "data" / "audit.json").read_text())["ledger"][status] == 10
    for run, what in ((cut, "cut rows"), (dropped, "dropped rows")):
        warned = [event for event in records(run, "warned") if event["what"] == what]
        assert "10 of 40" in warned[0]["message"]
    with pytest.raises(DataError, match="at most 64") as caught:
        train(LONG_ROWS, out="error", max_length=64, overflow="error")
    assert len(caught.value.problems) == 10


# what is saved


@pytest.mark.story
def test_an_adapter_for_another_base_is_refused(train: Train, in_tmp: Path) -> None:
    shutil.copytree(folder("llama"), in_tmp / "base")
    run = tunesmith.train(CHAT, out="run", model=str(in_tmp / "base"), **{**SHORT, "method": "lora", "max_steps": 1})
    network("llama", rms_norm_eps=1e-5).save_pretrained(in_tmp / "base")
    with pytest.raises(ModelError, match="belongs to another base"):
        tunesmith.load(run.path)


def logits(model: Any, tokenizer: Any) -> torch.Tensor:
    ids = tokenizer("the parcel is good", return_tensors="pt", add_special_tokens=False).input_ids
    with torch.no_grad():
        return model.eval()(input_ids=ids).logits


@pytest.mark.story
@pytest.mark.parametrize("new_tokens", [[], ["<ticket>"]], ids=["", "with a new token"])
@pytest.mark.parametrize(
    ("family", "method"),
    repeats([("llama", "lora"), ("gpt2", "full"), ("llama-tied", "lora"), ("llama", "full")], first=2),
)
def test_what_is_saved_is_read_by_transformers_and_peft_alone(
    family: str, method: str, new_tokens: list[str], train: Train
) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    run = train(CHAT, family, method=method, new_tokens=new_tokens)
    path = run.path / "model"
    tokenizer = AutoTokenizer.from_pretrained(path)
    assert tokenizer.chat_template == AutoTokenizer.from_pretrained(folder(family)).chat_template
    assert all(len(tokenizer.tokenize(token)) == 1 for token in new_tokens)
    if method == "full":
        assert not (path / "adapter_config.json").exists()
        alone = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
    else:
        below = AutoModelForCausalLM.from_pretrained(folder(family), dtype=torch.float32)
        if new_tokens:
            below.resize_token_embeddings(len(tokenizer))
        with quiet_peft():
            alone = PeftModel.from_pretrained(below, path)
    ours = tunesmith.load(run.path)
    torch.testing.assert_close(
        logits(alone, tokenizer), logits(ours.bundle.model.running, ours.bundle.tokenizer), atol=1e-4, rtol=0
    )


@pytest.mark.story
@pytest.mark.parametrize("family", repeats(["llama", "llama-tied"]))
def test_a_new_token_is_learned(family: str, train: Train) -> None:
    rows = [{"prompt": f"{question}", "completion": "<ticket>"} for question, _, _ in PAIRS]
    run = train(rows, family, method="lora", new_tokens=["<ticket>"], epochs=8, learning_rate=2e-2)
    assert run.metrics["loss"] < base(run) - 2
    written = tunesmith.load(run.path).predict(["anna: where is my tea?"])[0]["text"]
    assert written.startswith("<ticket>")  # the token for the end keeps its tiny random row, and hardly can win


def report_text(run: tunesmith.Run) -> str:
    return run.report.read_text(encoding="utf-8")


@pytest.mark.story
@pytest.mark.parametrize("rows", [CHAT, PREFERENCE, FEEDBACK], ids=["chat", "preference", "feedback"])
def test_the_documents_are_whole(rows: Rows, train: Train) -> None:
    run = train(rows, epochs=1)
    metrics_json.check(json.loads((run.path / "metrics.json").read_text(encoding="utf-8")))
    page = report_text(run)
    shown = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert not re.search(r"""<[a-z]+ [^>]*(?:src|href)\s*=\s*["']?(?:https?:)?//""", shown)
    assert "where is my" in page  # a question
    assert re.search(r"[Aa]nswers", page)
    assert re.search(r"What is learned", page)
    result = json.loads((run.path / "result.json").read_text(encoding="utf-8"))
    assert result["status"] == "finished"
    assert (run.path / "model" / "README.md").read_text(encoding="utf-8")


@pytest.mark.story
def test_answers_in_letters_that_rouge_does_not_read_are_told(train: Train) -> None:
    rows = [{"prompt": question, "completion": " да, хорошо"} for question, *_ in PAIRS]
    found = {finding["name"]: finding["evidence"] for finding in train(rows, epochs=0).document["findings"]}
    assert "Trust chrF" in found["letters_that_metrics_do_not_read"]


def test_a_bad_answer_is_never_what_was_wanted(train: Train, told: list[Evidence]) -> None:
    train(FEEDBACK, epochs=1, generate_rows=20)
    good = {row["completion"].strip() for row in FEEDBACK if row["label"]}
    wanted = {answer.wanted.strip() for answer in told[0].answers}
    assert wanted
    assert wanted <= good
