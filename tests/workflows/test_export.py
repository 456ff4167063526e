"""export and continuing: one plain model out of a run, which answers as the run does, whatever its base was kept in."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import tunesmith
from language_runs import CHAT, PREFERENCE, SHORT, TRANSLATION, short_run
from tiers import repeats
from tunesmith.core.errors import RunFailed
from tunesmith.families.generative import predictor
from tunesmith.models.additions import quiet_peft
from tunesmith.models.pretrained import quiet_transformers
from tunesmith.workflows.export import export

FEW: dict[str, Any] = {"generate_rows": 0, "few_shot": 0, "learning_rate": 2e-2}


@pytest.mark.story
@pytest.mark.parametrize(
    ("method", "family", "words"),
    repeats([("lora", "llama-tied", {"new_tokens": ["<order>"]}), ("qlora", "llama", {}), ("lora", "t5", {}),
             ("lora", "llama", {}), ("lora", "bart", {})], first=3),
)  # fmt: skip
def test_a_merged_model_is_a_plain_one_with_the_same_logits(
    method: str, family: str, words: dict[str, Any], in_tmp: Path
) -> None:
    import transformers

    pairs = family in ("t5", "bart")
    run = short_run(TRANSLATION if pairs else CHAT, family, method=method, epochs=1, **FEW, **words)
    found = export(run.path)
    assert found["largest_difference"] < 1e-4
    maker = transformers.AutoModelForSeq2SeqLM if pairs else transformers.AutoModelForCausalLM
    plain = maker.from_pretrained(found["out"])
    tokenizer = transformers.AutoTokenizer.from_pretrained(found["out"])
    ours = tunesmith.load(run.path)
    assert tokenizer.chat_template == ours.bundle.tokenizer.chat_template
    assert len(tokenizer) == len(ours.bundle.tokenizer)
    ends = plain.generation_config.eos_token_id
    assert set(ends if isinstance(ends, list) else [ends]) == ours.stop_ids
    ids = torch.tensor([ours.prompt_ids("anna: where is my tea?")])
    inputs = {"input_ids": ids, **({"decoder_input_ids": ids[:, :3]} if pairs else {})}
    with torch.no_grad():
        expected = ours.bundle.model.running(**inputs).logits
        torch.testing.assert_close(plain(**inputs).logits, expected, atol=1e-4, rtol=0)


@pytest.mark.story
@pytest.mark.parametrize(
    ("family", "method"), repeats([("llama-tied", "lora"), ("llama", "qlora"), ("llama", "lora")], first=2)
)
def test_an_adapter_with_new_tokens_is_read_by_plain_transformers(family: str, method: str, in_tmp: Path) -> None:
    """PEFT puts the rows of new tokens into a table, and makes no table longer: the longer base lies beside."""
    from peft import AutoPeftModelForCausalLM

    run = short_run(CHAT, family, method=method, epochs=1, new_tokens=["<order>", "<till>"], **FEW)
    stored = load_file(run.folder.model / "adapter_model.safetensors")
    assert {len(some) for name, some in stored.items() if "token" in name} == {2}
    ours = _logits(tunesmith.load(run.path)) if method == "lora" else None
    plain = _loaded_by_card(run.folder.model)
    if ours is not None:  # a base in 4 bits answers differently
        torch.testing.assert_close(plain, ours, atol=1e-4, rtol=0)
    with quiet_peft(), quiet_transformers():
        peft = AutoPeftModelForCausalLM.from_pretrained(run.folder.model)
    torch.testing.assert_close(plain, _answered(peft, run.folder.model), atol=1e-4, rtol=0)


def test_an_adapter_that_is_enough_has_no_base_beside_it(in_tmp: Path) -> None:
    run = short_run(CHAT, method="lora", epochs=1, **FEW)
    assert [path.name for path in run.folder.model.glob("*.safetensors")] == ["adapter_model.safetensors"]


@pytest.mark.story
@pytest.mark.parametrize("method", ["lora", "adapters"])
def test_an_adapter_on_an_earlier_adapter_is_read_by_plain_transformers(method: str, in_tmp: Path) -> None:
    first = short_run(CHAT, out="first", method="lora", epochs=1, new_tokens=["<order>"], **FEW)
    new = {"new_tokens": ["<till>"]} if method == "lora" else {}
    words = {**SHORT, "method": method, "epochs": 1, **new, **FEW}
    second = tunesmith.train(CHAT, out="second", model=str(first.path), **words)
    settings = json.loads((second.folder.model / "adapter_config.json").read_text(encoding="utf-8"))
    assert settings["base_model_name_or_path"] == str(first.folder.model.resolve())
    expected = _logits(tunesmith.load(second.path))
    first.path.rename("gone")
    torch.testing.assert_close(_loaded_by_card(second.folder.model), expected, atol=1e-4, rtol=0)


def _logits(ours: Any) -> torch.Tensor:
    ids = torch.tensor([ours.prompt_ids("anna: where is my tea?")])
    with torch.no_grad():
        return torch.as_tensor(ours.bundle.model.running(input_ids=ids).logits)


def _loaded_by_card(folder: Path) -> torch.Tensor:
    """Logits of the model that the line of code in the card makes, from a copy of the folder elsewhere."""
    import transformers

    card = (folder / "README.md").read_text(encoding="utf-8")
    assert 'model = AutoModelForCausalLM.from_pretrained("path/to/this/folder")' in card
    shutil.copytree(folder, "copied")
    with quiet_peft(), quiet_transformers():
        return _answered(transformers.AutoModelForCausalLM.from_pretrained("copied"), folder)


def _answered(model: Any, folder: Path) -> torch.Tensor:
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    asked = [{"role": "user", "content": "anna: where is my tea?"}]
    ids = tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_tensors="pt")
    with torch.no_grad():
        return torch.as_tensor(model.eval()(input_ids=ids["input_ids"]).logits)


def test_a_whole_model_names_the_tokens_that_end_its_answers(in_tmp: Path) -> None:
    import transformers

    run = short_run(CHAT, epochs=1, **FEW)
    plain = transformers.AutoModelForCausalLM.from_pretrained(run.folder.model)
    ends = transformers.AutoTokenizer.from_pretrained(run.folder.model).convert_tokens_to_ids(["</s>", "<|im_end|>"])
    assert plain.generation_config.eos_token_id == sorted(ends)


def test_a_whole_model_is_exported_as_a_checked_copy(in_tmp: Path) -> None:
    import transformers

    run = short_run(CHAT, epochs=1, **FEW)
    found = export(run.path, out="new/copy")
    assert found == {"out": "new/copy", "largest_difference": 0.0, "answers": 4}
    plain = transformers.AutoModelForCausalLM.from_pretrained("new/copy")
    ids = torch.tensor([run.model.prompt_ids("anna: where is my tea?")])
    torch.testing.assert_close(plain(input_ids=ids).logits, run.model.bundle.model.running(input_ids=ids).logits)


@pytest.mark.story
def test_a_prompt_is_read_as_those_that_were_learned(in_tmp: Path) -> None:
    """Preferences of texts are learned without the template, though the base has one; those of messages with it."""
    asked = "anna: where is my tea?"
    texts = short_run(PREFERENCE, out="texts", epochs=1, **FEW).model
    assert texts.prompt_ids(asked) == texts.codec.prompt_of(asked).tolist()
    told = [
        {"prompt": [{"role": "user", "content": row["prompt"]}],
         **{name: [{"role": "assistant", "content": row[name]}] for name in ("chosen", "rejected")}}
        for row in PREFERENCE
    ]  # fmt: skip
    messages = short_run(told, out="messages", epochs=1, **FEW).model
    assert messages.prompt_ids(asked) == messages.prompt_ids([{"role": "user", "content": asked}])
    assert messages.prompt_ids(asked) != texts.prompt_ids(asked)


@pytest.mark.story
def test_training_goes_on_from_a_run_whose_base_was_in_4_bits(in_tmp: Path) -> None:
    first = short_run(CHAT, method="qlora", epochs=1, **FEW)
    words = {**SHORT, "method": "lora", "epochs": 1, **FEW}
    second = tunesmith.train(PREFERENCE, out="second", model=str(first.path), **words)
    assert second.document["model"] == str(first.path.resolve())


@pytest.mark.story
def test_a_model_that_answers_differently_is_not_exported(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = short_run(CHAT, method="lora", epochs=1, **FEW)
    monkeypatch.setattr(predictor, "_TOLERANCE", -1.0)
    with pytest.raises(RunFailed, match="does not answer as the trained one"):
        export(run.path)
    assert not (run.path / "export" / "merged").exists()
    assert not list((run.path / "export").iterdir())
