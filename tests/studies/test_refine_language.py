"""compare, search, folds and the rest for models that write text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

import tunesmith
from language_models import folder
from language_runs import CHAT, FEEDBACK, PREFERENCE, SHORT, TRANSLATION, base, jsonl
from tiers import repeats
from tunesmith.cli.show import show_comparison
from tunesmith.core.errors import OptionError
from tunesmith.core.events import ignore
from tunesmith.data.conversations import read_examples
from tunesmith.evaluate.metrics import higher_is_better
from tunesmith.families.generative.settle import rate_of
from tunesmith.models.loaders.language import load_language_finished
from tunesmith.studies import comparison
from tunesmith.studies import soup as soups
from tunesmith.studies.folds import cross_validate
from tunesmith.studies.search import search
from tunesmith.studies.seeds import several_seeds
from tunesmith.studies.series import make_split
from tunesmith.studies.space import default_of
from tunesmith.studies.until import until

WEIGHTED = [
    {"messages": [*row["messages"], {"role": "user", "content": "and?"},
                  {"role": "assistant", "content": "no", "weight": 0}]} for row in CHAT
]  # fmt: skip
COMPLETION = [{"prompt": row["prompt"], "completion": row["chosen"]} for row in PREFERENCE]
TEXT = [{"text": f"the {row['target']}. " * 3} for row in TRANSLATION]
FORMS: dict[str, list[dict[str, Any]]] = {
    "chat": CHAT, "weights": WEIGHTED, "completion": COMPLETION, "preference": PREFERENCE, "feedback": FEEDBACK,
    "pair": TRANSLATION, "text": TEXT,
}  # fmt: skip
WORDS: dict[str, Any] = {**SHORT, "epochs": 1, "test_size": 0.3}


@pytest.fixture
def chats(tmp_path: Path) -> Path:
    return jsonl(tmp_path / "chats.jsonl", CHAT)


def bare(examples: Sequence[Any]) -> list[str]:
    """Examples without the row that they stand in, to be compared."""
    return sorted(json.dumps({**one, "row": 0}, sort_keys=True, default=str) for one in examples)


@pytest.mark.parametrize("form", FORMS)
def test_a_split_is_written_down_and_reads_back_to_the_same(form: str, tmp_path: Path) -> None:
    source = jsonl(tmp_path / "rows.jsonl", FORMS[form])
    held = make_split(source, tmp_path / "held", {"test_size": 0.3})
    before = list(read_examples(source, emit=ignore))
    parts = {
        name: list(read_examples(held.file(name), emit=ignore, form=held.kind if form == "text" else None))
        for name in ("train", "validation", "test", "validation_as_test")
    }
    assert bare([*parts["train"], *parts["validation"], *parts["test"]]) == bare(before)
    assert bare(parts["validation_as_test"]) == bare(parts["validation"])
    for name, some in parts.items():
        assert bare([before[row] for row in held.row_ids[name]]) == bare(some)
    assert held.without_test()["test"] != held.with_test()["test"] == held.file("test")
    assert held.family == "generative"


@pytest.mark.story
def test_the_comparison_stands_on_the_base_as_it_is_and_on_its_prompt(chats: Path, tmp_path: Path) -> None:
    words = {**WORDS, "model": str(folder("llama"))}
    words.pop("method")
    found = comparison.compare(
        chats, out=tmp_path / "l", methods=["base", "few-shot", "full"], launcher="here", **words
    )
    values = {contender["name"]: contender["value"] for contender in found["rungs"]}
    assert list(values) == ["base", "few_shot", "full"]
    document = json.loads((Path(found["rungs"][2]["run"]) / "metrics.json").read_text())
    assert document["test"]["loss"]["value"] == pytest.approx(values["full"], rel=1e-6)
    assert document["baselines"]["base"]["loss"]["value"] == pytest.approx(values["base"], rel=1e-6)
    assert values["full"] < values["base"]
    files = {"validation": str(tmp_path / "l/data/validation.jsonl"), "test": str(tmp_path / "l/data/test.jsonl")}
    plain = tunesmith.train(tmp_path / "l/data/train.jsonl", out=tmp_path / "plain", method="full", **files, **words)
    prompted = plain.document["baselines"]["few_shot"]["loss"]["value"]
    assert values["few_shot"] != values["base"]
    assert values["few_shot"] == pytest.approx(prompted, rel=0.2)  # other examples are drawn from fewer or more
    for contender in found["rungs"]:
        assert contender["low"] <= contender["value"] <= contender["high"]
        assert contender["size_bytes"] > 0
    assert (found["metric"], found["higher_is_better"], found["learning_curve"]) == ("loss", False, [])
    assert found["recommended"] == "full"
    assert found["recommendation"].startswith("Fine-tune: take full")
    assert "shown examples" in show_comparison(found)


def test_effort_counts_for_several_runs_too(chats: Path, tmp_path: Path) -> None:
    words = {**WORDS, "model": str(folder("llama")), "effort": "best"}
    words.pop("method", None)
    with pytest.raises(OptionError, match="--effort best tries methods"):
        several_seeds(chats, out=tmp_path / "s", seeds=2, **words)
    assert not (tmp_path / "s" / "seed-0").exists()


def test_contenders_are_those_of_the_task(chats: Path, tmp_path: Path, ticket_file: Path) -> None:
    words = {**WORDS, "model": str(folder("llama"))}
    words.pop("method")
    for data, name in ((chats, "tfidf"), (chats, "head"), (ticket_file, "base"), (ticket_file, "qlora")):
        with pytest.raises(OptionError, match=f"no method called {name!r}|{name} does not fit"):
            comparison.compare(data, out=tmp_path / "l", methods=[name], model=words["model"])


@pytest.mark.story
def test_a_search_never_sees_the_test_rows(chats: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(
        "tunesmith.studies.search.try_out",
        lambda words, *rest: (seen.append(words), _try(words, *rest))[1],
    )
    words = {**WORDS, "model": str(folder("llama"))}
    found = search(chats, out=tmp_path / "s", budget="2 trials", space={"learning_rate": [1e-3, 5e-3]},
                   **{k: v for k, v in words.items() if k != "learning_rate"})  # fmt: skip
    assert all(Path(one["test"]).name == "validation_as_test.jsonl" for one in seen)
    assert found.document["metric"] == "loss"
    assert found.document["best"]["value"] == min(t["value"] for t in found.document["trials"])
    assert found.document["test"]["value"] == pytest.approx(found.run.metrics["loss"])
    assert found.run.metrics["loss"] < base(found.run)


def _try(*words: Any) -> Any:
    from tunesmith.studies.series import try_out

    return try_out(*words)


@pytest.mark.story
@pytest.mark.parametrize("form", repeats(["chat", "text"]))
def test_every_example_is_tested_once_by_a_run_that_has_not_seen_it(form: str, tmp_path: Path) -> None:
    source = jsonl(tmp_path / "rows.jsonl", FORMS[form])
    words = {k: v for k, v in WORDS.items() if k != "test_size"}
    found = cross_validate(source, out=tmp_path / "cv", cv=2, model=str(folder("llama")), **words)
    table = pq.read_table(found.predictions)
    assert table.column("row_id").to_pylist() == list(range(40))
    folds = np.array(table.column("fold").to_pylist())
    assert sorted(set(folds)) == [1, 2]
    if form == "text":
        assert (np.diff(folds) >= 0).all()  # running text is held out in blocks
    else:
        sums = np.array(table.column("loss").to_pylist()).sum(0)
        assert found.document["out_of_fold"]["loss"]["value"] == pytest.approx(sums[0] / sums[1])
    assert found.mean["loss"] == pytest.approx(np.mean([run.metrics["loss"] for run in found.runs]))


@pytest.mark.story
def test_a_test_part_of_the_data_itself_is_in_no_fold(tmp_path: Path) -> None:
    (tmp_path / "chats").mkdir()
    jsonl(tmp_path / "chats" / "train.jsonl", CHAT[:30])
    jsonl(tmp_path / "chats" / "test.jsonl", CHAT[30:])
    words = {k: v for k, v in WORDS.items() if k != "test_size"}
    found = cross_validate(tmp_path / "chats", out=tmp_path / "cv", cv=2, model=str(folder("llama")), **words)
    tested = [list(read_examples(run.folder.load_spec().test, emit=ignore)) for run in found.runs]
    assert bare([example for part in tested for example in part]) == bare(list(read_examples(CHAT[:30], emit=ignore)))
    assert pq.read_table(found.predictions).num_rows == 30


@pytest.mark.story
def test_a_loss_is_a_goal(chats: Path, tmp_path: Path) -> None:
    words = {**WORDS, "model": str(folder("llama"))}
    found = until(chats, metric="loss<=100", out=tmp_path / "u", **words)
    assert found.reached
    assert len(found.steps) == 1
    with pytest.raises(OptionError, match="less is better"):
        until(chats, metric="loss>=1", out=tmp_path / "v", **words)


@pytest.mark.story
def test_a_goal_may_be_one_of_the_answers(chats: Path, tmp_path: Path) -> None:
    words = {**WORDS, "model": str(folder("llama"))}
    found = until(chats, metric="chrf>=0", out=tmp_path / "u", **words)
    assert found.reached
    assert found.document["test"] == found.run.document["test"]["chrf"]
    with pytest.raises(OptionError, match="accuracy is not measured of text"):
        until(chats, metric="accuracy>=0.9", out=tmp_path / "v", **words)
    with pytest.raises(OptionError, match="chrf could not be measured"):
        until(chats, metric="chrf>=1", out=tmp_path / "w", **{**words, "generate_rows": 0})
    with pytest.raises(OptionError, match="token_accuracy lies between 0 and 1"):
        until(chats, metric="token_accuracy>=95", out=tmp_path / "x", **words)


@pytest.mark.story
@pytest.mark.parametrize("method", repeats(["lora", "prompt", "full"]))
def test_seeds_of_a_model_that_writes_are_averaged(
    method: str, chats: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = soups._score
    ranks = iter([(-3.0, 0.0), (-2.0, 0.0)])
    scored = []

    def score(*given: Any) -> tuple[float, float]:
        scored.append(real(*given))
        return next(ranks)

    monkeypatch.setattr(soups, "_score", score)
    words = {**WORDS, "model": str(folder("llama")), "method": method, "learning_rate": 1e-2}
    found = several_seeds(chats, out=tmp_path / "s", seeds=2, soup=True, **words)
    soup = found.document["soup"]
    best = min(run.document["validation"]["loss"]["value"] for run in found.runs)
    assert -scored[0][0] == pytest.approx(best, rel=1e-3)  # the first alone, as its run measured it
    assert soup["kept"]
    assert soup["test"]["low"] <= soup["test"]["value"] <= soup["test"]["high"]
    assert "is kept" in " ".join(found.document["words"])
    models = [tunesmith.load(run.path) for run in found.runs]
    averaged = found.soup
    assert averaged is not None
    ids = torch.tensor([[5, 6, 7, 8]])
    if method == "lora":
        weights = [
            load_language_finished(run.folder.model, merge=True).model.network.state_dict() for run in found.runs
        ]
        theirs = averaged.bundle.model.network.state_dict()
        assert all(torch.allclose(theirs[n], (weights[0][n] + weights[1][n]) / 2, atol=1e-6) for n in theirs)
    with torch.no_grad():
        logits = [one.bundle.model.running(input_ids=ids, use_cache=False).logits for one in (*models, averaged)]
    assert not any(torch.allclose(logits[2], one, atol=1e-5) for one in logits[:2])
    assert averaged.predict(["Hello"])[0]["text"] is not None


def test_preferences_are_not_averaged(tmp_path: Path) -> None:
    source = jsonl(tmp_path / "rows.jsonl", PREFERENCE)
    with pytest.raises(OptionError, match="--soup: what has learned preferences"):
        several_seeds(source, out=tmp_path / "t", seeds=2, soup=True, **{**WORDS, "model": str(folder("llama"))})
    assert not (tmp_path / "t").exists()


def test_what_is_better_of_each_metric() -> None:
    assert [higher_is_better(name) for name in ("accuracy", "rmse", "loss", "bleu")] == [True, False, False, True]
    with pytest.raises(OptionError, match="Did you mean 'accuracy'"):
        higher_is_better("acuracy")
    with pytest.raises(OptionError, match="neither"):
        higher_is_better("length_ratio")


def test_a_search_begins_where_a_plain_run_does() -> None:
    assert default_of("learning_rate", "lora", "preference") == pytest.approx(1e-3 * 0.05)
    assert default_of("epochs", "lora", "chat") == 3
    assert default_of("frozen_share", "full", "chat") == 0
    assert default_of("frozen_share", "full", "text-classification") == pytest.approx(1 / 3)


def test_the_rate_of_whole_language_models_falls_with_their_width() -> None:
    assert rate_of("full", "chat", 1_024) == rate_of("full", "chat") == pytest.approx(4e-5)
    assert rate_of("full", "chat", 4_096) == pytest.approx(1e-5)
    assert rate_of("full", "chat", 64) == pytest.approx(6.4e-4)
    assert rate_of("full", "chat", 8) == pytest.approx(1e-3)
    assert rate_of("lora", "chat", 64) == rate_of("lora", "chat")
    assert rate_of("full", "preference", 64) == rate_of("full", "preference")
