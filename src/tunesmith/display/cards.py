"""Results that show themselves: as text at a prompt, as a card in a notebook. Knows no run and no model.

A card takes its colours from the page around it, so that it reads on light and on dark; all that it shows is escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any

from tunesmith.core.text import shortened, visible

if TYPE_CHECKING:
    import pandas

LONGEST = 100
"""Letters of a cell that are shown."""
LEVELS = {"good": "#1a7f37", "fair": "#9a6700", "poor": "#cf222e"}
"""Colours behind white letters."""

_STYLE = """\
.tunesmith-card{font-size:13px;line-height:1.45;max-width:60em;margin:.3em 0;padding:.7em 1em;color:inherit;
border:1px solid rgba(128,128,128,.4);border-radius:6px;overflow-x:auto}
.tunesmith-card b.t{font-size:1.1em;display:block}
.tunesmith-card a{color:inherit;text-decoration:underline}
.tunesmith-card .v{display:inline-block;color:#fff;border-radius:4px;padding:.05em .6em;margin:.3em 0}
.tunesmith-card table{border-collapse:collapse;font-size:inherit;margin:.5em 0;color:inherit;background:transparent}
.tunesmith-card td,.tunesmith-card th{text-align:left;padding:.15em .9em .15em 0;border:0;color:inherit;
background:transparent;vertical-align:top;white-space:pre-wrap}
.tunesmith-card th{font-weight:600;border-bottom:1px solid rgba(128,128,128,.4)}
.tunesmith-card td:first-child{opacity:.75}
.tunesmith-card p{margin:.4em 0}"""


@dataclass(frozen=True)
class Table:
    head: Sequence[str]
    rows: Sequence[Sequence[Any]]


@dataclass(frozen=True)
class Card:
    """`verdict`: (level, sentences); `facts`: (name, value); then the tables."""

    title: str
    verdict: tuple[str, Sequence[str]] | None = None
    facts: Sequence[tuple[str, Any]] = ()
    tables: Sequence[Table] = field(default=())
    more: Sequence[Table] = field(default=())
    """Folded on a page, left out of the text."""
    link: tuple[str, str] | None = None
    """(what, address) at the end of the card."""


class Shown:
    """Base of what shows itself by its `_card`."""

    def _card(self) -> Card:
        raise NotImplementedError

    def __repr__(self) -> str:
        return as_text(self._card())

    def _repr_html_(self) -> str:
        return as_html(self._card())


class Document(Shown, dict[str, Any]):
    """A result that is a dict as well, with its keys as attributes."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self:
            raise AttributeError(f"{type(self).__name__} has no {name!r}; it holds {', '.join(self)}")
        return self[name]

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *(str(name) for name in self)]


class Listing(Shown, list[dict[str, Any]]):
    """A list of dicts that shows itself as a table."""

    def __init__(self, rows: Sequence[Mapping[str, object]] = (), title: str = "", without: Sequence[str] = ()):
        super().__init__(dict(row) for row in rows)
        self._title, self._without = title, tuple(without)

    def to_frame(self) -> pandas.DataFrame:
        """The rows as a pandas DataFrame."""
        import pandas

        return pandas.DataFrame(list(self))

    def _card(self) -> Card:
        names = [n for n in dict.fromkeys(name for row in self for name in row) if n not in self._without]
        rows = [[row.get(name, "") for name in names] for row in self]
        return Card(f"{self._title}: {len(self)}", tables=[Table(names, rows)] if rows else [])


def interval(found: Mapping[str, Any]) -> str:
    """'0.943  (0.900 to 0.979)'."""
    from tunesmith.evaluate.words import number

    return f"{number(found['value'])}  ({number(found['low'])} to {number(found['high'])})"


def as_text(card: Card) -> str:
    """Some lines for a terminal, without control characters."""
    lines = [plain(card.title)]
    facts = [*([("verdict", " ".join(card.verdict[1]))] if card.verdict else []), *card.facts]
    facts = [(plain(name), value) for name, value in facts]
    width = max((len(name) for name, _ in facts), default=0)
    lines += [f"  {name.ljust(width)}  {_short(value)}" for name, value in facts]
    for table in card.tables:
        cells = [[_short(cell) for cell in row] for row in (table.head, *table.rows)]
        widths = [max(len(row[at]) for row in cells) for at in range(len(table.head))]
        lines += ["", *("  " + "  ".join(map(str.ljust, row, widths)).rstrip() for row in cells)]
    if card.link:
        lines += ["", f"  {plain(card.link[0])}: {plain(card.link[1])}"]
    return "\n".join(lines)


def as_html(card: Card) -> str:
    """One `div` with its own style."""
    return f'<div class="tunesmith-card"><style>{_STYLE}</style>{"".join(_parts(card))}</div>'


def _parts(card: Card) -> Iterator[str]:
    yield f'<b class="t">{_safe(card.title)}</b>'
    if card.verdict:
        level, sentences = card.verdict
        yield f'<div class="v" style="background:{LEVELS.get(level, LEVELS["fair"])}">{_safe(sentences[0])}</div>'
        yield "".join(f"<p>{_safe(sentence)}</p>" for sentence in sentences[1:])
    if card.facts:
        yield _table(f"<td>{_safe(name)}</td><td>{_safe(value)}</td>" for name, value in card.facts)
    yield from map(_drawn, card.tables)
    if card.more:
        yield f"<details><summary>more</summary>{''.join(map(_drawn, card.more))}</details>"
    if card.link:
        yield f'<p>{_safe(card.link[0])}: <a href="{_safe(card.link[1])}">{_safe(card.link[1])}</a></p>'


def _drawn(table: Table) -> str:
    head = "".join(f"<th>{_safe(name)}</th>" for name in table.head)
    return _table([head, *("".join(f"<td>{_safe(cell)}</td>" for cell in row) for row in table.rows)])


def _table(rows: Iterable[str]) -> str:
    return f"<table>{''.join(f'<tr>{row}</tr>' for row in rows)}</table>"


def _safe(value: object) -> str:
    return escape(_short(value))


def plain(text: str) -> str:
    """On one line, with what could steer a terminal or turn the direction of writing shown."""
    return visible(" ".join(text.split()))


def _short(value: object) -> str:
    if isinstance(value, float):
        value = f"{value:.4g}"
    elif isinstance(value, list | tuple | set):
        value = ", ".join(map(str, value))
    return shortened(plain("" if value is None else str(value)), LONGEST * 4)
