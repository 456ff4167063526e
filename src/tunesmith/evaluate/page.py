"""Small pieces of HTML: escaped text, tables, charts, folds. They know nothing of runs."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from tunesmith.core.text import shortened
from tunesmith.evaluate.charts import Figure
from tunesmith.evaluate.drawing import hexadecimal

Cell = str | tuple[str, str]
"""HTML, or (HTML, class of the cell); the class of a column's head is that of its cells that have none."""

MOST_ROWS = 200
LONGEST = 600
_FEW = 8
"""Shown at once, of those that can be unfolded."""
_NAMED = 40
"""Classes of a legend."""
T = TypeVar("T")


def text(value: object, longest: int = LONGEST) -> str:
    """Any value as escaped text, cut with an ellipsis."""
    shown = value if isinstance(value, str) else _plain(value)
    return html.escape(shortened(shown, longest, "…"))


def _plain(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}"
    return json.dumps(value, ensure_ascii=False, default=str)


def table(head: Sequence[Cell], rows: Iterable[Sequence[Cell]], scroll: bool = True, fold: bool = False) -> str:
    """A table that scrolls inside its section when it is long. With `fold` a row is a list on a narrow screen, each
    cell beside the name of its column."""
    columns = [column if isinstance(column, tuple) else (column, "") for column in head]

    def cell(tag: str, content: Cell, of: str = "", usual: str = "") -> str:
        inside, kind = content if isinstance(content, tuple) else (content, usual)
        marks = (f' class="{kind}"' if kind else "") + (f' data-of="{of}"' if of else "")
        return f"<{tag}{marks}>{inside}</{tag}>"

    def line(row: Sequence[Cell]) -> str:
        named = zip(row, columns or [("", "")] * len(row), strict=False)  # the last cells of a row may be absent
        return "".join(cell("td", one, name if fold else "", kind) for one, (name, kind) in named)

    heads = "".join(cell("th", column) for column in columns)
    body = "".join(f"<tr>{line(row)}</tr>" for row in rows)
    thead = f"<thead><tr>{heads}</tr></thead>" if head else ""
    kind = ' class="fold"' if fold else ""
    made = f"<table{kind}>{thead}<tbody>{body}</tbody></table>"
    return f'<div class="scroll">{made}</div>' if scroll else made


def chart(figure: Figure | None, kind: str = "") -> str:
    """A chart's place with its JSON inside; '<' is written \\u003c so that no text can end the script."""
    if figure is None:
        return ""
    values = f'<script type="application/json">{_json(figure)}</script>'
    return f'<div class="chart {kind}"><div class="canvas"></div>{values}</div>'


def data(name: str, value: object) -> str:
    """Values that the page's script reads, in an element of class `name`."""
    return f'<script type="application/json" class="{name}">{_json(value)}</script>'


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def facts(known: Mapping[str, str]) -> str:
    """Short facts side by side; values are HTML."""
    cells = "".join(f"<div><dt>{text(name)}</dt><dd>{value}</dd></div>" for name, value in known.items())
    return f'<dl class="facts">{cells}</dl>'


def fold(title: str, inside: str, opened: bool = False) -> str:
    return f"<details{' open' if opened else ''}><summary>{text(title)}</summary>{inside}</details>"


def legend(names: Sequence[str], without: int | None = None) -> str:
    """Names beside the colours of their classes; `without`: one that has none."""
    parts = (
        f'<span><i style="background:{hexadecimal(at)}"></i>{text(name, 80)}</span>'
        for at, name in enumerate(names[:_NAMED]) if at != without
    )  # fmt: skip
    more = f"<span>and {len(names) - _NAMED} more</span>" if len(names) > _NAMED else ""
    return f'<p class="small legend">{"".join(parts)}{more}</p>'


def shown_first(parts: Sequence[str]) -> str:
    """Some, and the others folded."""
    more = fold(f"{len(parts) - _FEW} more", "".join(parts[_FEW:])) if len(parts) > _FEW else ""
    return "".join(parts[:_FEW]) + more


def anything(value: object, depth: int = 0) -> str:
    """Nested dicts and lists as tables; for what the report has no special place for."""
    if isinstance(value, Mapping) and value:
        if depth >= 3:
            return text(dict(value))
        rows = [(text(_title(key)), (anything(part, depth + 1), _kind(part))) for key, part in _first(value.items())]
        return table((), rows, scroll=depth == 0)
    if isinstance(value, list | tuple) and value and all(isinstance(part, Mapping) for part in value):
        keys = list(dict.fromkeys(key for part in value for key in part))
        cells = [[(anything(part.get(key, ""), 3), "text") for key in keys] for part in _first(value)]
        return table([text(_title(key)) for key in keys], cells, scroll=depth == 0)
    if isinstance(value, list | tuple):
        return text(", ".join(_plain(part) if not isinstance(part, str) else part for part in value))
    return text(value)


def _kind(value: object) -> str:
    return "" if isinstance(value, Mapping | list | tuple) else "text"


def _first(parts: Iterable[T]) -> list[T]:
    return list(parts)[:MOST_ROWS]


def _title(key: object) -> str:
    return str(key).replace("_", " ")
