"""Everything that the report and the model card need. The workflow fills it; this computes nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tunesmith.evaluate.types import Kind, Outcome


@dataclass
class Evidence:
    """What is known about a finished run.

    model: name, revision or fingerprint, licence, parameters. metrics: the metrics.json document.
    curves: {"train": [{"step", "epoch", "loss", "learning_rate"}],
    "validation": [{"step", "epoch", "loss", metric: value, ...}]}. audit: rows, splits,
    label_counts, text_length, duplicates, leakage, conflicts, ledger, encoding; any may be missing,
    and unknown keys are shown as they are. decisions: [{"what", "value", "why"}]. warnings:
    [{"what", "message"}]. test_texts and test_row_ids follow the rows of `test`.
    """

    name: str
    created: str
    task: str
    kind: Kind
    model: dict[str, Any]
    method: str
    metrics: dict[str, Any]
    test: Outcome
    test_texts: list[str]
    test_row_ids: list[int]
    curves: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    audit: dict[str, Any] = field(default_factory=dict)
    decisions: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[dict[str, Any]] = field(default_factory=list)
    spec: dict[str, Any] = field(default_factory=dict)
    data_fingerprint: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    cost: dict[str, Any] = field(default_factory=dict)
