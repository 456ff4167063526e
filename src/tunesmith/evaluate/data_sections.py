"""The section of the report about the data: what became of every row, how labels and lengths are spread, what is
doubtful. What was looked for and not found is one line."""

from __future__ import annotations

from collections.abc import Mapping

from tunesmith.evaluate import charts, page
from tunesmith.evaluate.evidence import Evidence
from tunesmith.evaluate.page import text

MOST_LABELS = 30
"""Labels with a bar of their own; the rarest are left out of the chart, and said."""

TITLES = {
    "leakage": "Rows shared between the splits",
    "conflicts": "The same {noun} with different labels",
    "duplicates": "Rows whose {noun} occurs again",
}
_CLEAN = {
    "leakage": "no {noun} stands in two splits",
    "conflicts": "no {noun} has two different labels",
    "duplicates": "no {noun} occurs twice",
    "missing": "no cell is empty",
}
_NO_FAULTS = {"threshold", "rows", "examples"}
"""Keys of a part that are no counts of faults."""

_KINDS = {"used": "used", "cut": "used, with the text cut", "dropped": "left out"}


def audit(evidence: Evidence) -> str:
    """What became of the rows, the splits, histograms, then what is doubtful; the rest is folded."""
    parts, noun = dict(evidence.audit), evidence.nouns.removesuffix("s")
    shown = _rows(parts.pop("ledger", None)) + _splits(parts.pop("splits", None))
    shown += _label_chart(parts.get("labels"), evidence.kind) + _length_charts(
        parts.get("text_length"), parts.get("numbers")
    )
    clean = []
    for key in ("leakage", "conflicts", "duplicates", "missing"):
        found = parts.pop(key, None)
        if found is None:
            continue
        if _is_clean(key, found):
            clean.append(_CLEAN[key].format(noun=noun))
        elif key in TITLES:
            shown += f"<h3>{TITLES[key].format(noun=noun)}</h3>{_facts_or_table(found)}"
        else:
            parts[key] = found
    if clean:
        shown += f'<p class="clean">Looked for and not found: {", ".join(clean)}.</p>'
    if evidence.data_fingerprint:
        parts["fingerprint"] = evidence.data_fingerprint
    rest = {key: value for key, value in parts.items() if value not in (None, {}, [], "")}
    return shown + (page.fold("Everything else that was found", page.anything(rest)) if rest else "")


def _is_clean(key: str, found: object) -> bool:
    if not isinstance(found, Mapping):
        return not found
    return not any(value for name, value in found.items() if name not in _NO_FAULTS or key in ("conflicts", "missing"))


def _facts_or_table(found: object) -> str:
    """Single numbers side by side, lists of examples as tables below them; zeros are left out."""
    if not isinstance(found, dict):
        return page.anything(found)
    single = {key: value for key, value in found.items() if not isinstance(value, dict | list | tuple) and value}
    longer = {key: value for key, value in found.items() if isinstance(value, dict | list | tuple) and value}
    tables = "".join(page.fold(str(key).replace("_", " "), page.anything(value)) for key, value in longer.items())
    return page.facts({str(key).replace("_", " "): text(value) for key, value in single.items()}) + tables


def _rows(found: object) -> str:
    """Every row is used, cut or left out, and they add up."""
    title = "What became of every row"
    if not isinstance(found, dict) or not found.get("rows"):
        return f"<h3>{title}</h3>{page.anything(found)}" if found else ""
    total = int(found["rows"])
    counts = {kind: int(found.get(kind) or 0) for kind in _KINDS}
    if counts["used"] == total:
        return f"<h3>{title}</h3><p>All {total:,} rows are used, none is cut or left out.</p>"
    bar = "".join(f'<span class="{kind}" style="width:{100 * counts[kind] / total:.3f}%"></span>' for kind in _KINDS)
    said = " + ".join(
        f'<span class="key {kind}"></span>{counts[kind]:,} {words}' for kind, words in _KINDS.items() if counts[kind]
    )
    rows = [
        (text(_KINDS.get(kind, kind)), text(why), text(count))
        for kind, part in (found.get("reasons") or {}).items()
        for why, count in (part.items() if isinstance(part, dict) else ())
    ]
    why = page.table(("what", "reason", ("rows", "n")), rows) if rows else ""
    return f'<h3>{title}</h3><p>{said} = {total:,} rows in</p><div class="stack">{bar}</div>{why}'


def _splits(found: object) -> str:
    if not isinstance(found, dict) or not found:
        return ""
    counts = {name: rows for name, rows in found.items() if isinstance(rows, int)}
    if len(counts) < len(found):
        return f"<h3>Splits</h3>{page.anything(found)}"
    said = ", ".join(f"{rows:,} {text(name)}" for name, rows in counts.items())
    return f"<h3>Splits</h3><p>{said}</p>"


def _label_chart(found: object, kind_of_run: str) -> str:
    """Rows of each label, over all splits."""
    if not isinstance(found, Mapping) or not found or not all(isinstance(part, Mapping) for part in found.values()):
        return ""
    counts = {str(name): sum(int(rows) for rows in part.values()) for name, part in found.items()}
    ordered = sorted(counts, key=lambda name: -counts[name])
    shown = ordered[:MOST_LABELS]
    left = len(ordered) - len(shown)
    note = f'<p class="soft small">The {left:,} rarest labels are not drawn.</p>' if left else ""
    kind = "wide" if len(shown) > 12 else ""
    bars = page.chart(charts.bars(shown, [counts[name] for name in shown], ""))
    title = "Rows of each label" if kind_of_run == "label" else "Rows with each label"
    return f'<h3>{title}</h3><div class="{kind}">{bars}</div>{note}'


def _length_charts(lengths: object, numbers: object) -> str:
    drawn = [
        f"<div><h3>{title}</h3>{page.chart(charts.histogram(bins['edges'], bins['counts'], across))}</div>"
        for title, across, found in (
            ("Lengths of the texts", "characters", lengths),
            ("Values to predict", "value", numbers),
        )
        if isinstance(found, Mapping) and (bins := found.get("histogram"))
    ]
    return f'<div class="pair">{"".join(drawn)}</div>' if drawn else ""
