"""Numbers as people write them: 1.234,50 EUR, 12 %, (3.5), 1'000, full-width. How a whole column is written decides."""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_CURRENCIES = (
    "EUR|USD|GBP|CHF|JPY|CNY|RMB|INR|BRL|MXN|CAD|AUD|NZD|SEK|NOK|DKK|ISK|PLN|CZK|HUF|RON|BGN|RUB|UAH|TRY|ZAR|KRW|SGD|"
    "HKD|ILS|AED|SAR|THB|IDR|VND|PHP|CLP|COP|ARS|Euro|Fr|SFr|kr|zł|Kč|Ft|lei|лв|руб|грн|Rs|R|RM|Rp|元|円|원"
)
_SYMBOL = r"[^\W\d_]{0,3}[$€£¥₹₽₩₺₴₪₫฿¢₦₱]"
_UNIT_BEFORE = re.compile(rf"^({_SYMBOL}|(?:{_CURRENCIES})\.?(?=[\s\d+-]))\s*")
_UNIT_AFTER = re.compile(
    rf"\s*({_SYMBOL}|%|‰|‱|°[CFK]?|(?<=\d)(?:kg|mg|km|cm|mm|ml|min|sec|ms|GB|MB|KB|TB|kWh|mph|bpm|px|pts?)|(?<![^\W\d_])(?:{_CURRENCIES})\.?)$",
    re.IGNORECASE,
)
_WORD_AFTER = re.compile(r"\s+([^\W\d_][^\d]{0,19})$")
_BODY = re.compile(r"(?:\d+(?:[ '.,]\d+)*[.,]?|[.,]\d+)(?:[eE][-+]?\d+)?")
_OUT_OF = re.compile(r"(\d+(?:[.,]\d+)?)\s*(?:/|out of|of|von|sur|de|di|van|av|из)\s*(\d+)", re.IGNORECASE)
_STARS = re.compile(r"[★⭐✭✮]+[☆✩]*|[*]{1,5}")
_GROUPS = re.compile(r"[1-9]\d{0,2}((?P<sign>[ '.,])\d{3})((?P=sign)\d{3})*")
_INDIAN = re.compile(r"[1-9]\d?(,\d{2})+,\d{3}")
_NO_CENTS = re.compile(r"[.,]-+$")
_SPACES = re.compile(r"\s+")
_AS_TEXT = re.compile(r'^="([^"]*)"$')  # ="5.0": how a number is kept from a spreadsheet that would reformat it
_FRACTION = re.compile("([0-9]*) ?([\u00bc-\u00be\u2150-\u215e\u2189])")
_ALIKE = str.maketrans("−‐‑–—﹣’‘´`٫٬،·⁄", "------''''.,,./")
"""Minus signs, apostrophes and separators of other scripts, as those of ASCII."""


@dataclass(frozen=True)
class Written:
    """A cell taken apart: its sign (-1 or 1), digits with their separators, the unit, and what it is out of ('4/5')."""

    sign: int
    body: str
    unit: str = ""
    out_of: str = ""


def taken_apart(cell: str) -> Written | None:
    """The parts of a cell that is written as one number in any of the usual ways; None for anything else."""
    text = _plain(cell)
    if text is None:
        return None
    if not any(map(str.isdigit, text)):
        return Written(1, str(sum(map(text.count, "★⭐✭✮*"))), "stars") if _STARS.fullmatch(text) else None
    sign, text = _sign(text)
    if found := _OUT_OF.fullmatch(text):
        return Written(sign, found[1], "", found[2])
    unit = ""
    for pattern in (_UNIT_BEFORE, _UNIT_AFTER, _WORD_AFTER):
        match = pattern.search(text)
        if match:
            unit = match[1].strip().rstrip(".").casefold()
            text = text[: match.start()] + text[match.end() :]
            break
    if unit and sign == 1:
        sign, text = _sign(text.strip())
    text = _NO_CENTS.sub("", text.strip())
    return Written(sign, text, unit) if _BODY.fullmatch(text) else None


def value(body: str, decimal: str) -> float | None:
    """The number that these digits are where `decimal` ('.' or ',') parts the fraction; None where they are none."""
    mantissa, *exponent = re.split("[eE]", body)
    whole, *fraction = mantissa.split(decimal)
    if len(fraction) > 1 or (fraction and not fraction[0].isdigit() and fraction[0]):
        return None
    if not (whole.isdigit() or not whole or _GROUPS.fullmatch(whole) or (decimal == "." and _INDIAN.fullmatch(whole))):
        return None
    digits = "".join(sign for sign in whole if sign.isdigit())
    try:
        return float(f"{digits or '0'}.{fraction[0] if fraction else ''}0" + (f"e{exponent[0]}" if exponent else ""))
    except ValueError:
        return None


@dataclass(frozen=True)
class NumberStyle:
    """How the numbers of a column are written.

    decimal: '.' or ','. sure: whether a cell says so (else both could be meant where `read` meets a separator).
    unit: what stands beside every number. out_of: the 5 of '4/5'. mixed: cells are written both ways.
    """

    decimal: str = "."
    sure: bool = False
    unit: str = ""
    out_of: str = ""
    mixed: bool = False
    signs: tuple[str, ...] = ()

    def read(self, cell: str) -> float:
        """The number in a cell. Raises ValueError, saying what it could mean, for anything that is not clear."""
        shown = repr(cell.strip()[:60])
        parts = taken_apart(cell)
        if parts is None:
            raise ValueError(f"{shown} is not a number")
        if parts.unit != self.unit and parts.unit:
            beside = f"others with {self.unit!r}" if self.unit else "most others with none"
            raise ValueError(f"{shown} is written with {parts.unit!r}, {beside}; one column needs one unit")
        if parts.unit != self.unit and self.unit in ("%", "‰"):
            raise ValueError(f"{shown} is written without {self.unit!r}, most others with it; write all alike")
        if parts.out_of != self.out_of:
            raise ValueError(f"{shown} does not say of how many, or of another number, than the others")
        point, comma = value(parts.body, "."), value(parts.body, ",")
        wanted, alternative = (point, comma) if self.decimal == "." else (comma, point)
        if wanted is None and alternative is None:
            raise ValueError(f"{shown} is not a number")
        if wanted is None:
            usual, other = ("point", "comma") if self.decimal == "." else ("comma", "point")
            raise ValueError(f"{shown} has a decimal {other}, most others a decimal {usual}; write all alike")
        doubtful = point is not None and comma is not None and point != comma
        if doubtful and (self.mixed or not self.sure):
            low, high = sorted((point or 0.0, comma or 0.0))
            raise ValueError(f"{shown} could mean {high * parts.sign:.15g} or {low * parts.sign:.15g}")
        if not math.isfinite(wanted):
            raise ValueError(f"{shown} is too large")
        return parts.sign * wanted

    def said(self) -> str:
        """What is unusual about the column, for people; '' where nothing is."""
        told = []
        if self.decimal == "," and self.sure:
            told.append("a decimal comma")
        if self.unit:
            told.append("percent, so that 12 % is 12" if self.unit == "%" else f"the unit {self.unit!r}")
        if self.out_of:
            told.append(f"a number out of {self.out_of}, of which the first is read")
        return ", ".join([*told, *self.signs])


def style_of(cells: Mapping[Any, int], decimal: str | None = None) -> NumberStyle:
    """How these cells (with their counts) are written; cells that are no number are passed over.

    `decimal` where it is known. Evidence is what can be read one way only: '0.5', '12,25' and '1.234,50'.
    """
    votes = {".": 0, ",": 0}
    lengths: dict[str, set[int]] = {".": set(), ",": set()}
    grouped = False
    open_to_both: set[str] = set()
    units, outs = Counter[str](), Counter[str]()
    signs: dict[str, None] = {}
    for cell, times in cells.items():
        parts = taken_apart(cell) if isinstance(cell, str) else None
        if parts is None:
            continue
        point, comma = value(parts.body, "."), value(parts.body, ",")
        if point is None and comma is None:
            continue
        units[parts.unit] += times
        outs[parts.out_of] += times
        if parts.unit in ("%", "‰") and point != comma:  # nobody has thousands of them
            votes["." if "." in parts.body and "," not in parts.body else ","] += times
        elif comma is None:
            votes["."] += times
        elif point is None:
            votes[","] += times
        elif point != comma:
            open_to_both.add("." if "." in parts.body else ",")
        if (point is None) != (comma is None):
            sure_sign = "." if comma is None else ","
            lengths[sure_sign].add(len(parts.body.partition(sure_sign)[2]))
            grouped |= ("," if sure_sign == "." else ".") in parts.body
        signs[_unusual_sign(cell)] = None
    unit = max(units, key=lambda name: (units[name], name), default="")
    out_of = max(outs, key=lambda name: (outs[name], name), default="")
    chosen = decimal or ("," if votes[","] > votes["."] else ".")
    sure = decimal is not None or votes[chosen] > 0
    # thousands are parted and fractions are short: then '1.234' is no longer fraction, but written by someone else
    odd = grouped and chosen in open_to_both and max(lengths[chosen], default=0) < 3
    mixed = decimal is None and (min(votes.values()) > 0 or odd)
    return NumberStyle(chosen, sure, unit, out_of, mixed, tuple(filter(None, signs)))


def is_number(cell: str) -> bool:
    """Whether the cell is written as one number, in any of the usual ways."""
    parts = taken_apart(cell)
    return parts is not None and (value(parts.body, ".") is not None or value(parts.body, ",") is not None)


def is_plain(cell: str) -> bool:
    """Whether the cell is a number with nothing beside it."""
    parts = taken_apart(cell)
    return is_number(cell) and parts is not None and not parts.unit and not parts.out_of


def _plain(cell: str) -> str | None:
    """The cell in signs of ASCII as far as it goes; None for 10\u00b2 and the like, which are no number to be read."""
    text = cell
    if not cell.isascii():
        text = _FRACTION.sub(lambda found: f"{int(found[1] or 0) + unicodedata.numeric(found[2]):.15g}", cell)
        if any(unicodedata.category(sign) == "No" for sign in text):
            return None
        text = unicodedata.normalize("NFKC", text)
    text = "".join(
        str(digit) if (digit := unicodedata.digit(sign, None)) is not None else sign
        for sign in text.translate(_ALIKE) if unicodedata.category(sign) != "Cf"
    )  # fmt: skip
    text = _SPACES.sub(" ", text).strip()
    return _AS_TEXT.sub(r"\1", text).removeprefix("'")


def _sign(text: str) -> tuple[int, str]:
    if text.startswith("(") and text.endswith(")"):
        return -1, text[1:-1].strip()
    if text[:1] in ("+", "-"):
        return (-1 if text[0] == "-" else 1), text[1:].lstrip()
    if text.endswith("-") and len(text) > 1 and text[-2:-1] not in ("-", ".", ","):
        return -1, text[:-1].rstrip()
    return 1, text


def _unusual_sign(cell: str) -> str:
    text = cell.strip()
    if text.startswith("(") and text.endswith(")"):
        return "negative numbers in parentheses"
    return "the minus sign at the end" if text.endswith("-") else ""
