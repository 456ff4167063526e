"""The parts of report and card that are about spans of words."""

from __future__ import annotations

from collections.abc import Sequence

from tunesmith.data.tags import spans_of
from tunesmith.evaluate import page
from tunesmith.evaluate.evidence import Evidence
from tunesmith.evaluate.page import text
from tunesmith.evaluate.spans import SpanCounts

_SHOWN = 30


def errors(evidence: Evidence) -> str:
    """Test rows with spans that were missed, or given and wrong, the most of them first."""
    test = evidence.test
    if not isinstance(test, SpanCounts):
        return ""
    rows = []
    for at, (truth, given) in enumerate(zip(test.truth, test.given, strict=True)):
        wanted, found = set(spans_of(truth)), set(spans_of(given))
        if wanted != found:
            words = evidence.test_inputs[at].split(" ")
            missed, wrong = ([_said(words, span) for span in sorted(some)] for some in (wanted - found, found - wanted))
            rows.append((len(missed) + len(wrong), evidence.test_inputs[at], missed, wrong))
    if not rows:
        return '<p class="soft">No mistake on the test rows.</p>'
    rows.sort(key=lambda row: -row[0])
    body: list[Sequence[page.Cell]] = [
        [(text(words, 300), "text"), (text("; ".join(missed)), "text"), (text("; ".join(wrong)), "text")]
        for _, words, missed, wrong in rows[:_SHOWN]
    ]
    note = f'<p class="soft small">{len(rows):,} of {len(test):,} rows have a mistake; the most mistaken first.</p>'
    return note + page.table(["sentence", "missed", "given and wrong"], body)


def _said(words: Sequence[str], span: tuple[int, int, str]) -> str:
    start, end, kind = span
    return f"{' '.join(words[start:end])} ({kind})"


def plain(evidence: Evidence) -> list[str]:
    """Lines of Python that use the model in plain transformers."""
    return [
        "from transformers import AutoModelForTokenClassification, AutoTokenizer",
        "",
        'model = AutoModelForTokenClassification.from_pretrained("path/to/this/folder")',
        'tokenizer = AutoTokenizer.from_pretrained("path/to/this/folder")',
        'words = ["Ada", "lives", "in", "Turin"]',
        'inputs = tokenizer(" ".join(words), return_tensors="pt", truncation=True)',
        "best = model(**inputs).logits[0].argmax(-1).tolist()",
        "first = {inputs.char_to_token(sum(len(word) + 1 for word in words[:at])): at for at in range(len(words))}",
        "# the first token of each word speaks for it",
        "print([(words[at], model.config.id2label[best[token]]) for token, at in first.items() if token is not None])",
    ]
