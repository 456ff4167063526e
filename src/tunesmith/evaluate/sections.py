"""The sections of the report: each a function from the evidence to HTML, "" where it has nothing to say."""

from __future__ import annotations

from typing import Any

from tunesmith.evaluate import charts, page, text_metrics, words
from tunesmith.evaluate.errors import slices, worst
from tunesmith.evaluate.evidence import Evidence
from tunesmith.evaluate.metrics import TABLE, names_for
from tunesmith.evaluate.page import text
from tunesmith.evaluate.tables import confusion, per_class

CONFUSED_SHOWN = 15

SMALL_MATRIX = 8
"""A heat map of up to this many classes fits a telephone; larger ones scroll sideways."""


def higher_is_better(name: str) -> bool | None:
    """Of a metric of any kind of task; None where the middle is best."""
    return TABLE[name].higher_is_better if name in TABLE else text_metrics.higher_is_better(name)


def ladder(evidence: Evidence) -> str:
    """The first metric of the model and of every baseline as dots with their intervals."""
    first = evidence.metrics["first_metric"]
    found = {"": evidence.metrics["test"].get(first)}
    found |= {name: part.get(first) for name, part in evidence.metrics["baselines"].items()}
    known = {name: part for name, part in found.items() if part}
    if not known:
        return ""
    ordered = sorted(known, key=lambda name: known[name]["value"], reverse=bool(higher_is_better(first)))
    low, high = _span(first, [part[end] for part in known.values() for end in ("low", "high")])
    rows = "".join(_rung(name, known[name], low, high) for name in ordered)
    better = "more is better" if higher_is_better(first) else "less is better"
    scale = f"<span>{words.number(low)}</span><span>{better}</span><span>{words.number(high)}</span>"
    return (
        f"<h3>{text(words.metric(first))} on the test rows, with 95 % intervals</h3>"
        f'<div class="ladder">{rows}'
        f'<div class="rung"><div class="scale soft small">{scale}</div></div></div>'
    )


def _span(name: str, values: list[float]) -> tuple[float, float]:
    if charts.unit_range(name):
        return 0.0, 1.0
    return min(0.0, *values), max(values) * 1.05 if max(values) > 0 else 1.0


def _rung(name: str, found: dict[str, float], low: float, high: float) -> str:
    side = "theirs" if name else "ours"
    width = high - low or 1.0
    start, end, dot = (100 * (found[key] - low) / width for key in ("low", "high", "value"))
    who = words.baseline(name) if name else "this model"
    numbers = f"{words.number(found['value'])} <span class='soft small'>{_between(found)}</span>"
    return (
        f'<div class="rung"><div class="who {side}">{text(who)}</div><div class="track {side}">'
        f'<i style="left:{start:.2f}%;width:{end - start:.2f}%"></i><b style="left:{dot:.2f}%"></b></div>'
        f'<div class="figure">{numbers}</div></div>'
    )


def _between(found: dict[str, float]) -> str:
    return f"{words.number(found['low'])} – {words.number(found['high'])}"


def all_metrics(evidence: Evidence) -> str:
    """Every metric with its interval; validation and baselines beside it."""
    document = evidence.metrics
    columns: dict[str, Any] = {"test": document["test"]}
    if document.get("test_without_leaked"):
        columns["test without shared rows"] = document["test_without_leaked"]
    if document.get("validation"):
        columns["validation"] = document["validation"]
    columns |= {words.baseline(name): part for name, part in document["baselines"].items()}
    known = text_metrics.TABLE if evidence.kind == "text" else names_for(evidence.kind)
    names = [name for name in known if name in document["test"]]
    head: list[page.Cell] = ["metric", "95 % interval", *((text(name), "n") for name in columns)]
    rows: list[list[page.Cell]] = []
    for name in names:
        arrow = {True: "↑", False: "↓", None: ""}[higher_is_better(name)]
        values = [(words.number(part[name]["value"]) if name in part else "–", "n") for part in columns.values()]
        rows.append([f"{text(words.metric(name))} {arrow}", (_between(document["test"][name]), "figure"), *values])
    return page.fold("All metrics", page.table(head, rows))


def curves(evidence: Evidence) -> str:
    loss = page.chart(charts.loss_curves(evidence.curves))
    first = evidence.metrics["first_metric"]
    score = page.chart(charts.metric_curve(evidence.curves, first)) if first != "loss" else ""  # already drawn
    return f'<div class="pair">{loss}{score}</div>' if loss or score else ""


def confusion_matrix(evidence: Evidence) -> str:
    found = evidence.metrics.get("confusion_matrix") or confusion(evidence.outcome)
    if not found:
        return ""
    classes = len(found["labels"])
    note = "Down: truth. Across: prediction. Colour: share of the true class. Numbers: test rows."
    if classes > charts.MOST_CLASSES:
        note += f" Shown are the {charts.MOST_CLASSES} of {classes} classes with the most mistakes."
    heat = page.chart(charts.confusion(found))
    wide = "wide" if classes > SMALL_MATRIX else "square"
    pairs = found["most_confused"][:CONFUSED_SHOWN]
    rows = [(text(pair["truth"]), text(pair["predicted"]), page.number_cell(pair["count"])) for pair in pairs]
    listed = f"<h3>Most confused</h3>{page.table(('truth', 'predicted', ('rows', 'n')), rows)}" if rows else ""
    shown = f'<p class="soft small">{note}</p><div class="{wide}">{heat}</div>' if heat else ""
    return shown + listed


def regression(evidence: Evidence) -> str:
    if evidence.kind != "number" or not len(evidence.outcome):
        return ""
    over, left = charts.predicted_over_true(evidence.outcome), charts.residuals(evidence.outcome)
    return f'<div class="pair">{page.chart(over)}{page.chart(left)}</div>'


def calibration(evidence: Evidence) -> str:
    if evidence.kind == "number" or not len(evidence.outcome):
        return ""
    found = evidence.metrics["test"].get("ece")
    what = "the top class of each row" if evidence.kind == "label" else "every label of every row"
    error = f" Calibration error {words.number(found['value'])} ({_between(found)})." if found else ""
    note = f"When it says 0.8, is it right 8 times in 10? Probabilities of {what}.{error}"
    return f'<p class="soft small">{note}</p>{page.chart(charts.reliability(evidence.outcome), "square")}'


def classes(evidence: Evidence) -> str:
    """One row a label, the weakest first."""
    rows = evidence.metrics.get("per_class") or per_class(evidence.outcome)
    if not rows:
        return ""
    many = evidence.kind == "labels"
    head: list[page.Cell] = [
        "label",
        "F1",
        ("", "n"),
        ("precision", "n hide-small"),
        ("recall", "n hide-small"),
    ]
    head += [("rows", "n"), *([("threshold", "n")] if many else [])]
    ordered = sorted(rows, key=lambda row: (row["f1"], row["support"]))
    body = []
    for row in ordered:
        bar = f'<span style="width:{100 * row["f1"]:.1f}%"></span>'
        cells: list[page.Cell] = [(text(row["label"]), "text"), (bar, "bar"), (words.number(row["f1"]), "n")]
        cells += [(words.number(row[name]), "n hide-small") for name in ("precision", "recall")]
        cells += [page.number_cell(row["support"])]
        body.append([*cells, *([(words.number(row.get("threshold")), "n")] if many else [])])
    return f'<p class="soft small">{len(rows)} labels, the weakest first.</p>{page.table(head, body)}'


def errors(evidence: Evidence) -> str:
    """The most confident mistakes, with their texts."""
    found = worst(evidence.outcome)
    if not found:
        return '<p class="soft">No mistake on the test rows.</p>'
    shown = []
    for mistake in found:
        row = mistake["row"]
        words_of_row = evidence.test_texts[row] if row < len(evidence.test_texts) else ""
        number = evidence.test_row_ids[row] if row < len(evidence.test_row_ids) else row
        said = (
            f"<span>truth <b>{text(mistake['truth'])}</b></span><span>predicted "
            f"<b>{text(mistake['predicted'])}</b></span><span>{text(mistake['weight'])}</span>"
            f"<span>row {number}</span>"
        )
        shown.append(f'<div class="error"><q>{text(words_of_row)}</q><div class="said">{said}</div></div>')
    what = "Largest errors" if evidence.kind == "number" else "Most confident mistakes"
    return f'<p class="soft small">{what} first.</p>{"".join(shown)}'


def sliced(evidence: Evidence) -> str:
    """The first metric by length of text, and by size of the true value for numbers."""
    first = evidence.metrics["first_metric"]
    parts = []
    for title, rows in slices(evidence.outcome, evidence.test_texts, first):
        body = [
            (
                text(row["slice"]),
                page.number_cell(row["rows"]),
                (words.number(row["value"]), "n"),
                _between(row),
            )
            for row in rows
        ]
        head = (text(title), ("rows", "n"), (text(words.metric(first)), "n"), "95 % interval")
        parts.append(page.table(head, body))
    by_label = '<p class="soft small">By label: see the table of labels.</p>' if evidence.kind != "number" else ""
    return "".join(parts) + by_label if parts else ""


def forgotten(evidence: Evidence) -> str:
    """What was kept of what the base model knew: by task, by features, and of all tasks in turn."""
    found = evidence.metrics.get("forgetting")
    if not found:
        return ""
    sentence = words.forgotten(found)
    shown = f"<p>{text(sentence[0].upper() + sentence[1:])}.</p>"
    head: list[page.Cell] = ["retained", "metric", ("before", "n"), ("after", "n"), ("lost", "n"), "95 % interval"]
    rows: list[list[page.Cell]] = []
    for one in found.get("tasks", ()):
        numbers = (one["before"], one["after"], one["lost"]["value"])
        cells: list[page.Cell] = [(words.number(value), "n") for value in numbers]
        rows.append([text(one["name"]), text(words.metric(one["metric"])), *cells, _between(one["lost"])])
    shown += page.table(head, rows) if rows else ""
    if "drift" in found:
        drift = {"CKA of features before and after": words.number(found["drift"]["cka"])}
        agreement = found["drift"]["agreement"].items()
        shown += facts(drift | {f"neighbours kept, {name} texts": words.number(value) for name, value in agreement})
    if "matrix" in found:
        stages = found["matrix"]["tasks"]
        table: list[list[str | tuple[str, str]]] = [
            [text(f"after {stage}"), *((words.number(value), "n") for value in row)]
            for stage, row in zip(stages, found["matrix"]["values"], strict=True)
        ]
        shown += page.table(["", *((text(stage), "n") for stage in stages)], table)
        names = ("average_forgetting", "backward_transfer")
        shown += facts({name.replace("_", " "): words.number(found[name]) for name in names if name in found})
    return shown


def audit(evidence: Evidence) -> str:
    """The ledger adding up, splits, then whatever else the audit holds."""
    parts = dict(evidence.audit)
    shown = _ledger(parts.pop("ledger", None)) + _splits(parts.pop("splits", None))
    for key in ("leakage", "conflicts", "duplicates", "text_length"):
        if parts.get(key) not in (None, {}, []):
            shown += f"<h3>{text(key.replace('_', ' ').capitalize())}</h3>{_facts_or_table(parts[key])}"
        parts.pop(key, None)
    if evidence.data_fingerprint:
        shown += f"<h3>Fingerprint</h3><p class='small'><code>{text(evidence.data_fingerprint)}</code></p>"
    rest = {key: value for key, value in parts.items() if value not in (None, {}, [], "")}
    return shown + (page.fold("Everything else that was found", page.anything(rest)) if rest else "")


def _facts_or_table(found: Any) -> str:
    """Single numbers side by side, lists of examples as tables below them."""
    if not isinstance(found, dict):
        return page.anything(found)
    single = {key: value for key, value in found.items() if not isinstance(value, dict | list | tuple)}
    longer = {key: value for key, value in found.items() if key not in single and value}
    tables = "".join(page.fold(str(key).replace("_", " "), page.anything(value)) for key, value in longer.items())
    return facts({str(key).replace("_", " "): text(value) for key, value in single.items()}) + tables


def _ledger(found: Any) -> str:
    if not isinstance(found, dict) or not found.get("rows"):
        return f"<h3>Ledger</h3>{page.anything(found)}" if found else ""
    total, kinds = int(found["rows"]), ("used", "cut", "dropped")
    counts = {kind: int(found.get(kind) or 0) for kind in kinds}
    bar = "".join(f'<span class="{kind}" style="width:{100 * counts[kind] / total:.3f}%"></span>' for kind in kinds)
    said = " + ".join(f'<span class="key {kind}"></span>{counts[kind]:,} {kind}' for kind in kinds)
    reasons = found.get("reasons") or {}
    rows = [
        (text(kind), text(why), page.number_cell(rows))
        for kind, part in reasons.items()
        for why, rows in (part.items() if isinstance(part, dict) else ())
    ]
    why = page.table(("what", "reason", ("rows", "n")), rows) if rows else ""
    return f'<h3>Ledger</h3><p>{said} = {total:,} rows in</p><div class="stack">{bar}</div>{why}'


def _splits(found: Any) -> str:
    if not isinstance(found, dict) or not found:
        return ""
    counts = {name: rows for name, rows in found.items() if isinstance(rows, int)}
    if len(counts) < len(found):
        return f"<h3>Splits</h3>{page.anything(found)}"
    said = ", ".join(f"{rows:,} {text(name)}" for name, rows in counts.items())
    return f"<h3>Splits</h3><p>{said}</p>"


def decisions(evidence: Evidence) -> str:
    rows = [
        (text(row.get("what")), (text(row.get("value")), "text"), text(row.get("why"))) for row in evidence.decisions
    ]
    return page.table(("what", "value", "why"), rows) if rows else ""


def warned(evidence: Evidence) -> str:
    rows = [(text(row.get("what")), (text(row.get("message")), "text")) for row in evidence.warnings]
    return page.table(("what", "message"), rows) if rows else ""


def findings(evidence: Evidence) -> str:
    return "".join(
        f'<div class="finding {text(found["severity"])}"><p><b>{text(words.finding(found["name"]))}'
        f"</b></p><p>{text(found['evidence'])}</p><p class='soft'>{text(found['action'])}</p></div>"
        for found in evidence.metrics["findings"]
    )


def cost(evidence: Evidence) -> str:
    found = {**(evidence.metrics.get("cost") or {}), **evidence.cost}
    known = {
        "wall time": words.seconds(found.pop("wall_seconds", None)),
        "peak memory": words.bytes_(found.pop("peak_memory_bytes", None)),
        "tokens trained on": text(found.pop("tokens", None)),
        "parameters": text(evidence.model.get("parameters")),
    }
    if "trainable_parameters" in found:
        known["trained parameters"] = f"{found.pop('trainable_parameters'):,}"
    if "train_seconds" in found:
        known["training alone"] = words.seconds(found.pop("train_seconds"))
    if predicted := found.pop("predicted", None):
        known["training, predicted"] = words.seconds(predicted["train_seconds"])
        known["peak memory, predicted"] = words.bytes_(predicted["peak_memory_bytes"])
    return facts({**known, **{key.replace("_", " "): text(value) for key, value in found.items()}})


def spec(evidence: Evidence) -> str:
    import yaml

    written = yaml.safe_dump(evidence.spec, sort_keys=False, allow_unicode=True)
    versions = "".join(f"{name} {version}\n" for name, version in evidence.versions.items())
    folded = page.fold("spec.yaml of this run", f"<pre>{text(written, 100_000)}</pre>") if evidence.spec else ""
    return folded + (page.fold("Versions", f"<pre>{text(versions)}</pre>") if versions else "")


def facts(known: dict[str, str]) -> str:
    """Short facts side by side; values are HTML."""
    cells = "".join(f"<div><dt>{text(name)}</dt><dd>{value}</dd></div>" for name, value in known.items())
    return f'<dl class="facts">{cells}</dl>'
