"""The page on the architecture says what the code does: the spine as it runs, walks of files that are there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
MOST_FILES = 30


def test_the_spine_stands_on_the_page_as_it_runs() -> None:
    printed = re.findall(r"^(?:family\.)?(\w+)\(run", PAGE.split("```python")[1].split("```")[0], re.MULTILINE)
    source = (ROOT / "src" / "tunesmith" / "runs" / "spine.py").read_text(encoding="utf-8")
    called = re.findall(r"(?:family\.|^    |return )(\w+)\(run[,)]", source.split("def begin")[1], re.MULTILINE)
    called = [name for name in called if name != "read_retained"]
    called += re.findall(
        r"(?:family\.|^    |return )(\w+)\(run[,)]", source.split("def run(")[1].split("def begin")[0], re.MULTILINE
    )
    assert printed == called


def test_a_row_walks_through_few_files_and_never_back() -> None:
    walks = PAGE.split("## The walk of a row")[1].split("## Folders")[0].split("`tunesmith train chats.jsonl`")
    for walk in walks:
        files = re.findall(r"\]\(\.\./(src/[\w/]+\.py)\)", walk)
        assert 10 < len(files) <= MOST_FILES
        assert len(set(files)) == len(files)
        assert [file for file in files if not (ROOT / file).exists()] == []


def test_every_folder_of_the_package_stands_in_the_tree() -> None:
    tree = PAGE.split("## Folders")[1].split("## The seams")[0]
    folders = {path.parent.name for path in (ROOT / "src" / "tunesmith").glob("*/__init__.py")}
    listed = set(re.findall(r"^  (\w+)/", tree, re.MULTILINE))
    assert listed == folders
    tables = {
        path.parent for path in (ROOT / "src" / "tunesmith").rglob("__init__.py") if "\nTABLE" in path.read_text()
    }
    marked = set(re.findall(r"^ +(\w+)/ \*", tree, re.MULTILINE))
    assert marked == {folder.name for folder in tables} - {"studies"}
