"""preview: what a model would learn of a row, token by token."""

from __future__ import annotations

import os
from typing import Any

from tunesmith.families.generative.preview import Preview, previewed


def preview(
    data: object, *, model: str | os.PathLike[str], row: int | None = 1, task: str = "auto",
    template: str | None = None, max_length: int | None = None, **options: Any,
) -> Preview:  # fmt: skip
    """One row of conversations (or all: None) as the model would learn it, token by token.

    `options` are the task's, such as overflow. Raises DataError, ModelError, OptionError.
    """
    words = {"row": row, "task": task, "template": template, "max_length": max_length, **options}
    return Preview(list(previewed(data, model=os.fspath(model), **words)))
