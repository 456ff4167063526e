"""Rows as tools for labelling export them (Label Studio, Doccano, Prodigy), and lines as fastText reads them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from tunesmith.data import label_studio
from tunesmith.data.jsonkeys import Json
from tunesmith.data.textfile import TextFile

FIX = "Export what says something of a text as a whole (its class, classes or rating), or spans of its characters."
_OTHER_SPANS = "labels of parts, which no task here learns"
_OTHER_TYPES = ("paragraphlabels", "timeserieslabels", "brushlabels")
SPANS = "spans"
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
    spans: bool = False


def tool_of(first: Json) -> Tool | None:
    """The tool whose export begins with this row."""
    if label_studio.is_task(first):
        why = "texts in 'data', labels in 'annotations'"
        marked = label_studio.kept_annotations(first)
        named = tuple(label_studio.column(one, first) for one in label_studio.results(marked[0])) if marked else ()
        return Tool("Label Studio", why, _label_studio, named or ("label",))
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


def _label_studio(task: Json, tool: Tool) -> Json:
    if not isinstance(task.get("data"), Mapping):
        raise ValueError("this is no task of Label Studio: 'data' is missing")
    row = {str(key): value for key, value in task["data"].items()}
    found = label_studio.kept_annotations(task)
    values = [[one.get("value") for one in label_studio.results(annotation)] for annotation in found]
    tool.differing += any(value != values[0] for value in values[1:])
    spans: list[Json] = []
    for result in label_studio.results(found[0]) if found else ():
        if str(result.get("type")) in _OTHER_TYPES:
            raise ValueError(f"Label Studio: {_OTHER_SPANS}")
        if label_studio.is_span(result):
            spans.append(label_studio.span_of(result))
        elif result.get("type") != "relation":
            row[label_studio.column(result, task)] = label_studio.value_of(result)
    tool.spans = tool.spans or bool(spans)
    if found and tool.spans:
        row[SPANS] = spans
    return row


def _doccano(row: Json, tool: Tool) -> Json:
    found = dict(row)
    if "annotations" in found and "label" not in found:
        listed = found.pop("annotations") or []
        places = any(isinstance(one, Mapping) and {"start_offset", "end_offset"} & set(one) for one in listed)
        tool.spans = tool.spans or places
        plain = [one.get("label") if isinstance(one, Mapping) else one for one in listed]
        found[SPANS if tool.spans else "label"] = listed if tool.spans else plain
    return found


def _prodigy(row: Json, tool: Tool) -> Json:
    left_out = ("options", "config", *(("tokens",) if "spans" in row else ()))
    name = "spans" if "spans" in row else "label" if "label" in row else "accept"
    kept = {key: value for key, value in row.items() if not key.startswith("_") and key not in left_out}
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
