"""The rows that a spec names, prepared for what it asks."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tunesmith.core.errors import DataError
from tunesmith.core.events import Emit, ignore
from tunesmith.core.options import pick
from tunesmith.core.run import locate
from tunesmith.core.spec import RunSpec
from tunesmith.data.prepare import prepare
from tunesmith.data.prepared import PreparedData
from tunesmith.data.textfile import is_file_of
from tunesmith.data.types import ReadOptions, SplitOptions, ValueOptions
from tunesmith.runs import choose

T = TypeVar("T")


def split_options(spec: RunSpec, **changed: float) -> SplitOptions:
    """How the spec divides its data, with some of that changed. Raises OptionError."""
    return pick(SplitOptions, {**spec.options, **changed})


def read_options(words: Mapping[str, object], default: ReadOptions | None = None) -> ReadOptions:
    """The options of reading among these words; `default` where they have none. Raises OptionError."""
    given = {name: value for name, value in words.items() if value is not None}
    usual = {} if default is None else default.model_dump(exclude_defaults=True)
    return pick(ReadOptions, {**usual, **given})


@dataclass(frozen=True)
class OtherData:
    """Data that a finished model is asked about, and how its files are read."""

    data: object
    usual: ReadOptions
    """As asked for, else as the data of the run."""
    asked: ReadOptions

    def read(self, reader: Callable[[ReadOptions], T]) -> T:
        """With `usual`; where that refuses what only the run asks for, with none of its own. Raises DataError."""
        try:
            return reader(self.usual)
        except DataError:
            if self.usual != self.asked:
                with suppress(DataError):
                    return reader(self.asked)
            raise


def other_data(run: object, data: object, words: Mapping[str, object]) -> OtherData:
    """`data` for the model of `run` (a path, a Run; of a loaded model nothing is known), read as `words` say, else as
    the run's own files were, where that fits the file. Raises OptionError."""
    asked = read_options(words)
    spec = locate(run) / "spec.yaml" if isinstance(run, str | os.PathLike) else None
    if spec is None or not spec.exists():
        return OtherData(data, asked, asked)
    usual = read_options(RunSpec.load(spec).options)
    if usual.encoding is not None and not is_file_of(data, usual.encoding):
        usual = usual.model_copy(update={"encoding": None})
    return OtherData(data, read_options(words, usual), asked)


def read(source: object, spec: RunSpec, cache: Path, *, emit: Emit = ignore, **split: float) -> PreparedData:
    """The prepared rows of `source`; `split` changes options of the split. Raises DataError, OptionError."""
    modalities, others = choose.modalities_for(spec.task)
    return prepare(
        source, validation=spec.validation, test=spec.test, text=spec.text, target=spec.target,
        modalities=modalities, others=others, kinds=choose.kinds_for(spec.task),
        features=spec.options.get("features"),
        options=split_options(spec, **split), reading=read_options(spec.options),
        values=pick(ValueOptions, spec.options), seed=spec.seed, emit=emit, cache_dir=cache,
    )  # fmt: skip
