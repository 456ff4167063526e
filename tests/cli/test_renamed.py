"""Options under their names of the version before: flags, keys of YAML and arguments are taken, and it is said."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tunesmith.core.errors import OptionError
from tunesmith.core.renamed import RenamedWarning
from tunesmith.core.run import RunFolder
from tunesmith.core.spec import RunSpec
from tunesmith.runs.train import spec_of
from tunesmith.studies.space import derive

OLD = {"thaw": "stall", "kept_share": 0.5}
NEW = {"unfreeze": "stall", "frozen_share": 0.5}


def test_arguments_are_taken_and_said() -> None:
    with pytest.warns(RenamedWarning) as said:
        assert spec_of("a.csv", OLD).options == NEW
    assert [str(one.message) for one in said] == [
        f"{old} is called {new} now; the old name goes on working for one version."
        for old, new in zip(OLD, NEW, strict=True)
    ]
    assert spec_of("a.csv", {**NEW, "thaw": None}).options == NEW


def test_both_names_are_one_too_many() -> None:
    with pytest.raises(OptionError, match="'thaw' is the old name of 'unfreeze', and both are given"):
        spec_of("a.csv", OLD | NEW)


def test_a_file_is_read_and_a_run_of_before_without_a_word(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text("data: a.csv\nmethod: gradual\nthaw: stall\nkept_share: 0.5\n")
    with pytest.warns(RenamedWarning):
        assert RunSpec.load(tmp_path / "spec.yaml").options == NEW
    assert RunFolder(tmp_path).load_spec().options == NEW
    with pytest.warns(RenamedWarning):
        merged = spec_of(tmp_path / "spec.yaml", {"kept_share": 0.25})
    assert merged.options == NEW | {"frozen_share": 0.25}


def test_a_space_to_search_is_taken() -> None:
    with pytest.warns(RenamedWarning, match="kept_share is called frozen_share"):
        space = derive({}, {"kept_share": [0.0, 0.5]}, ["gradual"], "text-classification")
    assert space.settings["gradual"] == {"frozen_share": (0.0, 0.5)}


@pytest.mark.filterwarnings("always")
def test_a_flag_is_noted_without_a_place_in_the_code(run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def shown(*about: Any, **_: Any) -> None:
        sys.stderr.write(warnings.formatwarning(*about[:4]))

    monkeypatch.setattr(warnings, "showwarning", shown)
    said = run("train", "nothing.csv", "--set", "thaw=stall")
    assert said.code == 2
    assert "note: thaw is called unfreeze now; the old name goes on working for one version.\n" in said.stderr
