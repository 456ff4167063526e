"""A modality of another package: found, read, trained on, compared, shown and asked as texts are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import tunesmith
from tunesmith.core.errors import DataError, OptionError, TunesmithError

PLUGINS = Path(__file__).parents[1] / "plugins"


@pytest.fixture(autouse=True)
def extras(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(PLUGINS))


@pytest.fixture
def series(in_tmp: Path) -> Path:
    """Rising and falling series, and beside them a note and a number."""
    rows = []
    for at in range(40):
        values = [at % 7 + step * (1 + at % 3) for step in range(4 + at % 5)]
        up = at % 2 == 0
        rows.append({"values": values if up else values[::-1], "note": f"taken by hand {at}", "label": "ud"[not up]})
    file = in_tmp / "series.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


@pytest.mark.story
def test_a_modality_from_elsewhere_goes_the_whole_way(series: Path, tiny_model: Path) -> None:
    asked: dict[str, Any] = {"model": str(tiny_model), "precision": "fp32", "verbose": False}
    run = tunesmith.train(str(series), out="run", method="full", epochs=2, task="series-classification", **asked)
    document = json.loads((run.path / "metrics.json").read_text(encoding="utf-8"))
    assert set(document["baselines"]) == {"majority", "moments_logistic_regression", "linear_probe"}
    assert document.get("forgetting") is None  # general sentences say nothing of it
    model = tunesmith.load("run")
    assert len(model.predict([[1.0, 2.0, 3.0], [3.0, 2.0]])) == 2
    with pytest.raises(DataError, match="expected a list of numbers"):
        model.predict(["1, 2, 3"])
    with pytest.warns(UserWarning, match="28 of 40 rows were trained on"):
        assert tunesmith.evaluate("run", str(series))["trained_rows"] == 28
    page = (run.path / "report.html").read_text(encoding="utf-8")
    assert "search in the number series and labels" in page
    for words in ("characters</th>", "Use this model", "read the texts"):
        assert words not in page
    assert "AutoTokenizer" not in (run.path / "model" / "README.md").read_text(encoding="utf-8")


@pytest.mark.story
def test_a_check_finds_the_column_and_leaves_out_what_is_counted_in_tokens(series: Path) -> None:
    found = tunesmith.check(str(series), task="series-classification")
    assert found["columns"]["inputs"] == ["values"]
    assert (found["lengths"], found["estimate"]) == (None, None)
    with pytest.raises(OptionError, match="plan counts tokens or pixels"):
        tunesmith.plan(str(series), task="series-classification")


@pytest.mark.parametrize("method", ["contrastive", "prompt", "prefix"])
def test_methods_for_texts_are_refused(series: Path, method: str, tiny_model: Path) -> None:
    with pytest.raises(OptionError, match=f"--method {method} does not fit the number series of series-classification"):
        tunesmith.train(
            str(series), out="run", task="series-classification", method=method, model=str(tiny_model), verbose=False
        )
    assert not Path("run").exists()


def test_a_task_of_texts_refuses_a_column_of_series(series: Path) -> None:
    with pytest.raises(DataError, match="the column holds number series, and the task reads texts") as found:
        tunesmith.check(str(series), task="text-classification", text="values")
    assert "--task series-classification" in str(found.value)


@pytest.mark.story
def test_a_comparison_has_what_fits_and_refuses_counted_words(series: Path, tiny_model: Path) -> None:
    words: dict[str, Any] = {"task": "series-classification", "model": str(tiny_model), "launcher": "here"}
    found = tunesmith.compare(str(series), out="compared", methods=["head"], precision="fp32", **words)
    assert [one["name"] for one in found["rungs"]] == ["majority", "moments", "head"]
    with pytest.raises(TunesmithError, match="tfidf does not fit series-classification"):
        tunesmith.compare(str(series), out="other", methods=["tfidf"], **words)
