"""Which encoding the bytes of a text file are in: UTF-8, another one, or two at once. Knows lines, no rows."""

from __future__ import annotations

import codecs
import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from typing import BinaryIO

from tunesmith.core.errors import DataError, Problem
from tunesmith.data.latin import latin_encoding
from tunesmith.data.repair import WESTERN, high_bytes, lines, mostly_bad

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig", "UTF-8 with a byte order mark"),
    (codecs.BOM_UTF32_LE, "utf-32", "UTF-32, by its byte order mark"),
    (codecs.BOM_UTF32_BE, "utf-32", "UTF-32, by its byte order mark"),
    (codecs.BOM_UTF16_LE, "utf-16", "UTF-16, by its byte order mark"),
    (codecs.BOM_UTF16_BE, "utf-16", "UTF-16, by its byte order mark"),
)
BOMS = tuple(bom for bom, _, _ in _BOMS)

_C1 = bytes(range(0x80, 0xA0))  # printable in cp1252, control characters in Latin-1
_OTHER_SCRIPT_SHARE = 0.1
# Encodings of other scripts; charset-normalizer may name one of them, if it also knows the language.
_BY_THE_BYTE = ("cp1251", "koi8_r", "cp1253", "cp1255", "cp1256", "cp874")
_BY_TWO_BYTES = ("gb18030", "big5", "shift_jis", "euc_jp", "euc_kr", "cp949")
_OTHER_SCRIPTS = (*_BY_THE_BYTE, *_BY_TWO_BYTES)

_WIDE, _NARROW = re.compile("[\u0800-\U0010ffff]"), re.compile("[\u0080-\u07ff]")
# 'é' or a dash in UTF-8; no text in cp1252 has the bytes of it, but for capitals before a quotation mark
_WESTERN = re.compile("(?<![A-Z\u00c0-\u00de])[\u00a0-\u00ff\u2010-\u203a\u20ac\u2122]")
_SCRIPTS = tuple((name, re.compile(letters)) for name, letters in (
    ("cp1252", "[\u00c0-\u00ff\u2010-\u203a]"), ("cp1250", "[\u0100-\u017f]"), ("cp1251", "[\u0400-\u04ff]"),
    ("cp1253", "[\u0370-\u03ff]"), ("cp1255", "[\u0590-\u05ff]"), ("cp1256", "[\u0600-\u06ff]"),
    ("cp874", "[\u0e00-\u0e7f]"), ("shift_jis", "[\u3040-\u30ff]"), ("cp949", "[\uac00-\ud7a3]"),
    ("gb18030", "[\u4e00-\u9fff]"),
))  # fmt: skip
# encoding, letters of its script, letters that are common in its languages, and their least share
_KANA, _HAN = "\u3041-\u3096\u30a1-\u30fc", "\u3000-\u303f\u4e00-\u9fff\uff00-\uff60"
_TELLING = (
    ("cp1255", "\u05b0-\u05ea", "\u05d0\u05d4\u05d5\u05d9\u05dc", 0.33),
    ("cp1251", "\u0400-\u045f", "оеаи", 0.28), ("koi8_r", "\u0400-\u045f", "оеаи", 0.28),
    ("iso8859_5", "\u0400-\u045f", "оеаи", 0.28), ("cp866", "\u0400-\u045f", "оеаи", 0.28),
    ("cp1253", "\u0386-\u03ce", "\u03b1\u03bf\u03b5\u03b9\u03c4", 0.3),
    ("cp874", "\u0e01-\u0e5b", "\u0e32\u0e19\u0e23\u0e2d\u0e01\u0e40\u0e07\u0e48\u0e49", 0.28),
    ("cp1256", "\u0600-\u06ff", "\u0627\u0644\u064a\u0645", 0.28),
    ("shift_jis", _KANA + _HAN, _KANA, 0.2), ("euc_jp", _KANA + _HAN, _KANA, 0.2),
    ("cp949", "\uac00-\ud7a3", "\uac00-\ud7a3", 0.8), ("gb18030", _HAN, "的了是不我一有在人这", 0.03),
    ("big5", _HAN, "的了是不我一有在人這", 0.03),
)  # fmt: skip
_HEBREW_END = re.compile("[\u05da\u05dd\u05df\u05e3\u05e5](?=[\u05d0-\u05ea])")  # letters for the end of a word
_CESU = re.compile(rb"\xed[\xa0-\xaf][\x80-\xbf]\xed[\xb0-\xbf][\x80-\xbf]")
"""A sign beyond the first 65,536, each half of it in UTF-8, as some databases and Java write it."""
_UTF16 = re.compile(rb"(?:[\x20-\x7e]\x00){8}|(?:\x00[\x20-\x7e]){8}")
_ONE_BYTE = re.compile(rb"[\t\n\r\x20-\x7e]{64}")
"""Read as UTF-16 these would be Chinese, chosen by accident letter for letter."""
_FIX_JOINED = "Save both parts as UTF-8, then join them."
_LOOKED_AT = 1_000
_ENOUGH = 4  # weight from which a line that decodes as UTF-8 does so by no accident
_ACCIDENTS = 0.01  # of lines of two-byte encodings
_SHOWN_LINES = 20
_SAMPLE = 100_000


@dataclass(frozen=True)
class Encoding:
    """name: for `open`. why: the reason if it is not plain UTF-8, else None. bad_lines: lines (from 1) with bytes that
    are not of it, read as `other` (None: each as U+FFFD)."""

    name: str
    why: str | None
    bad_lines: tuple[int, ...] = ()
    other: str | None = None


@dataclass
class _Survey:
    """The lines of a file that is not valid as a whole: which are, beyond doubt, and which are not."""

    good: list[int] = field(default_factory=list)
    mostly: list[int] = field(default_factory=list)  # of the bad ones, those that are UTF-8 but for some bytes
    bad: list[int] = field(default_factory=list)
    letters: Counter[str] = field(default_factory=Counter)  # of the good lines, by encoding that has them
    whole: bytes = b""  # bad lines that hold no UTF-8 beside
    shown: list[tuple[int, bytes]] = field(default_factory=list)
    sample: bytes = b""
    ends_cut: bool = False


@dataclass(frozen=True)
class Source:
    """The bytes of a file: its name, how to open it, its first bytes, and whether there is a zero byte in it and all of
    it is valid UTF-8."""

    name: str
    open: Callable[[], BinaryIO]
    head: bytes
    nul: bool
    utf8: bool


def find_encoding(source: Source, asked: str | None, errors: str) -> Encoding:
    """How to decode the file. asked: the encoding that the user names; errors: 'strict', 'repair' or 'replace'.

    Raises DataError, naming lines, for a file that is UTF-8 but for some bytes, for two encodings in one file, and for
    bytes that the encoding asked for does not have.
    """
    for bom, name, why in _BOMS:
        if source.head.startswith(bom) and (asked is None or name.startswith(asked.replace("_", "-"))):
            return _checked(source, name, why, errors)
    if asked is not None:
        return _checked(source, asked, "as asked for", errors)
    if source.nul and (without_bom := utf16_without_bom(source.head)):
        return _checked(source, without_bom, "every second byte is zero", errors)
    if source.nul:
        _refuse_joined_utf16(source)
    if source.utf8:
        return Encoding("utf-8", None)
    survey = _survey(source, "utf-8")
    other = _other_script(survey.sample)
    if not (survey.good or survey.mostly):
        return _other_encoding(source, survey, other)
    # a two-byte encoding has pairs that are UTF-8 by accident
    rare = len(survey.good) <= _ACCIDENTS * len(survey.bad)
    if rare and other in _BY_TWO_BYTES and first_fault(source, other or "") is None:
        return _other_encoding(source, survey, other)
    return _broken_utf8(source, survey, other, errors)


def utf16_without_bom(head: bytes) -> str | None:
    if 0 not in head[:64]:  # something else was joined to the end of it
        return None
    even, odd = head[0::2].count(0), head[1::2].count(0)
    half = max(1, len(head) // 2)
    if odd > 0.4 * half and even < 0.05 * half:
        return "utf-16-le"
    if even > 0.4 * half and odd < 0.05 * half:
        return "utf-16-be"
    return None


def holds_utf16(head: bytes) -> bool:
    """Whether there is text in UTF-16 somewhere in these bytes."""
    return _UTF16.search(head) is not None


def _refuse_joined_utf16(source: Source) -> None:
    """Raises DataError, with the line, where UTF-16 begins in a file that is not UTF-16 as a whole."""
    with closing(source.open()) as file:
        for number, line in enumerate(lines(file), 1):
            if holds_utf16(line):
                message = "two encodings in one file: from here on it is UTF-16, before it is not"
                raise DataError(Problem(message, source.name, line=number), fix=_FIX_JOINED)


def _refuse_joined_bytes(source: Source) -> None:
    """Raises DataError, with the place, where text of one byte a letter stands in UTF-16."""
    before, place = b"", 0
    with closing(source.open()) as file:
        while chunk := file.read(1 << 20):
            if found := _ONE_BYTE.search(before + chunk):
                start = place - len(before) + found.start() + 1
                shown = found[0][:30].decode().strip()
                message = f"two encodings in one file: UTF-16, and from byte {start:,} on ({shown!r}) another"
                raise DataError(Problem(message, source.name), fix=_FIX_JOINED)
            before, place = chunk[-64:], place + len(chunk)


def first_fault(source: Source, encoding: str) -> str | None:
    """Why the file can not be decoded so; None if it can."""
    decoder = codecs.getincrementaldecoder(encoding)("strict")
    try:
        with closing(source.open()) as file:
            while chunk := file.read(1 << 20):
                decoder.decode(chunk)
        decoder.decode(b"", True)
    except UnicodeError as error:
        return getattr(error, "reason", str(error))
    return None


def _survey(source: Source, encoding: str) -> _Survey:
    survey, line = _Survey(), b""
    with closing(source.open()) as file:
        for number, line in enumerate(lines(file), 1):
            if line.isascii():
                continue
            try:
                text = line.decode(encoding)
            except UnicodeError:
                survey.bad.append(number)
                if encoding == "utf-8" and _is_mostly_utf8(line):
                    survey.mostly.append(number)
                if len(survey.shown) < _SHOWN_LINES:
                    survey.shown.append((number, line))
                if len(survey.sample) < _SAMPLE:
                    survey.sample += line
                    survey.whole += line if mostly_bad(line) else b""
                continue
            many, few = len(_WIDE.findall(text)), len(_NARROW.findall(text))
            if 2 * many + few >= _ENOUGH or _WESTERN.search(text):
                survey.good.append(number)
                if len(survey.good) <= _LOOKED_AT:
                    survey.letters.update(
                        {name: len(found) for name, sign in _SCRIPTS if (found := sign.findall(text))}
                    )
    survey.ends_cut = bool(survey.bad) and survey.shown[-1][1] == line and _bad_byte(line)[2]
    return survey


def _is_mostly_utf8(line: bytes) -> bool:
    """Whether a line is UTF-8 beyond doubt but for some bytes: a whole document can stand in one line."""
    if _CESU.search(line):
        return True
    text = line.decode("utf-8", "ignore")
    many, few = len(_WIDE.findall(text)), len(_NARROW.findall(text))
    return 3 * many + 2 * few >= 0.8 * high_bytes(line) and 2 * many + few >= _ENOUGH


def _other_encoding(source: Source, survey: _Survey, other: str | None) -> Encoding:
    number, line = survey.shown[0]
    because = f"byte 0x{_bad_byte(line)[1]:02x} in line {number} is not UTF-8"
    if other is not None and first_fault(source, other) is None:
        return Encoding(other, f"{because}, and the text reads well in {other}")
    latin = latin_encoding(survey.sample)
    if latin is not None and first_fault(source, latin[0]) is None:
        why = f"and the letters are those of {latin[1]}; --encoding cp1252 reads it as Western European"
        return Encoding(latin[0], f"{because}, {why}")
    if not _has_c1(source):
        return Encoding("latin-1", f"{because}, and all others fit Latin-1 (Western European)")
    if first_fault(source, "cp1252") is not None:
        return Encoding("latin-1", f"{because}, and not every byte has a meaning in cp1252")
    return Encoding("cp1252", f"{because}, and all others fit cp1252 (Windows, Western European)")


def _has_c1(source: Source) -> bool:
    with closing(source.open()) as file:
        chunks = iter(lambda: file.read(1 << 20), b"")
        return any(len(chunk.translate(None, delete=_C1)) < len(chunk) for chunk in chunks)


def _broken_utf8(source: Source, survey: _Survey, other: str | None, errors: str) -> Encoding:
    legacy = other or _legacy(survey)
    if errors == "strict":
        raise _refusal(source.name, survey, legacy)
    taken = legacy if errors == "repair" else None
    how = f"are read as {taken}" if taken else "become U+FFFD"
    why = f"UTF-8 but for {_counted(survey.bad)}, whose other bytes {how}"
    return Encoding("utf-8", why, tuple(survey.bad), taken)


def _legacy(survey: _Survey) -> str | None:
    """The encoding that people write the script of the good lines in, if the bad ones fit it: nothing but single bytes
    of it among UTF-8 says so only of a Western one."""
    if any(_CESU.search(line) for _, line in survey.shown):
        return None
    name = survey.letters.most_common(1)[0][0] if survey.letters else "cp1252"
    if not survey.whole:
        return name if name in WESTERN else None
    try:
        survey.whole.decode(name)
    except UnicodeDecodeError:
        return None
    return name


def _refusal(path: str, survey: _Survey, legacy: str | None) -> DataError:
    if survey.ends_cut and len(survey.bad) == 1:
        message = "the file ends in the middle of a character (UTF-8): it was cut"
        return DataError(Problem(message, path, line=survey.bad[0]), fix="Copy, download or export it again.")
    repair = (
        f"--encoding-errors repair reads those bytes as {legacy}" if legacy
        else "--encoding-errors replace puts the sign U+FFFD in their place"
    )  # fmt: skip
    fix = f"Save the file again as UTF-8 (all of it). To read it as it is, {repair}, and counts the rows."
    whole = f" If all of it has one encoding, name it: --encoding {legacy or 'NAME'}."
    if len(survey.bad) > len(survey.good) > 0:
        what = f"UTF-8 in {_counted(survey.good)}, and {len(survey.bad)} other lines read"
        message = f"two encodings in one file: {what}{f' as {legacy}' if legacy else ''}"
        return DataError(Problem(message, path, line=survey.good[0]), fix=fix + whole)
    if len(survey.bad) > _SHOWN_LINES and survey.good:
        what = f"{len(survey.good)} lines hold UTF-8, and {_counted(survey.bad)} do not"
        message = f"two encodings in one file: {what}{f' (they read as {legacy})' if legacy else ''}"
        return DataError(Problem(message, path, line=survey.bad[0]), fix=fix)
    rest = "--encoding utf-8 asks for it"
    if survey.good or survey.mostly:
        rest = "the other lines of the file are UTF-8" if survey.good else "the rest of the line is UTF-8"
    problems = []
    for number, line in survey.shown:
        place, byte, _ = _bad_byte(line)
        before = line[:place].decode("utf-8")[-30:].lstrip()
        behind = f", behind {before!r}" if before else ""
        message = f"the byte 0x{byte:02x} is not UTF-8{behind}, and {rest}"
        problems.append(Problem(message, path, line=number))
    return DataError(problems, fix=fix)


def _checked(source: Source, name: str, why: str | None, errors: str) -> Encoding:
    """An encoding that is known, and not guessed. Raises DataError, with the line where that can be told."""
    fault = first_fault(source, name)
    if name.startswith(("utf-16", "utf_16")):
        _refuse_joined_bytes(source)
    if fault is None:
        return Encoding(name, why)
    if name in ("utf-8", "utf-8-sig"):
        survey = _survey(source, "utf-8")
        return replace(_broken_utf8(source, survey, _other_script(survey.sample), errors), name=name)
    whole = Problem(f"the text is not valid {name}: {fault}", source.name)
    if name.startswith(("utf-16", "utf-32", "utf_16", "utf_32")):
        raise DataError(whole, fix="Save the file again as UTF-8.")
    survey = _survey(source, name)
    if errors != "strict":
        return Encoding(name, f"{why}; {_counted(survey.bad)} with other bytes: U+FFFD", tuple(survey.bad))
    problems = [Problem(f"this line is not {name}: {fault}", source.name, line=number) for number, _ in survey.shown]
    fix = "Leave --encoding out to have it found, or read the file with --encoding-errors replace."
    raise DataError(problems or whole, fix)


def _other_script(sample: bytes) -> str | None:
    """The encoding, if charset-normalizer is sure that the text is not Western European."""
    if high_bytes(sample) < _OTHER_SCRIPT_SHARE * len(sample):
        return None
    fits: dict[str, float] = {}
    for name, letters, common, share in _TELLING:
        with suppress(UnicodeDecodeError):
            fits[name] = _reads_well(sample.decode(name), letters, common) / share
    if fits and max(fits.values()) > 1:
        return max(fits, key=lambda name: fits[name])
    from charset_normalizer import from_bytes

    best = from_bytes(sample, cp_isolation=[*_OTHER_SCRIPTS, "cp1252", "latin_1"]).best()
    if best is None or best.encoding not in _OTHER_SCRIPTS or best.coherence < 0.3:
        return None
    return str(best.encoding)


def _reads_well(text: str, letters: str, common: str) -> float:
    """The share of letters that are common in the language, where what is not ASCII are `letters` nearly all; else 0.
    In short texts, and beside much ASCII, charset-normalizer takes one language for another."""
    swapped = sum(left.islower() and right.isupper() for left, right in itertools.pairwise(text))
    text = text.lower()
    found = re.findall(f"[{letters}]", text)
    others = len(text) - sum(map(str.isascii, text)) - len(found)
    in_words = sum(map(len, re.findall(f"[{letters}]{{3,}}", text)))
    mixed = others >= 0.25 * len(found) or in_words <= 0.6 * len(found) or 15 * swapped > len(found)
    return 0.0 if mixed or _HEBREW_END.search(text) else len(re.findall(f"[{common}]", text)) / len(found)


def _bad_byte(line: bytes) -> tuple[int, int, bool]:
    """Place and value of the first byte that is not UTF-8, and whether the line ends in the middle of a character."""
    try:
        line.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start, line[error.start], error.reason == "unexpected end of data"
    return 0, line[0], False


def _counted(lines: Iterable[int]) -> str:
    """'line 5', 'lines 3-7, 12': at most ten runs."""
    runs: list[list[int]] = []
    for number in lines:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    told = [str(first) if first == last else f"{first}-{last}" for first, last in runs[:10]]
    more = f" and {len(runs) - 10} more runs" if len(runs) > 10 else ""
    one = len(runs) == 1 and runs[0][0] == runs[0][1]
    return f"line{'s' * (not one)} {', '.join(told)}{more}"
