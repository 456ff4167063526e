"""Which encoding of Latin letters bytes are in, by the letters that each language has: cp1252, cp1250, cp1254, ..."""

from __future__ import annotations

from collections import Counter

_WESTERN = {
    "French": "àâæçéèêëîïôœùûüÿ", "German": "äöüß", "Spanish": "áéíóúüñ¿¡", "Portuguese": "áâãàçéêíóôõúü",
    "Italian": "àèéìíîòóùú", "Dutch": "áéëïóöüèê", "Swedish": "åäöé", "Danish": "æøåéö", "Finnish": "äöåšž",
    "Icelandic": "áéíóúýðþæö", "Catalan": "àçèéíïòóúü", "Estonian": "äöõüšž", "Irish": "áéíóú", "Albanian": "ëç",
}  # fmt: skip
_CENTRAL = {
    "Polish": "ąćęłńóśźż", "Czech": "áčďéěíňóřšťúůýž", "Slovak": "áäčďéíĺľňóôŕšťúýž", "Hungarian": "áéíóöőúüű",
    "Croatian": "čćđšž", "Slovenian": "čšž", "Romanian": "ăâîşţșț", "German": "äöüß",
}  # fmt: skip
_TURKISH = {"Turkish": "çğıİöşüâîû"}
_BALTIC = {"Lithuanian": "ąčęėįšųūž", "Latvian": "āčēģīķļņšūž", "Estonian": "äöõüšž"}
_ENCODINGS = (
    ("cp1252", _WESTERN), ("cp1250", _CENTRAL), ("iso8859_2", _CENTRAL), ("cp1254", _TURKISH), ("cp1257", _BALTIC),
    ("mac_roman", _WESTERN), ("cp850", _WESTERN), ("cp852", _CENTRAL),
)  # fmt: skip
"""The likeliest first: of two that fit as well, the earlier one is meant."""
_SIGNS = frozenset("\u201a„…\u2018\u2019“”•\u2013—\u2039\u203a«»€£¥¢§©®°±²³¹½¼¾·\u00b4¨ªº\u00a0™†‡µ×÷¬¶¦\u00adˇ˘˙")
_BETWEEN = frozenset("\u2019\u2018\u2013—…·\u00ad")
"""Of these signs, those that stand between two letters too."""
_LEAST, _RARE = 3, 8
"""Letters to judge by, and to think of what old Macs and DOS wrote."""
_FITS, _BETTER = 0.95, 0.05
"""The share that one language must have of them, and by how much more than cp1252 shows."""


def latin_encoding(sample: bytes) -> tuple[str, str] | None:
    """The encoding, and the language whose letters it shows, of a text of Latin letters that is not meant as cp1252
    (or Latin-1); None where that fits as well. The letters of one language fit: nobody writes `ø`, `ì` and `è` in one.
    """
    around = zip(b" " + sample, sample, sample[1:] + b" ", strict=False)
    high = Counter((byte, _letter(left) and _letter(right)) for left, byte, right in around if byte >= 0x80)
    if sum(high.values()) < _LEAST:
        return None
    likely = _ENCODINGS if sum(high.values()) >= _RARE else _ENCODINGS[:5]
    shown = [(*_best(high, name, languages), name) for name, languages in likely]
    western = shown[0][0]
    fit, language, name = max(shown, key=lambda one: one[0])
    return (name, language) if fit >= _FITS and fit >= western + _BETTER else None


def _letter(byte: int) -> bool:
    return byte >= 0x80 or chr(byte).isalpha()


def _best(high: Counter[tuple[int, bool]], encoding: str, languages: dict[str, str]) -> tuple[float, str]:
    """The largest share that the letters of one language have, with signs of no language, and which it is.

    high: how often each byte stands between two letters (True), or does not.
    """
    signs = {byte: bytes([byte]).decode(encoding, "replace") for byte, _ in high}
    total = sum(high.values())
    beside = sum(
        times for (byte, inside), times in high.items()
        if signs[byte] in _SIGNS and (not inside or signs[byte] in _BETWEEN)
    )  # fmt: skip
    best, which = beside, ""
    for language, letters in languages.items():
        known = sum(times for (byte, _), times in high.items() if {signs[byte], signs[byte].lower()} & {*letters})
        if known and known + beside > best:
            best, which = known + beside, language
    return best / total, which
