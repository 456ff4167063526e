"""What the version before left: runs are shown, and gone on with where that is the same training; models load."""

from __future__ import annotations

import hashlib
import json
import shutil
import warnings
from pathlib import Path

import pytest
import yaml

import tunesmith
from tunesmith.core import renamed
from tunesmith.core.errors import RunFailed
from tunesmith.core.run import RunFolder
from tunesmith.core.spec import RunSpec
from tunesmith.runs.identity import identity

EARLIER = Path(__file__).parent / "earlier"
"""spec.yaml of two runs, as it was written then."""
SPECS = {
    "gradual": "43f87366f0ac73db8474531f3a167dbea399ed466b89b8f4cf9ab7cd860c9a1c",
    "chat": "5d77c789aaf38c682f335b39c76b74215094370704175f93a67e7e9f51c9978e",
}
"""And what its checkpoints then called it."""


@pytest.mark.parametrize("name", SPECS)
def test_checkpoints_of_the_version_before_are_known_again(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", renamed.RenamedWarning)
        spec = RunSpec.load(EARLIER / f"{name}.yaml")
    written = yaml.safe_load((EARLIER / f"{name}.yaml").read_text(encoding="utf-8"))
    settled = {
        renamed.OPTIONS.get(key, key): value for key, value in written.items() if key not in RunSpec.model_fields
    }
    spec = spec.model_copy(update={"options": {**settled, **spec.options}})
    assert identity(spec, "data", "base")["spec"] == SPECS[name]


@pytest.fixture
def before(first: tunesmith.Run, in_tmp: Path) -> RunFolder:
    """A finished run whose files are as they were before other inputs than texts were known."""
    shutil.copytree(first.path, in_tmp / "before")
    folder = RunFolder(in_tmp / "before")
    metadata = folder.model / "tunesmith.json"
    words = json.loads(metadata.read_text(encoding="utf-8"))
    names = ("target", "kind", "label_separator", "header")
    columns = {"text": "text", "text_pair": None, **{name: words["columns"][name] for name in names}}
    old = {**{name: words[name] for name in ("format", "task", "state", "thresholds")}, "columns": columns}
    metadata.write_text(json.dumps(old), encoding="utf-8")
    (folder.model / "MANIFEST.json").unlink()
    return folder


def test_a_model_of_the_version_before_answers_as_it_did(before: RunFolder, first: tunesmith.Run) -> None:
    asked = ["the parcel is broken", "thanks, the card works again"]
    assert tunesmith.load(before.path).predict(asked) == first.model.predict(asked)
    [row] = tunesmith.runs(before.path.parent)
    assert (row["run"], row["status"]) == (str(before.path), "finished")
    assert tunesmith.resume(before.path).metrics == first.metrics


def test_a_run_whose_options_have_changed_since_is_said_to_be_another(before: RunFolder, first: tunesmith.Run) -> None:
    """Its checkpoints were made by a version with fewer options."""
    for name in ("result.json", "metrics.json"):
        (before.path / name).unlink()
    shutil.rmtree(before.model)
    for manifest in before.checkpoints.glob("step-*/MANIFEST.json"):
        content = json.loads(manifest.read_text(encoding="utf-8").splitlines()[0])
        content["identity"]["spec"] = "0" * 64
        body = json.dumps(content)
        manifest.write_text(f"{body}\n{hashlib.sha256(body.encode()).hexdigest()}\n", encoding="utf-8")
    [row] = tunesmith.runs(before.path.parent)
    assert row["status"] != "finished"
    with pytest.raises(RunFailed, match="The spec changed after the checkpoint") as caught:
        tunesmith.resume(before.path)
    assert "with the version of Tunesmith that began the run" in str(caught.value)
