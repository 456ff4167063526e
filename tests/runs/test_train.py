"""One spec, one folder: what a run leaves behind, and that it can be had again bit for bit."""

from __future__ import annotations

import html
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from safetensors.torch import load_file

import tunesmith
from crashes import At, Killed, kill
from tiers import repeats
from tunesmith.core.errors import OptionError
from tunesmith.evaluate import metrics_json

Train = Callable[..., tunesmith.Run]
Records = Callable[..., list[dict[str, Any]]]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, ticket_file: Path) -> tunesmith.Run:
    """A run that nothing was wrong with: 60 rows, two epochs of batches of eight."""
    return tunesmith.train(
        ticket_file, model=str(tiny_model), method="full", precision="fp32", epochs=2, batch_size=8, seed=3,
        out=tmp_path_factory.mktemp("finished") / "run",
    )  # fmt: skip


def weights(run: tunesmith.Run) -> bytes:
    return (run.folder.model / "model.safetensors").read_bytes()


# the folder


def test_the_folder_holds_everything_that_happened(finished: tunesmith.Run) -> None:
    assert {path.name for path in finished.path.iterdir()} == {
        ".lock", "spec.yaml", "events.jsonl", "data", "checkpoints", "model", "metrics.json", "predictions.parquet",
        "report.html", "tensorboard", "result.json",
    }  # fmt: skip
    assert {path.name for path in (finished.path / "data").iterdir()} == {
        "splits.parquet", "ledger.parquet", "fingerprint.json", "columns.json", "audit.json", "texts.parquet",
    }  # fmt: skip
    assert {path.name for path in finished.folder.model.iterdir()} == {
        "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "tunesmith.json", "README.md",
        "MANIFEST.json",
    }  # fmt: skip


def test_what_libraries_write_is_for_nobody_else(finished: tunesmith.Run) -> None:
    written = [path for path in (finished.path / "tensorboard").rglob("*") if path.is_file()]
    assert written
    assert [path.stat().st_mode & 0o077 for path in written] == [0] * len(written)


def test_result_is_written_last(finished: tunesmith.Run) -> None:
    result = finished.folder.result
    later = [
        path.name for path in finished.path.rglob("*")
        if path.is_file() and path.stat().st_mtime_ns > result.stat().st_mtime_ns
    ]  # fmt: skip
    assert set(later) <= {"events.jsonl"}  # its last line says that the run is finished
    written = json.loads(result.read_text(encoding="utf-8"))
    assert written["status"] == "finished"
    assert written["metrics"]["accuracy"] == finished.metrics["accuracy"]


def test_the_spec_has_every_default_written_out(finished: tunesmith.Run, ticket_file: Path, tiny_model: Path) -> None:
    spec = yaml.safe_load(finished.folder.spec.read_text(encoding="utf-8"))
    asked = {
        "data": str(ticket_file), "model": str(tiny_model), "method": "full", "task": "text-classification",
        "text": ["text"], "target": ["label"], "seed": 3, "epochs": 2, "batch_size": 8, "precision": "fp32",
        "learning_rate": 2e-4, "callbacks": ["early-stopping", "tensorboard"], "patience": 2, "layer_decay": 0.9,
    }  # fmt: skip
    assert {name: spec[name] for name in asked} == asked
    assert None not in {spec[name] for name in ("epochs", "learning_rate", "precision", "task", "method")}


def test_every_event_is_a_json_object_with_its_name_and_time(finished: tunesmith.Run) -> None:
    lines = finished.folder.events.read_text(encoding="utf-8").splitlines()
    events = [json.loads(line) for line in lines]
    times = [event["time"] for event in events]
    assert times == sorted(times)
    assert all(isinstance(event["event"], str) for event in events)
    assert [events[0]["event"], events[-1]["event"]] == ["started", "finished"]
    steps = [event for event in events if event["event"] == "step"]
    assert [event["step"] for event in steps] == list(range(1, 13))  # 42 training rows, batches of 8, twice
    assert sum(event["rows"] for event in steps) == 2 * 42
    assert all("why" in event for event in events if event["event"] == "decided")


def test_metrics_fit_their_schema_and_have_their_baselines(finished: tunesmith.Run) -> None:
    document = json.loads(finished.folder.metrics.read_text(encoding="utf-8"))
    metrics_json.check(document)
    assert {"majority", "tfidf_logistic_regression", "linear_probe"} <= set(document["baselines"])
    assert document["cost"]["tokens"] == sum(
        json.loads(line).get("tokens", 0) for line in finished.folder.events.read_text().splitlines()
    )
    assert finished.document == document
    test = document["test"]["accuracy"]
    assert test["low"] <= test["value"] <= test["high"]
    assert finished.metrics["accuracy"] == test["value"]


def test_the_metrics_are_those_of_the_saved_predictions(finished: tunesmith.Run) -> None:
    table = pq.read_table(finished.folder.predictions).to_pydict()
    labels = finished.model.labels or []
    given = [labels[i] for i in np.argmax(table["scores"], axis=1)]
    assert len(given) == 12
    assert np.mean([a == b for a, b in zip(given, table["truth"], strict=True)]) == finished.metrics["accuracy"]


def test_the_report_says_the_verdict(finished: tunesmith.Run) -> None:
    assert finished.report == finished.path / "report.html"
    page = finished.report.read_text(encoding="utf-8")
    verdict = finished.document["verdict"]
    assert verdict["sentence"] == f"{verdict['title']}. {verdict['good']['words']} {verdict['worth']['words']}"
    for words in (verdict["title"], verdict["good"]["words"], verdict["worth"]["words"]):
        assert html.escape(words) in page
    assert "<script src" not in page


def test_tensorboard_holds_the_numbers_of_the_events(finished: tunesmith.Run, records: Records) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = EventAccumulator(str(finished.folder.tensorboard))
    board.Reload()
    for tag, name in (("train/loss", "loss"), ("train/learning_rate", "learning_rate")):
        shown = [(scalar.step, scalar.value) for scalar in board.Scalars(tag)]
        said = [(event["step"], event[name]) for event in records(finished, "step")]
        assert [step for step, _ in shown] == [step for step, _ in said]
        np.testing.assert_allclose([value for _, value in shown], [value for _, value in said], rtol=1e-6)
    accuracy = {scalar.step: scalar.value for scalar in board.Scalars("validation/accuracy")}
    said = {event["step"]: event["metrics"]["accuracy"] for event in records(finished, "evaluated")}
    assert accuracy == pytest.approx(said)


def test_checkpoints_are_whole_and_only_safetensors_and_json(finished: tunesmith.Run) -> None:
    from tunesmith.engine.checkpoint import verify

    kept = sorted(finished.folder.checkpoints.iterdir())
    assert 2 <= len(kept) <= 3
    assert all(verify(path) is None for path in kept)
    suffixes = {path.suffix for path in finished.folder.checkpoints.rglob("*") if path.is_file()}
    assert suffixes == {".safetensors", ".json"}


def test_the_model_answers(finished: tunesmith.Run) -> None:
    answer, other = finished.model.predict(["where is my parcel?", "thanks, i am happy"])
    assert set(answer) == {"label", "probability", "probabilities"}
    assert list(answer["probabilities"]) == ["complaint", "praise", "question"]
    assert sum(answer["probabilities"].values()) == pytest.approx(1)
    assert answer["probability"] == max(answer["probabilities"].values())
    alone = finished.model.predict(["thanks, i am happy"])[0]
    assert alone["label"] == other["label"]
    assert alone["probabilities"] == pytest.approx(other["probabilities"], abs=1e-6)
    assert finished.model.predict(["where?"], threshold=1.0)[0]["label"] is None
    assert finished.model.predict([]) == []


# the same again


@pytest.mark.story
def test_the_same_spec_and_seed_give_the_same_bits(train: Train, finished: tunesmith.Run, ticket_file: Path) -> None:
    again = train(ticket_file, batch_size=8, seed=3)
    assert weights(again) == weights(finished)
    assert again.document["test"] == finished.document["test"]
    other = train(ticket_file, out="other", batch_size=8, seed=4)
    assert weights(other) != weights(finished)


@pytest.mark.story
def test_the_spec_of_a_run_gives_the_run_again(train: Train, finished: tunesmith.Run, in_tmp: Path) -> None:
    again = tunesmith.train(finished.folder.spec, out=in_tmp / "again")
    assert weights(again) == weights(finished)
    assert again.folder.spec.read_text() == finished.folder.spec.read_text()
    longer = tunesmith.train(finished.folder.spec, out=in_tmp / "longer", epochs=3, patience=9)  # a word beside it wins
    assert longer.folder.load_spec().options["epochs"] == 3


@pytest.mark.story
def test_all_parts_may_be_in_memory_and_are_there_for_a_resume(train: Train, tickets: Any, in_tmp: Path) -> None:
    parts = {"test": pd.DataFrame(tickets[1::3]), "validation": tickets[2::3]}
    words = {"near_duplicates": 0, "save_steps": 1, **parts}
    whole = train(tickets[::3], "whole", **words)
    assert len(pq.read_table(whole.folder.predictions)) == 20
    with pytest.raises(Killed):
        train(tickets[::3], "killed", listeners=[At(2, kill)], **words)
    assert weights(tunesmith.resume(in_tmp / "killed")) == weights(whole)


@pytest.mark.story
@pytest.mark.parametrize("form", repeats(["DataFrame", "list of dicts", "datasets.Dataset"]))
def test_data_in_memory_gives_the_same_run_as_its_file(
    form: str, train: Train, finished: tunesmith.Run, tickets: list[dict[str, str]]
) -> None:
    from datasets import Dataset

    makers: dict[str, Any] = {
        "list of dicts": lambda: tickets, "DataFrame": lambda: pd.DataFrame(tickets),
        "datasets.Dataset": lambda: Dataset.from_list(tickets),
    }  # fmt: skip
    run = train(makers[form](), batch_size=8, seed=3)
    assert weights(run) == weights(finished)
    assert run.folder.load_spec().data == str(run.path.resolve() / "data" / "source")


@pytest.mark.story
def test_a_run_without_a_name_of_its_own_is_counted_up(train: Train, ticket_file: Path) -> None:
    runs = [train(ticket_file, out=None, method="head", epochs=0) for _ in range(2)]
    assert [str(run.path) for run in runs] == ["runs/tickets-0001", "runs/tickets-0002"]


# data


def test_leaked_test_rows_are_reported_and_counted_out(
    train: Train, ticket_file: Path, tickets: list[dict[str, str]], in_tmp: Path
) -> None:
    fresh = [
        {"text": "your app is such a mess", "label": "complaint"}, {"text": "well done with it all", "label": "praise"},
        {"text": "can you tell how much that costs?", "label": "question"},
    ]  # fmt: skip
    (in_tmp / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in [*fresh, *tickets[::6]]))
    run = train(ticket_file, test="test.jsonl")
    table = pq.read_table(run.folder.predictions).to_pydict()
    labels = run.model.labels or []
    right = [labels[int(np.argmax(s))] == t for s, t in zip(table["scores"], table["truth"], strict=True)]
    assert len(right) == 13
    assert run.metrics["accuracy"] == pytest.approx(np.mean(right))
    without = run.document["test_without_leaked"]
    assert without["accuracy"]["value"] == pytest.approx(np.mean(right[:3]))  # the fresh rows stand first
    audit = json.loads((run.path / "data" / "audit.json").read_text())
    assert audit["leakage"]["leaked_test_rows"] == 10
    assert any("leak" in finding["name"] for finding in run.document["findings"])


def test_every_row_is_used_cut_or_dropped(train: Train, tickets: list[dict[str, str]], tiny_model: Path) -> None:
    from transformers import AutoTokenizer

    rows = [*tickets, {"text": "", "label": "praise"}, {"text": "no label here", "label": None}]
    run = train(rows, max_length=8)
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    long = {i for i, row in enumerate(tickets) if len(tokenizer(row["text"])["input_ids"]) > 8}
    counts = json.loads((run.path / "data" / "audit.json").read_text())["ledger"]
    assert 0 < len(long) < 60
    assert (counts["rows"], counts["cut"], counts["dropped"]) == (62, len(long), 2)
    assert counts["used"] + counts["cut"] + counts["dropped"] == counts["rows"]
    table = pq.read_table(run.path / "data" / "ledger.parquet").to_pydict()
    assert {i for i, status in zip(table["row_id"], table["status"], strict=True) if status == "cut"} == long
    assert [i for i, status in zip(table["row_id"], table["status"], strict=True) if status == "dropped"] == [60, 61]
    split = pq.read_table(run.path / "data" / "splits.parquet").to_pydict()
    assert sorted(split["row_id"]) == list(range(60))
    assert run.model.bundle.tokenizer.model_max_length == 8


@pytest.mark.story
def test_several_labels_get_thresholds_of_their_own(train: Train, tickets: list[dict[str, str]]) -> None:
    about = ("card", "order", "parcel", "refund", "app")
    rows = [
        {"text": row["text"], "labels": "|".join([row["label"], *(w for w in about[:2] if w in row["text"])])}
        for row in tickets
    ]
    run = train(rows, target="labels", epochs=3)
    mark = json.loads((run.folder.model / "tunesmith.json").read_text())
    assert mark["state"]["label_names"] == ["card", "complaint", "order", "praise", "question"]
    cuts = np.array(mark["thresholds"])
    assert cuts.shape == (5,)
    assert ((cuts > 0) & (cuts < 1)).all()
    texts = [row["text"] for row in tickets[:20]]
    scores = run.model.probabilities(texts)
    expected = [[n for n, on in zip(run.model.labels or [], row >= cuts, strict=True) if on] for row in scores]
    assert [answer["labels"] for answer in run.model.predict(texts)] == expected
    assert all(len(answer["labels"]) == 5 for answer in run.model.predict(texts, threshold=0.0))
    found = [row["threshold"] for row in run.document["per_class"]]
    assert found == pytest.approx(mark["thresholds"])
    assert {"f1_micro", "subset_accuracy", "hamming_loss"} <= set(run.metrics)


def test_pairs_of_texts(train: Train, tickets: list[dict[str, str]]) -> None:
    rows = [
        {"left": row["text"], "right": tickets[(i * 7) % 60]["text"],
         "same": "yes" if row["label"] == tickets[(i * 7) % 60]["label"] else "no"}
        for i, row in enumerate(tickets)
    ]  # fmt: skip
    run = train(rows, text=["left", "right"], target="same")
    assert (*run.model.columns.inputs, None)[:2] == ("left", "right")
    one, other = run.model.predict([("thanks, i am happy", "good app"), ("good app", "thanks, i am happy")])
    assert one["label"] in ("yes", "no")
    assert one["probability"] != other["probability"]  # the order of the two counts
    with pytest.raises(tunesmith.TunesmithError, match="expected a pair of texts"):
        run.model.predict(["only one"])


def test_numbers_come_back_in_the_users_units(train: Train) -> None:
    words = ["bad", "late", "lost", "good", "happy", "thanks"]
    rows = [{"text": f"{words[i % 6]} my card {i // 6}", "cents": 5000.0 + 900 * (i % 6)} for i in range(72)]
    run = train(rows, target="cents", task="text-regression", epochs=8, learning_rate=3e-3)
    values = [answer["value"] for answer in run.model.predict([row["text"] for row in rows])]
    assert 5000 < np.mean(values) < 9500
    assert np.corrcoef(values, [row["cents"] for row in rows])[0, 1] > 0.8
    assert run.metrics["rmse"] < run.document["baselines"]["mean"]["rmse"]["value"]
    assert {"rmse", "mae", "r2", "pearson", "spearman"} <= set(run.metrics)
    with pytest.raises(OptionError, match="threshold"):
        run.model.predict(["bad"], threshold=0.5)


# options


@pytest.mark.story
def test_class_weights(train: Train, records: Records, tickets: list[dict[str, str]]) -> None:
    rows = [row for i, row in enumerate(tickets) if row["label"] != "praise" or i % 4 == 0]  # 5 of 45 are praise
    given = {"praise": 9.0, "complaint": 1.0, "question": 1.0}
    runs = {
        name: train(rows, out=name, class_weights=value, max_steps=2)
        for name, value in {"off": "off", "auto": "auto", "given": given, "ones": dict.fromkeys(given, 1.0)}.items()
    }
    said = [event for event in records(runs["auto"], "decided") if event["what"] == "class_weights"]
    assert [event["value"] for event in said] == ["balanced"]
    share = {name: np.mean(run.model.probabilities([row["text"] for row in rows])[:, 1]) for name, run in runs.items()}
    assert share["auto"] > 1.2 * share["off"]
    assert share["given"] > 1.2 * share["off"]
    assert share["ones"] == pytest.approx(share["off"], abs=1e-6)
    balanced = train(tickets, out="balanced", class_weights="auto", max_steps=1)
    said = [event for event in records(balanced, "decided") if event["what"] == "class_weights"]
    assert [event["value"] for event in said] == ["off"]
    with pytest.raises(OptionError, match=r"'prase'.*\n.*'praise'"):
        train(rows, out="wrong", class_weights={"prase": 2.0})
    assert not Path("wrong").exists()


@pytest.mark.story
def test_label_smoothing_keeps_the_answers_modest_until_they_are_calibrated(
    train: Train, tickets: list[dict[str, str]], records: Records
) -> None:
    sure, modest = (
        train(tickets, out=f"smooth-{value}", label_smoothing=value, epochs=6, learning_rate=3e-3, patience=9)
        for value in (0.0, 0.4)
    )
    texts = [row["text"] for row in tickets]
    scales = [
        next(event["value"] for event in records(run, "decided") if event["what"] == "scale_of_logits")
        for run in (sure, modest)
    ]
    learned = []
    for run, scale in zip((sure, modest), scales, strict=True):
        before = run.model.probabilities(texts) ** (1 / scale)
        learned.append(np.median((before / before.sum(1, keepdims=True)).max(1)))
    assert learned[0] > learned[1] + 0.1
    assert scales[1] > scales[0]
    assert sure.model.predict(texts[:5])[0]["label"] == modest.model.predict(texts[:5])[0]["label"] == "praise"


@pytest.mark.story
@pytest.mark.filterwarnings("ignore:.gradient_checkpointing_enable:FutureWarning")
def test_gradient_checkpointing_changes_no_weight(train: Train, tickets: list[dict[str, str]]) -> None:
    plain = train(tickets, epochs=1)
    sparing = train(tickets, out="sparing", epochs=1, gradient_checkpointing=True)
    left, right = (load_file(run.folder.model / "model.safetensors") for run in (plain, sparing))
    for name in left:
        torch.testing.assert_close(left[name], right[name], atol=1e-6, rtol=1e-5)


@pytest.mark.story
def test_batch_size_and_max_steps(train: Train, records: Records, tickets: list[dict[str, str]]) -> None:
    run = train(tickets, batch_size=10, max_steps=7)
    steps = records(run, "step")
    assert [event["step"] for event in steps] == [1, 2, 3, 4, 5, 6, 7]
    assert sorted(event["rows"] for event in steps[:5]) == [2, 10, 10, 10, 10]  # 42 rows are one epoch
    assert {event["steps"] for event in steps} == {7}


@pytest.mark.story
def test_the_cache_is_kept_when_asked(train: Train, tickets: list[dict[str, str]]) -> None:
    assert not train(tickets, max_steps=1).folder.cache.exists()
    assert any(train(tickets, out="kept", max_steps=1, keep_cache=True).folder.cache.iterdir())


def test_listeners_hear_what_is_written(train: Train, records: Records, tickets: list[dict[str, str]]) -> None:
    heard: list[Any] = []
    run = train(tickets, max_steps=2, listeners=[heard.append])
    assert [event.name for event in heard] == [record["event"] for record in records(run)]
