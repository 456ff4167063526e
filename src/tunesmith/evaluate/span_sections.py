"""The parts of report and card that are about spans of words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Sequence

from tunesmith.data.tags import Span, spans_of
from tunesmith.evaluate import page
from tunesmith.evaluate.drawing import hexadecimal
from tunesmith.evaluate.evidence import Evidence
from tunesmith.evaluate.page import shown_first, text
from tunesmith.evaluate.spans import SpanCounts

_SHOWN = 30
_TITLES = {
    "right": "right", "boundary": "right type, other words", "type": "right words, other type",
    "both": "other words and other type", "missed": "missed", "spurious": "where there is none",
}  # fmt: skip


def kinds_of_error(wanted: Sequence[Span], found: Sequence[Span]) -> list[tuple[str, Span | None, Span | None]]:
    """What became of each true entity and of each that was given, as (kind, true one, given one): a pair of them is
    told once, by the words that both have."""
    told: list[tuple[str, Span | None, Span | None]] = []
    left = list(found)
    for span in wanted:
        near = [one for one in left if one.start < span.end and span.start < one.end]
        best = max(near, key=lambda one: (one == span, one[:2] == span[:2], one.type == span.type), default=None)
        if best is None:
            told.append(("missed", span, None))
            continue
        left.remove(best)
        kind = {(True, True): "right", (False, True): "boundary", (True, False): "type", (False, False): "both"}
        told.append((kind[best[:2] == span[:2], best.type == span.type], span, best))
    return [*told, *(("spurious", None, one) for one in left)]


def kinds(evidence: Evidence) -> str:
    """How many entities of each type went wrong in which way, and examples of unseen ones that did."""
    test = evidence.test
    if not isinstance(test, SpanCounts):
        return ""
    counts: Counter[tuple[str, str]] = Counter()
    unseen: list[str] = []
    for row, (truth, given) in enumerate(zip(test.truth, test.given, strict=True)):
        for kind, right, one in kinds_of_error(spans_of(truth), spans_of(given)):
            of = right or one
            assert of is not None
            counts[of.type, kind] += 1
            if kind not in ("right", "spurious") and test.words is not None and test.is_new(row, of):
                unseen.append(f"{' '.join(test.words[row][of.start : of.end])} ({of.type})")
    if not counts:
        return ""
    types = sorted({kind for kind, _ in counts})
    head: list[page.Cell] = ["type", *((title, "n") for title in _TITLES.values())]
    body: list[Sequence[page.Cell]] = [
        [text(one), *((f"{counts[one, kind]:,}", "n") for kind in _TITLES)] for one in types
    ]
    made = page.table(head, body, fold=True)
    if unseen:
        some = ", ".join(dict.fromkeys(unseen[:_SHOWN]))
        note = f"{len(unseen):,} wrong ones are of words that are no entity of a training row, such as {some}."
        made += f'<p class="small">{text(note, 1_200)}</p>'
    return made


def errors(evidence: Evidence) -> str:
    """Test rows with mistakes, the most of them first: the text with its true entities, and with those given."""
    test = evidence.test
    if not isinstance(test, SpanCounts):
        return ""
    rows = []
    for at, (truth, given) in enumerate(zip(test.truth, test.given, strict=True)):
        wrong = set(spans_of(truth)) ^ set(spans_of(given))
        if wrong:
            rows.append((len(wrong), at))
    if not rows:
        return '<p class="soft">No mistake on the test rows.</p>'
    rows.sort(key=lambda row: -row[0])
    note = (
        f'<p class="soft small">{len(rows):,} of {len(test):,} rows have a mistake; the most mistaken first. What '
        f"differs has a frame.</p>{page.legend(test.types)}"
    )
    shown = []
    for _, at in rows[:_SHOWN]:
        words = evidence.test_inputs[at].split(" ")
        sides = spans_of(test.truth[at]), spans_of(test.given[at])
        upper, lower = (_tagged(words, one, set(other), test.types) for one, other in (sides, sides[::-1]))
        shown.append(
            f'<div class="tagged"><p><b class="side">truth</b> {upper}</p>'
            f'<p><b class="side">given</b> {lower}</p></div>'
        )
    return note + shown_first(shown)


def _tagged(words: Sequence[str], spans: Sequence[Span], others: Container[Span], types: Sequence[str]) -> str:
    """Words with their entities marked in the colours of their types, in a frame where not among `others`."""
    parts, at = [], 0
    for span in spans:
        parts += [text(" ".join(words[at : span.start]))] if span.start > at else []
        mark = "" if span in others else ' class="differs"'
        inside = text(" ".join(words[span.start : span.end]))
        if span.type in types:
            mark += f' style="--mark:{hexadecimal(types.index(span.type))}"'
        parts.append(f"<mark{mark}>{inside} <small>{text(span.type)}</small></mark>")
        at = span.end
    parts += [text(" ".join(words[at:]))] if at < len(words) else []
    return " ".join(parts)


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
