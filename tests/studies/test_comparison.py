"""The comparison: each contender in a process of its own, on one split, and plain advice at the end."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tunesmith.cli.show import show_comparison
from tunesmith.core.errors import OptionError, RunFailed
from tunesmith.evaluate.measured import Difference, paired_difference
from tunesmith.evaluate.types import Outcome
from tunesmith.families.predictive.contenders import nearest
from tunesmith.launchers import process
from tunesmith.runs.shared_split import SharedSplit
from tunesmith.studies import comparison, series
from tunesmith.studies.comparison import choose_contender, compare, more_rows
from tunesmith.studies.contender import read_measured


@pytest.fixture(scope="module")
def words(tiny_model: Path) -> dict[str, Any]:
    """Rungs without the seconds that a process takes to start."""
    return {"model": str(tiny_model), "precision": "fp32", "test_size": 0.3, "launcher": "here"}


@pytest.mark.parametrize(
    ("method", "kind", "names"),
    [
        ("contrastive", "label", "majority tfidf nearest_neighbours head adapters lora full contrastive scratch"),
        ("full", "label", "majority tfidf nearest_neighbours head adapters lora full scratch"),
        ("lora", "chat", "base few_shot adapters lora full scratch"),
        ("lora", "text", "base adapters lora full scratch"),
    ],
)
def test_what_auto_takes_is_among_the_usual_contenders(method: str, kind: str, names: str, tmp_path: Path) -> None:
    family = "predictive" if kind == "label" else "generative"
    task = "text-classification" if kind == "label" else "chat"
    held = SharedSplit(tmp_path, {"task": task}, family, kind, "accuracy", method, "", None, {}, "arrow")
    assert comparison.usual(held) == names.split()


@pytest.mark.story
def test_all_contenders_stand_on_one_split(ticket_file: Path, words: dict[str, Any], tmp_path: Path) -> None:
    names = ["majority", "tfidf", "nearest_neighbours", "head", "full"]
    # what needs no network is there unasked
    found = compare(ticket_file, out=tmp_path / "l", methods=["few-shot", "head", "full"], **words)
    assert [one["name"] for one in found["rungs"]] == names
    truth = [read_measured(Path(r["folder"]), "label", None).truth for r in found["rungs"]]
    assert all(np.array_equal(truth[0], other) for other in truth[1:])
    for entry in found["rungs"]:
        assert entry["low"] <= entry["value"] <= entry["high"]
        assert entry["metric"] == "accuracy"
        assert entry["seconds"] >= 0
        assert entry["size_bytes"] > 0
        assert entry["peak_memory_bytes"] > 1e7
    kept = {entry["name"]: entry["forgetting"]["kept"]["value"] for entry in found["rungs"] if "forgetting" in entry}
    assert set(kept) == {"head", "full"}
    assert kept["full"] < kept["head"] == 1.0
    values = {entry["name"]: entry["value"] for entry in found["rungs"]}
    assert values["majority"] == pytest.approx(1 / 3)
    assert values["tfidf"] > 0.6
    assert found["rungs"][1]["against_below"].startswith("better")
    assert found["recommended"] in values
    assert found["rungs"][names.index(found["recommended"])]["title"] in found["recommendation"]
    assert found["more_rows"]
    assert found["recommendation"].endswith(found["more_rows"])
    few = f" But {found['rows']['test']} test rows prove next to nothing"
    assert (few in found["recommendation"]) == (found["rows"]["test"] < 50)
    assert [point["rows"] for point in found["learning_curve"]] == sorted(p["rows"] for p in found["learning_curve"])
    # the head in the comparison is the head of a plain run on the same rows
    run = next(entry for entry in found["rungs"] if entry["name"] == "head")["run"]
    document = json.loads((Path(run) / "metrics.json").read_text())
    assert document["test"]["accuracy"]["value"] == values["head"]
    assert "TF-IDF" in show_comparison(found)
    assert "Quality against cost" in (tmp_path / "l" / "report.html").read_text()


def test_several_labels_are_given_where_validation_says(words: dict[str, Any], tmp_path: Path) -> None:
    """Where the texts do not tell, half of the neighbours never agree on a label that a sixth of the rows has."""
    drawn = np.random.default_rng(0).integers(0, 6, 300)
    rows = [{"text": f"the card {n}", **{str(i): int(drawn[n] == i) for i in range(6)}} for n in range(300)]
    more = {"text": "text", "target": [str(i) for i in range(6)], "near_duplicates": 0}
    found = compare(rows, out=tmp_path / "l", methods=["few-shot"], **words, **more)
    told = read_measured(Path(found["rungs"][-1]["folder"]), "labels", [str(i) for i in range(6)])
    assert told.thresholds is not None
    assert (told.thresholds != 0.5).any()
    # so has each part of the learning curve: at 0.5 none of its models would give any label
    assert found["learning_curve"]
    assert all(point["value"] > 0.1 for point in found["learning_curve"])


def test_bases_are_told_apart() -> None:
    assert comparison.short_names(["auto"]) == {"auto": ""}
    assert comparison.short_names(["minilm", "/a/tiny"]) == {"minilm": "minilm", "/a/tiny": "tiny"}
    assert comparison.short_names(["/a/tiny", "b/tiny"]) == {"/a/tiny": "a_tiny", "b/tiny": "b_tiny"}


@pytest.mark.slow
def test_only_contenders_that_have_a_base_are_named_for_it(
    ticket_file: Path, words: dict[str, Any], minilm: Path, tmp_path: Path
) -> None:
    found = compare(ticket_file, out=tmp_path / "l", methods=["head"], models=[words["model"], str(minilm)], **words)
    short = Path(words["model"]).name, minilm.name
    assert [one["name"] for one in found["rungs"]] == [
        "majority",
        "tfidf",
        *(f"head-{name}" for name in short),
    ]


@pytest.mark.slow
def test_contenders_have_processes_of_their_own_and_are_kept(
    ticket_file: Path, words: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = comparison._job

    def without_curve(study: series.Study, name: str, what: dict[str, Any]) -> dict[str, Any]:
        return {"points": []} if name == "learning_curve" else job(study, name, what)

    monkeypatch.setattr(comparison, "_job", without_curve)
    words = {**words, "launcher": "process"}
    found = compare(ticket_file, out=tmp_path / "l", methods=["majority", "tfidf"], **words)
    monkeypatch.setattr(process.subprocess, "Popen", pytest.fail)
    again = compare(ticket_file, out=tmp_path / "l", methods=["majority", "tfidf"], **words)
    assert again["rungs"] == found["rungs"]
    assert again["more_rows"] == ""


def test_a_contender_that_fails_says_why(ticket_file: Path, words: dict[str, Any], tmp_path: Path) -> None:
    held = series.make_split(ticket_file, tmp_path / "data", {k: v for k, v in words.items() if k != "launcher"})

    class Fails:
        def launch(self, *_: Any) -> None:
            raise RunFailed("no memory for it")

    study = series.Study(tmp_path, ticket_file, words, Fails())
    with pytest.raises(RunFailed, match=r"(?s)rung failed: no memory for it.*with methods"):
        comparison._job(study, "rung", comparison._words(held, "full", "auto"))
    with pytest.raises(OptionError, match="tfidf"):
        compare(ticket_file, out=tmp_path / "l", methods=["tfidff"])


def outcome(right: int, rows: int = 400) -> Outcome:
    truth = np.zeros(rows, dtype=np.int64)
    scores = np.tile([0.9, 0.1], (rows, 1))
    scores[right:] = [0.1, 0.9]
    return Outcome("label", truth, scores, ["a", "b"])


def test_the_quickest_that_is_not_proven_worse_is_recommended() -> None:
    rights = {"tfidf": 300, "head": 379, "full": 380}
    answers = {name: outcome(right) for name, right in rights.items()}

    def ahead(one: dict[str, Any], other: dict[str, Any]) -> Difference:
        return paired_difference(answers[one["name"]], answers[other["name"]], "accuracy", seed=0)

    contenders = [{"name": name, "value": right / 400, "seconds": seconds}
             for (name, right), seconds in zip(rights.items(), (1, 5, 60), strict=True)]  # fmt: skip
    best, pick, gap = choose_contender(contenders, ahead, higher_is_better=True)
    assert (best["name"], pick["name"]) == ("full", "head")
    assert gap["low"] <= 0 < gap["difference"]
    answers["head"] = outcome(340)
    assert choose_contender(contenders, ahead, higher_is_better=True)[1]["name"] == "full"


def test_what_more_rows_would_bring() -> None:
    falling = [{"rows": n, "value": 1 - 2 * n**-0.5} for n in (100, 200, 400, 800)]
    gain = 2 * 800**-0.5 - 2 * 1600**-0.5
    assert f"1,600) would move accuracy of the linear probe by about +{gain:.3f}" in more_rows(falling, "accuracy")
    assert "bring little" in more_rows([{**point, "value": 0.8} for point in falling], "accuracy")
    assert "no error" in more_rows([{**point, "value": 1.0} for point in falling], "accuracy")
    errors = [{"rows": n, "value": 2 * n**-0.5} for n in (100, 200, 400, 800)]
    assert f"RMSE of the linear probe by about {-gain:.3f}" in more_rows(errors, "rmse")
    assert more_rows(falling[:2], "accuracy") == ""
    drawn = np.random.default_rng(0)
    noisy = [{**point, "value": point["value"] + drawn.normal(0, 0.01)} for point in falling]
    low, high = re.findall(r"95 % interval (\S+) to ([^)]+)\)", more_rows(noisy, "accuracy"))[0]
    assert float(low) < gain < float(high)
    noisy = [{**point, "value": point["value"] + drawn.normal(0, 0.01)} for point in errors]
    low, high = re.findall(r"95 % interval (\S+) to ([^)]+)\)", more_rows(noisy, "rmse"))[0]
    assert float(low) < -gain < float(high)


def test_nearest_neighbours_are_those_of_scikit_learn() -> None:
    from sklearn.neighbors import KNeighborsRegressor

    chance = np.random.default_rng(0)
    known, asked = chance.normal(size=(50, 8)), chance.normal(size=(1100, 8))
    known /= np.linalg.norm(known, axis=1, keepdims=True)
    asked /= np.linalg.norm(asked, axis=1, keepdims=True)
    answers = chance.normal(size=(50, 3))
    found = nearest(known, answers, asked, [1, 5])
    for k in (1, 5):
        other = KNeighborsRegressor(k, metric="cosine").fit(known, answers).predict(asked)
        assert np.allclose(found[k], other)
    assert found[5].shape == (1100, 3)
