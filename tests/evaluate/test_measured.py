"""Whatever is measured is measured alike: by weights of its rows, for every kind, also for one that nobody knew of."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import evaluate_toys as toys
from tunesmith.core.errors import OptionError
from tunesmith.core.measured import Measured
from tunesmith.evaluate import card, diagnose, good, metrics_json, report
from tunesmith.evaluate import verdict as worth
from tunesmith.evaluate.bootstrap import weightings
from tunesmith.evaluate.compare import verdict
from tunesmith.evaluate.measured import RowStatistics, compute, resample, value_of, with_intervals
from tunesmith.evaluate.metrics import TABLE, names_for
from tunesmith.evaluate.metrics.metric import SHARE, Metric
from tunesmith.evaluate.text_metrics import preference_rows, text_rows, token_rows


def _written() -> RowStatistics:
    drawn = np.random.default_rng(1).integers(0, 4, (40, 2))
    return text_rows([f"answer {a} of many" for a, _ in drawn], [[f"answer {b} of all"] for _, b in drawn], [True] * 40)


def _likely() -> RowStatistics:
    drawn = np.random.default_rng(2)
    return token_rows(list(drawn.gamma(2, 1, 40)), list(drawn.integers(1, 9, 40)), [1] * 40)


def _preferred() -> RowStatistics:
    drawn = np.random.default_rng(3)
    return preference_rows(drawn.normal(size=40), drawn.normal(size=40), drawn.gamma(2, 1, 40))


def _f1(sums: np.ndarray) -> np.ndarray:
    """Statistics: spans right, spans given, spans wanted."""
    return 2 * sums[:, 0] / np.maximum(sums[:, 1] + sums[:, 2], 1)


def _spans(seed: int = 4, right: float = 0.8) -> RowStatistics:
    drawn = np.random.default_rng(seed)
    given, wanted = drawn.integers(1, 5, 40), np.random.default_rng(9).integers(1, 5, 40)
    hits = drawn.binomial(np.minimum(given, wanted), right)
    return RowStatistics({"span_f1": np.column_stack([hits, given, wanted]).astype(float)}, kind="spans")


MAKERS = {
    **{kind: lambda make=make: make(40) for kind, make in toys.MAKERS.items()},
    "written": _written, "likely": _likely, "preferred": _preferred, "spans": _spans,
}  # fmt: skip


@pytest.fixture
def known_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kind that nothing in the house knows of."""
    monkeypatch.setitem(TABLE, "span_f1", Metric(_f1, True, ("spans",), SHARE, title="F1 of spans"))


@pytest.mark.usefixtures("known_spans")
@pytest.mark.parametrize("name", MAKERS)
def test_a_weight_is_that_many_rows(name: str) -> None:
    measured: Measured = MAKERS[name]()
    weights = next(weightings(len(measured), 4, seed=3))
    draws = resample(measured, measured.names(), resamples=4, seed=3)
    assert set(measured.names()) <= set(names_for(measured.kind))
    for column in range(4):
        drawn = measured.take(np.repeat(np.arange(len(measured)), weights[:, column].astype(int)))
        for metric, value in compute(drawn).items():
            assert draws[metric][column] == pytest.approx(value, abs=1e-6), metric


@pytest.mark.usefixtures("known_spans")
@pytest.mark.parametrize("name", MAKERS)
def test_all_rows_are_the_rows_and_no_rows_have_no_values(name: str) -> None:
    measured: Measured = MAKERS[name]()
    assert compute(measured.take(np.ones(len(measured), dtype=bool))) == compute(measured)
    assert compute(measured.take(np.arange(0))) == {}
    assert measured.same_rows(MAKERS[name]())
    assert not measured.same_rows(measured.take(np.arange(3)))
    with pytest.raises(OptionError, match="no metric called 'accurracy'"):
        compute(measured, ["accurracy"])
    assert value_of(measured, "accurracy") is None


@pytest.mark.usefixtures("known_spans")
def test_a_new_kind_has_a_verdict_and_a_document() -> None:
    ours, bad = _spans(right=0.95), _spans(seed=5, right=0.1)
    found = verdict(ours, {"majority": bad}, "span_f1")
    assert found["outcome"] == "better"
    assert "F1 of spans" in found["sentence"]
    assert with_intervals(ours)["span_f1"]["low"] > value_of(bad, "span_f1")  # type: ignore[operator]
    judged = good.judge(ours, with_intervals(ours), bad, "span_f1")
    assert judged["level"] == "fair"
    assert judged["words"].startswith("F1 of spans is 0.")
    whole = worth.of_rows(ours, {"majority": bad}, "span_f1", judged, simplest=None)
    assert whole["title"] == "Usable with care, but better than anything simpler"
    findings = diagnose.findings(
        curves={}, outcome=ours, test=with_intervals(ours), baselines={}, first_metric="span_f1", verdict=found
    )
    assert [one["name"] for one in findings] == ["small_test_set"]
    document = metrics_json.build(
        task="spans", model="m", method="full", first_metric="span_f1", test_rows=ours, test=with_intervals(ours),
        baselines={"majority": with_intervals(bad)}, verdict=found,
    )  # fmt: skip
    assert (document["per_class"], document["confusion_matrix"]) == ([], None)


@pytest.mark.usefixtures("known_spans")
@pytest.mark.parametrize(("kind", "modality"), [("spans", "text"), ("spans", "image")])
def test_a_report_and_a_card_leave_out_what_was_made_for_another_kind(kind: str, modality: str) -> None:
    run = replace(toys.evidence("label"), kind=kind, modality=modality, test=_spans(), task="token-classification")
    shown = report.render(run)
    for title in ("Confusion matrix", "Errors", "Calibration", "Slices", "Answers side by side"):
        assert f"<h2>{title}</h2>" not in shown
    assert "<h2>Findings</h2>" in shown
    said = card.model_card(run)
    assert "transformers import" not in said
    assert "for a text" not in said
    assert "pipeline_tag: token-classification" in said


def test_pictures_with_a_label_have_no_slices_by_characters() -> None:
    run = replace(
        toys.evidence("label"), modality="image", nouns="pictures", sizes=(None, None), picture=lambda at: f"data:,{at}"
    )
    shown = report.render(run)
    assert "<h2>Slices</h2>" not in shown
    for title in ("Use this model", "Confusion matrix", "Calibration", "Labels", "Errors"):
        assert f"<h2>{title}</h2>" in shown
    assert "search in the pictures and labels" in shown
    assert '<img src="data:,' in shown
    assert "AutoTokenizer" not in card.model_card(replace(toys.evidence("label"), modality="image"))


def _ask(folder: Path, target: str, code: str) -> subprocess.CompletedProcess[str]:
    """A Python in which another package brings the metric 'brier' from `target`."""
    (folder / "brier.py").write_text(
        "from tunesmith.evaluate.metrics.metric import SHARE, Metric\n\n"
        "def function(sample):\n    view = sample.view\n"
        "    return sample.mean((view.scores[range(view.rows), view.truth] - 1) ** 2)\n\n"
        'BRIER = Metric(function, False, ("label",), SHARE, title="Brier score")\n', encoding="utf-8",
    )  # fmt: skip
    about = folder / "brier-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: brier\nVersion: 1.0\n", encoding="utf-8")
    (about / "entry_points.txt").write_text(f"[tunesmith.metrics]\nbrier = {target}\n", encoding="utf-8")
    path = os.pathsep.join([str(folder), *filter(None, sys.path)])
    return subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}, check=False,
                          capture_output=True, text=True)  # fmt: skip


@pytest.mark.story
def test_another_package_brings_a_metric(tmp_path: Path) -> None:
    code = (
        "import numpy as np\nfrom tunesmith.evaluate import words\n"
        "from tunesmith.evaluate.measured import with_intervals\nfrom tunesmith.evaluate.types import Outcome\n"
        "found = with_intervals(Outcome('label', [0, 1], np.array([[0.9, 0.1], [0.4, 0.6]]), None))\n"
        "print(words.metric('brier'), round(found['brier']['value'], 4))"
    )
    done = _ask(tmp_path, "brier:BRIER", code)
    assert done.stdout.strip() == "Brier score 0.085", done.stderr


@pytest.mark.story
@pytest.mark.parametrize(
    ("target", "why"), [("brier:BRIAR", "can not be loaded"), ("brier:function", "is no `Metric`")]
)
def test_a_metric_that_can_not_be_used_is_refused_in_words(tmp_path: Path, target: str, why: str) -> None:
    code = "from tunesmith.core.errors import OptionError\nfrom tunesmith.evaluate.metrics import get\n"
    done = _ask(tmp_path, target, code + "try:\n    get('brier')\nexcept OptionError as error:\n    print(error)")
    assert why in done.stdout, done.stderr
