"""The rows that a spec names, prepared for what it asks."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from tunesmith.core.events import Emit, ignore
from tunesmith.core.options import resolve
from tunesmith.core.spec import RunSpec
from tunesmith.data.prepare import prepare
from tunesmith.data.prepared import PreparedData
from tunesmith.data.types import SplitOptions
from tunesmith.workflows import choose


def split_options(spec: RunSpec, **changed: Any) -> SplitOptions:
    """How the spec divides its data, with some of that changed. Raises OptionError."""
    given = {name: value for name, value in spec.options.items() if name in SplitOptions.model_fields}
    return cast(SplitOptions, resolve({**given, **changed}, {"split": SplitOptions})["split"])


def read(source: Any, spec: RunSpec, cache: Path, *, emit: Emit = ignore, **split: Any) -> PreparedData:
    """The prepared rows of `source`; `split` changes options of the split. Raises DataError, OptionError."""
    return prepare(
        source, validation=spec.validation, test=spec.test, text=spec.text, target=spec.target,
        kinds=choose.kinds_for(spec.task), options=split_options(spec, **split), seed=spec.seed, emit=emit,
        cache_dir=cache,
    )  # fmt: skip
