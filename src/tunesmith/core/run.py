"""The run folder: where everything that happened lies, and who may write there."""

from __future__ import annotations

import fcntl
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tunesmith.core import events, files
from tunesmith.core.errors import FolderError, did_you_mean
from tunesmith.core.renamed import RenamedWarning
from tunesmith.core.spec import RunSpec


def is_run(path: Path) -> bool:
    """Whether `path` is a run folder, finished or not."""
    return (path / "spec.yaml").exists()


def locate(path: str | os.PathLike[str]) -> Path:
    """`path`, or where nothing lies there and it is a bare name, the run of that name below `runs`."""
    path = Path(path)
    below = Path("runs") / path
    return below if len(path.parts) == 1 and not path.exists() and is_run(below) else path


def results_folder(out: str | os.PathLike[str] | None, data: object, what: str) -> Path:
    """Where the results of several runs on `data` go: `out`, or when none is given runs/<name>-<what>."""
    if out is not None:
        return Path(out)
    name = Path(str(data).rstrip("/")).name.split(".")[0] if isinstance(data, str | Path) else "data"
    return Path("runs") / f"{name}-{what}"


class RunFolder:
    """Paths of one run. Knows names and states, nothing of training.

    `status` is 'finished' only when `result.json` exists, which is written last.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.spec = self.path / "spec.yaml"
        self.events = self.path / "events.jsonl"
        self.data = self.path / "data"
        self.cache = self.path / "cache"
        self.checkpoints = self.path / "checkpoints"
        self.model = self.path / "model"
        self.metrics = self.path / "metrics.json"
        self.predictions = self.path / "predictions.parquet"
        self.report = self.path / "report.html"
        self.tensorboard = self.path / "tensorboard"
        self.result = self.path / "result.json"
        self._before: set[Path] | None = None  # with `create`: what was there before it

    @property
    def name(self) -> str:
        return self.path.resolve().name

    @classmethod
    def create(cls, out: str | Path | None, data_name: str) -> RunFolder:
        """A fresh folder: `out`, or `runs/<data name>-0001` counted up. Raises FolderError."""
        path = Path(out) if out is not None else _next_free(Path("runs"), data_name)
        refuse_used(path)
        run = cls(path)
        run._before = {one for one in (path, *path.parents, *path.rglob("*")) if one.exists()}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            for folder in (path, run.data, run.checkpoints):
                files.own_folder(folder)
            files.open_in_place(path / ".lock").close()
        except OSError as error:
            run.abandon()
            told = f"Can not write to the folder {path}: {error.strerror}."
            raise FolderError(told, "Choose a folder that you may write to with --out.") from None
        return run

    def abandon(self) -> None:
        """Delete what was put there since `create`, and nothing that was there before it."""
        before = self._before or set()
        below = sorted(self.path.rglob("*"), key=lambda path: len(path.parts), reverse=True)
        for path in below:
            if path not in before and (path.is_symlink() or not path.is_dir()):
                files.remove(path)
        for folder in [*(path for path in below if path.is_dir()), self.path, *self.path.parents]:
            if folder not in before:
                files.remove_empty(folder)

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> RunFolder:
        """An existing run, by its path or its name below `runs`. Raises FolderError, with the nearest run's name."""
        folder = cls(locate(path))
        if not folder.spec.exists():
            siblings = [str(run.path) for run in list_runs(folder.path.parent)]
            hint = did_you_mean(str(folder.path), siblings) if siblings else "`tunesmith runs` lists the runs."
            what = "holds no run (no spec.yaml)" if folder.path.exists() else "does not exist"
            raise FolderError(f"The run folder {folder.path} {what}.", hint)
        return folder

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder for one process; the kernel lets go when that process dies.

        Raises FolderError when another one holds it, and for links in it, through which it would write elsewhere.
        """
        try:
            opened = files.open_in_place(self.path / ".lock")
        except OSError as error:
            fix = "A run writes into its own folder: make it writable, or copy it to where you may write."
            raise FolderError(f"Can not write to the folder {self.path}: {error.strerror}.", fix) from None
        with opened as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                owner = file.read(200).strip() or "another process"
                told = f"The run folder {self.path} is in use by {owner}."
                raise FolderError(told, "Wait until it ends, or choose another --out.") from None
            files.refuse_links(self.path)
            files.remove_leftovers(self.path)
            file.truncate(0)
            file.write(f"process {os.getpid()}")
            file.flush()
            yield

    def begun(self) -> bool:
        """Whether there is a checkpoint, or what was one."""
        return self.checkpoints.is_dir() and any(self.checkpoints.iterdir())

    def load_spec(self) -> RunSpec:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RenamedWarning)  # nobody is to change what was written then
            return RunSpec.load(self.spec)

    def load_metrics(self) -> dict[str, Any]:
        """The metrics document. Raises FolderError when the run has none yet."""
        if not self.metrics.exists():
            told = f"The run {self.path} has no metrics yet ({self.status()})."
            raise FolderError(told, f"Finish it with `tunesmith resume {self.path}`.")
        return files.read_json(self.metrics)

    def status(self) -> str:
        """'finished', 'running', 'failed', 'paused' or 'stopped' (killed, resumable)."""
        if self.result.exists():
            return "finished"
        if self._locked():
            return "running"
        last = [r["event"] for r in events.read(self.events) if r.get("event") in ("started", "failed", "paused")]
        return last[-1] if last and last[-1] != "started" else "stopped"

    def _locked(self) -> bool:
        try:
            with files.open_regular(self.path / ".lock") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False


def list_runs(root: str | Path = "runs") -> list[RunFolder]:
    """All runs directly below `root`, oldest first."""
    folder = Path(root)
    if not folder.is_dir():
        return []
    found = [RunFolder(path) for path in folder.iterdir() if is_run(path)]
    return sorted(found, key=lambda run: (run.spec.stat().st_mtime, run.name))


def refuse_used(path: Path) -> None:
    """Raises FolderError for a folder that a new run can not have."""
    if path.exists() and not path.is_dir():
        raise FolderError(f"--out {path} is a file; expected a folder that does not exist yet.")
    if path.exists() and not _untouched(path):
        used = RunFolder(path)
        fix = (
            f"Continue it with `tunesmith resume {path}`, or choose another --out."
            if used.spec.exists() and not used.result.exists()
            else "Choose another --out, or delete the folder."
        )
        raise FolderError(f"The folder {path} is already used.", fix)


def _untouched(folder: Path) -> bool:
    """Empty, or left by a process that died before it wrote anything. A link is something."""
    return not any(
        path for path in folder.rglob("*") if path.is_symlink() or (path != folder / ".lock" and not path.is_dir())
    )


def _next_free(root: Path, data_name: str) -> Path:
    stem = re.sub(r"[^a-z0-9]+", "-", data_name.lower()).strip("-") or "run"
    taken = [int(m[1]) for p in root.glob(f"{stem}-*") if (m := re.fullmatch(rf"{stem}-(\d+)", p.name))]
    return root / f"{stem}-{max(taken, default=0) + 1:04d}"
