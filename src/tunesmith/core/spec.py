"""RunSpec: what a run is asked to do, as one flat set of words.

The same words are CLI flags, YAML keys and Python arguments. `RunSpec` holds what every run has;
the options of the chosen task, method, engine and split travel in `options` and are validated by
the part that declares them (`core.options.resolve`). In YAML they stand beside the others, flat.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError, field_validator

from tunesmith.core import renamed
from tunesmith.core.errors import DataError, OptionError, Problem
from tunesmith.core.files import read_bytes
from tunesmith.core.options import Options, describe_faults, read_yaml

Words = dict[str, Any]
"""Plain values by name: what is asked of a run, or a document about it."""
_MOST_BYTES = 1 << 20


def _holds_nul(value: object) -> bool:
    if isinstance(value, list | tuple):
        return any(map(_holds_nul, value))
    return isinstance(value, str) and "\0" in value


class RunSpec(Options):
    data: str
    """Training data: a file, a folder, or a hub id."""
    validation: str | None = None
    """Validation data of your own; otherwise a part of the training data is held out."""
    test: str | None = None
    """Test data of your own; otherwise a part of the training data is held out."""
    text: list[str] | None = None
    """Name of the text column (two names for pairs of texts), or of what else is read (then also `input`). Guessed when
    not given."""
    target: list[str] | None = None
    """Name of the column to learn (several for one 0/1 column per label). Guessed when not given."""
    task: str = "auto"
    """What is learned: a name from `tunesmith tasks`, or auto."""
    model: str = "auto"
    """The base model: a name from `tunesmith models`, a hub id, a local folder, PACKAGE:FUNCTION for a network of your
    own, timm:NAME, or auto."""
    method: str = "auto"
    """Which weights move: a name from `tunesmith methods`, or auto."""
    effort: Literal["quick", "better", "best"] | None = None
    """How far to go for quality where the method is not given: quick (a linear head on the frozen base, seconds),
    better (the base is fine-tuned where that pays), best (several methods, the best on validation rows)."""
    callbacks: list[str] = Field(default=["early-stopping", "tensorboard"])
    """What happens around the training steps."""
    retain: list[str] | None = None
    """What must not be forgotten: files of labelled rows, or earlier runs. It is measured before and after."""
    continue_from: str | None = None
    """An earlier run whose model is the base; what it learned is retained."""
    forget_at_most: float | None = Field(default=None, ge=0)
    """Most that may be lost of what is retained (of its first metric); training is gentler until that holds."""
    goal: str | None = None
    """What is good enough, such as accuracy>=0.95: the verdict says whether the test rows reach it."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """Seed of the split, the order of rows, new weights and dropout."""
    options: dict[str, Any] = Field(default={})
    """Options of task, method, engine and split, by name."""

    @field_validator("text", "target", "retain", mode="before")
    @classmethod
    def _as_list(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value

    @field_validator("callbacks")
    @classmethod
    def _once(cls, value: list[str]) -> list[str]:
        """What is named twice would act twice."""
        return list(dict.fromkeys(value))

    @field_validator("retain", "continue_from")
    @classmethod
    def _absolute(cls, value: Any) -> Any:
        """Paths that still mean the same when the run is resumed from elsewhere."""
        if value is None:
            return None
        paths = [Path(name).expanduser() for name in ([value] if isinstance(value, str) else value)]
        found = [str(path.resolve()) if path.exists() else str(path) for path in paths]
        return found[0] if isinstance(value, str) else found

    @classmethod
    def make(cls, words: Mapping[str, object]) -> RunSpec:
        """From flat words: what RunSpec knows is its own, the rest are options. Raises OptionError."""
        given = {name: _plain(value) for name, value in words.items()}
        if (column := given.pop("input", None)) is not None:  # what is read, where it is no text
            if given.get("text") is not None:
                raise OptionError("Both 'text' and 'input' name the column that is read.", "Leave one of them out.")
            given["text"] = column
        own = {name: value for name, value in given.items() if name in cls.model_fields}
        others = {name: value for name, value in given.items() if name not in cls.model_fields}
        inner = own.get("options", {})
        if not isinstance(inner, Mapping):
            raise OptionError(f"Option 'options': expected 'name: value' lines, got a {type(inner).__name__}.")
        options = {**inner, **others}
        own["options"] = renamed.given_words(options) if renamed.OPTIONS.keys() & options.keys() else options
        for name, value in words.items():
            if _holds_nul(value):
                raise OptionError(f"Option {name!r} holds a NUL character (a zero byte), which no name can hold.")
        try:
            return cls(**own)
        except ValidationError as error:
            raise OptionError("\n".join(describe_faults(error, cls))) from None

    @classmethod
    def load(cls, path: Path) -> RunSpec:
        """From a YAML file. Raises DataError for a file that is no YAML mapping, OptionError for its words."""
        try:
            words = read_yaml(read_bytes(path, _MOST_BYTES).decode())
        except OSError as error:
            problem = Problem(f"can not be read: {error.strerror}", file=str(path))
            raise DataError(problem, "Give the spec.yaml of a run, or one that you wrote.") from None
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            reason = str(error) if len(str(error)) < 1_000 else f"{str(error)[:1_000]} ..."
            raise DataError(Problem(f"not valid YAML: {reason}", file=str(path))) from None
        if not isinstance(words, dict):
            problem = Problem("expected 'name: value' lines, as in the spec.yaml of a run", file=str(path))
            raise DataError(problem)
        try:
            return cls.make({str(name): value for name, value in words.items()})
        except OptionError as error:
            raise OptionError(f"{path}: {error.message}", error.fix) from None

    def words(self) -> dict[str, Any]:
        """The flat words again: `RunSpec.make(spec.words()) == spec`."""
        own = self.model_dump(exclude={"options"})
        return {**own, **self.options}

    def dump(self) -> str:
        """YAML text of the flat words."""
        return yaml.safe_dump(self.words(), sort_keys=False, allow_unicode=True)


def _plain(value: object) -> object:
    """As it would stand in a spec file: the name of a path or a run, Python's own numbers and lists."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "tolist") and hasattr(value, "ndim"):  # numpy's and pandas' values, such as df.columns
        return value.tolist()
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value
