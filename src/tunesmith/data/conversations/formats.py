"""Which of the formats of generative text a table has, from its columns and first rows."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

from tunesmith.core.errors import OptionError, did_you_mean
from tunesmith.data.conversations import paired, verdict
from tunesmith.data.conversations.messages import DIALECTS, decoded, dialect_of, is_messages
from tunesmith.data.conversations.pair_names import INSTRUCTIONS, LABELS, QUERIES, STRONG_PAIRS, WEAK_PAIRS
from tunesmith.data.conversations.paired import Choice
from tunesmith.data.conversations.verdict import Unread, Verdict
from tunesmith.data.numbers import is_plain as is_number
from tunesmith.data.profile import TARGET_NAMES, simple

Form = Literal["chat", "completion", "text", "preference", "feedback", "pair"]
Row = Mapping[str, Any]

NAMES = (
    "openai", "sharegpt", "gemini", "alpaca", "query-response", "prompt-completion", "openai-preference",
    "preference", "feedback", "pair", "text",
)  # fmt: skip
SAMPLE_ROWS = 100
"""Rows that are enough to detect a format."""

_ANSWERS = ("response", "completion", "output", "answer")
_ASKED = ("prompt", "instruction", "question", "query", "history", "context", "input", "post", "source")
_MESSAGES = ("messages", "conversations", "conversation")
_SYSTEM = ("system", "system_prompt")
_LABELS = {*TARGET_NAMES, *LABELS}
_HARMLESS = {
    "id", "idx", "index", "url", "title", "timestamp", "date", "created", "added", "meta", "metadata", "tokens",
    "token_count", "n_tokens", "length", "author",
}  # fmt: skip
_ID_NAME = re.compile(r".*_(id|idx|uuid|hash)$|unnamed.*|uuid|hash")


@dataclass(frozen=True)
class Format:
    """What was detected: the format's name, the form of its examples, the reason, and which column is what.

    columns: our word for a part ('messages', 'system', 'source', ...) to the file's column. base: the name of the
    format that judged answers are written in. verdict: how they are judged. unread: a column that seems to judge
    them, and can not be read. choice: how a row says which of two answers is the better one.
    """

    name: str
    form: Form
    why: str
    columns: Mapping[str, str] = field(default_factory=dict)
    base: str = ""
    verdict: Verdict | None = None
    unread: Unread | None = None
    choice: Choice | None = None


Wanted = str | Sequence[str] | None
"""The form or format that is asked for, or several of which any will do; None for whatever is found."""


@dataclass(frozen=True)
class ReadRequest:
    """What is asked of the reading of rows. keep_nothing: words for nothing ('nan', 'N/A') are texts like others.
    others: keep the columns for which the format has no use, as the example's 'others'."""

    forms: Wanted = None
    keep_nothing: bool = False
    others: bool = False


def detect(columns: Sequence[str], first_rows: Sequence[Row], form: Wanted = None) -> Format | None:
    """The format of a table with these columns and first rows; None if it holds no generative text.

    form: take only these forms or formats, and do not mind columns that look like labels. Without it, a
    table that may be one to classify (a label beside a text) is None. Where the rows are of several formats,
    it is that of the most. Pure. Raises OptionError for a form that does not exist.
    """
    check_form(form)
    found, rows = _of_all(columns, first_rows, form), first_rows[:SAMPLE_ROWS]
    if found is None or len({frozenset(_filled(row)) for row in rows}) == 1:
        return found
    used = set(found.columns.values())
    alone = [_of_all(_filled(row), [row], form) for row in rows]
    others = Counter(one.name for one in alone if one and not set(one.columns.values()) <= used)
    like_it = sum(one is not None and set(one.columns.values()) <= used for one in alone)
    name, count = others.most_common(1)[0] if others else ("", 0)
    if count <= like_it:
        return found
    rows = [row for row, one in zip(rows, alone, strict=True) if one and one.name == name]
    return _of_all(list(dict.fromkeys(key for row in rows for key in _filled(row))), rows, form)


def _filled(row: Row) -> list[str]:
    return [name for name, value in row.items() if value is not None]


def _of_all(columns: Sequence[str], rows: Sequence[Row], form: Wanted) -> Format | None:
    """The first format that the columns allow."""
    sample = _Sample(columns, rows, wanted=_listed(form))
    for find in (
        _chat, _gemini, _openai_preference, _preference, _paired, _prompted, _alpaca, _query, _pair, _text, _ranked,
    ):  # fmt: skip
        found = find(sample)
        found = _judged(sample, found) if found else None
        if found and sample.takes(found.name, found.form):
            return found
    return None


def _listed(form: Wanted) -> tuple[str, ...]:
    return () if form is None else (form,) if isinstance(form, str) else tuple(form)


def check_form(form: Wanted) -> None:
    """Raises OptionError for a form or format that does not exist."""
    known = [*get_args(Form), *NAMES]
    for one in _listed(form):
        if one not in known:
            raise OptionError(f"there is no form or format {one!r} of text", fix=did_you_mean(one, known))


def _judged(sample: _Sample, found: Format) -> Format | None:
    """The format with what judges its answers; None where it needs a verdict and there is none."""
    if found.form not in ("chat", "completion", "pair") or not sample.takes("feedback"):
        return found
    judge = sample.judge(found)
    if isinstance(judge, Unread):
        return replace(found, unread=judge) if not sample.wanted else found
    if judge is None:
        return found
    if found.form == "pair":
        return replace(found, unread=Unread(judge.column, "good and bad"))
    columns = {**found.columns, "label": judge.column}
    why = f"{found.why}, and {judge.column!r} says which answers are good"
    return Format("feedback", "feedback", why, columns, base=found.name, verdict=judge)


class _Sample:
    """Columns by their lower-case names, and their first values."""

    def __init__(self, columns: Sequence[str], rows: Sequence[Row], wanted: tuple[str, ...]):
        self.names = {unicodedata.normalize("NFC", str(name)).strip().lower(): str(name) for name in reversed(columns)}
        self.rows = rows[:SAMPLE_ROWS]
        self.wanted = wanted

    def takes(self, *names: str) -> bool:
        """Whether one of these forms or formats is asked for, or nothing is."""
        return not self.wanted or any(name in self.wanted for name in names)

    def has(self, *names: str) -> bool:
        return all(name in self.names for name in names)

    def values(self, name: str) -> list[Any]:
        """The values that are there, of a column by its lower-case name."""
        found = [row.get(self.names[name]) for row in self.rows] if name in self.names else []
        return [value for value in found if value is not None]

    def pick(self, **words: str | Sequence[str]) -> dict[str, str]:
        """For each of our words the file's column: the first of these lower-case names that exists."""
        found = {}
        for word, names in words.items():
            tried = (names,) if isinstance(names, str) else names
            name = next((self.names[name] for name in tried if name in self.names), None)
            if name is not None:
                found[word] = name
        return found

    def texts(self, name: str) -> bool:
        """Whether the column holds text that could be written: strings, no numbers, no few repeated words."""
        cells = [cell for cell in self.values(name) if cell != "" and cell != []]
        if not cells or not all(isinstance(part, str) for cell in cells for part in _parts(cell)):
            return False
        written = [cell if isinstance(cell, str) else " ".join(cell) for cell in cells]
        if sum(map(is_number, written)) > 0.5 * len(written):
            return False
        words = sum(len(cell.split()) for cell in written) / len(written)
        return bool(self.wanted) or len(written) < 8 or words >= 3 or len(set(written)) > 0.5 * len(written)

    def strings(self, name: str) -> bool:
        """Whether any value is a string."""
        return any(isinstance(cell, str) for cell in self.values(name))

    def messages(self, name: str) -> bool:
        return any(is_messages(cell) for cell in self.values(name))

    def labelled(self, *used: str) -> bool:
        """Whether a column beside these has the name of a target to classify."""
        return not self.wanted and any(_LABELS & {name, simple(name)} for name in self.names if name not in used)

    def judge(self, found: Format) -> Verdict | Unread | None:
        """What judges the answers, beside the columns of the format."""
        return verdict.find(self.names.values(), self.rows, found.columns.values())


def _parts(cell: object) -> list[object]:
    return cell if isinstance(cell, list) else [cell]


def _chat(sample: _Sample) -> Format | None:
    name = next((name for name in _MESSAGES if sample.messages(name)), None)
    if name is None or (sample.takes("preference") and _worse(sample)):
        return None
    spoken = Counter(dialect_of(cell) for cell in sample.values(name) if is_messages(cell))
    dialect = max(DIALECTS, key=lambda one: spoken[one])
    columns = sample.pick(messages=name, tools="tools", functions="functions", system=_SYSTEM)
    return Format(dialect, "chat", f"{name!r} holds messages of {DIALECTS[dialect]}", columns)


def _objects(cell: object) -> list[Row]:
    cell = decoded(cell)
    return [item for item in cell if isinstance(item, Mapping)] if isinstance(cell, list) else []


def _gemini(sample: _Sample) -> Format | None:
    if not any("parts" in item for cell in sample.values("contents") for item in _objects(cell)):
        return None
    instruction = ("systeminstruction", "system_instruction")
    columns = sample.pick(messages="contents", system=instruction, tools="tools")
    return Format("gemini", "chat", "'contents' holds parts, as Gemini writes them", columns)


def _openai_preference(sample: _Sample) -> Format | None:
    if not sample.has("input", "preferred_output", "non_preferred_output"):
        return None
    columns = sample.pick(input="input", chosen="preferred_output", rejected="non_preferred_output")
    why = "the columns input, preferred_output and non_preferred_output, as OpenAI names them"
    return Format("openai-preference", "preference", why, columns)


def _worse(sample: _Sample) -> str | None:
    """The column of the worse answers, if there is one."""
    better, worse = verdict.sides(sample.names)
    if worse is None or not _answers(sample, worse):
        return None
    if better is None and " " not in verdict.plain_name(worse):  # `rejected: no` says something of the one answer
        return None if all(verdict.says(cell) is not None for cell in sample.values(worse)) else worse
    if better is None:
        return worse
    return worse if _answers(sample, better) else None


def _answers(sample: _Sample, name: str) -> bool:
    """Whether a column holds answers, and not marks."""
    cells, marks = sample.values(name), ("true", "false", "0", "1", "")
    held = [cell[:1] if isinstance(cell, list) else cell for cell in map(decoded, cells)]
    listed = any(isinstance(cell, list) and isinstance(cell[0], str) for cell in held if cell)  # as in TruthfulQA
    return (
        any(isinstance(cell, (str, list, Mapping)) for cell in held)
        and not listed
        and not all(str(cell).strip().lower() in marks for cell in cells)
    )


def _preference(sample: _Sample) -> Format | None:
    better, worse = verdict.sides(sample.names)
    if not _worse(sample):
        return None
    messages = next((name for name in _MESSAGES if sample.messages(name)), "")
    asked = next((name for name in ("prompt", "instruction", "question", "query") if sample.has(name)), "")
    answer = next((name for name in _ANSWERS if sample.has(name) and name not in (asked, better, worse)), "")
    if better is None:  # the better one is the answer that is learned without a worse one
        if not messages and not (asked and answer):
            return None
        better = "" if messages else answer
    columns = sample.pick(
        prompt=asked or messages, messages=messages, input="input" if sample.has("instruction") else "", chosen=better,
        rejected=worse or "", system=_SYSTEM, history="history", tools="tools",
    )  # fmt: skip
    sides = f"the columns {better!r} and {worse!r}" if better else f"{worse!r} beside the answer in {messages!r}"
    prompt = repr(columns["prompt"]) if "prompt" in columns else "the prompt is what both begin with"
    return Format("preference", "preference", f"{sides}; {prompt}", columns)


def _paired(sample: _Sample) -> Format | None:
    found = paired.find(sample.names.values(), sample.rows) if sample.takes("preference") else None
    if found is None:
        return None
    asked = next((name for name in _ASKED if sample.has(name)), "")
    if isinstance(found, Unread):
        return Format("preference", "preference", "two answers", sample.pick(prompt=asked), unread=found)
    whole = all(any(is_messages(row.get(name)) for row in sample.rows) for name in found.answers)
    if not asked and not whole and found.how != "sorted":
        return None
    first, second = found.answers
    columns = {**sample.pick(prompt=asked), "chosen": first, "rejected": second}
    columns |= sample.pick(input="input" if asked == "instruction" else "", system=_SYSTEM)
    columns |= {f"choice {number}": name for number, name in enumerate(found.columns)}
    by = f"{' and '.join(map(repr, found.columns))} says" if found.columns else "the first is"
    why = f"the answers {first!r} and {second!r}, of which {by} the better"
    return Format("preference", "preference", why, columns, choice=found)


def _ranked(sample: _Sample) -> Format | None:
    asked = next((name for name in _ASKED if sample.has(name)), "")
    wanted = sample.takes("preference") and not sample.labelled()
    if not wanted or (found := paired.find_unread(sample.names.values(), sample.rows, asked)) is None:
        return None
    return Format("preference", "preference", "several answers", sample.pick(prompt=asked), unread=found)


def _prompted(sample: _Sample) -> Format | None:
    parts = [name for name in ("prompt", "completion") if sample.has(name)]
    if "completion" not in parts:
        return None
    if not all(sample.strings(name) or sample.messages(name) for name in parts):
        return None
    columns = sample.pick(prompt="prompt", completion="completion", tools="tools", system="system")
    alone = Format("prompt-completion", "completion", f"the columns {' and '.join(map(repr, parts))}", columns)
    if len(parts) < 2 and not (sample.takes("feedback") and isinstance(sample.judge(alone), Verdict)):
        return None
    if sample.messages("prompt") or sample.messages("completion"):
        return Format("prompt-completion", "chat", "'prompt' and 'completion' hold messages", columns)
    return alone


def _alpaca(sample: _Sample) -> Format | None:
    for asked, given, answer in INSTRUCTIONS:
        if sample.has(asked, answer) and (given is None or sample.has(given)):
            if not (sample.strings(asked) and sample.strings(answer)):
                return None
            about = (name for other, name, _ in INSTRUCTIONS if other == asked and name and sample.has(name))
            given = given or next(about, "")
            columns = sample.pick(query=asked, input=given, response=answer, system=_SYSTEM, history="history")
            return Format("alpaca", "chat", f"the columns {asked!r} and {answer!r}", columns)
    return None


def _query(sample: _Sample) -> Format | None:
    for query, response in QUERIES:
        if not sample.has(query, response):
            continue
        if sample.labelled(query, response) and not _judges(sample, query, response):
            continue
        if sample.texts(query) and sample.texts(response):
            columns = sample.pick(query=query, response=response, system=_SYSTEM, history="history")
            return Format("query-response", "chat", f"the columns {query!r} and {response!r}", columns)
    if sample.takes("pair"):
        return None
    for source, target in (*STRONG_PAIRS, *WEAK_PAIRS):  # asked for as questions and answers
        if sample.has(source, target) and sample.texts(source) and sample.texts(target):
            columns = sample.pick(query=source, response=target, system=_SYSTEM)
            return Format("query-response", "chat", f"the columns {source!r} and {target!r}, as asked for", columns)
    return None


def _judges(sample: _Sample, query: str, response: str) -> bool:
    """Whether a label beside a prompt is a verdict in words, and no class to learn."""
    found = Format("query-response", "chat", "", sample.pick(query=query, response=response))
    judge = sample.judge(found) if query == "prompt" else None
    if not isinstance(judge, Verdict):
        return False
    return not all(is_number(str(verdict.cell_of(row, judge.column))) for row in sample.rows)


def _pair(sample: _Sample) -> Format | None:
    translations = [cell for cell in map(decoded, sample.values("translation")) if isinstance(cell, Mapping)]
    if translations and len(translations[0]) >= 2:
        source, target = list(translations[0])[:2]
        columns = {**sample.pick(translation="translation"), "source": source, "target": target}
        return Format("pair", "pair", f"'translation' holds {source!r} and {target!r}", columns)
    for source, target in (*STRONG_PAIRS, *WEAK_PAIRS):
        if not sample.has(source, target):
            continue
        weak = (source, target) in WEAK_PAIRS
        if (weak and sample.labelled(source, target)) or not (sample.texts(source) and sample.texts(target)):
            continue
        columns = sample.pick(source=source, target=target, references="references")
        return Format("pair", "pair", f"the columns {source!r} and {target!r}", columns)
    return None


def _text(sample: _Sample) -> Format | None:
    if not sample.strings("text"):
        return None
    others = [name for name in sample.names if name != "text"]
    if not sample.wanted and not all(_harmless(sample, name) for name in others):
        return None
    return Format("text", "text", "a column 'text' and nothing to predict from it", sample.pick(text="text"))


def _harmless(sample: _Sample, name: str) -> bool:
    """Whether a column can not be a label: an id, an address, an object."""
    known = simple(name)
    if known in _HARMLESS or _ID_NAME.fullmatch(known):
        return True
    objects = [cell for cell in map(decoded, sample.values(name)) if isinstance(cell, Mapping)]
    labels = known in _LABELS or any(cell and set(cell.values()) <= {0, 1} for cell in objects)
    return bool(objects) and not labels and len(objects) == len(sample.values(name))
