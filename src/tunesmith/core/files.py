"""The one place that makes, writes, moves and deletes files; and reads those that Tunesmith wrote.

What is written is whole or absent: it goes into a file of a random name beside its place, which must be new and no
link, is fsynced, and renamed. So two writers never share a file, what a link points to is never written to, and only
what was made here is deleted. A test walks the syntax tree of the package: nothing else opens a file for writing.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import IO, Any

from tunesmith.core.errors import FolderError

_ASIDE = ".tunesmith-"
_DOCUMENT_BYTES = 256 << 20
_EXCLUSIVE = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
_REFUSED = (
    errno.EROFS, errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.ENOENT, errno.EIO,
    errno.EFBIG, errno.EILSEQ, errno.EINVAL,
)  # fmt: skip


# writing


@contextmanager
def new_file(
    path: Path, *, text: bool = False, newline: str | None = None, private: bool = True, durable: bool = True
) -> Iterator[IO[Any]]:
    """A file to write to (and read, and seek in) that becomes `path` when the block ends well, and is gone otherwise.

    A link at `path` is replaced, never followed. `private`: only the user may read it, else as their umask says.
    `durable`: it survives a power cut; caches need not. Raises OSError.
    """
    aside = beside(path)
    descriptor = os.open(aside, os.O_RDWR | _EXCLUSIVE, 0o600 if private else 0o666)
    try:
        with open(descriptor, "w+" if text else "w+b", encoding="utf-8" if text else None, newline=newline) as file:
            yield file
            file.flush()
            if durable:
                os.fsync(file.fileno())
        os.replace(aside, path)
        if durable:
            fsync_folder(path.parent)
    except BaseException:
        with suppress(OSError):
            os.unlink(aside)
        raise


@contextmanager
def new_folder(path: Path, *, private: bool = True, replace: bool = False) -> Iterator[Path]:
    """A folder of a random name beside `path` that becomes `path` when the block ends well, and is gone otherwise.

    For libraries that write to paths: nobody else can have put a link in there. With `replace` it takes the place of
    the folder (or link) that is there, which is deleted; without, FolderError when `path` is there and not empty.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = beside(path)
    os.mkdir(aside, 0o700)
    try:
        yield aside
        set_modes(aside, private=private)
        for file in sorted(aside.rglob("*")):
            (fsync_folder if file.is_dir() else fsync_file)(file)
        old = beside(path) if replace and os.path.lexists(path) else None
        if old is not None:
            os.rename(path, old)
        try:
            os.rename(aside, path)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise
            raise FolderError(f"The folder {path} is not empty.", "Give another one with --out.") from None
        if old is not None:
            remove(old)
        fsync_folder(path.parent)
    except BaseException:
        remove(aside)
        raise


def write_text(path: Path, text: str, *, private: bool = True) -> None:
    """Put `text` into `path` so that a reader, or a crash, never sees half of it."""
    with new_file(path, text=True, private=private) as file:
        file.write(text)


def write_bytes(path: Path, content: bytes) -> None:
    with new_file(path) as file:
        file.write(content)


def write_json(path: Path, value: object) -> None:
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n")


def open_in_place(path: Path, *, append: bool = False) -> IO[Any]:
    """A file that several processes or runs write to under its own name, as text: a lock, a log. Made when absent.

    Raises FolderError for a link (a hard one too: its other name is a file elsewhere), and for what is no file.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | (os.O_APPEND if append else 0)
    try:
        descriptor = os.open(path, flags, 0o600)
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENXIO, errno.EISDIR):
            raise
        raise _no_own_file(path) from None
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
        os.close(descriptor)
        raise _no_own_file(path)
    return open(descriptor, "a+" if append else "r+", encoding="utf-8", errors="replace")


def new_in_place(path: Path, *, text: bool = False) -> IO[Any]:
    """A new file under its own name, for what is read only once it is whole; what was there is unlinked."""
    with suppress(FileNotFoundError):
        os.unlink(path)
    descriptor = os.open(path, os.O_RDWR | _EXCLUSIVE, 0o600)
    return open(descriptor, "w+" if text else "w+b", encoding="utf-8" if text else None)


def append_bytes(path: Path) -> IO[bytes]:
    """A file that this process made with `new_in_place`, to add to."""
    return open(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC), "ab")


def _no_own_file(path: Path) -> FolderError:
    told = f"{path} is a link, or no file: writing to it would change something elsewhere."
    return FolderError(told, "Put a copy of the file in its place, or delete it.")


def own_folder(path: Path) -> Path:
    """Make the folder, or take the one that is there. Raises FolderError for a link to one elsewhere."""
    if path.is_symlink():
        raise _linked(path)
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def refuse_links(folder: Path) -> None:
    """Raises FolderError where something below `folder` is a link: what is written there would land elsewhere."""
    for path in folder.rglob("*"):
        if path.is_symlink():
            raise _linked(path)


def _linked(path: Path) -> FolderError:
    with suppress(OSError):
        path = Path(f"{path} -> {os.readlink(path)}")
    told = f"{path} is a link. A run writes into its own folder only."
    return FolderError(told, "Put the folder or file itself in the place of the link.")


@contextmanager
def scratch(inside: Path | None = None) -> Iterator[Path]:
    """A folder for what is needed only meanwhile; nobody else may read it, and it is gone after the block."""
    with TemporaryDirectory(prefix="tunesmith-", dir=inside, ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def unnamed_file(inside: Path | None = None, *, text: bool = False) -> IO[Any]:
    """A file without a name, for what is needed only meanwhile: it is gone with this process, however that ends."""
    return TemporaryFile("w+" if text else "w+b", dir=inside, encoding="utf-8" if text else None)


def nowhere() -> IO[str]:
    """A stream that is empty and takes everything."""
    return open(os.devnull, "r+", encoding="utf-8")


def beside(path: Path) -> Path:
    """A name that nobody can know beforehand, in the folder of `path`."""
    return path.parent / f"{_ASIDE}{secrets.token_hex(8)}.tmp"


def remove_leftovers(folder: Path) -> None:
    """Delete what writers of files in our `folder` left when they were killed. Its lock is held."""
    for path in folder.glob(f"{_ASIDE}*.tmp"):
        remove(path)


def remove(path: Path) -> None:
    """Delete a file, a link (not what it points to) or a folder with all that is in it; absent is fine."""
    with suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def remove_empty(folder: Path) -> None:
    """Delete a folder in which nothing is."""
    with suppress(OSError):
        folder.rmdir()


def move(path: Path, to: Path) -> None:
    """Rename within one file system; a file at `to` is replaced."""
    os.replace(path, to)


def copy_folder(path: Path, to: Path, *leave_out: str) -> None:
    """Copy what `path` holds into the folder `to`, which is new or empty; names that match `leave_out` stay behind."""
    shutil.copytree(path, to, ignore=shutil.ignore_patterns(*leave_out), dirs_exist_ok=True)


def copy_file(path: Path, to: Path) -> None:
    with open(path, "rb") as source, new_file(to) as file:
        shutil.copyfileobj(source, file)


def set_modes(folder: Path, *, private: bool) -> None:
    """One set of permissions for all that a library wrote: the user's alone, or as their umask says."""
    mask = 0o077 if private else _umask()
    folder.chmod(0o777 & ~mask)
    for path in folder.rglob("*"):
        if not path.is_symlink():
            path.chmod((0o777 if path.is_dir() else 0o666) & ~mask)


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def fsync_folder(folder: Path) -> None:
    """Make renames inside `folder` durable; it may be a link that the user set up."""
    _fsync(folder, os.O_DIRECTORY)


def fsync_file(path: Path) -> None:
    _fsync(path, os.O_NOFOLLOW)


def _fsync(path: Path, kind: int) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | kind)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_table(table: object, path: Path) -> None:
    """An Arrow table as Parquet file."""
    import pyarrow.parquet as pq

    with new_file(path) as file:
        pq.write_table(table, file)


@contextmanager
def written_to(path: Path) -> Iterator[None]:
    """Turn what the system says of a place that can not be written into FolderError: a full disk, a read-only one."""
    try:
        yield
    except OSError as error:
        if error.errno in DISK_FULL:
            told = f"{path} was not written: the disk is full ({error.strerror})."
            raise FolderError(told, "Free some space, or choose a place on another disk.") from error
        if error.errno not in _REFUSED:
            raise
        told = f"{path} can not be written: {error.strerror}."
        raise FolderError(told, "Choose a place where you may write.") from error


# reading


def open_regular(path: Path) -> IO[bytes]:
    """A file for reading. Raises OSError for a pipe, a device or a socket, which may never end, instead of waiting."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        kind = _KINDS.get(stat.S_IFMT(mode), "no file")
        raise OSError(errno.EINVAL, f"it is {kind}, and a file is needed", str(path))
    os.set_blocking(descriptor, True)
    return open(descriptor, "rb")


_KINDS = {
    stat.S_IFIFO: "a pipe (FIFO)", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device", stat.S_IFSOCK: "a socket",
}  # fmt: skip


def read_bytes(path: Path, limit: int = _DOCUMENT_BYTES) -> bytes:
    """The whole of a file that should be small. Raises OSError (what is no file, more than `limit` bytes)."""
    with open_regular(path) as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"it holds more than {limit:,} bytes", str(path))
    return content


def read_json(path: Path, kind: type = dict) -> Any:
    """The JSON object (or list) in a file that Tunesmith wrote. Raises FolderError where it is gone or damaged."""
    try:
        value = json.loads(read_bytes(path))
    except OSError as error:
        raise FolderError(f"{path} can not be read: {error.strerror}.", DAMAGED_FIX) from None
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise FolderError(f"{path} is damaged: {reason}.", DAMAGED_FIX) from None
    if not isinstance(value, kind):
        wanted, found = ("an object" if kind is dict else "a list"), type(value).__name__
        raise FolderError(f"{path} is damaged: expected {wanted} in JSON, found {found}.", DAMAGED_FIX)
    return value


DAMAGED_FIX = "Put the file back from a copy of the run; where there is none, run it again into another folder."


def sha256(path: Path) -> str:
    """Hex digest of a file's content."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]


@contextmanager
def full_disk_as_oserror() -> Iterator[None]:
    """safetensors and SQLite report a full disk (or quota) in errors of their own; make it the OSError that it is."""
    try:
        yield
    except Exception as error:
        code = next((n for n in DISK_FULL if f"os error {n}" in str(error)), None)
        if "database or disk is full" in str(error):
            code = errno.ENOSPC
        if code is None or isinstance(error, OSError):
            raise
        raise OSError(code, os.strerror(code)) from error


def folder_bytes(folder: Path) -> int:
    """Bytes of all files below `folder`."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
