"""`metrics.json`: the document that other programs read. Put together by `build`, held to SCHEMA by `check`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from tunesmith.core.measured import Measured
from tunesmith.evaluate.tables import CONFUSED_PAIRS, LARGEST_MATRIX, confusion, per_class
from tunesmith.evaluate.types import Finding, Interval
from tunesmith.evaluate.verdict import Verdict

Schema = dict[str, Any]


def _value(kind: str, description: str = "", **more: object) -> Schema:
    """Of a type, or of any of several with | between them."""
    types = kind.split("|")
    said = {"description": description} if description else {}
    return {"type": types if len(types) > 1 else kind, **said, **more}


def _object(
    description: str, properties: Schema, *, kind: str = "object", required: Sequence[str] | None = None
) -> Schema:  # fmt: skip
    """These keys and no others, all `required` where nothing is said."""
    needed = list(properties if required is None else required)
    return _value(kind, description, properties=properties, required=needed, additionalProperties=False)


def _interval(description: str) -> Schema:
    return {"$ref": "#/$defs/interval", "description": description}


def _metrics(description: str, kind: str = "object") -> Schema:
    return _value(kind, description, additionalProperties={"$ref": "#/$defs/interval"})


def _one_of(names: Sequence[str], description: str = "") -> Schema:
    return {"enum": list(names), **({"description": description} if description else {})}


_LEVELS = ("good", "fair", "poor")
_OUTCOMES = ("better", "not proven", "worse")

_INTERVAL = _object("A metric on one set of rows with its 95 % bootstrap interval.", {
    "value": _value("number", "On all rows; equal to scikit-learn's."),
    "low": _value("number", "Lower bound of the interval."),
    "high": _value("number", "Upper bound of the interval."),
})  # fmt: skip

_LABEL = _object("", {
    "label": _value("string", "Name of the label."),
    "precision": _value("number", "Right share of the rows given it."),
    "recall": _value("number", "Share of its rows that were given it."),
    "f1": _value("number", "Harmonic mean of precision and recall."),
    "support": _value("integer", "Test rows that have the label."),
    "predicted": _value("integer", "Test rows that were given the label."),
    "threshold": _value("number|null", "Multi-label and boxes: probability from which on."),
    "iou": _value("number", "Masks: intersection over union."),
    "iou_low": _value("number", "Masks: lower bound of it over pictures."),
    "iou_high": _value("number", "Masks: upper bound of it."),
    "f1_low": _value("number", "Masks: lower bound of F1, which is Dice. Spans: of F1, over rows."),
    "f1_high": _value("number", "Masks and spans: upper bound of it."),
    "pixels": _value("integer", "Masks: test pixels that have the class."),
    "ap": _value("number", "Boxes: average precision 50:95."),
    "ap50": _value("number", "Boxes: average precision at an overlap of 50 %."),
    "ap_low": _value("number", "Boxes: lower bound of ap over pictures."),
    "ap_high": _value("number", "Boxes: upper bound of it."),
}, required=("label", "precision", "recall", "f1", "support", "predicted"))  # fmt: skip

_CONFUSION = _object("Single-label tasks: counts of test rows by truth and prediction.", {
    "labels": _value("array", items=_value("string")),
    "matrix": _value("array|null", f"Row: truth, column: prediction; null above {LARGEST_MATRIX} classes.",
                     items=_value("array", items=_value("integer"))),
    "most_confused": _value("array", f"The {CONFUSED_PAIRS} most frequent mistakes.", items=_object("", {
        "truth": _value("string"), "predicted": _value("string"), "count": _value("integer"),
    })),
}, kind="object|null")  # fmt: skip

_CONTENDER = _object("One simpler way on the same test rows.", {
    "name": _value("string", "As in baselines."),
    "value": _value("number", "Its value of the metric."),
    "difference": _value("number", "How much better the model is; positive also for errors."),
    "low": _value("number", "Lower bound of the difference."),
    "high": _value("number", "Upper bound of the difference."),
    "outcome": _one_of(_OUTCOMES, "Of the model, compared with it."),
    "same": _value("boolean", "Whether it is the model itself."),
})  # fmt: skip

_GOOD = _object("Is it good?", {
    "level": _one_of(_LEVELS, "By the target, or by how much of what a constant answer gets wrong is right."),
    "words": _value("string", "What it gets right, in words and counts."),
    "metric": _value("string", "The metric that fits the balance of the labels, or the target's."),
    "value": _value("number|null", "On the test rows."),
    "low": _value("number|null", "Lower bound of the value."),
    "high": _value("number|null", "Upper bound of the value."),
    "target": _value("number|null", "What was asked for, null where nothing was."),
})  # fmt: skip

_WORTH = _object("Is it worth more than something simpler?", {
    "level": _one_of(_LEVELS, "good: proven better than every simpler way; poor: one is proven better."),
    "words": _value("string", "The comparison in words."),
    "simplest": _value("boolean", "Whether the model is the simple way itself."),
    "contenders": _value("array", "The simpler ways, the cheapest first.", items=_CONTENDER),
})  # fmt: skip

VERDICT = _object("Two answers: is it good, and is it worth more than something simpler?", {
    "level": _one_of(_LEVELS, "Of both answers together: green, amber or red."),
    "title": _value("string", "Both answers in a line."),
    "good": _GOOD,
    "worth": _WORTH,
    "next_step": _object("What to do now.", {
        "words": _value("string", "In words."),
        "command": _value("string|null", "As it can be typed; null where it is no command."),
    }),
    "outcome": _one_of(_OUTCOMES, "Against the best baseline, by paired bootstrap on the test rows: better or worse "
                                  "where the 95 % interval of the difference excludes 0."),
    "against": _value("string|null", "Name of the best baseline."),
    "metric": _value("string", "What is compared."),
    "difference": _value("number|null", "Positive is better, also for errors."),
    "low": _value("number|null", "Lower bound of the difference."),
    "high": _value("number|null", "Upper bound of the difference."),
    "sentence": _value("string", "The verdict in words."),
}, required=("level", "title", "good", "worth", "outcome", "against", "metric", "difference", "low", "high",
             "sentence"))  # fmt: skip
"""The part `verdict`: what `verdict.Verdict` holds."""

_FINDING = _object("", {
    "name": _value("string", "Fixed name of this kind of finding."),
    "severity": _one_of(("info", "warning", "problem")),
    "evidence": _value("string", "The numbers behind it."),
    "action": _value("string", "What to do next."),
})  # fmt: skip

_EXAMPLE = _object("", {
    "text": _value("string", "The row, long ones cut."),
    "predicted": _value("string|number|array", "A label, labels, a number, or the text that was written."),
    "truth": _value("string|number|array", "What should have been said."),
    "probability": _value("number|null", "Of the label that was predicted."),
})  # fmt: skip

_FORGETTING = _object("What training cost of what was known before, on the same rows before and after.", {
    "kept": _interval("The share that is left: 1 if nothing was lost."),
    "lost": _interval("What was lost, in the units of the probe; of several tasks, of the one with most lost (least "
                      "kept where metrics differ)."),
    "probe": _value("string", "What 'kept' and 'lost' were measured by."),
    "drift": _value("object", "Features of general and own texts: neighbours, CKA."),
    "tasks": _value("array", "Each retained task.", items=_value("object")),
    "matrix": _value("object", "Row: after which task; column: the test metric of which task."),
    "average_forgetting": _value("number", "Mean fall of earlier tasks from their best; not where some are errors."),
    "backward_transfer": _value("number", "Mean change of earlier tasks since each was learned."),
}, required=("kept", "lost", "probe"))  # fmt: skip

_COST = _value("object", "What the run took.", properties={
    "wall_seconds": _value("number|null", "Of the last process, from its start to metrics."),
    "peak_memory_bytes": _value("number|null", "Most resident memory; on a GPU, allocated there."),
    "tokens": _value("number|null", "Tokens trained on, padding left out."),
    "trainable_parameters": _value("integer", "Weights that move, at some time at least."),
    "train_seconds": _value("number", "Of training alone, with its evaluations."),
    "predicted": _value("object", "What was expected before training.", properties={
        "peak_memory_bytes": _value("number", "Most memory."),
        "train_seconds": _value("number", "Of training alone."),
    }, required=["peak_memory_bytes", "train_seconds"]),
}, required=["wall_seconds", "peak_memory_bytes", "tokens"])  # fmt: skip

SCHEMA: Schema = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "metrics.json",
    "$defs": {"interval": _INTERVAL},
    **_object("What a run measured. Undefined metrics are left out; there is no NaN.", {
        "task": _value("string", "Name of the task."),
        "model": _value("string", "Name of the base model."),
        "method": _value("string", "Which weights moved."),
        "first_metric": _value(
            "string", "The metric that picked the best checkpoint and that the verdict is about."
        ),
        "test": _metrics("Metrics on the test rows, which nothing was fitted or chosen on."),
        "validation": _metrics(
            "Metrics on the validation rows, on which the checkpoint was chosen.", "object|null"
        ),
        "baselines": _value("object", "Metrics of each baseline on the same test rows, by baseline name.",
                            additionalProperties=_metrics("Metrics of one baseline.")),
        "test_without_leaked": _metrics(
            "As test, without the test rows whose text also stands, identically or nearly, in train or validation; "
            "null where none do.", "object|null",
        ),
        "per_class": _value("array", "One entry a label, in the order of the model's outputs; empty for numbers.",
                            items=_LABEL),
        "confusion_matrix": _CONFUSION,
        "verdict": VERDICT,
        "findings": _value("array", "What curves and predictions prove, each with the next thing to do.",
                           items=_FINDING),
        "examples": _value("array", "A few test rows with what the model says of them.", items=_EXAMPLE),
        "columns": _value("array", "What the columns beside a text are worth.", items=_object(
            "A column, or the text.", {
                "name": _value("string", "Of the column."),
                "read_as": _value("string", "How its cells become numbers."),
                "lost": _value("number", "How much worse the first metric is where its cells are shuffled."),
            }, required=("name", "read_as", "lost"),
        )),
        "signatures": _value("object", "Written answers: how BLEU and chrF were computed, in sacrebleu's words.",
                             additionalProperties=_value("string")),
        "forgetting": _FORGETTING,
        "cost": _COST,
    }, required=(
        "task", "model", "method", "first_metric", "test", "validation", "baselines", "test_without_leaked",
        "per_class", "confusion_matrix", "verdict", "findings", "cost",
    )),
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


def check(document: Mapping[str, object]) -> None:
    """Raises ValueError naming every place that does not fit SCHEMA or is not a finite number."""
    import jsonschema

    validator = jsonschema.Draft202012Validator(SCHEMA)
    faults = [f"{fault.json_path}: {fault.message}" for fault in validator.iter_errors(dict(document))]
    faults += [f"{place}: {value} is not a finite number" for place, value in _not_finite(document, "$")]
    if faults:
        raise ValueError("metrics.json does not fit its schema:\n" + "\n".join(faults[:20]))


def _not_finite(value: object, place: str) -> list[tuple[str, float]]:
    if isinstance(value, float) and not math.isfinite(value):
        return [(place, value)]
    if isinstance(value, Mapping):
        return [fault for key, part in value.items() for fault in _not_finite(part, f"{place}.{key}")]
    if isinstance(value, list | tuple):
        return [fault for at, part in enumerate(value) for fault in _not_finite(part, f"{place}[{at}]")]
    return []
