"""Files with a word a line: layouts that are met, and lines that are broken."""

from __future__ import annotations

from pathlib import Path

import pytest

from tunesmith.core.errors import DataError
from tunesmith.core.events import Decided, Event
from tunesmith.data import conll
from tunesmith.data.types import ReadOptions

ROWS = [(["Ada", "lives"], ["B-PER", "O"]), (["Turin"], ["B-LOC"])]
LAYOUTS = {
    "tabs": "Ada\tB-PER\nlives\tO\n\nTurin\tB-LOC\n",
    "spaces": "Ada B-PER\nlives O\n\n\nTurin B-LOC",
    "four columns": "-DOCSTART- -X- -X- O\n\nAda NNP B-NP B-PER\nlives VBZ B-VP O\n\nTurin NNP B-NP B-LOC\n\n",
    "numbers": "1\tAda\tB-PER\n2\tlives\tO\n\n1\tTurin\tB-LOC\n",
    "comments": "# id 1 of 2\nAda B-PER\nlives O\n\n# id 2 of 2\nTurin B-LOC\n",
    "windows": "Ada\tB-PER\r\nlives\tO\r\n\r\nTurin\tB-LOC\r\n",
}


def _read(path: Path, said: list[Event]) -> list[tuple[list[str], list[str]]]:
    tables = list(conll.read(path, ReadOptions(), said.append))
    return [(row["tokens"], row.get("tags")) for table in tables for row in table.to_pylist()]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(layout: str, tmp_path: Path) -> None:
    path = tmp_path / "some.conll"
    path.write_bytes(LAYOUTS[layout].encode())
    said: list[Event] = []
    assert _read(path, said) == ROWS
    assert isinstance(said[0], Decided)


def test_a_word_may_be_a_sign_for_comments(tmp_path: Path) -> None:
    path = tmp_path / "some.conll"
    path.write_text("#\tO\n#winning\tO\n\nTurin\tB-LOC\n", encoding="utf-8")
    assert _read(path, [])[0] == (["#", "#winning"], ["O", "O"])


def test_words_alone_have_no_tags(tmp_path: Path) -> None:
    path = tmp_path / "some.conll"
    path.write_text("Ada\nlives\n\nTurin\n", encoding="utf-8")
    assert _read(path, []) == [(["Ada", "lives"], None), (["Turin"], None)]


def test_broken_lines_are_named_together(tmp_path: Path) -> None:
    path = tmp_path / "some.conll"
    path.write_text("Ada\tB-PER\nlives\n\nTurin\tB-LOC\nin\tO\tO\n.\tO\n", encoding="utf-8")
    with pytest.raises(DataError, match="between them a tab") as caught:
        _read(path, [])
    assert [problem.line for problem in caught.value.problems] == [2, 5]


def test_a_file_without_words_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "some.conll"
    path.write_text("\n\n", encoding="utf-8")
    with pytest.raises(DataError, match="holds no words"):
        _read(path, [])


def test_other_suffixes_are_known_by_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "train.txt"
    for content, found in (
        (LAYOUTS["spaces"], True),
        ("I like O\n\nme too O\n", False),
        ("one text\nanother\n", False),
    ):
        path.write_text(content, encoding="utf-8")
        assert conll.is_conll(path) == found, content
