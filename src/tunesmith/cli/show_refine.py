"""What the refining commands print for people: text from their JSON documents."""

from __future__ import annotations

from typing import Any

from tunesmith.cli.screen import table
from tunesmith.evaluate import words

Document = dict[str, Any]


def show_search(found: Document) -> str:
    """The words, the best settings, and the ten best trials."""
    sign = -1 if found["higher_is_better"] else 1
    done = [t for t in found["trials"] if t["state"] == "complete"]
    best = sorted(done, key=lambda t: (sign * t["value"], t["loss"]))[:10]
    rows = [
        (str(t["number"]), words.number(t["value"]), words.seconds(t["seconds"]), _settings(t["words"])) for t in best
    ]
    head = ("trial", f"{words.metric(found['metric'])} (validation)", "time", "settings")
    lines = [*found["words"], "", table(head, rows), ""]
    return "\n".join([*lines, f"best     {_settings(found['best']['words'])}", f"run      {found['run']}"])


def show_folds(found: Document) -> str:
    return _repeated(found) + f"\npredictions  {found['predictions']}"


def show_seeds(found: Document) -> str:
    return _repeated(found)


def show_until(found: Document) -> str:
    """The words, and every step with its reason."""
    rows = [
        (str(s["number"]), "failed" if s["value"] is None else f"{s['value']:.4f}", "kept" if s["kept"] else "",
         _settings(s["change"] or {}) or "-", s["why"][:80])
        for s in found["steps"]
    ]  # fmt: skip
    head = ("step", f"{words.metric(found['metric'])} (validation)", "", "change", "why")
    return "\n".join([*found["words"], "", table(head, rows), "", f"run      {found['run']}"])


def show_comparison(found: Document) -> str:
    """The words, and the contenders from the bottom up."""
    rows = [
        (r["title"], words.number(r["value"]), f"{words.number(r['low'])} to {words.number(r['high'])}",
         words.seconds(r["seconds"]), words.size(r["peak_memory_bytes"]), words.bytes_(r["size_bytes"]),
         words.kept(r.get("forgetting")), r["against_below"] or "")
        for r in found["rungs"]
    ]  # fmt: skip
    head = (f"{words.metric(found['metric'])} on the test rows", "", "likely range (95 %)", "time", "memory", "size",
            "kept of the base", "than the one before")  # fmt: skip
    return "\n".join([table(head, rows), "", *filter(None, found["words"])])


def _repeated(found: Document) -> str:
    names = list(found["mean"])[:5]
    rows = [(str(run["name"]), *(_value(run["metrics"].get(name)) for name in names)) for run in found["runs"]]
    rows += [(title, *(_value(found[key].get(name)) for name in names))
             for title, key in (("mean", "mean"), ("standard deviation", "spread"))]  # fmt: skip
    return "\n".join([*found["words"], "", table(("", *map(words.metric, names)), rows)])


def _value(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _settings(words: Document) -> str:
    shown = {name: f"{value:.3g}" if isinstance(value, float) else value for name, value in words.items()}
    return ", ".join(f"{name}={value}" for name, value in shown.items())
