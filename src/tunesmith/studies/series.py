"""What the refining verbs share: a split made once, a folder that can be gone on with, a budget."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tunesmith.core import registry
from tunesmith.core.errors import DataError, FolderError, ModelError, OptionError
from tunesmith.core.events import Emit, Evaluated, Event, Phase
from tunesmith.core.files import own_folder, read_json, remove, write_json, write_text
from tunesmith.core.renamed import given_words
from tunesmith.core.run import RunFolder, is_run
from tunesmith.core.spec import RunSpec, Words
from tunesmith.evaluate import refine_report
from tunesmith.runs.family import family_named, family_of
from tunesmith.runs.protocols import Launcher
from tunesmith.runs.shared_split import SharedSplit
from tunesmith.runs.train import Run, make_spec, resume, train

# the budget


@dataclass(frozen=True)
class Budget:
    """How long a refinement may go on: a number of trials, or seconds of this machine."""

    trials: int | None = None
    seconds: float | None = None

    def __str__(self) -> str:
        return f"{self.trials} trial{'s' * (self.trials > 1)}" if self.trials else f"{self.seconds:.0f} s"


_UNITS = {"s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_HOW = "Expected a time such as 30m, 2h or 1h30m, a number such as '20 trials', or money such as $5."


def parse_budget(text: str | Budget, price_per_hour: float | None = None) -> Budget:
    """'30m', '2h', '1h30m', '20 trials', or '$5' at `price_per_hour`. Raises OptionError."""
    if isinstance(text, Budget):
        return text
    given = str(text).strip().lower()
    if found := re.fullmatch(r"(\d+)\s*(?:trials?|steps?|runs?)", given):
        if not int(found[1]):
            raise OptionError(f"--budget {text}: at least one trial is needed.", _HOW)
        return Budget(trials=int(found[1]))
    if found := re.fullmatch(r"\$\s*(\d+(?:\.\d+)?)", given):
        if not price_per_hour or price_per_hour <= 0:
            raise OptionError(
                f"--budget {text}: money needs to know what an hour of this machine costs.",
                "Add --price-per-hour, such as --price-per-hour 1.20.",
            )
        seconds = 3600 * float(found[1]) / price_per_hour
    else:
        parts = re.findall(r"(\d+(?:\.\d+)?)\s*([a-z]+)", given)
        if not parts or re.sub(r"(\d+(?:\.\d+)?)\s*([a-z]+)\s*", "", given) or any(u not in _UNITS for _, u in parts):
            raise OptionError(f"--budget {text}: this is no time and no number of trials.", _HOW)
        seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if seconds <= 0:
        raise OptionError(f"--budget {text}: expected more than nothing.", _HOW)
    return Budget(seconds=seconds)


# the split


def make_split(data: object, folder: Path, words: Words) -> SharedSplit:
    """Read, clean and split `data` as `train` would, and write each part to a file of its own in `folder`.

    Rows of one (near-identical) text and of one `group` are on one side, as in every run. Raises DataError,
    OptionError.
    """
    spec, source = make_spec(data, words)
    return family_named(family_of(spec, source)).make_split(source, spec, folder)


def fitting(words: Words, method: str) -> Words:
    """The words with `method`, without the options that only other methods have."""
    own = registry.get("methods", method).Options.model_fields
    others = {f for plugin in registry.usable("methods").values() for f in plugin.Options.model_fields}
    return {**{k: v for k, v in words.items() if k in own or k not in others}, "method": method}


# the folder


def listed(names: str | Sequence[str] | None) -> list[str] | None:
    """One name or several as a list."""
    return [names] if isinstance(names, str) else None if names is None else list(names)


def _named(data: object) -> str:
    """How a request names its data."""
    if not isinstance(data, str | Path):
        return "(in memory)"
    return str(Path(data).expanduser().resolve()) if Path(data).expanduser().exists() else str(data)


@dataclass(frozen=True)
class Study:
    """Several runs under way: their folder, what was asked of them all, and where they take place."""

    path: Path
    data: object
    words: Words
    launcher: Launcher

    @property
    def spec(self) -> RunSpec:
        """The words as one, with its data found from anywhere."""
        return make_spec(self.data, self.words)[0].model_copy(update={"data": _named(self.data)})

    def make_split(self) -> SharedSplit:
        return make_split(self.data, self.path / "data", self.words)

    def run(self, name: str, words: Words) -> Run:
        """The run of that name below the folder: as it is where it is finished, else gone on with or trained."""
        return run_once(self.path / name, words, self.launcher)

    def publish(self, name: str, document: Words) -> None:
        """Write the document of the study as `name`.json, with the data that was asked for, and as its page."""
        document["data"] = _named(self.data)
        write_json(self.path / f"{name}.json", document)
        write_text(self.path / "report.html", refine_report.PAGES[name](document))


_BEFORE_WORK = {".lock", "request.json", "data"}
"""What is in the folder while nothing was trained or measured yet."""


@contextmanager
def open_study(out: str | Path, data: object, words: Words, launcher: str, **asked: object) -> Iterator[Study]:
    """The locked folder of several runs, new or to be gone on with.

    `data`, `words` (None is not given) and `asked`, with "verb", are what must be the same for that. Raises
    OptionError (see `launcher_of`), FolderError where another request, or something else, is in the folder, or another
    process works there.
    """
    path, study = Path(out), Study(Path(out), data, given_words(words), launcher_of(launcher))
    request = {"data": _named(data), "words": study.words, **asked}
    asked = json.loads(json.dumps(request, default=str, sort_keys=True))
    note = path / "request.json"
    if path.exists() and (not path.is_dir() or (any(path.iterdir()) and not note.exists())):
        raise FolderError(f"--out {path} holds something else.", "Choose another --out, or delete it.")
    made = not path.exists()
    path.parent.mkdir(parents=True, exist_ok=True)
    own_folder(path)
    with RunFolder(path).lock():
        begun = note.exists()
        if not begun:
            write_json(note, asked)
        before = read_json(note)
        if changed := sorted(name for name in {*before, *asked} if before.get(name) != asked.get(name)):
            raise FolderError(
                f"--out {path} holds another {before.get('verb', 'request')}: it differs in {', '.join(changed)}.",
                "Ask for the same to go on with it, or choose another --out.",
            )
        try:
            yield study
        except (DataError, ModelError, OptionError):
            if not begun and {part.name for part in path.iterdir()} <= _BEFORE_WORK:
                # refused before any work: the name is free for the next try
                for part in [path] if made else list(path.iterdir()):
                    remove(part)
            raise


@dataclass(frozen=True)
class Series:
    """What several runs say together, as `document`, and the finished runs."""

    path: Path
    document: Words
    runs: list[Run]

    @property
    def mean(self) -> dict[str, float]:
        return dict(self.document["mean"])

    @property
    def spread(self) -> dict[str, float]:
        """Standard deviation over the runs."""
        return dict(self.document["spread"])


def launcher_of(name: str) -> Launcher:
    """Raises OptionError with the nearest name."""
    try:
        launcher: Launcher = registry.get("launchers", name)()
    except OptionError as error:
        raise OptionError(f"--launcher {name}: {error.message}", error.fix) from None
    return launcher


def run_once(path: Path, words: Words, launcher: Launcher) -> Run:
    """The run at `path`: as it is where it is finished, gone on with where it was begun, else trained."""
    if not (is_run(path) and RunFolder.open(path).result.exists()):
        launcher.launch(f"{__name__}:train_at", {"out": str(path), "words": words}, path.with_name(f"{path.name}.log"))
    return Run(path)


def train_at(job: Words, emit: Emit) -> None:
    """Go on with the run at job["out"] where it was begun; else train it with job["words"]."""
    path = Path(job["out"])
    if is_run(path):
        resume(path, listeners=[emit])
        return
    remove(path)
    train(out=path, listeners=[emit], **job["words"])


# a run that is only a trial


class TrialEnds(Exception):
    """Raised by a listener to leave a run that has told enough. Not an error of the run."""

    def __init__(self, why: str):
        self.why = why
        super().__init__(why)


@dataclass
class Trial:
    """What a run on train and validation came to: the best evaluation, and how long it took."""

    value: float | None = None
    loss: float | None = None
    step: int = 0
    seconds: float = 0.0
    why: str = ""


class Watch:
    """A listener that ends a run before it is measured on its test part. `watch.trial` is what it saw."""

    def __init__(self, metric: str):
        self.metric = metric
        self.trial = Trial()

    def __call__(self, event: Event) -> None:
        if isinstance(event, Evaluated) and event.best:
            self.trial.value, self.trial.loss = event.metrics.get(self.metric), event.metrics["loss"]
            self.trial.step = event.step
        if isinstance(event, Phase) and event.phase == "evaluate" and event.seconds is None:
            raise TrialEnds("done")


def try_out(words: Words, folder: Path, watch: Watch, launcher: Launcher) -> Trial:
    """Train with `words` up to the best checkpoint, leave out the rest, and remove the folder.

    Raises what `train` raises.
    """
    remove(folder)
    started = time.monotonic()
    job = {"out": str(folder), "words": words}
    try:
        launcher.launch(f"{__name__}:train_at", job, folder.with_name(f"{folder.name}.log"), watch)
    except TrialEnds as end:
        watch.trial.why = end.why
    finally:
        watch.trial.seconds = round(time.monotonic() - started, 3)
        remove(folder)
    return watch.trial
