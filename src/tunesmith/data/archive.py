"""A zip of a folder, unpacked into the user's cache: once, and nothing but plain files below that folder."""

from __future__ import annotations

import hashlib
import lzma
import os
import shutil
import stat
import time
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from tunesmith.core.cache import cache_folder
from tunesmith.core.errors import DataError, Problem
from tunesmith.core.files import beside, move, new_file, own_folder, remove
from tunesmith.data.folders import visible
from tunesmith.data.limits import MOST_UNPACKED

SUFFIXES = frozenset({".zip"})
_SMALL = 1 << 30  # bytes unpacked that no ratio is asked of
_MOST_FILES = 2_000_000
_KEPT_SECONDS = 30 * 86_400
"""How long an archive that nobody asks for stays unpacked."""
_BUFFER = 1 << 20
_FIX = "If you trust it, unpack it yourself and give the folder."


def unpacked(path: Path) -> Path:
    """The folder with what a zip holds, without what systems leave in archives. Raises DataError for one that is no
    zip, damaged or encrypted, or that holds links, names that lead elsewhere, or far more than its size."""
    found = path.stat()
    key = hashlib.sha256(f"{path.resolve()}\0{found.st_size}\0{found.st_mtime_ns}".encode()).hexdigest()[:20]
    home = own_folder(cache_folder() / "unpacked")
    folder = home / f"{key}-{path.name}"  # people are told paths below it
    if folder.is_dir():
        os.utime(folder)
        return folder
    _remove_old(home)
    aside = beside(folder)
    aside.mkdir(mode=0o700)
    try:
        with zipfile.ZipFile(path) as archive:
            _unpack(archive, path, found.st_size, aside)
        if folder.is_dir():  # another process was faster
            remove(aside)
        else:
            move(aside, folder)
    except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, EOFError, ValueError) as error:
        remove(aside)
        reason = str(error).rstrip(".") or type(error).__name__
        raise DataError(Problem(f"this is no whole zip: {reason}", str(path)), "Pack it again.") from error
    except BaseException:
        remove(aside)
        raise
    return folder


def _unpack(archive: zipfile.ZipFile, path: Path, size: int, folder: Path) -> None:
    own = [one for one in archive.infolist() if _own(one)]
    members = [one for one in own if not one.is_dir()]
    _refuse(members, path, size, folder)
    empty = [one for one in own if one.is_dir() and _parts(one)]
    _refuse(empty, path, size, folder)
    for one in empty:  # a class without a picture is told of
        folder.joinpath(*_parts(one)).mkdir(mode=0o700, parents=True, exist_ok=True)
    left = max(_SMALL, MOST_UNPACKED * size)
    for member in members:
        target = folder.joinpath(*_parts(member))
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            with archive.open(member) as source, new_file(target, durable=False) as file:
                while chunk := source.read(_BUFFER):
                    left -= len(chunk)
                    if left < 0:  # whatever its table says
                        raise DataError(_bomb(path), _FIX)
                    file.write(chunk)
        except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, RuntimeError, EOFError, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise DataError(Problem(f"{member.filename} in it is damaged: {error}", str(path)), "Pack it again.") from (
                error
            )


def _refuse(members: list[zipfile.ZipInfo], path: Path, size: int, folder: Path) -> None:
    """Raises DataError for names and numbers that no archive of data has."""
    bad = []
    for member in members:
        parts = _parts(member)
        kind = stat.S_IFMT(member.external_attr >> 16)
        if not parts or ".." in parts or member.filename.startswith("/") or "\\" in member.filename or ":" in parts[0]:
            bad.append(f"{member.filename!r} in it leads to a place elsewhere")
        elif kind not in (0, stat.S_IFDIR if member.is_dir() else stat.S_IFREG):
            bad.append(f"{member.filename!r} in it is a link, or no file")
        elif member.flag_bits & 1:
            bad.append(f"{member.filename!r} in it is encrypted")
    if bad:
        raise DataError([Problem(message, str(path)) for message in bad[:100]], _FIX)
    if len({_parts(member) for member in members}) < len(members):
        raise DataError(Problem("it holds two files of one name", str(path)), _FIX)
    whole = sum(member.file_size for member in members)
    if len(members) > _MOST_FILES or whole > max(_SMALL, MOST_UNPACKED * size):
        raise DataError(_bomb(path), _FIX)
    free = shutil.disk_usage(folder).free
    if whole > free:
        problem = Problem(
            f"it holds {whole / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free in {folder.parent}", str(path)
        )
        raise DataError(problem, "Free some space, or unpack it yourself on another disk and give the folder.")


def _bomb(path: Path) -> Problem:
    return Problem(f"it unpacks to more than {MOST_UNPACKED} times its size, as a trap would", str(path))


def _own(member: zipfile.ZipInfo) -> bool:
    """Whether it is the user's file and no system's."""
    return all(part == ".." or visible(part) for part in _parts(member))


def _parts(member: zipfile.ZipInfo) -> tuple[str, ...]:
    return PurePosixPath(member.filename).parts


def _remove_old(home: Path) -> None:
    for folder in home.iterdir():
        if time.time() - folder.stat().st_mtime > _KEPT_SECONDS:
            remove(folder)
