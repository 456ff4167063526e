"""What `tunesmith models` prints for people."""

from __future__ import annotations

from typing import Any

from tunesmith.cli.screen import entry, paint, table, width
from tunesmith.evaluate.words import about, size

Document = dict[str, Any]

_GROUPS = {
    ("text-classification", "text-regression"): "To sort texts into labels, or to read a number from them",
    ("chat", "preference"): "To answer, chat and write",
    ("image-classification", "image-regression", "object-detection", "image-segmentation"): (
        "To sort pictures into labels, to read a number from them, or to find things in them"
    ),
    ("seq2seq",): "To turn one text into another (translate, summarise)",
}


_NOTE = 25
"""Fewest columns that a sentence about a model is put into."""


def listed(found: Document) -> str:
    """The catalogue by what its models are for."""
    lines: list[str] = []
    groups: dict[tuple[str, ...], list[Document]] = {}
    for model in found["models"]:
        groups.setdefault(tuple(model["tasks"]), []).append(model)
    head = ("model", "weights", "language", "here", "memory", "1,000 rows")
    sorted_models = [model for some in groups.values() for model in some]
    title, *rows = table(head, [_row(model) for model in sorted_models]).splitlines()
    lines_of = {model["model"]: line for model, line in zip(sorted_models, rows, strict=True)}
    indent = max(map(len, (title, *rows))) + 2
    noted = (width() or 1_000) - indent >= _NOTE  # else the page of a model has it
    for tasks, some in groups.items():
        lines += ["", paint(_GROUPS.get(tasks, ", ".join(tasks)), "bold"), title]
        lines += [entry(lines_of[m["model"]], m["note"] if noted else "", indent=indent).rstrip() for m in some]
    notes = (
        "memory and 1,000 rows: about what training all weights takes on this machine, with 1,000 short texts.",
        "here: whether it needs no download. More of one: tunesmith models NAME",
        "Any model of the hub (owner/name) or a folder works too: --model NAME",
    )
    lines += ["", *(entry("", text, indent=0) for text in notes)]
    if any(model["seconds_per_1000_rows"] is None and model["max_length"] for model in found["models"]):
        lines.append("Times are not known yet: tunesmith models --estimate measures this machine, once, in seconds.")
    return "\n".join(lines[1:])


def _row(model: Document) -> tuple[str, ...]:
    return (
        model["model"], weights(model["parameters_million"]), model["languages"],
        "yes" if model["on_this_machine"] else "-", size(model["memory_bytes"]), _time(model),
    )  # fmt: skip


def page(found: Document) -> str:
    """One model: what it is, what it takes, where it lies."""
    here = found["folder"]
    lines = [f"{'model':10}{found['model']}" + (f"  ({found['hub_id']})" if found["hub_id"] else "")]
    if "note" in found:
        about_it = {"what": found["note"], "for": ", ".join(found["tasks"]), "language": found["languages"]}
        lines += [f"{name:10}{text}" for name, text in {**about_it, "licence": found["licence"]}.items()]
    if "parameters_million" in found:
        layers = f", {found['layers']} layers" if "layers" in found else ""
        lines.append(f"{'size':10}{weights(found['parameters_million'])} weights{layers}")
    if found.get("max_length"):
        about_words = f"about {round(found['max_length'] * 0.75, -1):,.0f} words"
        lines.append(f"{'reads':10}{found['max_length']:,} tokens of a text ({about_words}); the rest is cut")
    if "memory_bytes" in found:
        lines.append(f"{'memory':10}about {size(found['memory_bytes'])} to train all of it, "
                     f"{size(found['memory_bytes_of_head'])} with --method head")  # fmt: skip
    if "seconds_per_1000_rows" in found and found["max_length"]:
        lines.append(f"{'time':10}{_time(found, 'not measured yet: tunesmith models --estimate')}"
                     + (" for 1,000 short texts, all weights" if found["seconds_per_1000_rows"] else ""))  # fmt: skip
    if "methods" in found:
        lines.append(f"{'methods':10}{', '.join(found['methods'])}")
    made = found.get("on_this_machine") and not here
    lines.append(f"{'lies in':10}" + (here or ("written when it is first used" if made else "not on this machine yet")))
    if not here and not made:
        fetched = "the first training fetches it from the hub"
        ways = [found["install"]] if found["install"] else []
        ways += [fetched if ways else f"{fetched} (needs the network)"] if found["hub_id"] else []
        how = ", or ".join(ways)
        lines.append(f"{'get it':10}{how}")
    lines.append(f"{'parts':10}tunesmith models {found['model']} --blocks lists what --freeze can name")
    lines.append(f"{'use it':10}tunesmith train DATA --model {found['model']}")
    return "\n".join(lines)


def prepared(found: Document) -> str:
    lines = [f"{found['model']} is ready: {size(found['bytes'])} in {found['folder']}", *found["notes"]]
    return "\n".join([*lines, f"licence: {found['licence'] or 'not known here: see where it comes from'}"])


def weights(millions: float) -> str:
    """'23 M' or '1.7 B'."""
    return f"{millions / 1e3:.1f} B" if millions >= 1e3 else f"{millions:.0f} M"


def _time(model: Document, unknown: str = "?") -> str:
    if not model["max_length"]:  # it reads no tokens
        return "-"
    seconds = model["seconds_per_1000_rows"]
    return unknown if seconds is None else about(seconds)


def blocks(found: Document) -> str:
    rows = [(block["name"], f"{block['parameters']:,}") for block in found["blocks"]]
    return table(("block", "weights"), rows)
