"""Opens a text file as text: gz, encoding, binary files in disguise. Knows nothing of rows or cells."""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TextIO, cast

from tunesmith.core.errors import DataError, Problem

_CHUNK = 1 << 20
_GZIP = b"\x1f\x8b"

_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"%PDF-", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive (an Excel .xlsx is one too)"),
    (b"\xd0\xcf\x11\xe0", "an old Office document (.xls, .doc)"),
    (b"PAR1", "a Parquet file"),
    (b"ARROW1", "an Arrow file"),
    (b"SQLite format 3", "an SQLite database"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ", "an xz archive"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"RIFF", "a RIFF (WAV, AVI, WebP) file"),
    (b"\x7fELF", "a program"),
)

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig", "UTF-8 with a byte order mark"),
    (codecs.BOM_UTF32_LE, "utf-32", "UTF-32, by its byte order mark"),
    (codecs.BOM_UTF32_BE, "utf-32", "UTF-32, by its byte order mark"),
    (codecs.BOM_UTF16_LE, "utf-16", "UTF-16, by its byte order mark"),
    (codecs.BOM_UTF16_BE, "utf-16", "UTF-16, by its byte order mark"),
)

# Bytes that mean printable characters in cp1252 and control characters in Latin-1.
_C1 = bytes(range(0x80, 0xA0))
_OTHER_SCRIPT_SHARE = 0.1
# Encodings of other scripts; charset-normalizer may name one of them, if it also knows the language.
_OTHER_SCRIPTS = (
    "cp1251", "koi8_r", "cp1253", "cp1255", "cp1256", "cp874",
    "gb18030", "big5", "shift_jis", "euc_jp", "euc_kr", "cp949",
)  # fmt: skip


@dataclass(frozen=True)
class TextFile:
    """A file that can be read as text.

    encoding: name for `open`; has_nul: a NUL character stands somewhere in the text; why: the reason
    for an encoding that is not plain UTF-8, else None.
    """

    path: Path
    encoding: str
    gz: bool
    has_nul: bool
    why: str | None
    errors: str = "strict"

    @property
    def guessed(self) -> bool:
        """Whether the bytes fit several encodings, so that the one taken may be wrong."""
        return not self.encoding.startswith("utf")

    def open(self) -> TextIO:
        """The text, with line ends as they stand in the file."""
        if self.gz:
            return cast(TextIO, gzip.open(self.path, "rt", encoding=self.encoding, errors=self.errors, newline=""))
        return open(self.path, encoding=self.encoding, errors=self.errors, newline="")


@dataclass
class _Scan:
    head: bytes
    size: int = 0
    blank: bool = True
    nul: bool = False
    c1: bool = False
    bad: tuple[int, int] | None = None  # offset and value of the first byte that is not UTF-8
    around_bad: bytes = b""


def inspect(path: Path, blank_is_fine: bool = False) -> TextFile:
    """Read the whole file once and decide how to decode it.

    Raises DataError for an empty file, a damaged gz, a binary file, or text no encoding fits.
    """
    gz = _starts_with(path, _GZIP)
    try:
        scan = _scan(path, gz)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(
            Problem(f"the gz file is cut short or damaged ({error})", file=str(path)),
            fix="Copy or download it again, then check it with: gzip -t FILE",
        ) from error
    _refuse_binary(path, scan)
    if scan.blank and not blank_is_fine:
        raise DataError(Problem("the file is empty", file=str(path)), fix="Give a file that has rows in it.")
    encoding, why = _encoding(path, scan)
    return TextFile(path, encoding, gz, scan.nul and not encoding.startswith(("utf-16", "utf-32")), why)


def open_binary(path: Path, gz: bool) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path, "rb")) if gz else open(path, "rb")


def _starts_with(path: Path, magic: bytes) -> bool:
    with open(path, "rb") as file:
        return file.read(len(magic)) == magic


def _chunks(path: Path, gz: bool) -> Iterator[bytes]:
    with open_binary(path, gz) as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def _scan(path: Path, gz: bool) -> _Scan:
    decoder = codecs.getincrementaldecoder("utf-8")("strict")
    scan = _Scan(head=b"")
    for chunk in _chunks(path, gz):
        scan.head = scan.head or chunk[: 1 << 16]
        scan.blank = scan.blank and not chunk.strip(b"\xef\xbb\xbf\xff\xfe\x00 \t\r\n")
        scan.nul = scan.nul or b"\0" in chunk
        if scan.bad is None:
            _decode(decoder, chunk, scan)
        if scan.bad is not None and not scan.c1:
            scan.c1 = len(chunk.translate(None, delete=_C1)) < len(chunk)
        scan.size += len(chunk)
    if scan.bad is None:
        _decode(decoder, b"", scan, final=True)
    return scan


def _decode(decoder: codecs.IncrementalDecoder, chunk: bytes, scan: _Scan, final: bool = False) -> None:
    held = len(decoder.getstate()[0])
    try:
        decoder.decode(chunk, final)
    except UnicodeDecodeError as error:
        scan.bad = (scan.size - held + error.start, error.object[error.start])
        scan.around_bad = bytes(error.object[max(0, error.start - 20_000) : error.start + 100_000])


def _refuse_binary(path: Path, scan: _Scan) -> None:
    for magic, kind in _MAGIC:
        if scan.head.startswith(magic):
            raise DataError(
                Problem(f"this is {kind}, not a text file, whatever its name says", file=str(path)),
                fix="Export the table as CSV (UTF-8), or give the file its real suffix.",
            )
    if any(scan.head.startswith(bom) for bom, _, _ in _BOMS):
        return
    controls = sum(scan.head.count(byte) for byte in range(32) if byte not in (9, 10, 11, 12, 13, 27))
    if controls > 0.1 * len(scan.head) and _utf16_without_bom(scan.head) is None:
        raise DataError(
            Problem("this is a binary file of an unknown kind, not a text file", file=str(path)),
            fix="Export the table as CSV (UTF-8).",
        )


def _encoding(path: Path, scan: _Scan) -> tuple[str, str | None]:
    for bom, name, why in _BOMS:
        if scan.head.startswith(bom):
            _check_decodes(path, name)
            return name, f"{why}"
    if scan.nul and (name_without_bom := _utf16_without_bom(scan.head)):
        _check_decodes(path, name_without_bom)
        return name_without_bom, "every second byte is zero"
    if scan.bad is None:
        return "utf-8", None
    offset, value = scan.bad
    because = f"byte 0x{value:02x} at offset {offset} is not UTF-8"
    other = _other_script(scan.around_bad)
    if other is not None and _fault(path, other) is None:
        return other, f"{because}, and the text reads well in {other}"
    if not scan.c1:
        return "latin-1", f"{because}, and all others fit Latin-1 (Western European)"
    if _fault(path, "cp1252") is not None:
        return "latin-1", f"{because}, and not every byte has a meaning in cp1252"
    return "cp1252", f"{because}, and all others fit cp1252 (Windows, Western European)"


def _utf16_without_bom(head: bytes) -> str | None:
    even, odd = head[0::2].count(0), head[1::2].count(0)
    half = max(1, len(head) // 2)
    if odd > 0.4 * half and even < 0.05 * half:
        return "utf-16-le"
    if even > 0.4 * half and odd < 0.05 * half:
        return "utf-16-be"
    return None


def _other_script(sample: bytes) -> str | None:
    """The encoding, if charset-normalizer is sure that the text is not Western European."""
    from charset_normalizer import from_bytes

    high = len(sample) - len(sample.translate(None, delete=bytes(range(0x80, 0x100))))
    if high < _OTHER_SCRIPT_SHARE * len(sample):
        return None

    best = from_bytes(sample, cp_isolation=[*_OTHER_SCRIPTS, "cp1252", "latin_1"]).best()
    if best is None or best.encoding not in _OTHER_SCRIPTS or best.coherence < 0.3:
        return None
    return str(best.encoding)


def _check_decodes(path: Path, encoding: str) -> None:
    fault = _fault(path, encoding)
    if fault is not None:
        raise DataError(
            Problem(f"the text is not valid {encoding}: {fault}", file=str(path)),
            fix="Save the file again as UTF-8.",
        )


def _fault(path: Path, encoding: str) -> str | None:
    """Why the file can not be decoded so; None if it can."""
    decoder = codecs.getincrementaldecoder(encoding)("strict")
    try:
        for chunk in _chunks(path, _starts_with(path, _GZIP)):
            decoder.decode(chunk)
        decoder.decode(b"", True)
    except UnicodeDecodeError as error:
        return error.reason
    return None


def read_text(path: Path) -> str:
    """The text of a small file, line ends as \\n; '' if it is blank. Raises DataError if it is binary."""
    with inspect(path, blank_is_fine=True).open() as stream:
        return io.StringIO(stream.read(), newline=None).read()
