"""Rows as tools for labelling export them (Label Studio, Doccano, Prodigy), and lines as fastText reads them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from tunesmith.data.jsonkeys import Json
from tunesmith.data.textfile import TextFile

FIX = "Export what says something of a text as a whole (its class, classes or rating)."
_SPANS = "labels of words inside of the text (spans), which no task here learns"
_VALUES = ("choices", "taxonomy", "rating", "number", "text", "datetime")
_SPAN_TYPES = ("labels", "hypertextlabels", "paragraphlabels", "timeserieslabels", "rectanglelabels", "brushlabels")
_FASTTEXT = re.compile(r"(?:^|(?<=\s))__label__(\S+)\s?")


@dataclass
class Tool:
    """How rows of a tool become rows of columns.

    convert: raises ValueError for a row that can not be one. labels: columns that hold a list of labels, of one for
    most data. differing: texts that were labelled more than once and differently, of which the first label counts.
    """

    name: str
    why: str
    convert: Callable[[Json, Tool], Json]
    labels: tuple[str, ...]
    differing: int = 0


def tool_of(first: Json) -> Tool | None:
    """The tool whose export begins with this row."""
    listed = [key for key in ("annotations", "completions", "predictions") if isinstance(first.get(key), list)]
    if listed and isinstance(first.get("data"), Mapping):
        why = "texts in 'data', labels in 'annotations'"
        names = tuple(_name(one, first) for one in _results(_annotations(first))) or ("label",)
        return Tool("Label Studio", why, _label_studio, names)
    if "answer" in first and "text" in first and {"_input_hash", "_task_hash"} & set(first):
        why = "rejected and ignored answers give no label"
        return Tool("Prodigy", why, _prodigy, ("label" if "label" in first else "accept",))
    doccano = {"Comments", "comments"} & set(first) or (
        isinstance(first.get("annotations"), list) and "text" in first and "messages" not in first
        and any(isinstance(one, Mapping) and "label" in one for one in first["annotations"])
    )  # fmt: skip
    if doccano and ("text" in first or "data" in first) and {"label", "labels", "annotations"} & set(first):
        return Tool("Doccano", "a list of labels for each text", _doccano, ("label", "labels"))
    return None


def _annotations(task: Json) -> list[Json]:
    listed = task.get("annotations") or task.get("completions") or []
    return [one for one in listed if isinstance(one, dict) and not one.get("was_cancelled")]


def _results(annotations: list[Json]) -> list[Json]:
    listed = annotations[0].get("result") if annotations else None
    return [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []


def _name(result: Json, task: Json) -> str:
    name = str(result.get("from_name") or "label")
    return f"{name}_label" if name in task["data"] else name


def _label_studio(task: Json, tool: Tool) -> Json:
    if not isinstance(task.get("data"), Mapping):
        raise ValueError("this is no task of Label Studio: 'data' is missing")
    row = {str(key): value for key, value in task["data"].items()}
    annotations = _annotations(task)
    values = [[one.get("value") for one in _results([annotation])] for annotation in annotations]
    tool.differing += any(value != values[0] for value in values[1:])
    for result in _results(annotations):
        kind, value = str(result.get("type")), result.get("value")
        if kind in _SPAN_TYPES or (isinstance(value, Mapping) and {"start", "end"} <= set(value)):
            raise ValueError(f"Label Studio: {_SPANS}")
        if isinstance(value, Mapping):
            found = next((value[key] for key in (kind, *_VALUES) if key in value), None)
            if kind == "taxonomy" and isinstance(found, list):
                found = [" / ".join(map(str, path)) if isinstance(path, list) else str(path) for path in found]
            row[_name(result, task)] = found
    return row


def _doccano(row: Json, tool: Tool) -> Json:
    found = dict(row)
    if "annotations" in found and "label" not in found:
        listed = found.pop("annotations")
        found["label"] = [one.get("label") if isinstance(one, Mapping) else one for one in listed or []]
        if any(isinstance(one, Mapping) and {"start_offset", "end_offset"} & set(one) for one in listed or []):
            raise ValueError(f"Doccano: {_SPANS}")
    for name in ("label", "labels", "entities"):
        cell = found.get(name)
        if isinstance(cell, list) and any(isinstance(one, list | Mapping) for one in cell):
            raise ValueError(f"Doccano: {_SPANS}")
    return found


def _prodigy(row: Json, tool: Tool) -> Json:
    name = "label" if "label" in row else "accept"
    if row.get("spans"):
        raise ValueError(f"Prodigy: {_SPANS}")
    kept = {key: value for key, value in row.items() if not key.startswith("_") and key not in ("options", "config")}
    return kept if row.get("answer") == "accept" else {**kept, name: None}


def is_fasttext(file: TextFile) -> bool:
    """Whether nearly all of the first lines name a label as fastText does: `__label__spam Win a prize`."""
    lines = labelled = 0
    with file.open() as stream:
        for line in stream:
            if line.strip():
                lines += 1
                labelled += "__label__" in line and bool(_FASTTEXT.search(line))
            if lines >= 200:
                break
    return lines > 0 and labelled >= 0.9 * lines


def fasttext_rows(file: TextFile) -> Iterator[tuple[int, Json, int]]:
    """Line, {"text", "label": list of labels}, and characters of each line that is not blank."""
    with file.open() as stream:
        for number, line in enumerate(stream, 1):
            if line.strip():
                text = _FASTTEXT.sub("", line).strip().removeprefix(", ")
                yield number, {"text": text, "label": _FASTTEXT.findall(line)}, len(line)
