"""Opens a text file as text: gz, encoding, binary files in disguise. Knows nothing of rows or cells."""

from __future__ import annotations

import codecs
import gzip
import io
import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from tunesmith.core.errors import DataError, Problem
from tunesmith.data.encoding import BOMS, Source, find_encoding, first_fault, holds_utf16, utf16_without_bom
from tunesmith.data.limits import open_counted
from tunesmith.data.repair import Repaired
from tunesmith.data.types import ReadOptions

_CHUNK = 1 << 20

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
    (b"\x93NUMPY", "an array of numpy"),
    (b"\x89HDF", "an HDF5 file"),
    (b"Obj\x01", "an Avro file"),
    (b"ORC", "an ORC file"),
    *((b"\x80" + bytes([protocol]), "a pickle, which can run any code when it is opened") for protocol in range(2, 6)),
)


@dataclass(frozen=True)
class TextFile:
    """A file that can be read as text.

    encoding: name for `open`; has_nul: a NUL character stands somewhere in the text; why: the reason for an encoding
    that is not plain UTF-8, else None; asked: the encoding was named, and not found out. bad_lines: lines (from 1) with
    bytes that are not of the encoding, which are read as `other`, or as U+FFFD.
    """

    path: Path
    encoding: str
    gz: bool
    has_nul: bool
    why: str | None
    errors: str = "strict"
    asked: bool = False
    bad_lines: tuple[int, ...] = ()
    other: str | None = None

    @property
    def guessed(self) -> bool:
        """Whether the bytes fit several encodings, so that the one taken may be wrong."""
        return not self.asked and not self.encoding.startswith("utf")

    def open(self) -> TextIO:
        """The text, with line ends as they stand in the file."""
        if self.bad_lines and self.encoding.startswith("utf-8"):
            repaired = io.BufferedReader(Repaired(open_counted(self.path, self.gz), self.other))
            return io.TextIOWrapper(repaired, encoding=self.encoding, newline="")
        errors = "replace" if self.bad_lines else self.errors
        return io.TextIOWrapper(open_counted(self.path, self.gz), encoding=self.encoding, errors=errors, newline="")


@dataclass
class _Scan:
    head: bytes
    blank: bool = True
    nul: bool = False
    utf8: bool = True


def inspect(path: Path, options: ReadOptions | None = None, blank_is_fine: bool = False) -> TextFile:
    """Read the whole file and decide how to decode it.

    Raises DataError for an empty file, a damaged gz, a binary file, for UTF-8 with some bytes that are not, and for two
    encodings in one file.
    """
    options = options or ReadOptions()
    gz = _is_gz(path)
    try:
        scan = _scan(path, gz)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        problem = Problem(f"the gz file is cut short or damaged ({error})", str(path))
        raise DataError(problem, fix="Copy or download it again, then check it with: gzip -t FILE") from error
    _refuse_binary(path, scan, options.encoding is not None)
    if scan.blank and not blank_is_fine:
        raise DataError(Problem("the file is empty", file=str(path)), fix="Give a file that has rows in it.")
    source = Source(str(path), lambda: open_counted(path, gz), scan.head, scan.nul, scan.utf8)
    found = find_encoding(source, options.encoding, options.encoding_errors)
    return TextFile(
        path, found.name, gz, scan.nul and not found.name.startswith(("utf-16", "utf-32")), found.why,
        asked=options.encoding is not None, bad_lines=found.bad_lines, other=found.other,
    )  # fmt: skip


def _is_gz(path: Path) -> bool:
    with open_counted(path, packed=False) as file:
        return file.read(2) == b"\x1f\x8b"


def _scan(path: Path, gz: bool) -> _Scan:
    decoder = codecs.getincrementaldecoder("utf-8")("strict")
    scan = _Scan(head=b"")
    with open_counted(path, gz) as file:
        while True:
            chunk = file.read(_CHUNK)
            scan.head = scan.head or chunk[: 1 << 16]
            scan.blank = scan.blank and not chunk.strip(b"\xef\xbb\xbf\xff\xfe\x00 \t\r\n")
            scan.nul = scan.nul or b"\0" in chunk
            if scan.utf8:
                try:
                    decoder.decode(chunk, final=not chunk)
                except UnicodeDecodeError:
                    scan.utf8 = False
            if not chunk:
                return scan


def _refuse_binary(path: Path, scan: _Scan, asked: bool) -> None:
    for magic, kind in _MAGIC:
        if scan.head.startswith(magic):
            problem = Problem(f"this is {kind}, not a text file, whatever its name says", str(path))
            raise DataError(problem, fix="Export the table as CSV (UTF-8), or give the file its real suffix.")
    if asked or scan.head.startswith(BOMS):
        return
    controls = sum(scan.head.count(byte) for byte in range(32) if byte not in (9, 10, 11, 12, 13, 27))
    wide = utf16_without_bom(scan.head) or holds_utf16(scan.head)
    if controls > 0.1 * len(scan.head) and not wide:
        problem = Problem("this is a binary file of an unknown kind, not a text file", str(path))
        raise DataError(problem, fix="Export the table as CSV (UTF-8).")


def is_file_of(path: object, encoding: str) -> bool:
    """Whether this names a file that is no valid UTF-8, and can be read in the encoding."""
    if not isinstance(path, str | os.PathLike) or not Path(path).is_file():
        return False
    gz = _is_gz(Path(path))
    source = Source(str(path), lambda: open_counted(Path(path), gz), b"", False, False)
    return first_fault(source, "utf-8") is not None and first_fault(source, encoding) is None


def read_text(path: Path, options: ReadOptions | None = None) -> str:
    """The text of a small file, line ends as \\n; '' if it is blank. Raises DataError if it is binary."""
    with inspect(path, options, blank_is_fine=True).open() as stream:
        return io.StringIO(stream.read(), newline=None).read()
