"""Specs and run folders that are damaged, or made to do harm: one clear error, and only for what is damaged."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

import tunesmith
from tunesmith.cli import show
from tunesmith.core import events
from tunesmith.core.errors import DataError, FolderError, OptionError, UsageError
from tunesmith.core.files import write_json
from tunesmith.core.options import parse_value
from tunesmith.core.run import RunFolder
from tunesmith.core.spec import RunSpec
from tunesmith.runs import identity
from tunesmith.workflows import catalogues

LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)

MERGED = "a: &a {x: 1}\n" + "".join(
    f"{name}: &{name} {{<<: [{','.join([f'*{before}'] * 9)}]}}\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)

SPECS = {
    "list": "[1]",
    "number": "5",
    "nothing": "{}",
    "blank": "",
    "deep": "seed: " + "[" * 5_000,
    "deep flow": "seed: " + "[" * 5_000 + "]" * 5_000,
    "deep block": "".join(" " * depth + "a:\n" for depth in range(2_000)),
    "long number": "data: x.csv\nseed: " + "9" * 5_000,
    "long hex number": "data: x.csv\nseed: 0x" + "f" * 6_000,
    "number in sixties": "data: x.csv\nseed: " + "1:" * 5_000 + "1",
    "merged anchors": MERGED + "data: x.csv\n",
    "anchors": LAUGHS + "seed: *i\ndata: x.csv\n",
    "itself": "data: x.csv\nseed: &a [*a]",
    "nul": 'data: x.csv\nretain: ["a\\0b"]',
    "nul in data": 'data: "a\\0b"',
    "date": "data: x.csv\nseed: 2020-99-99",
    "tag": "data: !!python/object/apply:os.system [ls]",
    "binary": "data: x.csv\nseed: !!binary '###'",
    "key": "data: x.csv\n? [a]\n: 1",
    "options": "data: x.csv\noptions: 5",
    "surrogate": 'data: "\\ud800"\nseed: x',
    "merge": "data: x.csv\n<<: 5",
    "types": "data: [1]\ntask: {a: 1}\nseed: -1",
}


@pytest.mark.parametrize("name", SPECS)
def test_a_spec_that_is_none_is_refused_by_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(SPECS[name], encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        RunSpec.load(path)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 3_000


def test_a_spec_that_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    for path in (tmp_path / "pipe.yaml", Path("/dev/zero"), tmp_path, tmp_path / "none.yaml"):
        with pytest.raises(DataError, match="can not be read"):
            RunSpec.load(path)
    (tmp_path / "long.yaml").write_bytes(b"data: x.csv\n" + b"# \n" * 400_000)
    with pytest.raises(DataError, match="more than"):
        RunSpec.load(tmp_path / "long.yaml")


def test_anchors_that_mean_what_they_say_stay_fine(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text("data: &name x.csv\ntest: *name\n")
    assert RunSpec.load(tmp_path / "spec.yaml").test == "x.csv"


def test_values_of_flags(tmp_path: Path) -> None:
    assert parse_value("[" * 5_000) == "[" * 5_000
    assert parse_value("9" * 5_000) == "9" * 5_000
    with pytest.raises(OptionError, match="'seed'"):
        RunSpec.make({"data": "x", "seed": parse_value("[" * 40 + "]" * 40)})


def made(folder: Path, **files: Any) -> RunFolder:
    """A run that was never trained: its folder, with these files."""
    run = RunFolder.create(folder, "data")
    run.spec.write_text(RunSpec(data="x.csv").dump())
    for name, content in files.items():
        path = run.path / name.replace("__", "/")
        path.with_suffix(".jsonl" if "events" in name else ".json").write_text(content)
    return run


def test_one_damaged_run_does_not_hide_the_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made(tmp_path / "sound")
    made(tmp_path / "cut", metrics='{"test": ')
    made(tmp_path / "list", metrics="[1]")
    made(tmp_path / "keys", metrics='{"first_metric": "f1", "test": 5}')
    for name, reached in (("word", '{"value": "", "low": 0, "high": 1}'), ("less", '{"low": 0, "high": 1}')):
        said = f'"test": {{"f1": {reached}}}, "verdict": {{"outcome": "better"}}'
        made(tmp_path / name, metrics=f'{{"first_metric": "f1", "method": "head", {said}}}')
    made(tmp_path / "deep", metrics="[" * 100_000)
    made(tmp_path / "spec").spec.write_text("[1]")
    made(tmp_path / "log", events='[1]\n5\n{"event": 5}\n{"event": "evaluated"}\n{"event": "step", "step": "x"}\n')
    pipe = made(tmp_path / "pipe")
    os.mkfifo(pipe.events)
    found = {Path(row["run"]).name: row for row in catalogues.runs(tmp_path)}
    damaged = {name for name, row in found.items() if row["status"] == "damaged"}
    assert damaged == {"cut", "list", "keys", "word", "less", "deep", "spec", "pipe"}
    assert found["sound"]["status"] == found["log"]["status"] == "stopped"
    said = show.runs({"runs": list(found.values())})
    assert "cut/metrics.json is damaged" in said
    assert "pipe/events.jsonl can not be read: it is a pipe" in said
    for name in sorted(damaged):
        with pytest.raises(UsageError):
            catalogues.run(tmp_path / name)
    assert catalogues.run(tmp_path / "log")["progress"] == {}


def test_damaged_notes_of_a_run_that_is_to_be_gone_on_with(tmp_path: Path) -> None:
    run = made(tmp_path / "run")
    (run.checkpoints / "step-00000001").mkdir()
    for content in ("[1]", "{", "5", "\udc80"):
        (run.data / "fingerprint.json").write_bytes(content.encode("utf-8", "surrogateescape"))
        with pytest.raises(FolderError, match=r"fingerprint\.json is damaged"):
            identity.check_data(run, "x.csv", "abc")


def test_a_run_without_its_folder_of_checkpoints(tmp_path: Path) -> None:
    run = made(tmp_path / "run")
    run.checkpoints.rmdir()
    with pytest.raises(DataError, match=r"no such file|no folder"):
        tunesmith.resume(run.path)


def test_events_are_read_as_far_as_they_are_sound(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    log = events.EventLog(path)
    log(events.Warned("a", "b"))
    log(events.Step(1, 2, 0.5, 1.0, 1e-3, float("nan"), 8, 80, 0.1))
    log.close()
    whole = events.read(path)
    with open(path, "ab") as file:
        file.write(
            b'{"event": "later", "x": 1}\n{"event": "step", "step": []}\n\xff\n' + b"[" * 100_000 + b'\n{"event"'
        )
    assert [record["event"] for record in events.read(path)] == [*(r["event"] for r in whole), "later"]


def test_a_document_of_several_runs_that_is_damaged(tmp_path: Path) -> None:
    write_json(tmp_path / "search.json", {"a": 1})
    assert catalogues.series(tmp_path) == ("search", {"a": 1})
    (tmp_path / "search.json").write_text(json.dumps([1]))
    with pytest.raises(FolderError, match=r"search\.json is damaged"):
        catalogues.series(tmp_path)
