"""The section of the report that says how to use the model: on the command line, in Python, and without Tunesmith."""

from __future__ import annotations

import json
import shlex

from tunesmith.core.text import shortened
from tunesmith.evaluate.evidence import Evidence
from tunesmith.evaluate.page import text

_PIPELINES = {("text", "label"): "text-classification", ("image", "label"): "image-classification"}
"""The pipeline of transformers that gives the same answers, by what the rows are and by what was measured."""
_TYPED = ("text", "pairs", "question", "tokens")
"""Kinds of rows that are typed as they are shown."""
LONGEST = 70
"""Characters of the text in the examples."""


def use(evidence: Evidence) -> str:
    """Lines to copy, with the first short test text where there is one; nothing where rows of another package's kind
    are not typed."""
    if evidence.kind != "text" and evidence.typed is None and evidence.modality not in (*_TYPED, "image"):
        return ""
    run = evidence.path or f"runs/{evidence.name}"
    if evidence.kind == "text":
        parts = {
            "Command line": f"tunesmith chat {shlex.quote(run)}" if evidence.task == "chat"
            else f'tunesmith predict {shlex.quote(run)} "your text"',
            "A whole file": f"tunesmith predict {shlex.quote(run)} --data questions.jsonl --out answers.jsonl",
            "Python": f'import tunesmith\n\nmodel = tunesmith.load({json.dumps(run)})\n'
            'print(model.predict("your text"))',
        }  # fmt: skip
    else:
        example = _example(evidence)
        typed = " ".join(shlex.quote(part) for part in example)
        given = json.dumps(_row(evidence) or (example[0] if len(example) == 1 else [example]), ensure_ascii=False)
        pictures, features = evidence.modality == "image", evidence.audit.get("columns", {}).get("features")
        several, data = ("A whole folder", "pictures/") if pictures else ("A whole file", "new_rows.csv")
        parts = {
            "Command line": f"tunesmith predict {shlex.quote(run)} {typed}",
            several: f"tunesmith predict {shlex.quote(run)} --data {data} --out predictions.csv",
            "Python": f"import tunesmith\n\nmodel = tunesmith.load({json.dumps(run)})\nprint(model.predict({given}))",
        }
        if features:  # a text alone is no row of them
            del parts["Command line"]
        pipeline = _PIPELINES.get((evidence.modality, evidence.kind))
        if pipeline is not None and len(example) == 1 and not features:
            parts["Without Tunesmith"] = (
                "from transformers import pipeline\n\n"
                f'model = pipeline("{pipeline}", {json.dumps(run + "/model")})\nprint(model({given}))'
            )
    blocks = "".join(f"<div><h3>{title}</h3><pre>{text(code, 2_000)}</pre></div>" for title, code in parts.items())
    place = f'<p class="soft small">The model lies in <code>{text(run)}/model</code>.</p>'
    return f'{place}<div class="pair">{blocks}</div>'


def _row(evidence: Evidence) -> dict[str, object] | None:
    """A test row by the names of its columns, where it has more of them than texts; None: its texts say all."""
    columns = evidence.audit.get("columns", {})
    if evidence.modality == "question":
        names = columns.get("inputs") or ["question", "context"]
        return dict(zip(names, ("your question", "the text that it is about"), strict=False))
    if not columns.get("features") or not evidence.test_rows:
        return None
    row = evidence.row(0)
    return {str(columns.get("text", "text")): shortened(str(row.get("text", "")), LONGEST), **row.get("features", {})}


def _example(evidence: Evidence) -> list[str]:
    """A short test text, as one or two parts; of other inputs one as it is typed."""
    if evidence.typed is not None:
        return [evidence.typed]
    fitting = [one for one in evidence.test_inputs if 8 <= len(one) <= LONGEST and one.isprintable()]
    short = next((one for one in fitting if not set("\"'`$!\\") & set(one)), None)  # nothing that a shell reads
    pair = any(" ⟷ " in one for one in evidence.test_inputs[:1])
    if evidence.modality == "question":
        return ["your question", "the text that it is about"]
    if short is None:
        return ["your text", "its second text"] if pair else ["your text"]
    return short.split(" ⟷ ") if pair else [short]
