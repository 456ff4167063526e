"""The model card: `model/README.md`, Markdown with the YAML front matter that the Hugging Face hub reads."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from tunesmith.evaluate import (
    answer_sections,
    box_sections,
    mask_sections,
    relevance_sections,
    span_sections,
    words,
)
from tunesmith.evaluate.diagnose import label_counts
from tunesmith.evaluate.evidence import Evidence
from tunesmith.evaluate.metrics import TABLE, names_for
from tunesmith.evaluate.types import Outcome
from tunesmith.models.catalog import CATALOG

_TAGS = {
    "text-regression": "text-classification", "image-regression": "image-classification",
    "chat": "text-generation", "preference": "text-generation",
    "seq2seq": "text2text-generation",
}  # fmt: skip
"""Our name -> the hub's name of a task, where they differ."""

_GIVES = {
    ("text", "label"): "one of the labels above for a text",
    ("text", "labels"): "any number of the labels above for a text",
    ("text", "number"): "a number for a text",
    ("text", "text"): "an answer to a text",
    ("image", "label"): "one of the labels above for a picture",
    ("image", "labels"): "any number of the labels above for a picture",
    ("image", "number"): "a number for a picture",
    ("image", "boxes"): "boxes around the things in a picture, each with one of the labels above",
    ("question", "answers"): "the words of a context that answer a question, or that it does not",
    ("tokens", "spans"): "a tag for each word of a text, and so the spans of the types above",
}
"""What a model gives, by what its rows are and by what was measured."""

_PLAIN: dict[tuple[str, str], Callable[[Evidence], list[str]]] = {
    ("image", "label"): lambda evidence: _plain_pictures("softmax", _BEST),
    ("image", "labels"): lambda evidence: _plain_pictures("sigmoid", _given(evidence)),
    ("image", "number"): lambda evidence: _plain_pictures(None, _read_off(evidence)),
    ("image", "mask"): mask_sections.plain,
    ("image", "boxes"): box_sections.plain,
    ("tokens", "spans"): span_sections.plain,
    ("question", "answers"): answer_sections.plain,
    ("pairs", "relevance"): relevance_sections.plain,
}
"""Lines of Python that use a model in plain transformers, where it gives no labels, number or text."""


def model_card(evidence: Evidence) -> str:
    """The whole card. Text from the data (label names) is kept from being read as Markdown."""
    parts = (_front_matter, _title, _metrics, _findings, _data, _use, _limits, _loading, _origin)
    return "\n\n".join(part for function in parts if (part := function(evidence))) + "\n"


def _front_matter(evidence: Evidence) -> str:
    import yaml

    test = evidence.metrics["test"]
    named = dict.fromkeys(hub for name in test if (hub := TABLE[name].hub))
    values = [
        {"type": TABLE[name].hub or name, "name": words.metric(name), "value": round(found["value"], 5)}
        for name, found in test.items()
    ]
    result = {
        "task": {"type": _TAGS.get(evidence.task, evidence.task)},
        "dataset": {"type": "private", "name": evidence.data_fingerprint[:16] or "training data"},
        "metrics": values,
    }
    base = str(evidence.model.get("name") or "")
    base = next((entry.hub_id or "" for entry in CATALOG if entry.alias == base), base)
    # the hub takes ids only: "owner/name" or "name", not a folder of this machine
    known = {"base_model": base} if re.fullmatch(r"[\w.-]+(/[\w.-]+)?", base) else {}
    head = {
        "license": str(evidence.model.get("licence") or "unknown").lower(),
        **known,
        "pipeline_tag": _TAGS.get(evidence.task, evidence.task),
        "library_name": "peft" if evidence.model.get("below") else "transformers",
        "tags": ["tunesmith", evidence.task, evidence.method],
        "metrics": list(named),
        "model-index": [{"name": evidence.name, "results": [result]}],
    }
    return f"---\n{yaml.safe_dump(head, sort_keys=False, allow_unicode=True)}---"


def _title(evidence: Evidence) -> str:
    parameters = evidence.model.get("parameters")
    size = f" ({parameters:,} parameters)" if isinstance(parameters, int) else ""
    return (
        f"# {_plain(evidence.name)}\n\n"
        f"{_plain(str(evidence.model.get('name')))}{size}, fine-tuned for {evidence.task} with method "
        f"`{evidence.method}` by Tunesmith on {evidence.created}.\n\n"
        f"**{_plain(evidence.metrics['verdict']['sentence'])}**"
    )


def _metrics(evidence: Evidence) -> str:
    document = evidence.metrics
    baselines = document["baselines"]
    names = [name for name in names_for(evidence.kind) if name in document["test"]]
    head = ["metric", "test", "95 % interval", *map(words.baseline, baselines)]
    rows = []
    for name in names:
        found = document["test"][name]
        others = [words.number(part[name]["value"]) if name in part else "–" for part in baselines.values()]
        span = f"{words.number(found['low'])} to {words.number(found['high'])}"
        rows.append([words.metric(name), words.number(found["value"]), span, *others])
    rows_said = f"On {evidence.test_rows:,} test rows that nothing was fitted on; intervals by bootstrap."
    if evidence.answers and len(evidence.answers) < evidence.test_rows:
        rows_said += f" Answers were written to, and compared on, {len(evidence.answers):,} of them."
    without = document.get("test_without_leaked") or {}
    first = document["first_metric"]
    if first in without:
        value = words.number(without[first]["value"])
        rows_said += f" Without rows that also stand in the training data: {words.metric(first)} {value}."
    return f"## Results\n\n{rows_said}\n\n{_table(head, rows)}"


def _findings(evidence: Evidence) -> str:
    found = [item for item in evidence.metrics["findings"] if item["severity"] != "info"]
    if not found:
        return ""
    lines = [f"- **{item['name'].replace('_', ' ')}**: {_plain(item['evidence'])}" for item in found]
    return "## What to know\n\n" + "\n".join(lines)


def _data(evidence: Evidence) -> str:
    splits, counts = evidence.audit.get("splits"), label_counts(evidence.audit)
    lines = [f"- fingerprint: `{evidence.data_fingerprint or 'unknown'}`"]
    if isinstance(splits, dict):
        lines.append("- rows: " + ", ".join(f"{rows} {name}" for name, rows in splits.items()))
    names = evidence.test.labels if isinstance(evidence.test, Outcome) else None
    if names:
        shown = ", ".join(_code(name) for name in names[:100])
        lines.append(f"- {len(names)} labels: {shown}" + (" ..." if len(names) > 100 else ""))
    if counts:
        lines.append(f"- training rows a label: {min(counts.values()):,} to {max(counts.values()):,}")
    return "## Data\n\n" + "\n".join(lines)


def _use(evidence: Evidence) -> str:
    gives = _GIVES.get((evidence.modality, evidence.kind), f"answers for {evidence.nouns}")
    return (
        f"## Intended use\n\nGiving {gives} of the same kind, language and source as the training rows. For "
        "anything else, measure first: `tunesmith evaluate RUN --data new.csv`."
    )


def _limits(evidence: Evidence) -> str:
    rows = evidence.nouns
    lines = [
        f"It was tested on rows like its training rows; on other {rows} it may be worse, and does not say so.",
        "It inherits what the base model learned, its biases among them.",
    ]
    if evidence.kind == "text":
        lines.append("It may write what is false, with the same confidence as what is true.")
    elif evidence.kind in ("label", "labels"):
        lines.append(f"It always gives its known labels a probability, also for {rows} that fit none of them.")
    weak = sorted(evidence.metrics["per_class"], key=lambda row: row["f1"])[:3]
    weak = [row for row in weak if row["f1"] < 0.8 and row["support"]]
    if weak:
        shown = ", ".join(f"{_code(row['label'])} (F1 {words.number(row['f1'])})" for row in weak)
        lines.append(f"Weakest labels: {shown}.")
    return "## Limits\n\n" + "\n".join(f"- {line}" for line in lines)


_BEST = "print(model.config.id2label[int(probabilities.argmax())])"
_OURS = """## How to load it

With Tunesmith:

```python
import tunesmith

model = tunesmith.load("path/to/this/folder"){then}
```

"""


def _loading(evidence: Evidence) -> str:
    if (evidence.modality, evidence.kind) not in _GIVES:  # nothing that was made for another kind
        return _OURS.format(then="").strip()
    if evidence.kind == "text":
        return _loading_language(evidence)
    if (plain := _PLAIN.get((evidence.modality, evidence.kind))) is not None:
        asked = "a text" if evidence.typed is None else "path/to/it"  # not one of this machine
        module = evidence.model.get("module")
        needed = [f"import {module}  # a network that transformers does not know"] if module else []
        return _loaded(f'"{asked}"', [*needed, *plain(evidence)])
    turn = {
        "label": "probabilities = logits.softmax(-1)\nprint(model.config.id2label[int(logits.argmax())])",
        "labels": f"probabilities = logits.sigmoid()[0]\n{_given(evidence)}",
        "number": _read_off(evidence),
    }[evidence.kind]
    pair = evidence.audit.get("columns", {}).get("text_pair")
    asked, tokenized = ('("a text", "another")', '"a text", "another"') if pair else ('"a text"', '"a text"')
    lines = ["from transformers import AutoModelForSequenceClassification, AutoTokenizer", ""]
    below = evidence.model.get("below")  # the base, where virtual tokens stand before it
    if below:
        lines = ["from peft import PeftModel", *lines]
        lines.append(f'base = AutoModelForSequenceClassification.from_pretrained("path/to/this/folder/{below}")')
        lines.append('model = PeftModel.from_pretrained(base, "path/to/this/folder").eval()')
    else:
        lines.append('model = AutoModelForSequenceClassification.from_pretrained("path/to/this/folder")')
    lines += [
        'tokenizer = AutoTokenizer.from_pretrained("path/to/this/folder")',
        f'logits = model(**tokenizer({tokenized}, return_tensors="pt", truncation=True)).logits',
        turn,
    ]
    return _loaded(asked, lines, peft=bool(below))


def _loaded(asked: str, lines: Sequence[str], *, peft: bool = False) -> str:
    """How Tunesmith loads it and answers what is asked, and how `lines` do without Tunesmith."""
    ours = _OURS.format(then=f"\nprint(model.predict([{asked}]))")
    return f"{ours}With plain transformers{' and peft' if peft else ''}:\n\n```python\n" + "\n".join(lines) + "\n```"


def _plain_pictures(to_probabilities: str | None, said: str) -> list[str]:
    dimension = "-1" if to_probabilities == "softmax" else ""
    answers = [f"probabilities = logits.{to_probabilities}({dimension})[0]"] if to_probabilities else []
    return [
        "from PIL import Image",
        "from transformers import AutoImageProcessor, AutoModelForImageClassification",
        "",
        'model = AutoModelForImageClassification.from_pretrained("path/to/this/folder").eval()',
        'processor = AutoImageProcessor.from_pretrained("path/to/this/folder")',
        'picture = Image.open("path/to/it").convert("RGB")',
        'logits = model(**processor(images=picture, return_tensors="pt")).logits',
        *answers,
        said,
    ]


def _read_off(evidence: Evidence) -> str:
    """Python that prints the number; of ratings within their scale, as the results above were measured."""
    rating = next((str(one["value"]) for one in evidence.decisions if one["what"] == "rating"), "")
    if not (scale := re.match(r"(\S+) to (\S+)", rating)):
        return "print(float(logits))"
    low, high = map(float, scale.groups())
    return f"print(float(logits.clamp({low:g}, {high:g})))  # ratings end at {low:g} and {high:g}"


def _given(evidence: Evidence) -> str:
    """Python that turns probabilities into labels, by the thresholds that the results above were measured with."""
    thresholds = evidence.outcome.thresholds
    bars = (
        [0.5] * len(evidence.outcome.labels or ()) if thresholds is None else [round(float(t), 6) for t in thresholds]
    )
    return (
        f"thresholds = {bars}  # one a label\n"
        "print([model.config.id2label[i] for i, p in enumerate(probabilities) if p >= thresholds[i]])"
    )


def _loading_language(evidence: Evidence) -> str:
    family = "AutoModelForSeq2SeqLM" if evidence.task == "seq2seq" else "AutoModelForCausalLM"
    imports = f"from transformers import {family}, AutoTokenizer"
    tokenizer = 'tokenizer = AutoTokenizer.from_pretrained("path/to/this/folder")'
    beside = evidence.model.get("beside")
    if not beside:
        model = f'model = {family}.from_pretrained("path/to/this/folder")'
        return _loaded('"a question"', [imports, "", model, tokenizer])
    return _loaded('"a question"', _beside_its_base(family, beside, imports, tokenizer), peft=True)


def _beside_its_base(family: str, beside: dict[str, Any], imports: str, tokenizer: str) -> list[str]:
    """The base, as the adapter found it, and the adapter on it."""
    lines = [] if beside["here"] else ["from peft import PeftModel"]
    lines += [imports, "", tokenizer]
    if beside["type"] == "BOTTLENECK":
        lines.insert(0, "import tunesmith.models.bottleneck  # adapters that peft does not know")
    if beside["quantization"]:
        lines.append(
            "# it learned beside a base in 4 bits (nf4, double quantisation); in full precision answers differ"
        )
    if beside["here"]:
        lines.append(
            f'model = {family}.from_pretrained("path/to/this/folder")  # the base in it, and the adapter on it'
        )
        return lines
    where = beside["base"]
    if beside["run"]:
        lines.append(f"# after: tunesmith export {beside['run']} --to merged --out path/to/merged")
        where = "path/to/merged"
    lines.append(f'base = {family}.from_pretrained("{where}")')
    return [*lines, 'model = PeftModel.from_pretrained(base, "path/to/this/folder")']


def _origin(evidence: Evidence) -> str:
    model = evidence.model
    pin = model.get("revision") or model.get("fingerprint") or "unknown"
    cost = {**evidence.metrics["cost"], **evidence.cost}
    lines = [
        f"- base model: {_plain(str(model.get('name')))}, revision or fingerprint `{pin}`, "
        f"licence {model.get('licence') or 'unknown'}",
        f"- the run took {words.seconds(cost.get('wall_seconds'))}, peak memory "
        f"{words.bytes_(cost.get('peak_memory_bytes'))}",
        *(f"- {name} {version}" for name, version in evidence.versions.items()),
    ]
    return "## How it was made\n\n" + "\n".join(lines)


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _plain(text: str) -> str:
    """No markup and one line, whatever the text holds."""
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return " ".join("".join(f"\\{char}" if char in "`*[]|#" else char for char in escaped).split())


def _code(text: str) -> str:
    return "`" + " ".join(text.replace("`", "'").split()) + "`"
