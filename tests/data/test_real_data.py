"""Real files with their real dirt; skipped where they are absent."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from tunesmith.core.errors import DataError


def sizes(data: Any) -> list[int]:
    return [len(data.splits[name]) for name in ("train", "validation", "test")]


@pytest.mark.story
def test_banking77(bench: Any, shared_data: Path) -> None:
    folder = shared_data / "banking77"
    data = bench(folder / "train.csv", test=folder / "test.csv")
    assert sizes(data) == [9_003, 1_000, 3_080]
    assert len(data.label_names) == 77
    assert data.columns.inputs[0] == "text"
    assert data.columns.target == ("category",)
    assert data.ledger.counts()["used"] == 13_083
    assert 20 <= data.leakage.identical_rows <= 60
    assert 100 <= len(data.leaked_test) <= 300
    assert data.location(10_003) == {"file": str(folder / "test.csv"), "row": 1, "line": 2}
    started = time.perf_counter()
    bench(folder / "train.csv", test=folder / "test.csv")
    assert time.perf_counter() - started < 5, "1.5 s are the aim on a quiet machine"


def test_sms_spam_has_no_header_and_many_duplicates(bench: Any, shared_data: Path) -> None:
    data = bench(shared_data / "sms_spam" / "sms.tsv")
    assert sizes(data) == [4_460, 557, 557]
    assert not data.columns.header
    assert data.label_names == ["ham", "spam"]
    assert data.audit()["duplicates"]["rows_with_a_text_seen_before"] >= 403
    assert data.leakage.moved_rows > 0
    assert data.leakage.remaining_rows == 0
    home: dict[str, str] = {}
    for name, part in data.splits.items():
        assert all(home.setdefault(text, name) == name for text in data.rows.select(part)["text"])


@pytest.mark.story
def test_goemotions(bench: Any, shared_data: Path) -> None:
    data = bench(shared_data / "goemotions")
    assert sizes(data) == [43_410, 5_426, 5_427]
    assert (data.columns.kind, data.columns.label_separator) == ("labels", ",")
    assert data.label_names == [str(number) for number in range(28)]
    assert 37 <= len(data.leaked_test) < 300


def test_stsb_pairs_without_header(bench: Any, shared_data: Path) -> None:
    data = bench(shared_data / "stsb")
    assert sizes(data) == [5_749, 1_500, 1_379]
    assert data.columns.inputs == ("column_1", "column_2")
    assert data.columns.kind == "number"
    assert data.rows[0] == {
        "row_id": 0, "text": "A plane is taking off.", "text_pair": "An air plane is taking off.",
        "target": 5.0,
    }  # fmt: skip


@pytest.mark.slow
def test_contracts_ask_for_columns(bench: Any, shared_data: Path) -> None:
    path = shared_data / "cuad_clauses" / "master_clauses.csv"
    with pytest.raises(DataError, match=r"columns could be the target: .*\n.*--target COLUMN.*--text COLUMN"):
        bench(path)
    data = bench(path, text="Parties", target="Non-Compete-Answer")
    assert data.ledger.rows_in == 510
    assert data.label_names == ["No", "Yes"]
