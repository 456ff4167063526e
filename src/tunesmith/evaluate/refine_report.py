"""The pages of the refining verbs: search, cross-validation, seeds, until, comparison. Self-contained, as `report`.

Each page is made from the verb's JSON document alone: what is on the page is in the file beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tunesmith.evaluate import charts, page, words
from tunesmith.evaluate.charts import BLUE, GREY, ORANGE, Figure, plain
from tunesmith.evaluate.page import text
from tunesmith.evaluate.report import whole

Document = Mapping[str, Any]
Section = tuple[str, str]
MOST_TRIALS, FEW_TRIALS = 500, 20
COLOURS = (BLUE, ORANGE, "#10b981", "#a855f7", "#ef4444", GREY, "#0891b2", "#ca8a04")
SYMBOLS = ("circle", "square", "diamond")


def search(document: Document) -> str:
    """History, importance and the table of trials."""
    best = document["best"]
    settings = page.table(("setting", "best"), [(text(k), text(v)) for k, v in sorted(best["words"].items())])
    return _page("Search", document, [
        ("Best settings", settings + _link(document["run"])),
        ("History", page.chart(history(document))),
        ("What mattered", _importance(document["importance"])),
        ("Trials", _trials(document)),
    ])  # fmt: skip


def history(document: Document) -> Figure:
    """Validation value of every trial, and the best so far."""
    sign = 1 if document["higher_is_better"] else -1
    shown = [trial for trial in document["trials"] if trial["value"] is not None][:MOST_TRIALS]
    best: list[float | None] = []
    for trial in shown:
        known = [value for value in (best[-1:] or [None]) if value is not None]
        known += [trial["value"]] if trial["state"] == "complete" else []
        best.append(sign * max(sign * value for value in known) if known else None)
    numbers = [trial["number"] for trial in shown]  # as in the table and in the words
    data = [
        _dots([n for n, t in zip(numbers, shown, strict=True) if t["state"] == state],
              [t["value"] for t in shown if t["state"] == state], name, colour)
        for state, name, colour in (("complete", "finished", BLUE), ("pruned", "ended early", GREY))
    ]  # fmt: skip
    line = {"type": "scatter", "mode": "lines", "name": "best so far", "x": numbers, "y": best,
            "line": {"color": ORANGE, "shape": "hv"}}  # fmt: skip
    layout = _counted("trial", words.metric(document["metric"]) + " on validation", numbers)
    layout["yaxis"] |= charts.within([t["value"] for t in shown], document["metric"])
    return {"data": [*data, line], "layout": layout}


def _importance(shares: Mapping[str, float]) -> str:
    if not shares:
        return "<p>Too few finished trials, or no difference between them, to tell.</p>"
    ordered = sorted(shares.items(), key=lambda item: item[1])
    bars = {"type": "bar", "orientation": "h", "x": [share for _, share in ordered],
            "y": [plain(name) for name, _ in ordered], "marker": {"color": BLUE}}  # fmt: skip
    layout = {**charts.axes("share of the differences explained", ""), "height": 120 + 32 * len(ordered)}
    return page.chart({"data": [bars], "layout": layout})


def _trials(document: Document) -> str:
    names = sorted({name for trial in document["trials"] for name in trial["words"]})
    head: list[page.Cell] = ["trial", "state", (text(words.metric(document["metric"])), "n"), ("loss", "n"),
            ("time", "n"), *map(text, names), "why"]  # fmt: skip
    rows = [
        (str(t["number"]), text(t["state"]), words.number(t["value"]), words.number(t["loss"]),
         words.seconds(t["seconds"]), *(text(t["words"].get(name, "")) for name in names), text(t["why"]))
        for t in document["trials"]
    ]  # fmt: skip
    return page.table(head, rows, fold=True)


def repeated(title: str, document: Document) -> str:
    """Folds or seeds: the metrics of each run, their mean and spread."""
    metric, runs = document["metric"], document["runs"]
    labels = [plain(str(run["name"])) for run in runs]
    dots = _dots(labels, [run["metrics"].get(metric) for run in runs], words.metric(metric), BLUE)
    names = list(document["mean"])
    head: list[page.Cell] = ["", *((text(words.metric(name)), "n") for name in names)]
    measured = [(text(run["name"]), run["metrics"]) for run in runs]
    measured += [("mean", document["mean"]), ("standard deviation", document["spread"])]
    rows = [[kind, *(words.number(found.get(name)) for name in names)] for kind, found in measured]
    layout = charts.axes("", words.metric(metric))
    layout["yaxis"] |= charts.within([run["metrics"].get(metric) for run in runs], metric)
    figure = {"data": [dots], "layout": layout}
    return _page(title, document, [
        ("Runs", page.chart(figure) + page.table(head, rows, fold=len(head) > 4)),
    ])  # fmt: skip


def until(document: Document) -> str:
    """Every step with its reason."""
    metric = words.metric(document["metric"])
    steps = document["steps"]
    line = {**_dots([step["number"] for step in steps], [step["value"] for step in steps], metric, BLUE),
            "mode": "lines+markers"}  # fmt: skip
    goal = {"type": "scatter", "mode": "lines", "name": "target", "x": [1, max(2, len(steps))],
            "y": [document["target"]] * 2, "line": {"color": GREY, "dash": "dash"}}  # fmt: skip
    rows = [
        (str(s["number"]), text(s["change"] or "as it was asked for"), text(s["why"]), words.number(s["value"]),
         text(", ".join(words.finding(name) for name in s["findings"])), "kept" if s["kept"] else "")
        for s in steps
    ]  # fmt: skip
    head: list[page.Cell] = ["step", "change", "why", (f"{text(metric)} on validation", "n"), "then found", ""]
    layout = _counted("step", f"{metric} on validation", [step["number"] for step in steps])
    layout["yaxis"] |= charts.within([*(step["value"] for step in steps), document["target"]], document["metric"])
    figure = {"data": [line, goal], "layout": layout}
    return _page("Until", document, [
        ("Steps", page.chart(figure) + page.table(head, rows, fold=True)),
        ("Result", _link(document["run"])),
    ])  # fmt: skip


def comparison(document: Document) -> str:
    """Quality against cost, what was compared, and what more data would bring."""
    contenders, metric = document["rungs"], words.metric(document["metric"])
    head: list[page.Cell] = ["", (text(metric), "n"), "95 % interval", ("time", "n"), ("memory", "n"), ("size", "n"),
            ("kept of the base", "n"), "against the one before"]  # fmt: skip
    rows = [
        (text(r["title"]), words.number(r["value"]), f"{words.number(r['low'])} – {words.number(r['high'])}",
         words.seconds(r["seconds"]), words.bytes_(r["peak_memory_bytes"]),
         words.bytes_(r["size_bytes"]), words.kept(r.get("forgetting")), text(r["against_below"] or "–"))
        for r in contenders
    ]  # fmt: skip
    figure = _quality_over_cost(contenders, document["metric"])
    return _page("Comparison", document, [
        ("Quality against cost", page.chart(figure)),
        ("What was compared", page.table(head, rows, fold=True)),
        ("What more rows would bring", _learning_curve(document)),
    ])  # fmt: skip


def _quality_over_cost(contenders: Sequence[Document], metric: str) -> Figure:
    """A point with its interval for each, in a colour and a shape of its own; the legend names them, so that nothing
    is written over anything on a narrow screen."""
    data = []
    for at, r in enumerate(contenders):
        point = _dots([max(r["seconds"], 0.01)], [r["value"]], plain(r["title"], 40), COLOURS[at % len(COLOURS)])
        point["marker"] |= {"symbol": SYMBOLS[at // len(COLOURS) % len(SYMBOLS)], "size": 11}
        low, high = [r["value"] - r["low"]], [r["high"] - r["value"]]
        point["error_y"] = {"type": "data", "symmetric": False, "array": high, "arrayminus": low}
        data.append(point)
    layout = charts.axes("time to train and test", f"{words.metric(metric)} on test")
    layout["yaxis"] |= charts.within([r[end] for r in contenders for end in ("low", "high")], metric)
    layout["xaxis"] |= _time_axis([r["seconds"] for r in contenders])
    below = {"orientation": "h", "yanchor": "top", "y": -0.25, "x": 0, "xanchor": "left"}
    return {"data": data, "layout": {**layout, "legend": below, "height": 360 + 22 * len(contenders)}}


def _time_axis(seconds: Sequence[float]) -> Figure:
    """A logarithmic axis that is marked with times as people say them."""
    ends = np.log10(np.maximum(seconds, 0.01))
    room = max(0.15, 0.06 * float(np.ptp(ends)))
    low, high = float(ends.min()) - room, float(ends.max()) + room
    marks = {10**-1: "0.1 s", 1: "1 s", 10: "10 s", 60: "1 min", 600: "10 min", 3600: "1 h", 36_000: "10 h"}
    inside = {at: name for at, name in marks.items() if low <= np.log10(at) <= high}
    if len(inside) < 3:
        finer = {0.2: "0.2 s", 0.5: "0.5 s", 2: "2 s", 5: "5 s", 20: "20 s", 30: "30 s", 120: "2 min", 300: "5 min",
                 1200: "20 min", 1800: "30 min", 7200: "2 h", 18_000: "5 h"}  # fmt: skip
        inside |= {at: name for at, name in finer.items() if low <= np.log10(at) <= high}
    return {"type": "log", "range": [low, high], "tickvals": list(inside), "ticktext": list(inside.values())}


def _learning_curve(document: Document) -> str:
    curve = document["learning_curve"]
    if not curve:
        return ""
    rows = [p["rows"] for p in curve]
    line = {**_dots(rows, [p["value"] for p in curve], "measured", BLUE), "mode": "lines+markers"}
    layout = charts.axes("training rows", f"{words.metric(document['metric'])} on validation, linear probe")
    apart = [n for at, n in enumerate(rows) if not at or n >= 1.35 * rows[at - 1]]  # numbers that would touch
    layout["xaxis"] |= {"type": "log", "tickvals": apart, "ticktext": [f"{n:,}" for n in apart]}
    layout["yaxis"] |= charts.within([p["value"] for p in curve], document["metric"])
    return page.chart({"data": [line], "layout": layout}) + f"<p>{text(document['more_rows'])}</p>"


def _page(title: str, document: Document, parts: Sequence[Section]) -> str:
    """A page of the report's own make: what it means first, then the parts that have something to show."""
    sentences = "".join(f"<p>{text(sentence, 2_000)}</p>" for sentence in document["words"])
    known = {"data": text(Path(document["data"]).name)} if document.get("data") else {}
    known |= {f"{split} rows": f"{rows:,}" for split, rows in document.get("rows", {}).items()}
    facts = page.facts(known) if known else ""
    body = [f'<h1>{text(title)}</h1>{facts}<div class="banner">{sentences}</div>']
    body += [f"<section><h2>{heading}</h2>{inside}</section>" for heading, inside in parts if inside]
    return whole(title, body)


def _link(run: str) -> str:
    return f"<p>The run: <code>{text(run)}</code>, with a report of its own.</p>"


def _counted(x: str, y: str, numbers: Sequence[int]) -> Figure:
    """Axes of which x counts: no ticks between whole numbers, none below the first of them."""
    layout = charts.axes(x, y)
    if numbers:
        layout["xaxis"]["range"] = [min(numbers) - 0.5, max(numbers) + 0.5]
    if len(numbers) <= FEW_TRIALS:
        layout["xaxis"] |= {"dtick": 1, "tick0": 1}
    return layout


def _dots(x: Sequence[object], y: Sequence[object], name: str, colour: str) -> Figure:
    return {"type": "scatter", "mode": "markers", "name": name, "x": list(x), "y": list(y),
            "marker": {"size": 9, "color": colour}}  # fmt: skip


PAGES: dict[str, Callable[[Document], str]] = {
    "search": search,
    "folds": lambda document: repeated("Cross-validation", document),
    "seeds": lambda document: repeated("Seeds", document),
    "until": until,
    "ladder": comparison,
}
"""The page of each verb's document."""
