"""Sections of the report about probabilities: calibration, thresholds and what they buy, ROC and PR curves."""

from __future__ import annotations

from typing import Any

from tunesmith.evaluate import charts, page, words
from tunesmith.evaluate.coverage import Coverage, Curve, coverage, curves
from tunesmith.evaluate.evidence import Evidence
from tunesmith.evaluate.page import text

_COLOURS = (charts.BLUE, charts.ORANGE, charts.GREY, "#10b981", "#a855f7")


def calibration(evidence: Evidence) -> str:
    if not len(evidence.outcome):
        return ""
    found = evidence.metrics["test"].get("ece")
    what = "the top class of each row" if evidence.kind == "label" else "every label of every row"
    error = (
        f" Calibration error {words.number(found['value'])} ({words.interval(found)}), in 15 steps of probability."
        if found
        else ""
    )
    note = (
        f"When it says 0.8, is it right 8 times in 10? Probabilities of {what}, in groups of equally many; lines are "
        f"95 % intervals. Where the dashed line runs through them, its probabilities can be taken at their word.{error}"
    )
    return f'<p class="soft small">{note}</p>{page.chart(charts.reliability(evidence.outcome), "square")}'


def thresholds(evidence: Evidence) -> str:
    """A slider: how sure it has to be, what is answered then, and how much of it is right."""
    found = coverage(evidence.outcome)
    if found is None:
        return ""
    one = evidence.kind == "label"
    words_ = {
        "kind": evidence.kind,
        "given": found.given.tolist(),
        "right": found.right.tolist(),
        "wanted": found.wanted,
    }
    note = (
        "A model may also say nothing where it is unsure, and leave those rows to a person. "
        "<code>tunesmith predict ... --threshold 0.8</code> does that."
        if one
        else "With one threshold for all labels. The saved model has one for each label: see the table of labels."
    )
    slider = (
        "<label>Answer when the probability is at least <output>0.50</output>"
        '<input type="range" min="0" max="100" value="50" aria-label="threshold"></label>'
    )
    return (
        f'<p class="soft small">{note}</p><div class="threshold">{slider}<p class="said-by-slider" aria-live="polite">'
        f"{_at(found, 50, one)}</p>{page.data('coverage', words_)}{page.chart(_coverage(found, one))}</div>"
    )


def _at(found: Coverage, step: int, one: bool) -> str:
    """What the slider says at a threshold; the page's script says the same in the same words."""
    given, right = int(found.given[step]), int(found.right[step])
    if one:
        share = f"{100 * right / given:.1f} %" if given else "–"
        return (
            f"{given:,} of {found.wanted:,} rows are answered, {right:,} of them rightly ({share}); "
            f"{found.wanted - given:,} are left to a person."
        )
    return f"{given:,} labels are given, {right:,} of them rightly; {found.wanted:,} should have been."


def _coverage(found: Coverage, one: bool) -> charts.Figure:
    """Two lines over the threshold."""
    precise = [float(hits / count) if count else None for hits, count in zip(found.right, found.given, strict=True)]
    if one:
        lines = [("share of rows answered", (found.given / found.wanted).tolist()), ("share of answers right", precise)]
    else:
        recalled = found.right / max(found.wanted, 1)
        lines = [("share of given labels that are right", precise), ("share of true labels found", recalled.tolist())]
    data: list[dict[str, Any]] = [
        {
            "type": "scatter", "mode": "lines", "name": name, "x": found.thresholds.round(2).tolist(),
            "y": [None if value is None else round(value, 4) for value in values],
            "line": {"color": colour, "width": 2},
        }
        for (name, values), colour in zip(lines, _COLOURS, strict=False)
    ]  # fmt: skip
    layout = charts.axes("threshold", "share")
    layout["yaxis"] |= {"range": [0, 1.02], "tickformat": ".0%"}
    layout["xaxis"] |= {"range": [0, 1]}
    return {"data": data, "layout": layout}


def roc_and_pr(evidence: Evidence) -> str:
    """How well the labels are told apart, whatever the threshold."""
    found = curves(evidence.outcome)
    if not found:
        return ""
    names = [text(curve.name) if curve.name else "all labels together" for curve in found]
    rows = [(name, words.number(curve.area), words.number(curve.average_precision))
            for name, curve in zip(names, found, strict=True)]  # fmt: skip
    what = (
        f"For <b>{names[0]}</b>, the rarer of the two."
        if len(found) == 1
        else "Drawn are all labels together and those that are told apart worst; below, every label."
    )
    note = (
        f"{what} Left: of how many others a false alarm is raised to find how many. Right: how many of the found ones "
        "are right. The nearer to the upper corner, the better."
    )
    head = ("label", ("area under ROC", "n"), ("average precision", "n"))
    drawn = (
        page.chart(_lines(found, "false alarms among the others", "share found", roc=True)),
        page.chart(_lines(found, "share found (recall)", "share right (precision)", roc=False)),
    )
    return f'<p class="soft small">{note}</p><div class="pair">{"".join(drawn)}</div>{page.table(head, rows)}'


def _lines(found: list[Curve], x: str, y: str, roc: bool) -> charts.Figure:
    data = []
    for curve, colour in zip(found, _COLOURS, strict=False):
        across, up = (curve.false_alarms, curve.found) if roc else (curve.recall, curve.precision)
        name = charts.plain(curve.name) if curve.name else "all together"
        data.append(charts.line(across, up, name, colour, width=2 if curve is found[0] else 1.2))
    layout = charts.axes(x, y)
    layout["xaxis"] |= {"range": [0, 1.01]}
    layout["yaxis"] |= {"range": [0, 1.02]}
    layout["showlegend"] = len(found) > 1
    return {"data": data, "layout": layout}
