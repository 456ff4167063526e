"""The sections of the report: each a function from the evidence to HTML, "" where it has nothing to say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tunesmith.evaluate import charts, page, words
from tunesmith.evaluate.evidence import Evidence
from tunesmith.evaluate.metrics import TABLE, get, names_for
from tunesmith.evaluate.page import text
from tunesmith.evaluate.tables import LabelRow, per_class
from tunesmith.evaluate.types import Finding

_UNITS = {"image": "squares of 16 x 16 pixels"}
"""What `tokens` of the cost counts, where it is something else."""
FOLDED = 4
"""Labels without a single hit, from which they are folded into one line."""


def contenders(evidence: Evidence) -> str:
    """The first metric of the model and of every baseline as dots with their intervals."""
    first = evidence.metrics["first_metric"]
    found = {"": evidence.metrics["test"].get(first)}
    found |= {name: part.get(first) for name, part in evidence.metrics["baselines"].items()}
    known = {name: part for name, part in found.items() if part}
    if not known:
        return ""
    ordered = sorted(known, key=lambda name: known[name]["value"], reverse=bool(get(first).higher_is_better))
    low, high = _span(first, [part[end] for part in known.values() for end in ("low", "high")])
    rows = "".join(_contender(name, known[name], low, high) for name in ordered)
    better = "more is better" if get(first).higher_is_better else "less is better"
    scale = f"<span>{words.number(low)}</span><span>{better}</span><span>{words.number(high)}</span>"
    return (
        f"<h3>On the test rows: {text(words.metric(first))}, with 95 % intervals</h3>"
        f'<div class="contenders">{rows}'
        f'<div class="contender"><div class="scale soft small">{scale}</div></div></div>'
    )


def _span(name: str, values: list[float]) -> tuple[float, float]:
    if charts.unit_range(name):
        return 0.0, 1.0
    return min(0.0, *values), max(values) * 1.05 if max(values) > 0 else 1.0


def _contender(name: str, found: dict[str, float], low: float, high: float) -> str:
    side = "theirs" if name else "ours"
    width = high - low or 1.0
    start, end, dot = (100 * (found[key] - low) / width for key in ("low", "high", "value"))
    who = words.baseline(name) if name else "this model"
    numbers = f"{words.number(found['value'])} <span class='soft small'>{words.interval(found)}</span>"
    return (
        f'<div class="contender"><div class="who {side}">{text(who)}</div><div class="track {side}">'
        f'<i style="left:{start:.2f}%;width:{end - start:.2f}%"></i><b style="left:{dot:.2f}%"></b></div>'
        f'<div class="figure">{numbers}</div></div>'
    )


def all_metrics(evidence: Evidence) -> str:
    """Every metric with its interval; validation and baselines beside it."""
    document = evidence.metrics
    columns: dict[str, Any] = {"test": document["test"]}
    if document.get("test_without_leaked"):
        columns["test without shared rows"] = document["test_without_leaked"]
    if document.get("validation"):
        columns["validation"] = document["validation"]
    columns |= {words.baseline(name): part for name, part in document["baselines"].items()}
    names = [name for name in names_for(evidence.kind) if name in document["test"]]
    rows: list[list[page.Cell]] = []
    for name in names:
        arrow = {True: "↑", False: "↓", None: ""}[TABLE[name].higher_is_better]
        values = [words.number(part[name]["value"]) if name in part else "–" for part in columns.values()]
        interval = (words.interval(document["test"][name]), "figure")
        rows.append([f"{text(words.metric(name))} {arrow}", interval, *values])
    return page.fold(
        "All metrics", page.table(["metric", "95 % interval", *((text(one), "n") for one in columns)], rows, fold=True)
    )


def curves(evidence: Evidence) -> str:
    loss = page.chart(charts.loss_curves(evidence.curves, apart=evidence.losses_differ))
    first = evidence.metrics["first_metric"]
    score = page.chart(charts.metric_curve(evidence.curves, first)) if first != "loss" else ""  # already drawn
    return f'<div class="pair">{loss}{score}</div>' if loss or score else ""


def regression(evidence: Evidence) -> str:
    if not len(evidence.outcome):
        return ""
    over, left = charts.predicted_over_true(evidence.outcome), charts.residuals(evidence.outcome)
    return f'<div class="pair">{page.chart(over)}{page.chart(left)}</div>'


def classes(evidence: Evidence) -> str:
    """One row a label, the weakest first; labels that were never found are one folded list."""
    rows = evidence.metrics.get("per_class") or per_class(evidence.test)
    if not rows:
        return ""
    ordered = sorted(rows, key=lambda row: (row["f1"], row["support"]))
    never = [row for row in ordered if not row["f1"]]
    if len(never) < FOLDED:
        never = []
    shown = _class_table(evidence, [row for row in ordered if row["f1"]] if never else ordered)
    note = f'<p class="soft small">{len(rows)} labels, the weakest first.</p>'
    if never:
        absent = sum(not row["support"] for row in never)
        also = f" ({absent:,} of them stand in no test row)" if absent else ""
        title = f"{len(never):,} labels were never predicted rightly{also}"
        shown += page.fold(title, _class_table(evidence, never))
    return note + shown


def _class_table(evidence: Evidence, rows: Sequence[LabelRow]) -> str:
    spread = any("f1_low" in row for row in rows)
    head: list[page.Cell] = [
        "label", "", ("F1", "n"), *([("95 % interval", "n")] if spread else []), ("precision", "n hide-small"),
        ("recall", "n hide-small"), ("rows", "n"), ("threshold", "n"),
    ]  # fmt: skip
    body: list[tuple[page.Cell, ...]] = [
        ((text(row["label"]), "text"), (f'<span style="width:{100 * row["f1"]:.1f}%"></span>', "bar"),
         words.number(row["f1"]), *([_spread(row)] if spread else []),
         *(words.number(row[name]) for name in ("precision", "recall")), text(row["support"]),
         words.number(row.get("threshold")))
        for row in rows
    ]  # fmt: skip
    shown = len(head) if evidence.kind == "labels" else -1
    return page.table(head[:shown], [row[:shown] for row in body])


def _spread(row: LabelRow) -> str:
    return words.interval({"low": row["f1_low"], "high": row["f1_high"]}) if "f1_low" in row else "–"


def forgetting(evidence: Evidence) -> str:
    """What was kept of what the base model knew: by task, by features, and of all tasks in turn."""
    found = evidence.metrics.get("forgetting")
    if not found:
        return ""
    sentence = words.forgotten(found)
    shown = f"<p>{text(sentence[0].upper() + sentence[1:])}.</p>"
    head = ("retained", "metric", ("before", "n"), ("after", "n"), ("lost", "n"), "95 % interval")
    rows = [
        (text(one["name"]), text(words.metric(one["metric"])),
         *map(words.number, (one["before"], one["after"], one["lost"]["value"])), words.interval(one["lost"]))
        for one in found.get("tasks", ())
    ]  # fmt: skip
    shown += page.table(head, rows) if rows else ""
    if "drift" in found:
        drift = {"CKA of features before and after": words.number(found["drift"]["cka"])}
        agreement = found["drift"]["agreement"].items()
        shown += page.facts(
            drift | {f"neighbours kept, {name} texts": words.number(value) for name, value in agreement}
        )
    if "matrix" in found:
        stages = found["matrix"]["tasks"]
        values = zip(stages, found["matrix"]["values"], strict=True)
        table = [[text(f"after {stage}"), *map(words.number, row)] for stage, row in values]
        shown += page.table(["", *((text(stage), "n") for stage in stages)], table)
        names = ("average_forgetting", "backward_transfer")
        shown += page.facts({name.replace("_", " "): words.number(found[name]) for name in names if name in found})
    return shown


def decisions(evidence: Evidence) -> str:
    rows = [
        (text(_title(row.get("what"))), text(_chosen(row.get("value"))), (text(row.get("why")), "text"))
        for row in evidence.decisions
    ]
    return page.table(("what", "value", "why"), rows, fold=True) if rows else ""


def _title(name: object) -> str:
    return str(name).replace("_", " ")


def _chosen(value: object) -> object:
    """What was chosen, without the brackets of several."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {one}" for name, one in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else value


def warned(evidence: Evidence) -> str:
    rows = [(text(_title(row.get("what"))), (text(row.get("message")), "text")) for row in evidence.warnings]
    return page.table(("what", "message"), rows, fold=True) if rows else ""


def findings(evidence: Evidence) -> str:
    """Problems and warnings in full; what is as it should be in one line each, folded together."""
    found = evidence.metrics["findings"]
    open_, fine = ([one for one in found if (one["severity"] == "info") is quiet] for quiet in (False, True))
    shown = "".join(map(_finding, open_))
    if not fine:
        return shown
    names = ", ".join(
        words.finding(one["name"]).lower() if at else words.finding(one["name"]) for at, one in enumerate(fine)
    )
    return shown + page.fold(f"{'Also: ' if open_ else ''}{names}", "".join(map(_finding, fine)), opened=False)


def _finding(found: Finding) -> str:
    return (
        f'<div class="finding {text(found["severity"])}"><p><b>{text(words.finding(found["name"]))}'
        f"</b></p><p>{text(found['evidence'])}</p><p class='soft'>{text(found['action'])}</p></div>"
    )


def cost(evidence: Evidence) -> str:
    found = {**(evidence.metrics.get("cost") or {}), **evidence.cost}
    known = {
        "wall time": words.seconds(found.pop("wall_seconds", None)),
        "peak memory": words.bytes_(found.pop("peak_memory_bytes", None)),
        f"{_UNITS.get(evidence.modality, 'tokens')} trained on": text(found.pop("tokens", None)),
        "parameters": text(evidence.model.get("parameters")),
    }
    if "trainable_parameters" in found:
        known["trained parameters"] = f"{found.pop('trainable_parameters'):,}"
    if "train_seconds" in found:
        known["training alone"] = words.seconds(found.pop("train_seconds"))
    if predicted := found.pop("predicted", None):
        known["training, predicted"] = words.seconds(predicted["train_seconds"])
        known["peak memory, predicted"] = words.bytes_(predicted["peak_memory_bytes"])
    return page.facts({**known, **{key.replace("_", " "): text(value) for key, value in found.items()}})


def spec(evidence: Evidence) -> str:
    import yaml

    written = yaml.safe_dump(evidence.spec, sort_keys=False, allow_unicode=True)
    versions = "".join(f"{name} {version}\n" for name, version in evidence.versions.items())
    folded = page.fold("spec.yaml of this run", f"<pre>{text(written, 100_000)}</pre>") if evidence.spec else ""
    return folded + (page.fold("Versions", f"<pre>{text(versions)}</pre>") if versions else "")
