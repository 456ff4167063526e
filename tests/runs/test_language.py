"""Whole generative runs on tiny models: what they learn, refuse, cut, save, and how they survive."""

from __future__ import annotations

import json
import re
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from crashes import At, Killed, kill

import tunesmith
from language_models import folder, network
from tunesmith.core.errors import DataError, ModelError, OptionError
from tunesmith.evaluate import metrics_json, report
from tunesmith.evaluate.evidence import Evidence
from tunesmith.models.additions import quiet_peft

Train = Callable[..., tunesmith.Run]
Records = Callable[..., list[dict[str, Any]]]
Rows = list[dict[str, Any]]

NAMES = ["anna", "bob", "carl", "dora", "emil", "fred", "gina", "hans", "ida", "jan"]
THINGS = ("parcel", "refund", "card", "tea")
PAIRS = [(f"{name}: where is my {thing}?", thing, name) for name in NAMES for thing in THINGS]
CHAT: Rows = [
    {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": f"the {thing} is good"}]}
    for question, thing, _ in PAIRS
]
PREFERENCE: Rows = [
    {"prompt": question, "chosen": f" the {thing} is good", "rejected": f" no idea, {name}"}
    for question, thing, name in PAIRS
]
FEEDBACK: Rows = [
    {"prompt": row["prompt"], "completion": row["chosen" if good else "rejected"], "label": good}
    for row, good in zip(PREFERENCE, [True, False] * 20, strict=True)
]
TRANSLATION: Rows = [{"source": question, "target": f"the {thing} is good"} for question, thing, _ in PAIRS]


@pytest.fixture(name="train")
def _train(in_tmp: Path) -> Train:
    """`train(rows, "llama", **words)`: a short run in fp32 into the folder `run`."""

    def call(data: Any, family: str = "llama", out: str = "run", **words: Any) -> tunesmith.Run:
        return tunesmith.train(data, out=out, model=str(folder(family)), **{**SHORT, **words})

    return call


SHORT = {"precision": "fp32", "method": "full", "epochs": 3, "batch_size": 8, "learning_rate": 5e-3,
         "generate_rows": 2, "max_new_tokens": 8, "few_shot": 1, "patience": 99}  # fmt: skip


def jsonl(path: Path, rows: Rows) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def base(run: tunesmith.Run, metric: str = "loss") -> float:
    return float(run.document["baselines"]["base"][metric]["value"])


# what is learned


@pytest.mark.parametrize("method", ["full", "lora", "qlora"])
def test_conversations_lower_the_loss(method: str, train: Train) -> None:
    run = train(CHAT, method=method)
    assert run.metrics["loss"] < base(run) - 0.1
    assert run.document["verdict"]["outcome"] == "better"


def test_an_answer_is_learned_by_heart_and_ends(train: Train) -> None:
    rows = [{"messages": [{"role": "user", "content": f"say {n}"}, {"role": "assistant", "content": "good"}]}
            for n in range(40)]  # fmt: skip
    run = train(rows, epochs=10, learning_rate=1e-2)
    assert run.metrics["exact_match"] == 1
    assert run.metrics["stop_rate"] == 1
    assert base(run, "exact_match") == 0
    assert tunesmith.load(run.path).predict(["say 99"]) == [{"text": "good", "stopped": True}]


@pytest.mark.parametrize(
    ("family", "method"), [("llama-tied", "lora"), ("gpt2", "full"), ("gpt2", "lora"), ("gemma2", "full")]
)
def test_other_families_learn_too(family: str, method: str, train: Train, records: Records) -> None:
    run = train(CHAT, family, method=method)
    assert run.metrics["loss"] < base(run)
    decided = {event["what"] for event in records(run, "decided")}
    assert "chunked_logits" not in decided  # ours were the network's own


@pytest.mark.parametrize("kind", ["sigmoid", "ipo"])
def test_better_answers_become_likelier_than_worse_ones(kind: str, train: Train) -> None:
    run = train(PREFERENCE, method="full", preference_loss=kind)
    assert run.metrics["preference_accuracy"] > 0.9
    assert run.metrics["reward_margin"] > 0
    assert base(run, "reward_margin") == pytest.approx(0, abs=1e-4)
    assert run.document["task"] == "preference"


def test_judged_answers_get_rewards_of_the_right_sign(train: Train) -> None:
    run = train(FEEDBACK)
    assert run.metrics["preference_accuracy"] > 0.9 > base(run, "preference_accuracy")
    assert run.document["task"] == "preference"


@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize("family", ["t5", "bart"])
def test_text_to_text_lowers_the_loss(family: str, method: str, train: Train) -> None:
    run = train(TRANSLATION, family, method=method, task="seq2seq")
    assert run.metrics["loss"] < base(run) - 0.1
    assert {"lead", "copy_source"} <= run.document["baselines"].keys()


def test_plain_text_goes_on_in_further_sequences(train: Train, told: list[Evidence]) -> None:
    rows = [{"text": " ".join(f"{name} {thing}" for thing in ("parcel", "refund") * 30)} for name in NAMES * 2]
    run = train(rows, max_length=64)
    assert run.metrics["loss"] < base(run)
    assert ledger(told[0]) == {"rows": 20, "used": 20, "cut": 0, "dropped": 0}
    assert run.document["test"]["loss"]["value"] > 0


def test_packed_or_not_the_first_step_is_the_same(train: Train, records: Records) -> None:
    short = [{"prompt": f"{n}:", "completion": " good" * (1 + n % 9)} for n in range(40)]
    values = []
    for packing in (True, False):
        run = train(short, out=f"run-{packing}", packing=packing, batch_size=64, max_steps=1, few_shot=0)
        values.append(records(run, "step")[0])
    assert values[0]["loss"] == pytest.approx(values[1]["loss"], abs=1e-5)
    assert values[0]["gradient_norm"] == pytest.approx(values[1]["gradient_norm"], rel=1e-4)


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


def test_what_is_too_long_is_cut_left_out_or_refused(train: Train, records: Records, told: list[Evidence]) -> None:
    cut = train(LONG_ROWS, out="truncate", max_length=64, max_steps=2)
    assert ledger(told[0]) == {"rows": 40, "used": 30, "cut": 10, "dropped": 0}
    dropped = train(LONG_ROWS, out="drop", max_length=64, max_steps=2, overflow="drop")
    assert ledger(told[1]) == {"rows": 40, "used": 30, "cut": 0, "dropped": 10}
    for run, what in ((cut, "cut rows"), (dropped, "dropped rows")):
        warned = [event for event in records(run, "warned") if event["what"] == what]
        assert "10 of 40" in warned[0]["message"]
    with pytest.raises(DataError, match="at most 64") as caught:
        train(LONG_ROWS, out="error", max_length=64, overflow="error")
    assert len(caught.value.problems) == 10


# refusals before training


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


def test_a_tokenizer_of_another_model_is_refused(in_tmp: Path) -> None:
    shutil.copytree(folder("llama"), in_tmp / "base")
    config = json.loads((in_tmp / "base" / "config.json").read_text(encoding="utf-8"))
    network("llama", vocab_size=100).save_pretrained(in_tmp / "base")
    assert config["vocab_size"] > 100
    with pytest.raises(ModelError, match="do not belong together"):
        tunesmith.train(CHAT, out="run", model=str(in_tmp / "base"), **SHORT)


# what is saved


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


@pytest.mark.parametrize("new_tokens", [[], ["<ticket>"]], ids=["", "with a new token"])
@pytest.mark.parametrize(
    ("family", "method"), [("llama", "full"), ("llama", "lora"), ("llama-tied", "lora"), ("gpt2", "full")]
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


@pytest.mark.parametrize("family", ["llama", "llama-tied"])
def test_a_new_token_is_learned(family: str, train: Train) -> None:
    rows = [{"prompt": f"{question}", "completion": "<ticket>"} for question, _, _ in PAIRS]
    run = train(rows, family, method="lora", new_tokens=["<ticket>"], epochs=8, learning_rate=2e-2)
    assert run.metrics["loss"] < base(run) - 2
    written = tunesmith.load(run.path).predict(["anna: where is my tea?"])[0]["text"]
    assert written.startswith("<ticket>")  # the token for the end keeps its tiny random row, and hardly can win


def report_text(run: tunesmith.Run) -> str:
    return run.report.read_text(encoding="utf-8")


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


def test_a_bad_answer_is_never_what_was_wanted(train: Train, told: list[Evidence]) -> None:
    train(FEEDBACK, epochs=1, generate_rows=20)
    good = {row["completion"].strip() for row in FEEDBACK if row["label"]}
    wanted = {answer.wanted.strip() for answer in told[0].answers}
    assert wanted
    assert wanted <= good


# kills

STEADY = {"epochs": 2, "save_steps": 2, "eval_steps": 4}


def model_bytes(run: Path) -> bytes:
    (path,) = (run / "model").glob("*model.safetensors")
    return path.read_bytes()


@pytest.mark.parametrize(
    ("rows", "words"),
    [(CHAT, {"method": "full"}), (CHAT, {"method": "lora", "lora_dropout": 0.1, "packing": True}),
     (PREFERENCE, {"method": "lora"}), (FEEDBACK, {"method": "full"}),
     (TRANSLATION, {"family": "t5", "task": "seq2seq"}), (CHAT, {"method": "lora", "new_tokens": ["<ticket>"]})],
    ids=["full", "lora with dropout", "preference", "feedback", "seq2seq with dropout", "new tokens"],
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
