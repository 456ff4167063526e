"""`metrics.json`: the document that other programs read. Put together by `build`, held to SCHEMA.

`check` refuses a document that does not fit, or holds NaN. Writing the file is
the caller's business.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from tunesmith.evaluate.measured import Measured
from tunesmith.evaluate.tables import CONFUSED_PAIRS, LARGEST_MATRIX, confusion, per_class
from tunesmith.evaluate.types import Finding, Interval
from tunesmith.evaluate.verdict import Verdict
from tunesmith.evaluate.verdict_schema import VERDICT

_INTERVAL = {
    "type": "object",
    "description": "A metric on one set of rows with its 95 % bootstrap interval.",
    "properties": {
        "value": {"type": "number", "description": "On all rows; equal to scikit-learn's."},
        "low": {"type": "number", "description": "Lower bound of the interval."},
        "high": {"type": "number", "description": "Upper bound of the interval."},
    },
    "required": ["value", "low", "high"],
    "additionalProperties": False,
}
_NULLABLE = {"type": ["number", "null"]}
_SAID = {"type": ["string", "number", "array"]}


def _metrics(description: str, nullable: bool = False) -> dict[str, Any]:
    return {
        "type": ["object", "null"] if nullable else "object",
        "description": description,
        "additionalProperties": {"$ref": "#/$defs/interval"},
    }


SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "metrics.json",
    "description": "What a run measured. Undefined metrics are left out; there is no NaN.",
    "type": "object",
    "$defs": {"interval": _INTERVAL},
    "properties": {
        "task": {"type": "string", "description": "Name of the task."},
        "model": {"type": "string", "description": "Name of the base model."},
        "method": {"type": "string", "description": "Which weights moved."},
        "first_metric": {
            "type": "string",
            "description": "The metric that picked the best checkpoint and that the verdict is about.",
        },
        "test": _metrics("Metrics on the test rows, which nothing was fitted or chosen on."),
        "validation": _metrics("Metrics on the validation rows, on which the checkpoint was chosen.", True),
        "baselines": {
            "type": "object",
            "description": "Metrics of each baseline on the same test rows, by baseline name.",
            "additionalProperties": _metrics("Metrics of one baseline."),
        },
        "test_without_leaked": _metrics(
            "As test, without the test rows whose text also stands, identically or nearly, in train or "
            "validation; null where none do.",
            True,
        ),
        "per_class": {
            "type": "array",
            "description": "One entry a label, in the order of the model's outputs; empty for numbers.",
            "items": {
                "type": "object",
                "properties": {
                    "label": {"type": "string", "description": "Name of the label."},
                    "precision": {"type": "number", "description": "Right share of the rows given it."},
                    "recall": {"type": "number", "description": "Share of its rows that were given it."},
                    "f1": {"type": "number", "description": "Harmonic mean of precision and recall."},
                    "support": {"type": "integer", "description": "Test rows that have the label."},
                    "predicted": {"type": "integer", "description": "Test rows that were given the label."},
                    "threshold": {**_NULLABLE, "description": "Multi-label: probability from which on."},
                },
                "required": ["label", "precision", "recall", "f1", "support", "predicted"],
                "additionalProperties": False,
            },
        },
        "confusion_matrix": {
            "type": ["object", "null"],
            "description": "Single-label tasks: counts of test rows by truth and prediction.",
            "properties": {
                "labels": {"type": "array", "items": {"type": "string"}},
                "matrix": {
                    "type": ["array", "null"],
                    "description": f"Row: truth, column: prediction; null above {LARGEST_MATRIX} classes.",
                    "items": {"type": "array", "items": {"type": "integer"}},
                },
                "most_confused": {
                    "type": "array",
                    "description": f"The {CONFUSED_PAIRS} most frequent mistakes.",
                    "items": {
                        "type": "object",
                        "properties": {
                            "truth": {"type": "string"},
                            "predicted": {"type": "string"},
                            "count": {"type": "integer"},
                        },
                        "required": ["truth", "predicted", "count"],
                        "additionalProperties": False,
                    },
                },
            },
            "required": ["labels", "matrix", "most_confused"],
            "additionalProperties": False,
        },
        "verdict": VERDICT,
        "findings": {
            "type": "array",
            "description": "What curves and predictions prove, each with the next thing to do.",
            "items": {
                "type": "object",
                "properties": {
                    "name": {"type": "string", "description": "Fixed name of this kind of finding."},
                    "severity": {"enum": ["info", "warning", "problem"]},
                    "evidence": {"type": "string", "description": "The numbers behind it."},
                    "action": {"type": "string", "description": "What to do next."},
                },
                "required": ["name", "severity", "evidence", "action"],
                "additionalProperties": False,
            },
        },
        "examples": {
            "type": "array",
            "description": "A few test rows with what the model says of them.",
            "items": {
                "type": "object",
                "properties": {
                    "text": {"type": "string", "description": "The row, long ones cut."},
                    "predicted": {**_SAID, "description": "A label, labels, a number, or the text that was written."},
                    "truth": {**_SAID, "description": "What should have been said."},
                    "probability": {**_NULLABLE, "description": "Of the label that was predicted."},
                },
                "required": ["text", "predicted", "truth", "probability"],
                "additionalProperties": False,
            },
        },
        "signatures": {
            "type": "object",
            "description": "Written answers: how BLEU and chrF were computed, in sacrebleu's words.",
            "additionalProperties": {"type": "string"},
        },
        "forgetting": {
            "type": "object",
            "description": "What training cost of what was known before, on the same rows before and after.",
            "properties": {
                "kept": {"$ref": "#/$defs/interval", "description": "The share that is left: 1 if nothing was lost."},
                "lost": {
                    "$ref": "#/$defs/interval",
                    "description": "What was lost, in the units of the probe; of several tasks, of the one with most "
                    "lost (least kept where metrics differ).",
                },
                "probe": {"type": "string", "description": "What 'kept' and 'lost' were measured by."},
                "drift": {"type": "object", "description": "Features of general and own texts: neighbours, CKA."},
                "tasks": {"type": "array", "description": "Each retained task.", "items": {"type": "object"}},
                "matrix": {
                    "type": "object",
                    "description": "Row: after which task; column: the test metric of which task.",
                },
                "average_forgetting": {
                    "type": "number",
                    "description": "Mean fall of earlier tasks from their best; not where some are errors.",
                },
                "backward_transfer": {
                    "type": "number",
                    "description": "Mean change of earlier tasks since each was learned.",
                },
            },
            "required": ["kept", "lost", "probe"],
            "additionalProperties": False,
        },
        "cost": {
            "type": "object",
            "description": "What the run took.",
            "properties": {
                "wall_seconds": {**_NULLABLE, "description": "Of the last process, from its start to metrics."},
                "peak_memory_bytes": {**_NULLABLE, "description": "Most resident memory; on a GPU, allocated there."},
                "tokens": {**_NULLABLE, "description": "Tokens trained on, padding left out."},
                "trainable_parameters": {"type": "integer", "description": "Weights that move, at some time at least."},
                "train_seconds": {"type": "number", "description": "Of training alone, with its evaluations."},
                "predicted": {
                    "type": "object",
                    "description": "What was expected before training.",
                    "properties": {
                        "peak_memory_bytes": {"type": "number", "description": "Most memory."},
                        "train_seconds": {"type": "number", "description": "Of training alone."},
                    },
                    "required": ["peak_memory_bytes", "train_seconds"],
                },
            },
            "required": ["wall_seconds", "peak_memory_bytes", "tokens"],
        },
    },
    "required": [
        "task", "model", "method", "first_metric", "test", "validation", "baselines",
        "test_without_leaked", "per_class", "confusion_matrix", "verdict", "findings", "cost",
    ],
    "additionalProperties": False,
}  # fmt: skip


def build(
    *,
    task: str,
    model: str,
    method: str,
    first_metric: str,
    test_rows: Measured | None = None,
    test: Mapping[str, Interval],
    baselines: Mapping[str, Mapping[str, Interval]],
    verdict: Verdict,
    validation: Mapping[str, Interval] | None = None,
    test_without_leaked: Mapping[str, Interval] | None = None,
    findings: Sequence[Finding] = (),
    cost: Mapping[str, float | None] | None = None,
) -> dict[str, Any]:
    """The whole document. The tables by class come from `test_rows`, where they have labels."""
    return {
        "task": task,
        "model": model,
        "method": method,
        "first_metric": first_metric,
        "test": dict(test),
        "validation": None if validation is None else dict(validation),
        "baselines": {name: dict(found) for name, found in baselines.items()},
        "test_without_leaked": None if test_without_leaked is None else dict(test_without_leaked),
        "per_class": per_class(test_rows),
        "confusion_matrix": confusion(test_rows),
        "verdict": dict(verdict),
        "findings": [dict(finding) for finding in findings],
        "cost": {"wall_seconds": None, "peak_memory_bytes": None, "tokens": None, **(cost or {})},
    }


def check(document: Mapping[str, Any]) -> None:
    """Raises ValueError naming every place that does not fit SCHEMA or is not a finite number."""
    import jsonschema

    validator = jsonschema.Draft202012Validator(SCHEMA)
    faults = [f"{fault.json_path}: {fault.message}" for fault in validator.iter_errors(dict(document))]
    faults += [f"{place}: {value} is not a finite number" for place, value in _not_finite(document, "$")]
    if faults:
        raise ValueError("metrics.json does not fit its schema:\n" + "\n".join(faults[:20]))


def _not_finite(value: Any, place: str) -> list[tuple[str, float]]:
    if isinstance(value, float) and not math.isfinite(value):
        return [(place, value)]
    if isinstance(value, Mapping):
        return [fault for key, part in value.items() for fault in _not_finite(part, f"{place}.{key}")]
    if isinstance(value, (list, tuple)):
        return [fault for at, part in enumerate(value) for fault in _not_finite(part, f"{place}[{at}]")]
    return []
