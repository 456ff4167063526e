"""Sections of the report for written answers: side by side, and what was learned token by token."""

from __future__ import annotations

from tunesmith.evaluate import page, words
from tunesmith.evaluate.evidence import Evidence
from tunesmith.evaluate.measured import compute
from tunesmith.evaluate.page import text
from tunesmith.evaluate.text_metrics import text_rows

SHOWN = 20
_LONGEST = 1_500
_CUT = ' <span class="unended">[not ended]</span>'


def answers(evidence: Evidence) -> str:
    """What was asked and wanted, and what each contender wrote; the tuned model's worst rows first."""
    if not evidence.answers:
        return ""
    contenders = list(evidence.answers[0].given)
    ranked = sorted(evidence.answers, key=lambda answer: _similarity(answer.given.get("tuned", ""), answer.wanted))
    head: list[page.Cell] = ["row", "asked", "wanted", *(text(_name(name)) for name in contenders)]
    rows: list[list[page.Cell]] = [
        [(text(answer.row), "n"), (text(answer.question, _LONGEST), "text"),
         (text(answer.wanted, _LONGEST), "text"),
         *((text(answer.given[name], _LONGEST) + _CUT * (name in answer.cut), "text") for name in contenders)]
        for answer in ranked[:SHOWN]
    ]  # fmt: skip
    note = f"{len(ranked)} test rows were answered; the least alike come first."
    if any(answer.cut for answer in ranked[:SHOWN]):
        note += f"{_CUT}: the answer did not end by itself, and was cut at the limit of tokens."
    return f'<p class="soft small">{note}</p>' + page.table(head, rows, fold=True)


def _name(contender: str) -> str:
    return "this model" if contender == "tuned" else words.baseline(contender)


def _similarity(given: str, wanted: str) -> float:
    return compute(text_rows([given], [[wanted]])).get("chrf", 0.0)


def preview(evidence: Evidence) -> str:
    """The first training examples with the learned tokens marked."""
    return "".join(page.fold(f"Training example {n}", shown, n == 1) for n, shown in enumerate(evidence.previews, 1))
