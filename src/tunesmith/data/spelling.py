"""One label in several spellings: Refund, refund, "refund " and refund with a sign that nobody sees."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping

_JOINED = re.compile(r"(?<=[^\W\d])[\s_-]+(?=[^\W\d])")
_ENDS = re.compile(r"^[\"'`“”„«»]+|[\"'`“”„«»]+$|(?<=[^\W\d]|[\"'”»])[.,;:!]+$")
_TRUE = frozenset({
    "true", "yes", "y", "t", "1", "on", "ja", "j", "wahr", "oui", "vrai", "si", "sí", "sim", "verdadero",
    "verdadeiro", "vero", "tak", "да",
})  # fmt: skip
_FALSE = frozenset({
    "false", "no", "n", "f", "0", "off", "nein", "falsch", "non", "faux", "não", "nao", "falso", "nie", "nee", "нет",
})  # fmt: skip
"""Truth values, as people and programs write them."""


def fold(label: str) -> str:
    """What all spellings of a label have in common: no case, no form of Unicode, no signs that are not seen, one
    space (or _ or -) between words, no quotes around and no dot behind."""
    text = unicodedata.normalize("NFKC", label)
    text = "".join(sign for sign in text if unicodedata.category(sign) != "Cf" and sign not in "\ufe0e\ufe0f")
    text = unicodedata.normalize("NFKC", text.casefold().replace("i\u0307", "i"))  # the capital of Turkish
    text = " ".join(text.split())
    while (shorter := _ENDS.sub("", text).strip()) != text:
        text = shorter
    return _JOINED.sub(" ", text) or label


def groups(counts: Mapping[str, int]) -> list[list[str]]:
    """The labels that are one but for their spelling, in groups of two and more, the most frequent spelling first."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for label in counts:
        found[fold(label)].append(label)
    several = [sorted(group, key=lambda label: (-counts[label], label)) for group in found.values() if len(group) > 1]
    return sorted(several)


def merge_spellings(counts: Mapping[str, int]) -> dict[str, str]:
    """Each rarer spelling -> the most frequent one.

    Only for who asks (`merge_labels`); else groups are told. 'good!' beside 'good' may be a slip, or how a survey parts
    strong from mild: a label that was merged in silence is lost, one that was told of is not.
    """
    return {label: group[0] for group in groups(counts) for label in group[1:]}


def nearest(label: str, known: Iterable[str]) -> str | None:
    """The known label that this one is another spelling of: the same but for case and the like, or the same truth
    value ('yes' and '1' for 'True')."""
    names = list(known)
    for name in names:
        if fold(name) == fold(label):
            return name
    for values in (_TRUE, _FALSE):
        if fold(label) in values:
            same = [name for name in names if fold(name) in values]
            if len(same) == 1 and len(names) == 2:
                return same[0]
    return None


def shown(label: str) -> str:
    """A label in quotes, with what can not be seen (or told from another) written out."""
    if unicodedata.normalize("NFC", label) != label:
        return f"{label!r} (letters and accents apart, NFD)"
    return repr("".join(_visible(sign) for sign in label)).replace("\\\\", "\\")


def _visible(sign: str) -> str:
    hidden = unicodedata.category(sign) in ("Cf", "Cc", "Zl", "Zp") or (sign.isspace() and sign != " ")
    return f"\\u{ord(sign):04x}" if hidden else sign
