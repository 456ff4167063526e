"""What the parts of the report say: thresholds, curves, doubtful labels, histograms, what is folded, how to use it."""

from __future__ import annotations

import html
import json
import re
import shlex
from typing import Any

import numpy as np
import pytest

import evaluate_toys as toys
from tunesmith.data.labels import histogram
from tunesmith.evaluate import charts, data_sections, decision_sections, measured, row_sections, sections, use_section
from tunesmith.evaluate.coverage import coverage, curves
from tunesmith.evaluate.errors import suspects
from tunesmith.evaluate.types import Outcome


def test_coverage_counts_what_is_answered_and_right() -> None:
    scores = np.array([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7], [0.5, 0.5]])
    found = coverage(Outcome("label", np.array([0, 1, 1, 0]), scores, ["a", "b"]))
    assert found is not None
    at = {step: (int(found.given[step]), int(found.right[step])) for step in (0, 50, 60, 61, 70, 90, 91)}
    assert at == {0: (4, 3), 50: (4, 3), 60: (3, 2), 61: (2, 2), 70: (2, 2), 90: (1, 1), 91: (0, 0)}
    assert found.wanted == 4
    of_labels = coverage(Outcome("labels", np.array([[1, 0], [1, 1]]), scores[:2], ["a", "b"]))
    assert of_labels is not None
    assert (of_labels.given[0], of_labels.right[0], of_labels.wanted) == (4, 3, 3)
    assert coverage(toys.number()) is None


def test_the_slider_says_in_the_page_what_the_script_says() -> None:
    run = toys.evidence("label", evil=False)
    shown = decision_sections.thresholds(run)
    values = json.loads(re.findall(r'class="coverage">(.*?)</script>', shown)[0])
    assert f"{values['given'][50]:,} of {values['wanted']:,} rows are answered, {values['right'][50]:,}" in shown
    assert values["given"][0] == values["wanted"] == len(run.outcome)


@pytest.mark.parametrize(
    "outcome", [toys.label(classes=2), toys.label(), toys.labels()], ids=["two", "four", "several"]
)
def test_curves_have_the_areas_of_the_metrics(outcome: Outcome) -> None:
    found = curves(outcome)
    if len(outcome.labels) == 2:
        assert [curve.name for curve in found] == [outcome.labels[np.bincount(outcome.truth).argmin()]]
        assert found[0].area == pytest.approx(measured.compute(outcome, ["roc_auc"])["roc_auc"])
        return
    assert found[0].name == ""
    precisions = [curve.average_precision for curve in found[1:]]
    assert precisions == sorted(precisions)
    for curve in found:
        assert (curve.false_alarms[0], curve.found[-1], curve.recall[-1]) == (0, 1, 0)
        assert np.trapezoid(curve.found, curve.false_alarms) == pytest.approx(curve.area, abs=0.01)


def test_labels_that_stand_in_hardly_any_row_have_no_curve() -> None:
    truth = np.zeros(40, dtype=int)
    truth[0] = 1
    assert curves(Outcome("label", truth, np.full((40, 2), 0.5), ["a", "b"])) == []


def test_doubtful_labels_need_a_sure_model_and_two_that_agree() -> None:
    sure, unsure = [0.02, 0.98], [0.3, 0.7]
    truth = np.zeros(3, dtype=int)
    ours = Outcome("label", truth, np.array([sure, sure, unsure]), ["a", "b"])
    agree = Outcome("label", truth, np.array([unsure, [0.9, 0.1], unsure]), ["a", "b"])
    assert suspects(ours, [agree, ours]) == {0}
    assert suspects(ours, [agree]) == frozenset()
    run = toys.evidence("label", evil=False)
    wrong = next(iter(np.flatnonzero(run.outcome.predicted() != run.outcome.truth)))
    run.suspects = frozenset({int(wrong)})
    shown = row_sections.errors(run)
    assert "1 is marked as perhaps mislabelled" in shown
    assert sum(row["suspect"] for row in _rows(shown)["rows"]) == 1


def _rows(shown: str) -> dict[str, Any]:
    return json.loads(re.findall(r'class="values">(.*?)</script>', shown)[0])


def test_every_cell_of_the_matrix_has_its_rows() -> None:
    run = toys.evidence("label", evil=False)
    rows = _rows(row_sections.errors(run))
    matrix = run.metrics["confusion_matrix"]["matrix"]
    for truth, counts in enumerate(matrix):
        for predicted, count in enumerate(counts):
            found = sum(row["cell"] == [truth, predicted] for row in rows["rows"])
            assert found == (count if truth != predicted else min(count, row_sections.RIGHT_SHOWN))
    assert rows["mistakes"] == sum(map(sum, matrix)) - sum(matrix[at][at] for at in range(len(matrix)))
    heat = charts.confusion(run.metrics["confusion_matrix"])
    assert heat is not None
    assert [cell[2:] for cell in heat["data"][0]["customdata"][1]] == [[1, at] for at in range(len(matrix))]


def test_calibration_groups_hold_equally_many() -> None:
    outcome = toys.label(rows=400)
    points = charts.reliability(outcome)["data"][1]
    assert sum(points["customdata"]) == 400
    assert max(points["customdata"]) - min(points["customdata"]) <= 1
    low, high = charts.proportion_interval(8, 10)
    assert (round(low, 3), round(high, 3)) == (0.490, 0.943)  # Wilson's, as in the tables of statistics


def test_the_kept_step_is_marked_and_other_losses_have_their_axis() -> None:
    run = toys.healthy_curves()
    run["validation"] = [{**point, "best": point["step"] == 200} for point in run["validation"]]
    figure = charts.loss_curves(run)
    assert figure is not None
    assert figure["layout"]["annotations"][0]["text"] == "kept: step 200"
    assert "yaxis2" not in figure["layout"]
    apart = charts.loss_curves(run, apart=True)
    assert apart is not None
    assert apart["layout"]["yaxis2"]["side"] == "right"
    assert apart["data"][-1]["yaxis"] == "y2"


@pytest.mark.parametrize(
    "values",
    [np.arange(1000), np.r_[np.arange(500), 1_000_000], np.array([3, 3, 3]), np.array([1, 2, 2, 5]), np.array([0.5])],
)
def test_histograms_count_every_row(values: np.ndarray) -> None:
    found = histogram(values)
    assert sum(found["counts"]) == len(values)
    assert len(found["edges"]) == len(found["counts"]) + 1
    assert charts.histogram(found["edges"], [int(count) for count in found["counts"]], "x")["data"]


def test_what_is_clean_is_one_line() -> None:
    run = toys.evidence("label", evil=False)
    shown = data_sections.audit(run)
    assert "Looked for and not found: no text stands in two splits, no text has two different labels." in shown
    assert "identical rows" not in shown
    run.audit["leakage"] = {"identical_rows": 4, "moved_rows": 0, "examples": []}
    shown = data_sections.audit(run)
    assert "Rows shared between the splits" in shown
    assert "identical rows" in shown
    assert "moved rows" not in shown
    run.audit["ledger"] = {"rows": 10, "used": 10, "cut": 0, "dropped": 0, "reasons": {}}
    assert "All 10 rows are used" in data_sections.audit(run)


def test_labels_that_were_never_right_are_folded() -> None:
    run = toys.evidence("label", evil=False)
    row = {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 0, "predicted": 0}
    run.metrics["per_class"] += [{"label": f"empty {at}", **row} for at in range(6)]
    shown = sections.classes(run)
    assert "6 labels were never predicted rightly (6 of them stand in no test row)" in shown
    assert shown.index("class 0") < shown.index("<details>") < shown.index("empty 0")


def test_lines_to_use_the_model_are_ready_to_be_copied() -> None:
    run = toys.evidence("label", evil=False)
    run.path, run.test_inputs = "my runs/a", ["it's $HOME", "where is my order?"]
    shown = [html.unescape(code) for code in re.findall(r"<pre>(.*?)</pre>", use_section.use(run), re.DOTALL)]
    assert shlex.split(shown[0]) == ["tunesmith", "predict", "my runs/a", "where is my order?"]
    for code in shown[2:]:
        compile(code, "report", "exec")
        assert '"where is my order?"' in code


@pytest.mark.parametrize(("best", "side"), [(0, "left"), (1, "left"), (3, "right")])
def test_the_mark_of_the_kept_step_stays_within_the_axis(best: int, side: str) -> None:
    points = [{"step": 10 * n, "loss": 1.0, "best": n == best} for n in range(4)]
    drawn = charts.loss_curves({"train": [], "validation": points})
    assert drawn is not None
    assert drawn["layout"]["annotations"][0]["xanchor"] == side
