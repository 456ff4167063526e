"""Sections of the report that show single test rows: mistakes to search in, and what a cell of the matrix holds."""

from __future__ import annotations

import numpy as np

from tunesmith.core.text import shortened
from tunesmith.evaluate import charts, page, words
from tunesmith.evaluate.errors import Mistake, slices, worst
from tunesmith.evaluate.evidence import Evidence
from tunesmith.evaluate.page import text
from tunesmith.evaluate.tables import confusion

SHOWN = 30
"""Mistakes that stand in the page as it is; the script finds the others."""

SEARCHED = 2_000
"""Mistakes that can be searched, the most confident first."""

PICTURED = 200
"""Of these so many have their picture in the page, where rows have any."""

RIGHT_SHOWN = 10
"""Rows of each label that were answered rightly: what the diagonal of the matrix opens."""

LONGEST = 400
"""Characters of a text in the list."""

CONFUSED_SHOWN = 15

_READ = " Click on a cell to see its rows below, under Errors."

SMALL_MATRIX = 12
"""A heat map of up to this many classes fits a telephone; larger ones scroll sideways."""


def confusion_matrix(evidence: Evidence) -> str:
    found = evidence.metrics.get("confusion_matrix") or confusion(evidence.outcome)
    if not found:
        return ""
    classes = len(found["labels"])
    note = f"Down: truth. Across: prediction. Colour: share of the true class. Numbers: test rows.{_READ}"
    if classes > charts.MOST_CLASSES:
        note += f" Shown are the {charts.MOST_CLASSES} of {classes} classes with the most mistakes."
    heat = page.chart(charts.confusion(found))
    wide = "wide" if classes > SMALL_MATRIX else "square"
    places = {name: at for at, name in enumerate(found["labels"])}
    rows = [
        (text(pair["truth"]), text(pair["predicted"]), text(pair["count"]),
         f'<button class="link" data-cell="{places[pair["truth"]]},{places[pair["predicted"]]}">read them</button>')
        for pair in found["most_confused"][:CONFUSED_SHOWN]
    ]  # fmt: skip
    listed = f"<h3>Most confused</h3>{page.table(('truth', 'predicted', ('rows', 'n'), ''), rows)}" if rows else ""
    shown = f'<p class="soft small">{note}</p><div class="{wide} matrix">{heat}</div>' if heat else ""
    return shown + listed


def errors(evidence: Evidence) -> str:
    """The most confident mistakes with their texts, a field to search in them, and marks of doubtful labels."""
    found = worst(evidence.outcome, SEARCHED)
    if not found:
        return '<p class="soft">No mistake on the test rows.</p>'
    listed = [_listed(evidence, mistake, at < PICTURED) for at, mistake in enumerate(found)]
    what = "Largest errors" if evidence.kind == "number" else "Most confident mistakes"
    note = f"{what} first."
    if suspects := sum(bool(row["suspect"]) for row in listed):
        note += (
            f" {suspects} {'are' if suspects > 1 else 'is'} marked as perhaps mislabelled: this model is sure of "
            "another label, and simpler models that work in other ways say the same. Look at these first: if the "
            "label in the file is wrong, it is the file that wants mending, not the model."
        )
    everything = {"rows": listed + _right(evidence), "labels": evidence.outcome.labels, "mistakes": len(listed)}
    search = (
        f'<div class="search"><input type="search" placeholder="search in the {evidence.nouns} and labels" '
        'aria-label="search in the errors"> <button class="link all" hidden>show all errors</button>'
        f'<span class="soft small count" aria-live="polite">{len(listed):,} errors</span></div>'
    )
    shown = "".join(_shown(row) for row in listed[:SHOWN])
    return (
        f'<p class="soft small">{note}</p><div class="rows">{search}{page.data("values", everything)}'
        f'<div class="list">{shown}</div></div>'
    )


def _listed(evidence: Evidence, mistake: Mistake, pictured: bool = True) -> dict[str, object]:
    at = mistake["row"]
    words_of_row = evidence.test_inputs[at] if at < len(evidence.test_inputs) else ""
    cut = shortened(words_of_row, LONGEST, "…")
    number = int(evidence.test_row_ids[at]) if at < len(evidence.test_row_ids) else at
    row: dict[str, object] = {"row": number, "text": cut, "truth": mistake["truth"], "predicted": mistake["predicted"]}
    if pictured and (picture := evidence.picture(at)) is not None:
        row["picture"] = picture
    cell = [-1, -1]
    if evidence.kind == "label":
        cell = [int(evidence.outcome.truth[at]), int(evidence.outcome.scores[at].argmax())]
    return {**row, "weight": mistake["weight"], "suspect": at in evidence.suspects, "cell": cell}


def _shown(row: dict[str, object]) -> str:
    """One row as HTML; the page's script makes the same from the same values."""
    mark = '<span class="suspect">perhaps mislabelled</span>' if row["suspect"] else ""
    said = (
        f"<span>truth <b>{text(row['truth'])}</b></span><span>predicted <b>{text(row['predicted'])}</b></span>"
        f"<span>{text(row['weight'])}</span><span>row {row['row']}</span>{mark}"
    )
    picture = f'<img src="{row["picture"]}" alt="">' if "picture" in row else ""
    return f'<div class="error">{picture}<q>{text(row["text"])}</q><div class="said">{said}</div></div>'


def _right(evidence: Evidence) -> list[dict[str, object]]:
    """Some rows of each label that were answered rightly, the least sure first."""
    if evidence.kind != "label" or len(evidence.outcome.labels) > charts.MOST_CLASSES * 4:
        return []
    outcome = evidence.outcome
    predicted = outcome.predicted()
    sure = outcome.scores[np.arange(len(outcome)), predicted]
    rows = []
    for label, name in enumerate(outcome.labels):
        hits = np.flatnonzero((predicted == label) & (outcome.truth == label))
        for at in hits[np.argsort(sure[hits], kind="stable")[:RIGHT_SHOWN]]:
            weight = f"probability {words.number(float(sure[at]))}"
            rows.append(_listed(evidence, {"row": int(at), "truth": name, "predicted": name, "weight": weight}))
    return rows


def sliced(evidence: Evidence) -> str:
    """The first metric by size of the input, and by size of the true value for numbers."""
    first = evidence.metrics["first_metric"]
    parts = []
    for title, rows in slices(evidence.outcome, *evidence.sizes, first):
        body = [
            (text(one["slice"]), text(one["rows"]), words.number(one["value"]), words.interval(one)) for one in rows
        ]
        head = (text(title), ("rows", "n"), (text(words.metric(first)), "n"), "95 % interval")
        parts.append(page.table(head, body))
    by_label = '<p class="soft small">By label: see the table of labels.</p>' if evidence.kind != "number" else ""
    return "".join(parts) + by_label if parts else ""
