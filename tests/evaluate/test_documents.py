"""metrics.json fits its schema, the report is one closed page, the card can be read by the hub."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import evaluate_toys as toys
from tunesmith.evaluate import metrics_json, sections, text_sections
from tunesmith.evaluate.card import model_card
from tunesmith.evaluate.errors import slices, worst
from tunesmith.evaluate.evidence import Answer
from tunesmith.evaluate.report import render, write_report


@pytest.fixture(scope="module", params=("label", "labels", "number"))
def evidence(request: pytest.FixtureRequest) -> Any:
    return toys.evidence(request.param)


@pytest.fixture(scope="module")
def page(evidence: Any) -> str:
    return render(evidence)


class Reader(HTMLParser):
    """Collects tags, what they load, and the scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loads: list[str] = []
        self.scripts: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in ("meta", "br", "link", "img", "input"):
            self.open.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "srcset", "action", "data") and not (value or "").startswith("#"):
                self.loads.append(f"{tag} {name}={value}")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)


def test_document_fits_its_schema(evidence: Any) -> None:
    metrics_json.check(evidence.metrics)
    metrics_json.check(json.loads(json.dumps(evidence.metrics)))


def test_schema_refuses_and_names_the_place(evidence: Any) -> None:
    first = evidence.metrics["first_metric"]
    broken = json.loads(json.dumps(evidence.metrics))
    broken["test"][first]["low"] = float("nan")
    broken["verdict"]["outcome"] = "great"
    del broken["cost"]
    with pytest.raises(ValueError, match="great") as caught:
        metrics_json.check(broken)
    assert f"$.test.{first}.low" in str(caught.value)
    assert "'cost' is a required property" in str(caught.value)


def test_every_key_is_described() -> None:
    def described(schema: dict[str, Any]) -> bool:
        inner = schema.get("properties", {}).values()
        return "description" in schema and all(map(described, inner)) if schema is not metrics_json.SCHEMA else True

    assert all(described(part) or key == "confusion_matrix" for key, part in metrics_json.SCHEMA["properties"].items())


def test_counts_by_class_add_up() -> None:
    run = toys.evidence("label", evil=False)
    matrix = run.metrics["confusion_matrix"]["matrix"]
    assert sum(map(sum, matrix)) == len(run.test)
    assert [sum(row) for row in matrix] == [row["support"] for row in run.metrics["per_class"]]


def test_page_is_well_formed_and_loads_nothing(page: str) -> None:
    reader = Reader()
    reader.feed(page)
    assert reader.open == []
    assert reader.loads == []
    assert "link" not in reader.tags
    assert "iframe" not in reader.tags
    style = page[page.index("<style>") : page.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    assert "default-src 'none'" in page


def test_text_from_the_data_can_not_become_markup(page: str) -> None:
    assert toys.EVIL not in page
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page


def test_charts_are_valid_json(page: str) -> None:
    figures = re.findall(r'<script type="application/json">(.*?)</script>', page, flags=re.DOTALL)
    assert len(figures) >= 3
    for figure in figures:
        assert json.loads(figure)["data"]


def test_page_has_its_sections(evidence: Any, page: str) -> None:
    titles = re.findall(r"<h2>(.*?)</h2>", page)
    expected = ["Findings", "Use this model", "Learning curves"]
    of_labels = ["Errors", "Labels", "Thresholds", "ROC and precision-recall", "Calibration"]
    expected += {
        "label": ["Confusion matrix", *of_labels],
        "labels": of_labels,
        "number": ["Predictions and errors", "Errors"],
    }[evidence.kind]
    expected += ["Slices", "Data", "Decisions", "Warnings", "Cost", "Spec"]
    assert titles == expected
    assert "990 used" in page
    assert "1,010 rows in" in page
    assert 'name="viewport"' in page


def test_report_is_written_whole_and_alone(tmp_path: Path) -> None:
    write_report(toys.evidence("label"), tmp_path / "report.html")
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


A_POINT = {"validation": [{"step": 0, "loss": 1.0, "accuracy": 0.5}]}


@pytest.mark.parametrize("curves", [{}, A_POINT])
def test_report_of_a_run_with_nothing_but_numbers(curves: Any) -> None:
    run = toys.evidence("label")
    run.curves, run.audit, run.decisions, run.warnings, run.spec, run.versions = curves, {}, [], [], {}, {}
    run.metrics = {**run.metrics, "findings": [], "validation": None}
    assert "Learning curves" not in render(run)
    assert model_card(run)


def test_worst_errors_are_confident_and_wrong() -> None:
    run = toys.evidence("label", evil=False)
    found = worst(run.test)
    predicted = run.test.predicted()
    assert 0 < len(found) <= 30
    assert all(predicted[one["row"]] != run.test.truth[one["row"]] for one in found)
    certainty = [run.test.scores[one["row"]].max() for one in found]
    assert certainty == sorted(certainty, reverse=True)


def test_slices_hold_every_row_once() -> None:
    run = toys.evidence("number")
    found = dict(slices(run.test, *run.sizes, "rmse"))
    assert set(found) == {"characters", "true value"}
    for rows in found.values():
        assert sum(row["rows"] for row in rows) == len(run.test)


def test_on_paper_folds_are_open_and_charts_stand_below_each_other(page: str) -> None:
    printed = page.split("@media print", 1)[1].split("</style>", 1)[0]
    assert ".pair { grid-template-columns: 1fr; }" in printed
    before = page.split('"beforeprint"', 1)[1].split('"afterprint"', 1)[0]
    assert "fold.open = true" in before
    assert "Plotly.relayout" in before


def test_card_front_matter_is_what_the_hub_reads(evidence: Any) -> None:
    card = model_card(evidence)
    _, front, body = card.split("---\n", 2)
    head = yaml.safe_load(front)
    assert head["license"] == "apache-2.0"
    assert head["base_model"] == "owner/model"
    assert head["pipeline_tag"] == "text-classification"
    assert head["library_name"] == "transformers"
    assert head["metrics"]
    assert "<script>" not in body.replace(f"`{toys.EVIL}`", "")
    for part in ("Results", "Intended use", "Limits", "tunesmith.load", "AutoModelForSequenceClassification"):
        assert part in body
    assert "f" * 64 in body


def test_card_names_a_base_of_the_catalogue_as_the_hub_does() -> None:
    run = toys.evidence("label")
    run.model["name"] = "minilm"
    head = yaml.safe_load(model_card(run).split("---\n", 2)[1])
    assert head["base_model"] == "sentence-transformers/all-MiniLM-L6-v2"


def test_card_keeps_ratings_within_their_scale() -> None:
    run = toys.evidence("number")
    assert "print(float(logits))" in model_card(run)
    run.decisions.append({"what": "rating", "value": "1 to 5", "why": "the targets are ratings"})
    assert "print(float(logits.clamp(1, 5)))" in model_card(run)


def test_card_loads_several_labels_with_the_thresholds_that_were_measured() -> None:
    run = toys.evidence("labels", evil=False)
    width = run.test.scores.shape[1]
    bars = [round(0.2 + 0.1 * index, 1) for index in range(width)]
    run.test = replace(run.test, thresholds=np.asarray(bars))
    assert f"thresholds = {bars}" in model_card(run)


def test_card_asks_for_two_texts_where_the_model_reads_two() -> None:
    run = toys.evidence("label")
    run.audit = {**run.audit, "columns": {"text": "first", "text_pair": "second"}}
    card = model_card(run)
    assert 'model.predict([("a text", "another")])' in card
    assert 'tokenizer("a text", "another", return_tensors="pt"' in card


def test_card_and_page_of_written_answers_say_how_many_rows_were_answered_and_draw_the_loss_once() -> None:
    run = toys.evidence("label")
    run.metrics = {**run.metrics, "first_metric": "loss"}
    run.answers = [Answer(row=1, question="why?", wanted="so", given={"model": "so"})]
    assert "Answers were written to, and compared on, 1 of them." in model_card(run)
    assert sections.curves(run).count('class="chart') == 1


def test_answers_that_were_cut_at_the_limit_of_tokens_are_marked() -> None:
    run = toys.evidence("label")
    run.answers = [Answer(1, "why?", "so", {"base": "so so so", "tuned": "so"}, frozenset({"base"}))]
    shown = text_sections.answers(run)
    assert re.search(r"so so so <span[^>]*>\[not ended\]</span></td>", shown)
    assert "limit of tokens" in shown
    run.answers = [replace(run.answers[0], cut=frozenset())]
    assert "ended" not in text_sections.answers(run)


def test_card_leaves_out_a_base_that_is_a_folder() -> None:
    run = toys.evidence("label")
    run.model["name"] = "/home/me/model"
    assert "base_model" not in yaml.safe_load(model_card(run).split("---\n", 2)[1])
