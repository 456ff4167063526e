"""Zips of folders: unpacked once, and what would write elsewhere, fill the disk or is damaged is refused."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path

import pytest

from tunesmith.core.errors import DataError
from tunesmith.data import archive
from tunesmith.data.archive import unpacked


def _zip(path: Path, content: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, held in content.items():
            file.writestr(name, held)
    return path


def test_it_is_unpacked_once_without_what_systems_leave(tmp_path: Path) -> None:
    path = _zip(tmp_path / "a.zip", {"d/x.txt": b"1", "__MACOSX/d/._x.txt": b"2", "d/.DS_Store": b"3", "d/e/y": b"4"})
    folder = unpacked(path)
    assert {str(one.relative_to(folder)) for one in folder.rglob("*") if one.is_file()} == {"d/x.txt", "d/e/y"}
    assert unpacked(path) == folder
    assert folder.name.endswith("-a.zip")  # which people read in messages
    _zip(path, {"z": b"another", "empty/": b""})
    assert (unpacked(path) / "empty").is_dir()  # a class without a file is told of
    assert unpacked(path) != folder


@pytest.mark.parametrize("name", ["../out.txt", "/etc/out.txt", "a/../../out.txt", "C:\\out.txt", "a\\..\\out.txt"])
def test_names_that_lead_elsewhere_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="leads to a place elsewhere"):
        unpacked(_zip(tmp_path / "a.zip", {"fine.txt": b"1", name: b"2"}))
    assert not list(tmp_path.rglob("out.txt"))


def test_links_traps_and_damage_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as file:
        member = zipfile.ZipInfo("link")
        member.external_attr = (stat.S_IFLNK | 0o777) << 16
        file.writestr(member, "/etc/passwd")
    with pytest.raises(DataError, match="is a link"):
        unpacked(tmp_path / "link.zip")
    path = _zip(tmp_path / "half.zip", {"a.txt": bytes(range(256)) * 9})
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="no whole zip"):
        unpacked(path)
    path.write_bytes(whole[:60] + b"\xff" * 20 + whole[80:])
    with pytest.raises(DataError, match=r"a\.txt in it is damaged"):
        unpacked(path)
    monkeypatch.setattr(archive, "_SMALL", 1_000)
    with pytest.raises(DataError, match="as a trap would"):
        unpacked(_zip(tmp_path / "bomb.zip", {"a": b"0" * 5_000_000}))
