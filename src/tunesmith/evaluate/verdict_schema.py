"""The part 'verdict' of `metrics.json` as JSON Schema: what `verdict.Verdict` holds, each key described."""

from __future__ import annotations

from typing import Any

_NULLABLE = {"type": ["number", "null"]}
_LEVEL: dict[str, Any] = {"enum": ["good", "fair", "poor"]}
_OUTCOME = {"enum": ["better", "not proven", "worse"]}


def _object(description: str, properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object", "description": description, "properties": properties, "required": list(properties),
        "additionalProperties": False,
    }  # fmt: skip


_CONTENDER = _object(
    "One simpler way on the same test rows.",
    {
        "name": {"type": "string", "description": "As in baselines."},
        "value": {"type": "number", "description": "Its value of the metric."},
        "difference": {"type": "number", "description": "How much better the model is; positive also for errors."},
        "low": {"type": "number", "description": "Lower bound of the difference."},
        "high": {"type": "number", "description": "Upper bound of the difference."},
        "outcome": {**_OUTCOME, "description": "Of the model, compared with it."},
        "same": {"type": "boolean", "description": "Whether it is the model itself."},
    },
)

_GOOD = _object(
    "Is it good?",
    {
        "level": {**_LEVEL, "description": "By the target, or by how much of what a constant answer gets wrong is "
                                           "right."},
        "words": {"type": "string", "description": "What it gets right, in words and counts."},
        "metric": {"type": "string", "description": "The metric that fits the balance of the labels, or the target's."},
        "value": {**_NULLABLE, "description": "On the test rows."},
        "low": {**_NULLABLE, "description": "Lower bound of the value."},
        "high": {**_NULLABLE, "description": "Upper bound of the value."},
        "target": {**_NULLABLE, "description": "What was asked for, null where nothing was."},
    },
)  # fmt: skip

_WORTH = _object(
    "Is it worth more than something simpler?",
    {
        "level": {**_LEVEL, "description": "good: proven better than every simpler way; poor: one is proven better."},
        "words": {"type": "string", "description": "The comparison in words."},
        "simplest": {"type": "boolean", "description": "Whether the model is the simple way itself."},
        "contenders": {"type": "array", "description": "The simpler ways, the cheapest first.", "items": _CONTENDER},
    },
)

_NEXT = _object(
    "What to do now.",
    {
        "words": {"type": "string", "description": "In words."},
        "command": {"type": ["string", "null"], "description": "As it can be typed; null where it is no command."},
    },
)

VERDICT: dict[str, Any] = {
    "type": "object",
    "description": "Two answers: is it good, and is it worth more than something simpler?",
    "properties": {
        "level": {**_LEVEL, "description": "Of both answers together: green, amber or red."},
        "title": {"type": "string", "description": "Both answers in a line."},
        "good": _GOOD,
        "worth": _WORTH,
        "next_step": _NEXT,
        "outcome": {
            **_OUTCOME,
            "description": "Against the best baseline, by paired bootstrap on the test rows: better or worse where the "
            "95 % interval of the difference excludes 0.",
        },
        "against": {"type": ["string", "null"], "description": "Name of the best baseline."},
        "metric": {"type": "string", "description": "What is compared."},
        "difference": {**_NULLABLE, "description": "Positive is better, also for errors."},
        "low": {**_NULLABLE, "description": "Lower bound of the difference."},
        "high": {**_NULLABLE, "description": "Upper bound of the difference."},
        "sentence": {"type": "string", "description": "The verdict in words."},
    },
    "required": [
        "level", "title", "good", "worth", "outcome", "against", "metric", "difference", "low", "high", "sentence",
    ],
    "additionalProperties": False,
}  # fmt: skip
"""JSON Schema of the part `verdict`."""
