"""What `tunesmith check` prints for people: how the data is read, what it holds, what a run would do."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from tunesmith.cli.screen import entry, paint, table, width
from tunesmith.core import registry
from tunesmith.core.text import shortened
from tunesmith.display.narration import DEPTH, decided
from tunesmith.evaluate import words
from tunesmith.families.plan_words import PARTS, Plan, described, way

Document = dict[str, Any]

_BAR = 24
_LABELS = 20
"""Most labels that are listed; the rest is counted."""


def checked(found: Document, verbose: bool = False) -> str:
    """Rows, columns, labels, lengths, three samples, cost, and what was decided and is doubtful."""
    columns, audit = found["columns"], found["audit"]
    ledger = audit["ledger"]
    lines = [
        entry("data", f"{', '.join(dict.fromkeys(audit['files']))}: {_rows(ledger['rows'])}, {_dropped(ledger)}"),
        entry("reads", _columns(columns["inputs"]) + _why(found, next(iter(found["samples"][0])))),
        entry("learns", f"{_columns(columns['target'])}, {_target(columns, audit)}{_why(found, 'target')}"),
        entry("rows", _splits(found["splits"])),
        "",
    ]
    if audit["labels"] is not None:
        lines += [*_labels(audit["labels"]), ""]
    elif audit["numbers"] is not None:
        lines += [*_numbers(audit["numbers"]), ""]
    lines += [*_samples(found["samples"]), ""]
    if looked := audit.get("pictures"):
        lines += [*_pictures(looked), ""]
    if found["lengths"] is not None:
        lines += [entry("lengths", _lengths(found["lengths"])), entry("cut", _cut(found["lengths"]))]
    lines.append(entry("would", f"train {found['model']} with the method {found['method']}{way(found['method'])}"))
    lines.append(entry("cost", _cost(found["estimate"])))
    return "\n".join([*lines, *_told(found, verbose), *_unchecked(found), _END])


_CUT = ("cut rows", "dropped rows")
_END = "Nothing was trained. Start with `tunesmith train` and the same arguments."
_SHOWN_ABOVE = ("text", "target", "target kind", "split", "task")


def checked_language(found: Document, verbose: bool = False) -> str:
    """Format, rows, what was decided and is doubtful; or every problem."""
    lines = [
        entry("data", f"{_rows(found['rows'])}, {_dropped(found['ledger'])}"),
        entry("format", f"{found['format']}, read as {_FORMS.get(found['form'], found['form'])}"),
        entry("rows", _splits(found["splits"]) or "not divided, as something is wrong"),
    ]
    if found["samples"]:
        lines += ["", *_examples(found["samples"]), ""]
    if found["lengths"] is not None:
        lines += [entry("lengths", _lengths(found["lengths"])), entry("cut", _cut_examples(found))]
    how = f"the method {found['method']}{way(found['method'])}, for the task {found['task']}"
    lines.append(entry("would", f"train {found['model']} with {how}"))
    if found["samples"]:
        lines.append(entry("cost", _cost(found["estimate"])))
    told = [one for one in found["warnings"] if one["what"] not in _CUT or not found["samples"]]
    lines += _told({**found, "warnings": told}, verbose)
    lines += [entry("advice", _line(advice)) for advice in found["advice"]]
    lines += _unchecked(found)
    if not found["problems"]:
        return "\n".join([*lines, _END])
    rows = [
        (str(p["file"] or ""), str(p["line"] or ""), str(p["row"] or ""), _line(p["message"]))
        for p in found["problems"]
    ]
    many = f"{len(rows):,} {'problem' if len(rows) == 1 else 'problems'}; nothing can be trained."
    end = [paint(many, "red"), *([found["fix"]] if found["fix"] else [])]
    return "\n".join([*lines, "", table(("file", "line", "row", "problem"), rows), "", *end])


_FORMS = {
    "chat": "conversations", "pair": "a text and what is written for it", "text": "plain text to write on from",
    "preference": "a better and a worse answer", "feedback": "answers that were judged good or bad",
}  # fmt: skip


def _told(found: Document, verbose: bool) -> list[str]:
    lines = []
    for one in found["decisions"]:
        if verbose:
            lines.append(entry("decided", _line(f"{one['what']} = {_short(one['value'])}: {one['why']}")))
        elif one["what"] not in DEPTH and one["what"] not in _SHOWN_ABOVE:
            lines.append(entry("chosen", _line(decided(**one))))
    return lines + [entry("warning", _line(f"{one['what']}: {one['message']}"), "yellow") for one in found["warnings"]]


def _unchecked(found: Document) -> list[str]:
    return [entry("not", f"checked: {_line(what)}", "yellow") for what in found["unchecked"]]


def _why(found: Document, what: str) -> str:
    """The reason of a choice, in brackets; nothing where it was asked for."""
    reasons = [one["why"] for one in found["decisions"] if one["what"] == what and one["why"] != "as asked for"]
    return f" ({_line(reasons[0])})" if reasons else ""


def _columns(names: Sequence[str]) -> str:
    few = [shortened(_line(name), 60) for name in names[:6]]
    more = f" and {len(names) - 6} more" if len(names) > 6 else ""
    return f"the column{'' if len(names) == 1 else 's'} {words.listed(few) if not more else ', '.join(few) + more}"


def _rows(count: int) -> str:
    return f"{count:,} row" + ("" if count == 1 else "s")


def _dropped(ledger: Mapping[str, object]) -> str:
    dropped = ledger["dropped"]
    return f"{dropped:,} left out" if dropped else "all used"


def _splits(splits: Mapping[str, int]) -> str:
    return ", ".join(f"{splits[name]:,} {use}" for name, use in PARTS if splits.get(name))


def _target(columns: Mapping[str, Any], audit: Mapping[str, Any]) -> str:
    kind, noun = columns["kind"], columns["noun"]
    count = len(audit["labels"] or ())
    if kind == "number":
        numbers = audit["numbers"]
        return f"a number for each {noun}, from {numbers['min']:g} to {numbers['max']:g}"
    if kind not in ("label", "labels"):
        said: str = registry.get("evaluate.targets", kind).said
        return said if audit["labels"] is None else f"{said}, of {count} labels"
    return f"{'one of' if kind == 'label' else 'any of'} {count} labels for each {noun}"


def _labels(labels: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Every label with its rows and a bar, the most frequent first."""
    counts = sorted(((sum(parts.values()), name) for name, parts in labels.items()), key=lambda one: (-one[0], one[1]))
    shown = counts[:_LABELS] if len(counts) > _LABELS + 1 else counts
    names = [shortened(_line(name), 32) for _, name in shown]
    widest, digits = max(map(len, names)), len(f"{counts[0][0]:,}")
    lines = [
        (
            f"{'labels' if not at else '':9}{name:{widest}}  {count:{digits},}  " + _bar(count / max(1, counts[0][0]))
        ).rstrip()
        for at, ((count, _), name) in enumerate(zip(shown, names, strict=True))
    ]
    if rest := counts[len(shown) :]:
        lines.append(f"{'':9}and {len(rest)} more, of {rest[0][0]:,} rows and fewer")
    return lines


def _numbers(numbers: Mapping[str, object]) -> list[str]:
    spread = {name: f"{numbers[name]:.4g}" for name in ("min", "median", "mean", "max")}
    return [entry("numbers", ", ".join(f"{name} {value}" for name, value in spread.items()))]


def _pictures(looked: Mapping[str, Any]) -> list[str]:
    """Sizes and kinds of the pictures."""
    shorter, longer = looked["shorter_side"], looked["longer_side"]
    if not shorter:
        return []
    sides = f"from {shorter['least']:,} to {shorter['most']:,} pixels on the shorter side (half: {shorter['median']:,}"
    sizes = f"{sides} or less), the longest {longer['most']:,}"
    if looked["different_sizes"] == 1:
        sizes = f"all {next(iter(looked['sizes']))} pixels"
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in looked["kinds"].items())
    turned = f"; {looked['turned_upright']:,} turned upright as their files say" if looked["turned_upright"] else ""
    return [entry("sizes", sizes), entry("kinds", f"{kinds}{turned}")]


def _bar(share: float) -> str:
    sign = "█" if (sys.stdout.encoding or "").lower().startswith("utf") else "#"
    return sign * max(1, round(share * _BAR)) if share else ""


def _samples(samples: Sequence[Mapping[str, object]]) -> list[str]:
    """Three rows as they are read, on a line each."""
    columns = width() or 100
    lines = []
    for number, sample in enumerate(samples):
        texts = " | ".join(_line(str(cell)) for name, cell in sample.items() if name != "target" and cell is not None)
        target = sample["target"]
        answer = _line(", ".join(map(str, target)) if isinstance(target, list) else str(target)) or "(none)"
        answer = shortened(answer, 30)
        room = max(20, columns - 9 - len(answer) - 4)
        lines.append(f"{'such as' if not number else '':9}{shortened(texts, room)} -> {answer}")
    return lines


def _examples(samples: Sequence[Mapping[str, Any]]) -> list[str]:
    """Three examples: what is read, and what is written for it, on a line each."""
    room = max(20, (width() or 100) - 18)
    lines = []
    for number, sample in enumerate(samples):
        answer = "writes" if "label" not in sample else "good" if sample["label"] else "bad"
        parts = [("reads", sample["text"]), ("better" if "rejected" in sample else answer, sample["target"])]
        parts += [("worse", sample["rejected"])] if "rejected" in sample else []
        if sample.get("turns", 0) > 2:
            parts[0] = ("reads", f"{parts[0][1]} (the last of {sample['turns'] - 1} messages before the answer)")
        shown = [(name, shortened(_line(text), room)) for name, text in parts if text]
        lines += [f"{'' if number or at else 'such as':9}{name:9}{text}" for at, (name, text) in enumerate(shown)]
    return lines


def _lengths(found: Mapping[str, object]) -> str:
    unit = found["unit"]
    what = " (a token is about 3/4 of a word)" if unit == "tokens" else ""
    return (
        f"half of the texts have at most {found['median']:,.0f} {unit}, 95 of 100 at most {found['p95']:,.0f}, the "
        f"longest {found['longest']:,}{what}"
    )


def _cut(found: Mapping[str, Any]) -> str:
    limit = found["limit"]
    if limit is None:
        return "not known before the model is loaded; --max-length sets how much of a text is read"
    about = f"{limit:,} tokens, about {round(limit * 0.75):,} words"
    if not found["longer"]:
        return f"nothing; the model reads up to {about}"
    rows = "about " if found["unit"] == "words" or found["measured"] < 2_000 < found["longer"] else ""
    return f"{rows}{_rows(found['longer'])} longer than {about}: their end is not read (--max-length)"


def _cut_examples(found: Document) -> str:
    """What is cut of examples that are conversations or answers, or left out for its length, in the run's words."""
    told = [one["message"] for one in found["warnings"] if one["what"] in _CUT]
    limit = found["lengths"]["limit"]
    if told:
        return "; ".join(told) + (" (--max-length)" if "tokens" in " ".join(told) else "")
    if limit is None:
        return "not known before the model is here; --max-length sets how much of an example is read"
    return f"nothing; up to {limit:,} tokens of an example are read, about {round(limit * 0.75):,} words"


def _cost(estimate: Mapping[str, float] | None) -> str:
    if estimate is None:
        return "not known before the model is on this machine"
    space = f"{words.size(estimate['memory_bytes'])} of memory and {words.size(estimate['disk_bytes'])} of disk"
    if estimate["seconds"] is None:
        return f"{space}; `tunesmith plan` measures the time, which takes minutes with a model of this size"
    return f"about {words.about(estimate['seconds'])} when nothing else runs here, {space}"


def planned(made: Plan, verbose: bool = False) -> str:
    """A plan (`families.plan.Plan`) as lines that fit the terminal."""
    colours = {"unusual": ["yellow"], "not": ["yellow"], **({} if made.fits else {"memory": ["red"]})}
    lines = [entry(name, text, *colours.get(name, [])) for name, text in described(made, verbose)]
    return "\n".join([*lines, "An estimate. " + _END])


def _short(value: object) -> str:
    return shortened(str(value), 100)


def _line(text: str) -> str:
    return " ".join(text.split())
