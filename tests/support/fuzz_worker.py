"""A process of its own in which cases are tried one after another: it may hang, die or fill its memory.

Forked, so that a case costs what it does and not the start of Python. An audit hook notes each file that is opened
for writing, moved or deleted outside the folder of the case.
"""

from __future__ import annotations

import faulthandler
import gc
import json
import os
import resource
import select
import shutil
import signal
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

SECONDS = 10
MEMORY = 1 << 30
"""Bytes of address space that a case may take beyond those of the worker when it begins."""

Case = tuple[str, Any]
_WRITES = {"os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate", "shutil.rmtree",
           "os.chmod", "shutil.move"}  # fmt: skip


class Worker:
    """`worker.run(case)` gives None for a case that went well or was refused in words, else what was wrong."""

    def __init__(self, kinds: dict[str, Callable[[Path, Any], Any]], home: Path, seconds: int = SECONDS):
        self._kinds, self._home, self._seconds = kinds, home, seconds
        self._pid = 0

    def run(self, case: Case) -> str | None:
        if not self._pid:
            self._start()
        os.write(self._to, len(line := json.dumps(case).encode()).to_bytes(8, "big") + line)
        ready, _, _ = select.select([self._from], [], [], self._seconds + 5)
        answer = _read(self._from) if ready else b""
        if answer:
            return str(json.loads(answer)) if answer != b"null" else None
        if not ready:
            os.kill(self._pid, signal.SIGKILL)
        status = self._end()
        late = not ready or status == signal.SIGALRM
        return f"no answer within {self._seconds} s" if late else f"the process died (status {status})"

    def close(self) -> None:
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
            self._end()

    def _end(self) -> int:
        _, status = os.waitpid(self._pid, 0)
        os.close(self._to)
        os.close(self._from)
        self._pid = 0
        return status

    def _start(self) -> None:
        from_parent, self._to = os.pipe()
        self._from, to_parent = os.pipe()
        self._pid = os.fork()
        if self._pid:
            os.close(from_parent)
            os.close(to_parent)
            return
        try:
            self._serve(from_parent, to_parent)
        finally:
            os._exit(1)

    def _serve(self, source: int, target: int) -> None:
        import torch

        torch.set_num_threads(1)
        faulthandler.disable()
        signal.signal(signal.SIGALRM, signal.SIG_DFL)  # what a runner of tests made of it is for its own process
        for mine in (self._to, self._from):  # the parent's ends: once it is gone there is nothing more to read
            os.close(mine)
        nowhere = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(nowhere, number)
        sys.stdout = sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
        warnings.simplefilter("ignore")
        gc.freeze()  # what was there before the fork is never looked through again
        outside: list[str] = []
        inside = (str(self._home), os.devnull, "/dev/", "/proc/")

        def watch(event: str, arguments: tuple[Any, ...]) -> None:
            if any(isinstance(one, int) and one >= 0 for one in arguments[1:]) and event != "open":
                return  # relative to a folder that is open, as shutil.rmtree deletes; that says its folder itself
            if event == "open":
                writes = isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
                places = arguments[:1] if writes else ()
            else:
                places = arguments[:2] if event in _WRITES else ()
            for place in places:
                if isinstance(place, str | bytes | os.PathLike):
                    path = os.path.abspath(os.fsdecode(place))
                    if not path.startswith(inside) and "__pycache__" not in path:
                        outside.append(f"{event} {path}")

        sys.addaudithook(watch)
        while case := _read(source):
            outside.clear()
            found = self._try(*json.loads(case))
            if found is None and outside:
                found = f"files touched outside: {outside[:3]}"
            line = json.dumps(found).encode()
            os.write(target, len(line).to_bytes(8, "big") + line)
        os._exit(0)

    def _try(self, kind: str, content: Any) -> str | None:
        from tunesmith.core.errors import UsageError

        folder = Path(tempfile.mkdtemp(dir=self._home))
        tempfile.tempdir = str(folder)
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, resource.RLIM_INFINITY))
        try:
            signal.alarm(self._seconds)
            self._kinds[kind](folder, content)
        except UsageError as error:
            return None if str(error).strip() else "an error without words"
        except BaseException as error:
            return "".join(traceback.format_exception(error))[-3_000:]
        finally:
            signal.alarm(0)
            resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            shutil.rmtree(folder, ignore_errors=True)
        return None


def _read(descriptor: int) -> bytes:
    """One message; b"" at the end."""
    size = os.read(descriptor, 8)
    if len(size) < 8:
        return b""
    left, parts = int.from_bytes(size, "big"), []
    while left and (part := os.read(descriptor, min(left, 1 << 20))):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)
