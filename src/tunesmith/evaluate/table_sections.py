"""The part of a report that is about the columns beside a text."""

from __future__ import annotations

from tunesmith.evaluate import page, words
from tunesmith.evaluate.evidence import Evidence
from tunesmith.evaluate.page import text


def columns(evidence: Evidence) -> str:
    """What each column is read as, and what is lost where its cells are those of other rows."""
    found = evidence.metrics.get("columns")
    if not found:
        return ""
    name = words.metric(evidence.metrics["first_metric"])
    rows: list[list[page.Cell]] = [
        [(text(one["name"]), "text"), (text(one["read_as"]), "text"), words.number(one["lost"])] for one in found
    ]
    note = (
        '<p class="soft small">By how much the first metric is worse on the test rows where the cells of a column, or '
        "the texts, are shuffled among them; the mean of five times. Columns that say the same share what they are "
        "worth.</p>"
    )
    return note + page.table(["column", "read as", (f"{text(name)}: lost", "n")], rows)
