"""Only `core/files.py` opens files for writing, moves and deletes them; and what it promises holds."""

from __future__ import annotations

import ast
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tunesmith.core import files
from tunesmith.core.errors import FolderError
from tunesmith.core.events import EventLog, Warned
from tunesmith.core.run import RunFolder
from tunesmith.data import output

SOURCE = Path(__file__).resolve().parents[2] / "src" / "tunesmith"
THE_PLACE = SOURCE / "core" / "files.py"

METHODS = {
    "write_text", "write_bytes", "touch", "unlink", "rmdir", "rename", "symlink_to", "hardlink_to", "rmtree",
    "copytree", "copyfile", "copy2", "tofile", "to_csv", "to_parquet", "to_json", "to_excel", "to_pickle", "savetxt",
    "mkstemp", "mkdtemp", "NamedTemporaryFile", "TemporaryFile", "TemporaryDirectory", "open_memmap",
    "savez_compressed", "write_feather", "save_to_disk",
}  # fmt: skip
CALLS = {
    "os.replace", "os.remove", "os.makedirs", "os.mkdir", "os.link", "os.symlink", "os.truncate",
    "shutil.move", "shutil.copy", "TemporaryFile", "NamedTemporaryFile", "TemporaryDirectory", "mkdtemp", "mkstemp",
}  # fmt: skip
SINKS = {
    "np.save": 0, "np.savez": 0, "pq.write_table": 1, "pq.ParquetWriter": 0, "pa.ipc.new_file": 0,
    "pa.ipc.new_stream": 0,
}  # fmt: skip
"""Writers of libraries that take a path or an open file, and which argument that is."""
OPEN_FILES = {"file", "sink", "content", "text", "self._file"}
"""What an open file is called where it is handed to them."""
TO_FOLDERS = {"save_pretrained", "save_file", "SummaryWriter", "dump"}
HANDED_A_NEW_FOLDER = {
    "engine/checkpoint.py", "engine/method_kinds.py", "callbacks/ewc.py", "callbacks/tensorboard.py",
    "methods/adapters.py", "methods/ia3.py", "methods/lora.py", "methods/progressive.py", "models/loaders/encoder.py",
    "models/loaders/sentence.py",
    "models/loaders/vision.py", "models/convert_efficientnet_lite.py", "models/module_network.py",
    "models/processor.py", "models/small.py", "models/tiny.py", "models/tiny_convnet.py", "models/virtual.py",
    "families/predictive/continued.py", "families/predictive/statistics.py",
    "families/generative/predictor.py", "families/generative/saving.py",
    "studies/soup.py", "core/spec.py", "tasks/image_regression.py",
}  # fmt: skip
"""Where libraries write to paths: in a folder that `core/files.py` made for it. `dump` gives text in core/spec.py."""


def writes(path: Path) -> Iterator[str]:
    """Every call in a file that writes, moves or deletes by itself, as 'file:line call'."""
    name = path.relative_to(SOURCE).as_posix() if path.is_relative_to(SOURCE) else path.name
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        method = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        last = called.rpartition(".")[2]
        bad = (
            called in CALLS
            or (called == "os.open" and ast.unparse(node.args[1]) != "os.O_RDONLY")
            or (method in METHODS and not called.startswith("files."))
            or (last == "open" and _writes(node, 1 if called in ("open", "gzip.open", "io.open") else 0))
            or (method == "replace" and len(node.args) == 1 and not node.keywords)
            or (called in SINKS and ast.unparse(node.args[SINKS[called]]) not in OPEN_FILES)
            or (last in TO_FOLDERS and last != "dump" and name not in HANDED_A_NEW_FOLDER)
        )
        if bad:
            yield f"{name}:{node.lineno} {called}"


def _writes(call: ast.Call, place: int) -> bool:
    given = [keyword.value for keyword in call.keywords if keyword.arg == "mode"] + call.args[place : place + 1]
    if not given:
        return False
    mode = given[0]
    if not isinstance(mode, ast.Constant):
        return place == 1  # `something.open(path)` of ours has no mode
    return isinstance(mode.value, str) and set(mode.value) <= set("rwaxbt+U") and bool(set(mode.value) & set("wax+"))


@pytest.mark.story
def test_one_module_writes() -> None:
    found = [fault for path in SOURCE.rglob("*.py") if path != THE_PLACE for fault in writes(path)]
    assert found == []


def test_the_search_for_writes_finds_them(tmp_path: Path) -> None:
    bad = tmp_path / "bad.py"
    bad.write_text(
        'open(p, "w")\nopen(p, mode="ab")\nopen(p, m)\np.open("x")\np.write_text(t)\np.touch()\nshutil.rmtree(p)\n'
        "os.replace(a, b)\na.replace(b)\nnp.save(path, x)\npq.write_table(t, path)\nframe.to_csv(p)\n"
        "m.save_pretrained(p)\ntempfile.mkdtemp()\n"
    )
    good = tmp_path / "good.py"
    good.write_text(
        'open(p)\nopen(p, "rb")\nopen(p, encoding="utf-8")\nfile.open()\nt.replace("a", "b")\nreplace(x, y=1)\n'
        "np.save(file, x)\nfiles.write_text(p, t)\nwrite_text(p, t)\nRunFolder.open(path)\n"
    )
    assert len(list(writes(bad))) == 14
    assert list(writes(good)) == []


# --- What the one place promises -----------------------------------------------------------------


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    path = tmp_path / "victim"
    path.write_text("precious")
    return path


def test_a_link_is_replaced_and_never_followed(tmp_path: Path, victim: Path) -> None:
    target = tmp_path / "out.json"
    target.symlink_to(victim)
    files.write_json(target, {"a": 1})
    assert victim.read_text() == "precious"
    assert not target.is_symlink()
    assert files.read_json(target) == {"a": 1}
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.json", "victim"]


def test_a_place_behind_a_link_of_the_user_is_fine(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    files.write_text(tmp_path / "link" / "a.txt", "new")
    with files.new_folder(tmp_path / "link" / "b") as folder:
        (folder / "c").write_text("new")
    assert sorted(path.name for path in (tmp_path / "real").iterdir()) == ["a.txt", "b"]


def test_what_fails_leaves_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / ("n" * 250 + ".txt")  # no room for a longer name beside it
    files.write_text(target, "first")
    for write in (_half_a_file, _half_a_folder):
        with pytest.raises(RuntimeError):
            write(target)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["first"]


def _half_a_file(target: Path) -> None:
    with files.new_file(target) as file:
        file.write(b"sec")
        raise RuntimeError


def _half_a_folder(target: Path) -> None:
    with files.new_folder(target.with_name("folder")) as folder:
        (folder / "x").write_text("x")
        raise RuntimeError


def test_files_of_others_beside_the_target_stay(tmp_path: Path) -> None:
    others = [tmp_path / name for name in (".m.tmp", ".out.csv.tmp", ".report.html.tmp")]
    for path in others:
        path.write_text("mine")
    for name in ("m", "out.csv", "report.html"):
        files.write_text(tmp_path / name, "new")
    with files.new_folder(tmp_path / "model") as folder:
        (folder / "weights").write_text("w")
    assert [path.read_text() for path in others] == ["mine"] * 3


def test_a_folder_takes_its_name_whole_or_not_at_all(tmp_path: Path, victim: Path) -> None:
    target = tmp_path / "model"
    second = files.new_folder(target)
    (second.__enter__() / "weights").write_text("two")
    with files.new_folder(target) as first:
        (first / "weights").write_text("one")
    with pytest.raises(FolderError, match="not empty"):
        second.__exit__(None, None, None)
    assert (target / "weights").read_text() == "one"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    assert stat.S_IMODE(target.stat().st_mode) == 0o700
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept").write_text("kept")
    (tmp_path / "link").symlink_to(elsewhere)
    with files.new_folder(tmp_path / "link", replace=True) as folder:
        (folder / "x").write_text("x")
    assert (elsewhere / "kept").read_text() == "kept"
    assert not (tmp_path / "link").is_symlink()


def test_two_writers_of_one_file_both_write_it_whole(tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    together = threading.Barrier(4)

    def write(letter: str) -> None:
        with output.written(target) as file:
            for part in range(20):
                file.write(letter.encode() * 1000)
                if part == 10:
                    together.wait(10)

    threads = [threading.Thread(target=write, args=(letter,)) for letter in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert target.read_text() in [letter * 20_000 for letter in "abcd"]
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("link", ["soft", "hard"])
@pytest.mark.parametrize("name", [".lock", "events.jsonl"])
def test_lock_and_log_are_no_way_to_files_elsewhere(tmp_path: Path, victim: Path, name: str, link: str) -> None:
    run = RunFolder.create(tmp_path / "run", "data")
    (run.path / name).unlink(missing_ok=True)
    (run.path / name).symlink_to(victim) if link == "soft" else os.link(victim, run.path / name)
    with pytest.raises(FolderError, match="link"), run.lock():
        EventLog(run.events)(Warned("a", "b"))
    assert victim.read_text() == "precious"


@pytest.mark.parametrize("name", ["checkpoints", "cache", "data/source", "model", "tensorboard", "report.html"])
def test_a_run_with_links_in_it_is_not_written_to(tmp_path: Path, name: str) -> None:
    run = RunFolder.create(tmp_path / "run", "data")
    (tmp_path / "elsewhere").mkdir()
    files.remove(run.path / name)
    (run.path / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FolderError, match=f"{name} -> .*elsewhere is a link"), run.lock():
        pass
    with pytest.raises(FolderError, match="already used"):
        RunFolder.create(run.path, "data")
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_pipe_is_no_lock_and_no_log(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run", "data")
    for path in (run.path / ".lock", run.events):
        path.unlink(missing_ok=True)
        os.mkfifo(path)
        with pytest.raises(FolderError, match="no file"):
            files.open_in_place(path)
    with pytest.raises(FolderError, match="pipe"):
        run.status()


def test_refused_input_deletes_only_what_the_run_made(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    (mine / "a" / "b").mkdir(parents=True)
    (mine / "data").mkdir()
    before = sorted(mine.rglob("*"))
    run = RunFolder.create(mine, "data")
    (run.data / "source.jsonl").write_text("{}")
    run.spec.write_text("x")
    run.abandon()
    assert sorted(mine.rglob("*")) == before
    run = RunFolder.create(tmp_path / "new" / "deep", "data")
    run.spec.write_text("x")
    run.abandon()
    assert not (tmp_path / "new").exists()


def test_a_run_is_its_users_alone(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        run = RunFolder.create(tmp_path / "run", "data")
        files.write_text(run.report, "texts")
        EventLog(run.events).close()
        with files.new_folder(run.model) as folder:
            (folder / "config.json").write_text("{}")
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (run.path, *run.path.rglob("*"))}
    finally:
        os.umask(before)
    assert {name: mode for name, mode in modes.items() if mode & 0o077} == {}


def test_what_a_killed_writer_left_goes_with_the_next(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run", "data")
    files.beside(run.report).write_text("half")
    files.beside(run.model).mkdir()
    with run.lock():
        assert sorted(path.name for path in run.path.iterdir()) == [".lock", "checkpoints", "data"]


def test_a_database_on_a_full_disk_is_a_full_disk() -> None:
    with pytest.raises(OSError, match="No space left") as caught, files.full_disk_as_oserror():
        raise RuntimeError("(sqlite3.OperationalError) database or disk is full")
    assert caught.value.errno in files.DISK_FULL
