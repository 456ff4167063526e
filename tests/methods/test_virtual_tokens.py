"""Whole runs of the methods that put virtual tokens before a text: learned, saved, read by PEFT, never merged."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import tunesmith
from crashes import At, Killed, kill
from language_models import folder
from tiers import repeats
from tunesmith.core.errors import ModelError, OptionError
from tunesmith.models.additions import quiet_peft
from tunesmith.workflows.export import export

Train = Callable[..., tunesmith.Run]

NAMES = ["anna", "bob", "carl", "dora", "emil", "fred", "gina", "hans", "ida", "jan"]
PAIRS = [(f"{name}: where is my {thing}?", f"the {thing} is good") for name in NAMES for thing in ("parcel", "tea")]
CHAT = [
    {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}
    for question, answer in PAIRS
]
PREFERENCE = [{"prompt": question, "chosen": f" {answer}", "rejected": " no idea"} for question, answer in PAIRS]
TRANSLATION = [{"source": question, "target": answer} for question, answer in PAIRS]
SHORT = {"precision": "fp32", "epochs": 6, "batch_size": 4, "generate_rows": 2, "max_new_tokens": 8, "few_shot": 1,
         "patience": 99, "virtual_tokens": 6}  # fmt: skip
METHODS = ("prompt", "prefix")
RATES = {"prompt": 1.0, "prefix": 5e-2}
"""Far above the defaults: a random network of 40 thousand weights has to be pushed hard."""


@pytest.fixture(name="train")
def _train(in_tmp: Path) -> Train:
    def call(data: Any, method: str, family: str = "llama", out: str = "run", **words: Any) -> tunesmith.Run:
        given = {**SHORT, "learning_rate": RATES.get(method, 1e-2), **words}
        if method not in METHODS:
            del given["virtual_tokens"]
        return tunesmith.train(data, out=out, model=str(folder(family)), method=method, **given)

    return call


def base(run: tunesmith.Run, metric: str = "loss") -> float:
    return float(run.document["baselines"]["base"][metric]["value"])


@pytest.mark.story
@pytest.mark.parametrize(
    ("family", "rows", "task"),
    [
        ("llama", CHAT, "chat"), pytest.param("gpt2", CHAT, "chat", marks=pytest.mark.slow),
        ("t5", TRANSLATION, "seq2seq"), pytest.param("bart", TRANSLATION, "seq2seq", marks=pytest.mark.slow),
    ],
)  # fmt: skip
@pytest.mark.parametrize("method", METHODS)
def test_it_learns_and_peft_alone_reads_it(method: str, family: str, rows: Any, task: str, train: Train) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

    run = train(rows, method, family, task=task)
    if family in ("llama", "t5"):  # the other random networks hardly attend to anything, and can not be led
        assert run.metrics["loss"] < base(run) - 0.01
    path = run.path / "model"
    assert not list(path.glob("model*.safetensors"))
    assert (path / "adapter_model.safetensors").stat().st_size < 40_000
    kind = AutoModelForSeq2SeqLM if task == "seq2seq" else AutoModelForCausalLM
    with quiet_peft():
        alone = PeftModel.from_pretrained(kind.from_pretrained(folder(family), dtype=torch.float32), path).eval()
    batch = dict(AutoTokenizer.from_pretrained(path)(["where is my tea?"], return_tensors="pt"))
    batch.pop("token_type_ids", None)
    if task == "seq2seq":
        batch["decoder_input_ids"] = batch["input_ids"][:, :2]
    ours = tunesmith.load(run.path)
    with torch.no_grad():
        expected = ours.bundle.model.running(**batch).logits
        torch.testing.assert_close(alone(**batch).logits, expected, atol=1e-5, rtol=0)
        below = ours.bundle.model.network(**batch).logits
        assert (below - expected[:, -below.shape[1] :]).abs().max() > 1e-4
    limit = 256 - 6 if family != "t5" else 1024 - 6
    assert ours.bundle.position_limit == limit
    assert len(ours.predict(["where is my tea?"])) == 1


@pytest.mark.parametrize("method", METHODS)
def test_better_answers_become_likelier(method: str, train: Train) -> None:
    run = train(PREFERENCE, method)
    assert base(run, "reward_margin") == pytest.approx(0, abs=1e-5)  # the reference is the base without the tokens
    assert run.metrics["reward_margin"] > 0


@pytest.mark.story
@pytest.mark.parametrize("method", repeats(["adapters", *METHODS]))
def test_the_adapter_is_never_merged(method: str, train: Train, in_tmp: Path) -> None:
    run = train(CHAT, method, epochs=1)
    with pytest.raises(OptionError, match=r"stands beside.*nothing that could be merged") as error:
        export(run.path)
    assert "method=lora" in str(error.value)
    assert not (run.path / "export").exists()
    with pytest.raises(ModelError, match=r"can not be merged.*no base"):
        tunesmith.train(CHAT, out="again", model=str(run.path), method="lora", epochs=1, precision="fp32")
    assert not (in_tmp / "again").exists()


@pytest.mark.parametrize(
    ("method", "words", "says"),
    [
        ("prompt", {"packing": True}, "packing=true"),
        ("prefix", {"packing": True}, "packing=true"),
        ("prefix", {"gradient_checkpointing": True}, "gradient_checkpointing=true"),
        ("prompt", {"new_tokens": ["<ticket>"]}, r"new tokens \(<ticket>\) would stay unlearned"),
        ("ia3", {"new_tokens": ["<ticket>"]}, r"new tokens \(<ticket>\) would stay unlearned"),
        ("adapters", {"new_tokens": ["<ticket>"]}, r"new tokens \(<ticket>\) would stay unlearned"),
        ("full", {"new_tokens": ["<ticket>"], "frozen_share": 0.5}, "--method full leaves the embeddings as they are"),
        ("gradual", {"new_tokens": ["<ticket>"], "frozen_share": 0.5}, r"new tokens \(<ticket>\) would stay unlearned"),
        ("full", {"new_tokens": ["<ticket>"], "freeze": ["emb*"]}, "--freeze embeddings leaves the embeddings"),
        ("prompt", {"max_length": 251}, "at most 250"),
        ("prefix", {"virtual_tokens": 250}, "virtual_tokens=250 leave 6 of the 256 tokens"),
    ],
)
def test_what_it_can_not_work_with_is_refused_first(
    method: str, words: dict[str, Any], says: str, train: Train, in_tmp: Path
) -> None:
    with pytest.raises(OptionError, match=says):
        train(CHAT, method, **words)
    assert not (in_tmp / "run").exists()


@pytest.mark.story
def test_packing_is_off_and_checkpointing_changes_nothing(train: Train, records: Any) -> None:
    losses = []
    for asked in (False, True):
        run = train(CHAT, "prompt", out=f"run-{asked}", gradient_checkpointing=asked, max_steps=3)
        losses.append([event["loss"] for event in records(run, "step")])
        (packing,) = (event for event in records(run, "decided") if event["what"] == "packing")
        assert packing["value"] is False
        assert "method=prompt" in packing["why"]
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)


@pytest.mark.parametrize(("method", "rows"), [("prompt", CHAT), ("prefix", PREFERENCE)])
@pytest.mark.slow
def test_a_killed_run_ends_as_if_nothing_had_been(method: str, rows: Any, train: Train, in_tmp: Path) -> None:
    steady = {"epochs": 2, "save_steps": 2, "eval_steps": 4}
    whole = train(rows, method, out="whole", **steady)
    with pytest.raises(Killed):
        train(rows, method, **steady, listeners=[At(5, kill)])
    again = tunesmith.resume(in_tmp / "run")
    ours, theirs = (run.path / "model" / "adapter_model.safetensors" for run in (again, whole))
    assert ours.read_bytes() == theirs.read_bytes()


@pytest.mark.story
@pytest.mark.parametrize(
    ("method", "family", "rows"),
    repeats([("prefix", "bart", TRANSLATION), ("prompt", "llama", CHAT), ("prefix", "llama", CHAT)], first=2),
)
def test_it_trains_in_bf16(method: str, family: str, rows: Any, train: Train) -> None:
    run = train(rows, method, family, precision="bf16", epochs=1, task="seq2seq" if family == "bart" else "chat")
    assert run.folder.status() == "finished"  # so the saved one, read in float32, answers as the trained one


def test_it_starts_from_a_text(train: Train) -> None:
    run = train(CHAT, "prompt", init_text="say something to the user", learning_rate=1e-9, epochs=1)
    saved = json.loads((run.path / "model" / "adapter_config.json").read_text(encoding="utf-8"))
    assert (saved["peft_type"], saved["num_virtual_tokens"]) == ("PROMPT_TUNING", 6)
    model = tunesmith.load(run.path).bundle
    ids = model.tokenizer("say something to the user", add_special_tokens=False)["input_ids"]
    start = model.model.network.get_input_embeddings().weight[torch.tensor((ids * 6)[:6])]
    torch.testing.assert_close(model.model.running.get_prompt(1)[0], start, atol=1e-6, rtol=1e-4)
