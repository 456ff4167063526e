"""The parts of report and card that are about answers in their contexts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from tunesmith.evaluate import page, words
from tunesmith.evaluate.answers import AnswerRows, Span
from tunesmith.evaluate.evidence import Evidence
from tunesmith.evaluate.page import shown_first, text

_SHOWN = 30
_AROUND = 120
"""Characters of the context on both sides of what is marked."""
_KINDS = {
    "right": "right, to the letter or nearly so",
    "other bounds": "at the right place, with other bounds",
    "elsewhere": "at another place",
    "missed": "no answer given where there is one",
    "made up": "an answer given where there is none",
}
"""What an answer can be -> in words."""


def answers(evidence: Evidence) -> str:
    """How often each kind of mistake was made, and test rows with the truth and what was given marked in the context,
    the surest mistakes first."""
    rows = evidence.test
    if not isinstance(rows, AnswerRows):
        return ""
    kinds = [_kind(rows, at) for at in range(len(rows))]
    counts = Counter(kinds)
    table = page.table(
        ["", ("questions", "n"), ("share", "n")],
        [[(text(said), "text"), text(counts[kind]), f"{100 * counts[kind] / max(1, len(rows)):.1f} %"]
         for kind, said in _KINDS.items() if counts[kind]],
    )  # fmt: skip
    wrong = [at for at, kind in enumerate(kinds) if kind != "right"]
    wrong.sort(key=lambda at: -_sure(rows, at))
    right = [at for at, kind in enumerate(kinds) if kind == "right"][:3]
    legend = (
        '<p class="soft small">Marked: <mark class="given">what the model gives</mark>, <mark class="true">the truth'
        '</mark>, <mark class="both">both</mark>. The mistakes that it is surest of come first.</p>'
    )
    mistakes = shown_first([_shown(evidence, rows, at, kinds[at]) for at in wrong[:_SHOWN]])
    rightly = "".join(_shown(evidence, rows, at, kinds[at]) for at in right)
    return f"{table}{legend}{mistakes}" + (f"<h3>Some that are right</h3>{rightly}" if rightly else "")


def _kind(rows: AnswerRows, at: int) -> str:
    given, truth = rows.given[at].best(rows.threshold), rows.truth[at]
    if not truth:
        return "right" if given is None else "made up"
    if given is None:
        return "missed"
    if rows.sums["exact_match"][at, 0] or rows.sums["f1"][at, 0] >= 0.9:
        return "right"
    overlaps = any(given.start < one.end and one.start < given.end for one in truth)
    return "other bounds" if overlaps else "elsewhere"


def _sure(rows: AnswerRows, at: int) -> float:
    given = rows.given[at].best(rows.threshold)
    return rows.given[at].none if given is None else given.probability


def _shown(evidence: Evidence, rows: AnswerRows, at: int, kind: str) -> str:
    row, given, truth = evidence.row(at), rows.given[at].best(rows.threshold), rows.truth[at]
    context = str(row.get("context", ""))
    spans = [*truth, *([] if given is None else [given])]
    head = f'<b>{text(str(row.get("question", "")), 300)}</b> <span class="soft">{text(_KINDS[kind])}</span>'
    chance = words.sureness(_sure(rows, at))
    told = f"no answer ({chance})" if given is None else f"{given.text} ({chance})"
    wanted = " | ".join(dict.fromkeys(one.text for one in truth)) or "no answer"
    facts = f'<p class="small">given: {text(told, 300)}<br>true: {text(wanted, 300)}</p>'
    return f'<div class="passage">{head}{facts}<p class="small">{_marked(context, given, truth, spans)}</p></div>'


def _marked(context: str, given: Span | None, truth: Sequence[Span], spans: Sequence[Span]) -> str:
    """The parts of the context around the spans, as HTML."""
    if not context or not spans:
        return text(context, 2 * _AROUND)
    seen = np.zeros(len(context) + 1, dtype=np.int8)
    near = np.zeros(len(context) + 1, dtype=bool)
    for one in spans:
        near[max(0, one.start - _AROUND) : one.end + _AROUND] = True
    near[-1] = False
    if given is not None:
        seen[given.start : given.end] |= 1
    for one in truth:
        seen[one.start : one.end] |= 2
    parts, start = [], 0
    marks = np.where(near, seen, -1)
    for end in [*(np.flatnonzero(np.diff(marks)) + 1).tolist(), len(context)]:
        piece = text(context[start:end], len(context) + 1)
        mark = int(marks[start]) if start < len(context) else -1
        if mark == -1:
            parts.append(" … " if start < end else "")
        else:
            name = {1: "given", 2: "true", 3: "both"}.get(mark)
            parts.append(piece if name is None else f'<mark class="{name}">{piece}</mark>')
        start = end
    return "".join(parts)


def plain(evidence: Evidence) -> list[str]:
    """Lines of Python that use the model in plain transformers."""
    return [
        "import torch",
        "from transformers import AutoModelForQuestionAnswering, AutoTokenizer",
        "",
        'model = AutoModelForQuestionAnswering.from_pretrained("path/to/this/folder").eval()',
        'tokenizer = AutoTokenizer.from_pretrained("path/to/this/folder")',
        'question, context = "a question", "the context that it is about"',
        'inputs = tokenizer(question, context, return_tensors="pt", truncation="only_second",',
        "                   return_offsets_mapping=True)  # one window; long contexts need several (stride)",
        'offsets, of = inputs.pop("offset_mapping")[0], inputs.sequence_ids(0)',
        "with torch.no_grad():",
        "    found = model(**inputs)",
        "pairs = found.start_logits[0][:, None] + found.end_logits[0][None, :]  # begin and end",
        "inside = torch.tensor([one == 1 for one in of])",
        "pairs = pairs.masked_fill(~(inside[:, None] & inside[None, :]).triu(), -torch.inf)",
        "start, end = divmod(int(pairs.argmax()), pairs.shape[1])",
        "none = found.start_logits[0, 0] + found.end_logits[0, 0]  # how much speaks for no answer",
        "print(context[offsets[start][0] : offsets[end][1]], float(pairs.max() - none))",
    ]
