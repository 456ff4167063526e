"""Tasks as Label Studio exports them (JSON), and what their annotations say."""

from __future__ import annotations

from collections.abc import Mapping

from tunesmith.data.jsonkeys import Json

SPAN_TYPES = ("labels", "hypertextlabels")
"""Results that are characters of a text."""
_VALUES = ("choices", "taxonomy", "rating", "number", "text", "datetime")


def is_task(row: Json) -> bool:
    """Whether a row is a task with its annotations."""
    listed = [key for key in ("annotations", "completions", "predictions") if isinstance(row.get(key), list)]
    return bool(listed) and isinstance(row.get("data"), Mapping)


def kept_annotations(task: Json) -> list[Json]:
    """Those that were not cancelled."""
    listed = task.get("annotations") or task.get("completions")
    if not isinstance(listed, list):
        return []
    return [one for one in listed if isinstance(one, dict) and not one.get("was_cancelled")]


def results(annotation: Json) -> list[Json]:
    """The regions and choices of one annotation."""
    listed = annotation.get("result")
    return [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []


def column(result: Json, task: Json) -> str:
    """The column that a result belongs to: the name of its control, which is none of the data's."""
    name = str(result.get("from_name") or "label")
    return f"{name}_label" if name in task["data"] else name


def is_span(result: Json) -> bool:
    value = result.get("value")
    return str(result.get("type")) in SPAN_TYPES or (
        isinstance(value, Mapping) and "end" in value and bool({"labels", "hypertextlabels"} & set(value))
    )


def span_of(result: Json) -> Json:
    """{"start", "end", "label", "text"} of a result for which `is_span`. Raises ValueError."""
    value = result.get("value")
    if not isinstance(value, Mapping):
        raise ValueError("Label Studio: a span has no 'value'")
    labels = value.get("labels") or value.get("hypertextlabels") or []
    if len(labels) != 1:
        raise ValueError(f"Label Studio: a span has {len(labels)} labels, and one is expected")
    places = value.get("globalOffsets") or value
    if isinstance(places.get("end"), str):
        raise ValueError("Label Studio: the places of spans in HTML can not be told; export the text alone")
    text = {"text": value["text"]} if isinstance(value.get("text"), str) else {}
    return {"start": places.get("start") or 0, "end": places.get("end"), "label": str(labels[0]), **text}


def value_of(result: Json) -> object:
    """What a result says of its task as a whole: a choice, classes, a number; None where it says nothing."""
    kind, value = str(result.get("type")), result.get("value")
    if not isinstance(value, Mapping):
        return None
    found = next((value[key] for key in (kind, *_VALUES) if key in value), None)
    if kind == "taxonomy" and isinstance(found, list):
        return [" / ".join(map(str, path)) if isinstance(path, list) else str(path) for path in found]
    return found
