"""Whole runs of the methods that put virtual tokens before a text, where a text has one answer."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import tunesmith
from crashes import At, Killed, kill
from tiers import repeats
from tunesmith.core.errors import OptionError
from tunesmith.families.plan import plan
from tunesmith.models.additions import quiet_peft
from tunesmith.workflows.export import export

METHODS = ("prompt", "prefix")
RATES = {"prompt": 0.2, "prefix": 0.1}
TEXTS = ["the card is lost again and I am angry", "thanks", "where is my parcel?"]

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")

Train = Callable[..., tunesmith.Run]


@pytest.fixture(name="learn")
def _learn(tickets: Any, tiny_model: Path, in_tmp: Path) -> Train:
    def call(method: str, **words: Any) -> tunesmith.Run:
        given = {"precision": "fp32", "epochs": 2, "virtual_tokens": 6, "learning_rate": RATES[method]}
        return tunesmith.train(words.pop("data", tickets), **{"model": str(tiny_model), "out": "run", **given, **words},
                               method=method)  # fmt: skip

    return call


def by_peft(folder: Path, texts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits of what peft reads from a model folder, wherever that stands, and of the base below."""
    from peft import PeftModel
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    base = AutoModelForSequenceClassification.from_pretrained(folder / "base")
    batch = AutoTokenizer.from_pretrained(folder)(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        before = base.eval()(**batch).logits
        with quiet_peft():
            model = PeftModel.from_pretrained(base, folder).eval()
        return model(**batch).logits, before


@pytest.mark.parametrize("method", METHODS)
def test_a_moved_folder_is_whole(method: str, learn: Train, tiny_model: Path, in_tmp: Path) -> None:
    run = learn(method)
    expected = run.model.probabilities(TEXTS)
    (in_tmp / "else" / "where").mkdir(parents=True)
    shutil.move(run.path, in_tmp / "else" / "where")
    moved = in_tmp / "else" / "where" / "run"
    found, base = by_peft(moved / "model", TEXTS)
    np.testing.assert_allclose(found.softmax(-1).numpy(), expected, atol=1e-5)
    again = tunesmith.load(moved)
    np.testing.assert_allclose(again.probabilities(TEXTS), expected, atol=1e-6)
    assert (found - base).abs().max() > 1e-2
    batch = dict(again.bundle.tokenizer(TEXTS, padding=True, return_tensors="pt"))
    with again.bundle.model.prompted.disable_adapter(), torch.no_grad():
        assert torch.equal(again.bundle.model(batch), base)
    with torch.no_grad():
        assert torch.equal(again.bundle.model(batch), found)
    body = load_file(moved / "model" / "base" / "model.safetensors")
    for name, weight in load_file(tiny_model / "model.safetensors").items():
        assert name.startswith("pooler.") or torch.equal(body[f"bert.{name}"], weight)


@pytest.mark.slow
def test_the_card_says_how_it_is_loaded(learn: Train) -> None:
    run = learn("prompt")
    card = (run.path / "model" / "README.md").read_text(encoding="utf-8")
    code = re.findall(r"```python\n(.*?)```", card, re.DOTALL)[1]
    code = code.replace("path/to/this/folder", str(run.path / "model")) + "print(probabilities[0].tolist())"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    np.testing.assert_allclose(found, run.model.probabilities(["a text"])[0], atol=1e-5)


@pytest.mark.story
@pytest.mark.parametrize("method", repeats(METHODS))
def test_a_killed_run_ends_as_if_nothing_had_been(method: str, learn: Train, in_tmp: Path) -> None:
    steady = {"save_steps": 2, "eval_steps": 4, "batch_size": 8}
    whole = learn(method, out="whole", **steady)
    with pytest.raises(Killed):
        learn(method, **steady, listeners=[At(5, kill)])
    again = tunesmith.resume(in_tmp / "run")
    ours, theirs = (run.path / "model" / "adapter_model.safetensors" for run in (again, whole))
    assert ours.read_bytes() == theirs.read_bytes()


@pytest.mark.story
@pytest.mark.parametrize("method", repeats(METHODS))
def test_it_trains_in_bf16(method: str, learn: Train) -> None:
    assert learn(method, precision="bf16", epochs=1).folder.status() == "finished"


@pytest.mark.story
def test_virtual_tokens_take_their_room(learn: Train, records: Any, tickets: Any) -> None:
    long = [{**row, "text": row["text"] + " again" * 80} for row in tickets]
    run = learn("prompt", data=long, epochs=1)
    said = {event["what"]: event for event in records(run, "decided")}
    assert said["virtual_tokens"]["value"] == 6
    assert "58 of the 64 tokens" in said["virtual_tokens"]["why"]
    assert said["max_length"]["value"] == 58
    (warned,) = (event["message"] for event in records(run, "warned") if event["what"] == "cut texts")
    assert f"{len(tickets)} of {len(tickets)} texts" in warned
    bundle = run.model.bundle
    assert (bundle.max_length, bundle.position_limit) == (58, 58)
    with pytest.warns(UserWarning, match="cut texts"):
        assert len(run.model.predict([long[0]["text"]])) == 1


@pytest.mark.parametrize(
    ("method", "words", "says"),
    [
        ("prefix", {"gradient_checkpointing": True}, "gradient_checkpointing=true"),
        ("prompt", {"virtual_tokens": 60}, "leave 4 of the 64 tokens.*\n.*at most 56"),
        ("prompt", {"max_length": 60}, "at most 58"),
    ],
)
def test_what_it_can_not_work_with_is_refused_first(
    method: str, words: dict[str, Any], says: str, learn: Train, in_tmp: Path
) -> None:
    with pytest.raises(OptionError, match=says.partition("\n")[0]) as error:
        learn(method, **words)
    assert re.search(says, str(error.value))
    assert not (in_tmp / "run").exists()


@pytest.mark.story
@pytest.mark.parametrize("method", repeats(METHODS))
def test_a_finished_run_is_continued_beside_its_base_alone(method: str, learn: Train, tickets: Any) -> None:
    run = learn(method, epochs=1)
    with pytest.raises(OptionError, match="plain peft folder already"):
        export(run.path)
    words = {"method": "head", "precision": "fp32"}
    assert tunesmith.train(tickets, out="below", model=str(run.path / "model" / "base"), **words).metrics
    with pytest.raises(OptionError, match="keeps what it learned in an adapter beside its base"):
        tunesmith.train(tickets, out="next", method="full", continue_from=str(run.path))
    after = tunesmith.train(tickets, out="after", method="adapters", epochs=1, continue_from=str(run.path))
    values = after.folder.load_metrics()["forgetting"]["matrix"]["values"]
    assert values[1][0] == pytest.approx(values[0][0])


@pytest.mark.story
@pytest.mark.parametrize("method", repeats(METHODS))
def test_its_cost_is_known_before(method: str, tickets: Any, tiny_model: Path) -> None:
    words = {"model": str(tiny_model), "method": method, "epochs": 2}
    few, many = (plan(tickets, virtual_tokens=count, **words) for count in (5, 30))
    assert few.parameters["trainable"] < many.parameters["trainable"]
    assert few.memory["total"] < many.memory["total"]
