"""Every task with every method, every callback and every option: what a line in a TABLE promises.

A new plugin is under these tests with its TABLE line alone. A task brings ten rows (`toys`); they are
training, validation and test data at once, as all that is asked is whether they can be learned.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from safetensors.torch import load_file

import tunesmith
from tunesmith.core import events, registry
from tunesmith.core.options import describe
from tunesmith.core.spec import RunSpec
from tunesmith.data.types import ReadOptions, SplitOptions
from tunesmith.engine.options import EngineOptions
from tunesmith.runs.choose import families_of, family_of_task, option_models

CASES = [
    (task, number, method)
    for task in registry.names("tasks")
    if family_of_task(task) == "predictive"
    for number in range(len(registry.get("tasks", task).toys()))
    for method in registry.names("methods")
    if "predictive" in families_of(method)
]
# What a model must reach on the ten rows that it was trained on, by the task's first metric.
LEARNED = {"accuracy": 0.9, "f1_micro": 0.9, "rmse": 1.5}
RATES = {"prefix": 0.1, "prompt": 0.2}
BESIDE = ("prefix", "prompt")
"""Methods whose model is read by peft: virtual tokens can not be folded into weights."""

# peft asks transformers for an attribute under its old name
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")


@pytest.fixture(scope="module")
def toy_run(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Any:
    """`toy_run(task, number, method, **options)`: a finished run on the rows of that toy; trained once."""

    @cache
    def train(task: str, number: int, method: str, **options: Any) -> tunesmith.Run:
        plugin = registry.get("tasks", task)
        toy = plugin.toys()[number]
        folder = tmp_path_factory.mktemp(f"{task}-{number}-{method}")
        rows = folder / "rows.jsonl"
        rows.write_text("".join(json.dumps(row) + "\n" for row in toy.rows), encoding="utf-8")
        words = {
            "task": task, "method": method, "model": str(tiny_model), "precision": "fp32",
            "batch_size": 10 if method in BESIDE else 5, "epochs": 12, "learning_rate": RATES.get(method, 3e-3),
            "patience": 12, "weight_decay": 0.0,
            **toy.words, **options,
        }  # fmt: skip
        if "label_smoothing" in plugin.Options.model_fields:
            words["label_smoothing"] = 0.0  # it keeps the loss above zero
        return tunesmith.train(str(rows), validation=str(rows), test=str(rows), out=folder / "run", **words)

    return train


def toy_rows(task: str, number: int, run: tunesmith.Run) -> tuple[list[Any], list[Any]]:
    """Texts and truth of a toy, in the order of the rows."""
    rows = registry.get("tasks", task).toys()[number].rows
    columns = run.model.columns
    texts = [
        row[columns.inputs[0]] if len(columns.inputs) == 1 else tuple(row[c] for c in columns.inputs) for row in rows
    ]
    return texts, [row[columns.target[0]] for row in rows]


def losses(run: tunesmith.Run) -> list[float]:
    return [e["metrics"]["loss"] for e in events.read(run.folder.events) if e["event"] == "evaluated"]


def _learns_its_ten_rows(run: tunesmith.Run, method: str) -> None:
    first = run.document["first_metric"]
    reached = run.metrics[first]
    assert reached <= LEARNED[first] if first == "rmse" else reached >= LEARNED[first]
    found = losses(run)
    assert len(found) == 13  # before the first step, and after each epoch
    if not registry.get("methods", method).frozen_body:
        assert min(found) < 0.9 * found[0]
    else:
        assert min(found) <= found[0]


def _answers_the_same_after_loading(run: tunesmith.Run, texts: list[Any]) -> None:
    saved = pq.read_table(run.folder.predictions).to_pydict()
    scores = np.array(saved["scores"])
    again = tunesmith.load(run.path).probabilities(texts)
    np.testing.assert_allclose(again.reshape(scores.shape), scores, atol=1e-4)
    assert len(run.model.predict(texts)) == 10


def _others_give_the_same_logits(run: tunesmith.Run, method: str, texts: list[Any], truth: list[Any]) -> None:
    """Plain transformers, or plain peft."""
    from peft import AutoPeftModelForSequenceClassification
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    reader = AutoPeftModelForSequenceClassification if method in BESIDE else AutoModelForSequenceClassification
    plain = reader.from_pretrained(run.folder.model).eval()
    tokenizer = AutoTokenizer.from_pretrained(run.folder.model)
    firsts = [text if isinstance(text, str) else text[0] for text in texts]
    seconds = None if isinstance(texts[0], str) else [text[1] for text in texts]
    batch = tokenizer(firsts, seconds, padding=True, truncation=True, return_tensors="pt")
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


@pytest.mark.story
@pytest.mark.parametrize(("task", "number", "method"), CASES)
def test_it_learns_answers_and_is_read_by_others(toy_run: Any, task: str, number: int, method: str) -> None:
    """One test a case: tests are spread over processes, and each would train the case anew."""
    run = toy_run(task, number, method)
    texts, truth = toy_rows(task, number, run)
    _learns_its_ten_rows(run, method)
    _answers_the_same_after_loading(run, texts)
    _others_give_the_same_logits(run, method, texts, truth)


def test_there_is_a_case_for_every_entry_of_the_tables() -> None:
    written = {name for name in registry.names("tasks") if getattr(registry.get("tasks", name), "forms", ())}
    assert {task for task, _, _ in CASES} | written == set(registry.names("tasks"))
    only_written = {name for name in registry.names("methods") if "predictive" not in families_of(name)}
    assert {method for _, _, method in CASES} | only_written == set(registry.names("methods"))
    kinds = {kind for task in registry.names("tasks") for kind in registry.get("tasks", task).kinds}
    assert kinds == {"label", "labels", "number"}


# which weights move


def body(tiny_model: Path, run: tunesmith.Run) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Weights of the base model, before and after; without its pooler, which is not used."""
    before = load_file(tiny_model / "model.safetensors")
    after = load_file(run.folder.model / "model.safetensors")
    return {n: (before[n], after[f"bert.{n}"]) for n in before if not n.startswith("pooler.")}


def moved(pairs: dict[str, tuple[torch.Tensor, torch.Tensor]]) -> set[str]:
    return {name for name, (before, after) in pairs.items() if not torch.equal(before, after)}


@pytest.mark.story
def test_head_leaves_the_body_untouched(toy_run: Any, tiny_model: Path) -> None:
    assert moved(body(tiny_model, toy_run("text-classification", 0, "head"))) == set()


@pytest.mark.story
def test_full_moves_the_upper_blocks_and_nothing_below(toy_run: Any, tiny_model: Path) -> None:
    pairs = body(tiny_model, toy_run("text-regression", 0, "full"))
    assert moved(pairs) == {name for name in pairs if name.startswith("encoder.layer.1.")}


@pytest.mark.story
def test_full_moves_everything_when_nothing_is_frozen(toy_run: Any, tiny_model: Path) -> None:
    pairs = body(tiny_model, toy_run("text-regression", 0, "full", frozen_share=0.0))
    assert moved(pairs) == set(pairs)


@pytest.mark.story
def test_lora_moves_linear_layers_by_its_adapter(toy_run: Any, tiny_model: Path) -> None:
    run = toy_run("text-regression", 0, "lora")
    pairs = body(tiny_model, run)
    linear = {n for n, (b, _) in pairs.items() if n.startswith("encoder.") and n.endswith("weight") and b.dim() == 2}
    assert moved(pairs) == linear
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


# callbacks, options, plugins from elsewhere


@pytest.mark.story
@pytest.mark.parametrize("name", registry.names("callbacks"))
def test_every_callback_runs_alone_and_once(name: str, tiny_model: Path, tickets: Any, in_tmp: Path) -> None:
    run = tunesmith.train(
        tickets, model=str(tiny_model), method="full", precision="fp32", callbacks=[name, name], epochs=2, out="run"
    )
    assert run.folder.status() == "finished"
    assert run.folder.load_spec().callbacks == [name]


def option_sets() -> dict[str, Any]:
    everything = RunSpec.make({"data": "x", "callbacks": registry.names("callbacks")})
    return {
        "run": RunSpec,
        "engine": EngineOptions,
        "split": SplitOptions,
        "read": ReadOptions,
        **option_models(everything),
    }


def test_every_option_has_a_help_text() -> None:
    missing = [
        f"{part}: {row['name']}" for part, model in option_sets().items() for row in describe(model) if not row["help"]
    ]
    assert missing == []


def test_options_are_the_same_once_they_were_written_and_read() -> None:
    """Or a run could not be resumed: its checkpoints are for one spec."""
    for part, model in option_sets().items():
        if part != "run":
            before = model().model_dump()
            again = model(**yaml.safe_load(yaml.safe_dump(before))).model_dump()
            assert json.dumps(again, default=str) == json.dumps(before, default=str), part


def test_every_plugin_says_what_it_is_in_one_line() -> None:
    for seam in registry.SEAMS:
        for name in registry.names(seam):
            summary = registry.get(seam, name).summary
            assert summary, name
            assert "\n" not in summary, name
            assert len(summary) <= 120, name


def test_no_two_parts_of_a_run_declare_the_same_option() -> None:
    for task in registry.names("tasks"):
        for method in registry.names("methods"):
            words = {"data": "x", "task": task, "method": method, "callbacks": registry.names("callbacks")}
            names = [n for model in option_models(RunSpec.make(words)).values() for n in model.model_fields]
            assert sorted(names) == sorted(set(names))
            assert not set(names) & set(RunSpec.model_fields)
