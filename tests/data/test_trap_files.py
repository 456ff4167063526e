"""Small files that stand for far more than they are: many columns, many rows of few bytes, blanks, odd numbers."""

from __future__ import annotations

import gzip
import json
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from toys import sentence
from tunesmith.core.errors import DataError
from tunesmith.data import tables
from tunesmith.data.conversations import peek

ROWS = [{"text": sentence(n), "label": "xy"[n % 2]} for n in range(30)]


def wide_csv(path: Path) -> Path:
    return _put(path / "a.csv", ",".join(f"c{n}" for n in range(200_000)) + "\n" + "a,b\n" * 3)


def wide_lines(path: Path) -> Path:
    rows = ({f"k{number}-{n}": 1 for n in range(200)} for number in range(60))
    return _put(path / "a.jsonl", "".join(json.dumps(row) + "\n" for row in rows))


def wide_parquet(path: Path) -> Path:
    pq.write_table(pa.table({f"c{n}": ["a"] for n in range(10_001)}), path / "a.parquet")
    return path / "a.parquet"


def _put(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.mark.parametrize("make", [wide_csv, wide_lines, wide_parquet])
def test_more_columns_than_any_table_of_texts_has(bench: Any, tmp_path: Path, make: Any) -> None:
    start = time.monotonic()
    with pytest.raises(DataError, match="at most 10,000 columns are read"):
        bench(make(tmp_path))
    assert time.monotonic() - start < 8


def test_parquet_that_unpacks_to_far_more_than_it_is(
    bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "_MOST_BYTES", 1 << 20)
    texts = pa.array(["x" * 1_000] * 50_000).dictionary_encode()
    pq.write_table(pa.table({"text": texts, "label": ["a", "b"] * 25_000}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="unpacks to more than 200 times its size"):
        bench(tmp_path / "a.parquet")


def test_blanks_before_the_first_row_take_no_time(bench: Any, tmp_path: Path) -> None:
    blank = b"[" + b" " * 30_000_000 + json.dumps(ROWS).encode()[1:]
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(blank, 1))
    start = time.monotonic()
    assert len(bench(tmp_path / "a.json.gz").rows) == len(ROWS)
    assert time.monotonic() - start < 8


@pytest.mark.parametrize(("unit", "second"), [("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9)])
def test_durations_are_seconds_and_said(bench: Any, tmp_path: Path, unit: str, second: int) -> None:
    table = pa.Table.from_pylist(ROWS)
    took = pa.array([n * second // 2 for n in range(2, len(ROWS) + 2)], pa.duration(unit))
    pq.write_table(table.append_column("took", took), tmp_path / "a.parquet")
    data = bench(tmp_path / "a.parquet", target="took", kinds=("number",))
    assert data.rows[0]["target"] == 1.0
    assert "'took'" in bench.said("durations")


def test_durations_longer_than_any_are_read(bench: Any, tmp_path: Path) -> None:
    table = pa.Table.from_pylist(ROWS).append_column("took", pa.array([2**62] * len(ROWS), pa.duration("s")))
    pq.write_table(table, tmp_path / "a.parquet")
    assert len(bench(tmp_path / "a.parquet").rows) == len(ROWS)


def test_a_million_keys_in_a_row_are_refused_before_they_are_looked_at(bench: Any, tmp_path: Path) -> None:
    line = "{" + ", ".join(f'"key {n}": 1' for n in range(300_000)) + "}\n"
    path = _put(tmp_path / "a.jsonl", line * 2)
    start = time.process_time()
    assert peek(path) is None
    with pytest.raises(DataError, match="300,000 cells"):
        bench(path)
    assert time.process_time() - start < 4
