"""`report.html`: one self-contained page that a person reads first. Nothing in it loads from anywhere.

A content security policy in the page forbids every connection; plotly's own bundle is written into
it. To add a section: one function and one line in SECTIONS, which says what it was made for.
"""

from __future__ import annotations

import pkgutil
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tunesmith.core.files import write_text
from tunesmith.evaluate import (
    answer_sections,
    box_sections,
    data_sections,
    decision_sections,
    mask_sections,
    page,
    picture_sections,
    relevance_sections,
    row_sections,
    sections,
    span_sections,
    table_sections,
    text_sections,
    use_section,
    words,
)
from tunesmith.evaluate.diagnose import next_step
from tunesmith.evaluate.evidence import Evidence
from tunesmith.evaluate.page import text
from tunesmith.evaluate.verdict import of_document

_CLASSES = ("label", "labels")
_OUTCOMES = (*_CLASSES, "number")
_TEXT = ("text",)
_IMAGE = ("image",)


class Section(NamedTuple):
    """A line of SECTIONS. Where the run is of another kind or modality, it is not asked; empty: it fits all."""

    title: str
    html: Callable[[Evidence], str]
    kinds: tuple[str, ...] = ()
    modalities: tuple[str, ...] = ()

    def fits(self, evidence: Evidence) -> bool:
        of = ((evidence.kind, self.kinds), (evidence.modality, self.modalities))
        return all(not those or this in those for this, those in of)


SECTIONS: tuple[Section, ...] = (
    Section("Findings", sections.findings),
    Section("Use this model", use_section.use),
    Section("Learning curves", sections.curves),
    Section("Confusion matrix", row_sections.confusion_matrix, ("label",)),
    Section("Pictures that are confused", picture_sections.confused, ("label",), _IMAGE),
    Section("Test pictures", picture_sections.test, _OUTCOMES, _IMAGE),
    Section("Where it looks", picture_sections.looked, _OUTCOMES, _IMAGE),
    Section("Predictions and errors", sections.regression, ("number",)),
    Section("Errors", row_sections.errors, _OUTCOMES),
    Section("Labels", sections.classes, _CLASSES),
    Section("Spans that are wrong", span_sections.errors, ("spans",)),
    Section("Kinds of error", span_sections.kinds, ("spans",)),
    Section("Types", sections.classes, ("spans",)),
    Section("Answers in their contexts", answer_sections.answers, ("answers",)),
    Section("Classes", mask_sections.classes, ("mask",)),
    Section("Masks", mask_sections.pictures, ("mask",)),
    Section("Boxes", box_sections.shown, ("boxes",)),
    Section("Precision and recall by label", box_sections.precision_recall, ("boxes",)),
    Section("What moved", relevance_sections.moved, ("relevance",)),
    Section("Furthest off", relevance_sections.worst, ("relevance",)),
    Section("Sizes of vectors", relevance_sections.sizes, ("relevance",)),
    Section("Hard negatives", relevance_sections.negatives, ("relevance",)),
    Section("Columns beside the text", table_sections.columns, _OUTCOMES, _TEXT),
    Section("Thresholds", decision_sections.thresholds, _CLASSES),
    Section("ROC and precision-recall", decision_sections.roc_and_pr, _CLASSES),
    Section("Calibration", decision_sections.calibration, _CLASSES),
    Section("Answers side by side", text_sections.answers, _TEXT, _TEXT),
    Section("What is learned", text_sections.preview, _TEXT, _TEXT),
    Section("Training pictures", picture_sections.training),
    Section("Slices", row_sections.sliced, _OUTCOMES),
    Section("Forgetting", sections.forgetting),
    Section("Data", data_sections.audit),
    Section("Decisions", sections.decisions),
    Section("Warnings", sections.warned),
    Section("Cost", sections.cost),
    Section("Spec", sections.spec),
)

POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main>
{body}
</main>
<script>{plotly}</script>
<script>{script}</script>
</body>
</html>
"""


def write_report(evidence: Evidence, path: Path) -> None:
    """Write the page aside and rename it, so that `path` is never half a page."""
    write_text(Path(path), render(evidence))


def render(evidence: Evidence) -> str:
    """The whole page as a string (about 5 MB, nearly all of it plotly)."""
    made = [(section.title, section.html(evidence)) for section in SECTIONS if section.fits(evidence)]
    known = [(title, inside) for title, inside in made if inside]
    links = "".join(f'<a href="#{_anchor(title)}">{title}</a>' for title, _ in known)
    parts = [_head(evidence, links)]
    parts += [f'<section id="{_anchor(title)}"><h2>{title}</h2>{inside}</section>' for title, inside in known]
    parts.append(f"<footer>Made by Tunesmith {text(evidence.versions.get('tunesmith', ''))}</footer>")
    return whole(evidence.name, parts)


def whole(title: str, parts: Sequence[str]) -> str:
    """The parts as a page that loads nothing from anywhere."""
    style, script = (Path(__file__).with_name(name).read_text(encoding="utf-8") for name in ("report.css", "report.js"))
    bundle = pkgutil.get_data("plotly", "package_data/plotly.min.js")
    if bundle is None:
        raise FileNotFoundError("plotly's script plotly.min.js is missing from the installed plotly package")
    plotly = bundle.decode("utf-8").replace("</script", "<\\/script")
    body = "\n".join(parts)
    return _PAGE.format(policy=POLICY, title=text(title), style=style, body=body, plotly=plotly, script=script)


def _head(evidence: Evidence, links: str) -> str:
    document = evidence.metrics
    verdict, first = document["verdict"], document["first_metric"]
    level, title, sentence = of_document(verdict)
    # of a model that writes, what its answers are worth: losses come second
    shown = verdict.get("good", {}).get("metric", first) if evidence.kind == "text" else first
    known = {
        "model": text(evidence.model.get("name")),
        "method": text(evidence.method),
        "task": text(evidence.task),
        "test rows": f"{evidence.test_rows:,}",
        "finished": text(evidence.created),
        "took": words.seconds(document["cost"].get("wall_seconds")),
    }
    return (
        f"<h1>{text(evidence.name)}</h1>{page.facts(known)}<nav>{links}</nav>"
        f'<div class="banner {level}"><div class="word">{text(title)}</div>'
        f"{_headline(document['test'], shown)}{_answers(verdict, sentence)}{_following(document)}</div>"
        f'<section id="verdict">{sections.contenders(evidence)}{sections.all_metrics(evidence)}</section>'
    )


def _answers(verdict: dict[str, Any], sentence: str) -> str:
    """Is it good, and is it worth more: each with the colour of its own level."""
    if "good" not in verdict:  # of an earlier version
        return f"<p>{text(sentence)}</p>"
    asked = (("Is it good?", "good"), ("Is it worth more than something simpler?", "worth"))
    return "".join(
        f'<p class="answer {verdict[part]["level"]}"><b>{question}</b> {text(verdict[part]["words"], 2_000)}</p>'
        for question, part in asked
    )


def _following(document: dict[str, Any]) -> str:
    step = document["verdict"].get("next_step") or {"words": next_step(document["findings"]), "command": None}
    if not step["words"]:
        return ""
    command = f"<br><code>{text(step['command'], 2_000)}</code>" if step["command"] else ""
    return f"<p><b>Next step:</b> {text(step['words'])}{command}</p>"


_BESIDE = {"rmse": ("mae", "r2")}
"""Metrics that say together what the first one does not say alone."""


def _headline(test: Mapping[str, Mapping[str, float]], first: str) -> str:
    """The first metric large, with its interval, and what belongs beside it."""
    if first not in test:
        return ""
    found = test[first]
    beside = "".join(
        f'<span class="soft beside">{text(words.metric(name))} <b>{words.number(test[name]["value"])}</b></span>'
        for name in _BESIDE.get(first, ())
        if name in test
    )
    return (
        f'<div><span class="headline">{words.number(found["value"])}</span> <span class="soft">'
        f"{text(words.metric(first))}, 95 % interval {words.number(found['low'])} to "
        f"{words.number(found['high'])}</span>{beside}</div>"
    )


def _anchor(title: str) -> str:
    return re.sub(r"[^a-z]+", "-", title.lower())
