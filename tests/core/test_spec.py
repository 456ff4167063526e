"""The words of a run: what has two names, and what is written down."""

from __future__ import annotations

import pytest

from tunesmith.core.errors import OptionError
from tunesmith.core.spec import RunSpec


def test_what_is_read_may_be_called_input() -> None:
    spec = RunSpec.make({"data": "a.csv", "input": "photo"})
    assert spec.text == ["photo"]
    assert RunSpec.make(spec.words()) == spec
    with pytest.raises(OptionError, match="Both 'text' and 'input'"):
        RunSpec.make({"data": "a.csv", "input": "photo", "text": "caption"})
