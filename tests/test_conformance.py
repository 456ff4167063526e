"""Every task with every method, every callback and every option: what a line in a TABLE promises.

A new plugin is under the suite that the package brings (`tunesmith.testing`) with its TABLE line alone; what holds for
the networks of texts beyond that is asked here of the same runs.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

import tunesmith
from tunesmith import testing
from tunesmith.core import events, registry
from tunesmith.core.spec import RunSpec
from tunesmith.data.types import ReadOptions, SplitOptions
from tunesmith.engine.options import EngineOptions
from tunesmith.engine.protocols import Toy
from tunesmith.runs.choose import families_of, family_of_task, fits_modality
from tunesmith.runs.run_options import option_models

NOTHING_TO_MOVE = [("seq2seq", "bitfit")]
"""T5, the base of that toy, has no biases."""
ON_PICTURES = ("object-detection", "image-segmentation")
CLASSES = ("full", "lora")
"""Methods that are tried on classes of pictures each time; on whole pictures it is ..."""
WHOLE = ("head",)
WRITE = ("chat", "preference", "seq2seq")
Pairs = dict[str, tuple[torch.Tensor, torch.Tensor]]


def _more(run: tunesmith.Run, toy: Toy) -> None:
    task = registry.get("tasks", run.document["task"])
    if {"label", "labels", "number"}.issuperset(task.kinds) and getattr(task, "modality", None) == "text":
        _of_texts(run, toy, run.document["method"])


def _tier(case: testing.Case) -> list[pytest.MarkDecorator]:
    """Further toys of a task are repeats, but with the first method that fits; and so are most methods on pictures,
    whose networks take long, and `qlora` of all that write, which is `lora` on another base."""
    task, toy, method = case
    repeat = toy and method != next(iter(testing.cases([task])))[2]
    tried = WHOLE if task in ON_PICTURES else CLASSES if task == "image-classification" else (method,)
    repeat = repeat or (method == "qlora" and task != "chat")
    return [] if method in tried and not repeat else [pytest.mark.slow]


test_every_task_with_every_method = pytest.mark.story(
    testing.conformance(refused=NOTHING_TO_MOVE, also=_more, marks=_tier)
)
test_every_callback = pytest.mark.story(testing.conformance([], [], registry.names("callbacks")))


def _of_texts(run: tunesmith.Run, toy: Toy, method: str) -> None:
    """Networks with an answer for every text: what is saved, what others read, and which weights moved."""
    texts = [row["text"] for row in toy.rows]
    scores = np.array(pq.read_table(run.folder.predictions).to_pydict()["scores"])
    again = tunesmith.load(run.path).probabilities(texts)
    np.testing.assert_allclose(again.reshape(scores.shape), scores, atol=1e-4)
    losses = [e["metrics"]["loss"] for e in events.read(run.folder.events) if e["event"] == "evaluated"]
    assert min(losses) < 0.9 * losses[0] or registry.get("methods", method).frozen_body
    _others_give_the_same_logits(run, texts, [row[toy.words.get("target", "label")] for row in toy.rows])
    if run.document["task"] == "text-regression" or method == "head":
        MOVES.get(method, lambda run: None)(run)


def _others_give_the_same_logits(run: tunesmith.Run, texts: list[str], truth: list[Any]) -> None:
    """Plain transformers, or plain peft, where virtual tokens can not be folded into weights."""
    from peft import AutoPeftModelForSequenceClassification
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    method = registry.get("methods", run.document["method"])
    beside = method(method.Options()).virtual_tokens > 0
    reader = AutoPeftModelForSequenceClassification if beside else AutoModelForSequenceClassification
    plain = reader.from_pretrained(run.folder.model).eval()
    batch = AutoTokenizer.from_pretrained(run.folder.model)(texts, padding=True, truncation=True, return_tensors="pt")
    with torch.no_grad():
        logits = plain(**batch).logits
        ours = run.model.bundle.model({name: batch[name] for name in batch})
    torch.testing.assert_close(logits, ours, atol=1e-5, rtol=1e-5)

    if run.model.labels is None:  # in the user's units
        values = [answer["value"] for answer in run.model.predict(texts)]
        np.testing.assert_allclose(logits[:, 0].numpy(), values, atol=1e-5)
        assert np.corrcoef(values, truth)[0, 1] > 0.9
        assert np.mean(values) == pytest.approx(np.mean(truth), abs=1)
    else:
        assert plain.config.id2label == dict(enumerate(run.model.labels))
        scores = logits.softmax(-1) if run.model.task.kind == "label" else logits.sigmoid()
        np.testing.assert_allclose(scores.numpy(), run.model.probabilities(texts), atol=1e-5)


# which weights move


def _body(run: tunesmith.Run) -> Pairs:
    """Weights of the base model, before and after; without its pooler, which is not used."""
    before = load_file(run.path.parent / "base" / "model.safetensors")
    after = load_file(run.folder.model / "model.safetensors")
    return {n: (before[n], after[f"bert.{n}"]) for n in before if not n.startswith("pooler.")}


def _moved(pairs: Pairs) -> set[str]:
    return {name for name, (before, after) in pairs.items() if not torch.equal(before, after)}


def _head_leaves_the_body_untouched(run: tunesmith.Run) -> None:
    assert _moved(_body(run)) == set()


def _full_moves_the_upper_blocks_and_nothing_below(run: tunesmith.Run) -> None:
    pairs = _body(run)
    assert _moved(pairs) == {name for name in pairs if name.startswith("encoder.layer.1.")}


def _lora_moves_linear_layers_by_its_adapter(run: tunesmith.Run) -> None:
    pairs = _body(run)
    linear = {n for n, (b, _) in pairs.items() if n.startswith("encoder.") and n.endswith("weight") and b.dim() == 2}
    assert _moved(pairs) == linear
    assert len(linear) == 12

    adapter = run.folder.model / "adapter"
    assert {"adapter_config.json", "adapter_model.safetensors"} <= {path.name for path in adapter.iterdir()}
    settings = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    assert (settings["peft_type"], settings["r"], settings["lora_alpha"], settings["use_rslora"]) == (
        "LORA", 16, 32, True,
    )  # fmt: skip
    low = load_file(adapter / "adapter_model.safetensors")
    for name in linear:
        stem = f"base_model.model.bert.{name.removesuffix('.weight')}"
        added = low[f"{stem}.lora_B.weight"] @ low[f"{stem}.lora_A.weight"] * 32 / 16**0.5
        torch.testing.assert_close(pairs[name][1], pairs[name][0] + added, atol=1e-6, rtol=1e-5)


MOVES: dict[str, Callable[[tunesmith.Run], None]] = {
    "head": _head_leaves_the_body_untouched,
    "full": _full_moves_the_upper_blocks_and_nothing_below,
    "lora": _lora_moves_linear_layers_by_its_adapter,
}


@pytest.mark.story
def test_full_moves_everything_when_nothing_is_frozen(tmp_path: Path) -> None:
    pairs = _body(testing.check("text-regression", 0, "full", tmp_path, frozen_share=0.0))
    assert _moved(pairs) == set(pairs)


@pytest.mark.story
@pytest.mark.parametrize(
    "task",
    [
        pytest.param(task, marks=[pytest.mark.slow] if task in (*ON_PICTURES, *WRITE) else [])
        for task in registry.names("tasks")
    ],
)
def test_every_task_with_no_method_asked_for(task: str, tmp_path: Path) -> None:
    testing.check_default(task, 0, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("task", [task for task in registry.names("tasks") if family_of_task(task) == "predictive"])
def test_every_task_goes_on_after_a_kill_with_the_same_bits(task: str, tmp_path: Path) -> None:
    """With all that is drawn anew in each epoch: changed pictures, windows, negatives, dropout."""
    augmented = {"augment": "standard"} if task in ON_PICTURES else {}
    testing.check_resume(task, 0, tmp_path, callbacks=["ema"] if task.startswith("image") else [], **augmented)


@pytest.mark.story
@pytest.mark.parametrize(
    "task",
    [
        pytest.param(task, marks=[] if task == "token-classification" else [pytest.mark.slow])
        for task in registry.names("tasks")
    ],
)
def test_every_task_is_planned_compared_and_searched(task: str, tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    testing.check_verbs(task, 0, tmp_path)


# cases, options


def test_there_is_a_case_for_every_entry_of_the_tables() -> None:
    cases = list(testing.cases())
    vectors = {task for task in registry.names("tasks") if getattr(registry.get("tasks", task), "probe_loss", None)}
    fitting = {
        (task, method)
        for task in registry.names("tasks")
        for method in registry.names("methods")
        if family_of_task(task) in families_of(method)
        if fits_modality(method, getattr(registry.get("tasks", task), "modality", None))
        if task in vectors or not registry.get("methods", method).needs_vectors
    }
    assert {(task, method) for task, _, method in cases} == fitting
    assert {task for task, _ in fitting} == set(registry.names("tasks"))
    assert {method for _, method in fitting} == set(registry.names("methods"))
    for task in registry.names("tasks"):
        plugin = registry.get("tasks", task)
        assert len(plugin.toys()) >= max(1, len(plugin.kinds)), f"a toy for each kind of {task}"


def test_every_plugin_says_what_it_is_and_explains_its_options() -> None:
    for seam in registry.SEAMS:
        for name in registry.names(seam):
            testing.check_plugin(seam, name)
    testing.check_help(RunSpec, "a run")
    for part in (EngineOptions, SplitOptions, ReadOptions):
        testing.check_options(part, part.__name__)


def test_no_two_parts_of_a_run_declare_the_same_option() -> None:
    for task in registry.names("tasks"):
        for method in registry.names("methods"):
            words = {"data": "x", "task": task, "method": method, "callbacks": registry.names("callbacks")}
            names = [n for model in option_models(RunSpec.make(words)).values() for n in model.model_fields]
            assert sorted(names) == sorted(set(names))
            assert not set(names) & set(RunSpec.model_fields)
