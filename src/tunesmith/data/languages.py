"""Which language texts are written in, by py3langid on a sample of rows; for short and mixed texts it says so."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

NAMES = {
    "af": "Afrikaans", "am": "Amharic", "ar": "Arabic", "az": "Azerbaijani", "be": "Belarusian", "bg": "Bulgarian",
    "bn": "Bengali", "ca": "Catalan", "cs": "Czech", "cy": "Welsh", "da": "Danish", "de": "German", "el": "Greek",
    "en": "English", "es": "Spanish", "et": "Estonian", "eu": "Basque", "fa": "Persian", "fi": "Finnish",
    "fr": "French", "ga": "Irish", "gl": "Galician", "gu": "Gujarati", "he": "Hebrew", "hi": "Hindi", "hr": "Croatian",
    "hu": "Hungarian", "hy": "Armenian", "id": "Indonesian", "is": "Icelandic", "it": "Italian", "ja": "Japanese",
    "ka": "Georgian", "kk": "Kazakh", "km": "Khmer", "kn": "Kannada", "ko": "Korean", "lo": "Lao", "lt": "Lithuanian",
    "lv": "Latvian", "mk": "Macedonian", "ml": "Malayalam", "mn": "Mongolian", "mr": "Marathi", "ms": "Malay",
    "my": "Burmese", "ne": "Nepali", "nl": "Dutch", "no": "Norwegian", "pa": "Punjabi", "pl": "Polish",
    "pt": "Portuguese", "ro": "Romanian", "ru": "Russian", "si": "Sinhala", "sk": "Slovak", "sl": "Slovenian",
    "sq": "Albanian", "sr": "Serbian", "sv": "Swedish", "sw": "Swahili", "ta": "Tamil", "te": "Telugu", "th": "Thai",
    "tl": "Tagalog", "tr": "Turkish", "uk": "Ukrainian", "ur": "Urdu", "uz": "Uzbek", "vi": "Vietnamese",
    "zh": "Chinese",
}  # fmt: skip
"""Code -> name of the languages that are told apart."""
SAMPLE = 300
_LETTERS, _WORDS = 12, 3
"""A row with fewer letters and words says too little by itself."""
_SURE = 0.35
"""Probability from which on a row counts for a language."""
_ALIKE = {"no": "da", "ms": "id", "hr": "sr", "gl": "pt", "sk": "cs", "mk": "bg", "be": "ru", "af": "nl"}
"""Near languages: a few rows of the one among many of the other are those of the other."""
_NOISE = re.compile(r"https?://\S+|\S+@\S+|[@#]\w+|<[^>]*>|`[^`]*`|[\d_*|~^=<>{}\[\]\\/]+")


@dataclass(frozen=True)
class LanguageShares:
    """shares: language -> share of the rows that could be told, the largest first. told: rows that could be. rows: all
    that were looked at."""

    shares: dict[str, float]
    told: int
    rows: int

    @property
    def main(self) -> str | None:
        """The language of most rows; None where none has half of them, or too few rows could be told."""
        if not self.shares or self.told < min(self.rows, max(5, 0.2 * self.rows)):
            return None
        code, share = next(iter(self.shares.items()))
        return code if share >= 0.5 else None

    def described(self) -> str:
        """'German' or 'German (80 %) and English (20 %)'."""
        large = [(code, share) for code, share in self.shares.items() if share >= 0.1][:4]
        if len(large) == 1:
            return NAMES[large[0][0]]
        return " and ".join(f"{NAMES[code]} ({share:.0%})" for code, share in large)


def detect(texts: Sequence[str]) -> LanguageShares | None:
    """The languages of at most 300 texts, taken at even distances; None where they hold no words to tell it by."""
    places = np.linspace(0, max(0, len(texts) - 1), min(SAMPLE, len(texts))).astype(int)
    rows = [_words_of(texts[int(place)]) for place in places]
    rows = [row for row in rows if row]
    if not rows:
        return None
    identifier = _identifier()
    votes = Counter[str]()
    for row in rows:
        if _letters(row) >= _LETTERS and (len(row.split()) >= _WORDS or not row.isascii()):
            code, sure = identifier.classify(row)
            if sure >= _SURE:
                votes[code] += 1
    if votes.total() < max(3, 0.1 * len(rows)):  # labels, names, half sentences: together they say more
        together = " ".join(rows)[:4_000]
        code, sure = identifier.classify(together)
        if _letters(together) < 200 or sure < 0.8:
            return LanguageShares({}, 0, len(rows))
        votes = Counter({code: len(rows)})
    for code, other in _ALIKE.items():
        for rare, usual in ((code, other), (other, code)):
            if 0 < votes[rare] < 0.3 * votes[usual]:
                votes[usual] += votes.pop(rare)
    told = votes.total()
    return LanguageShares({code: number / told for code, number in votes.most_common() if number}, told, len(rows))


def _words_of(text: str) -> str:
    return " ".join(_NOISE.sub(" ", text[:2_000]).split())


def _letters(text: str) -> int:
    """Letters, one of a script without spaces for three."""
    return sum(3 if letter > "\u2e80" else 1 for letter in text if letter.isalpha())


@cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.set_languages([code for code in NAMES if code in identifier.nb_classes])
    return identifier
