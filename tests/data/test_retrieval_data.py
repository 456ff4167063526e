"""Queries, documents and judgements in files of their own, and wrong documents that may be right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import tunesmith
from tunesmith.core.errors import DataError

WORDS = ["card", "parcel", "refund", "app", "order", "screen", "cable", "invoice", "password", "shop", "tyre", "lamp"]
HEAD = "query-id\tcorpus-id\tscore\n"


def _lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture
def beir(tmp_path: Path) -> Path:
    """A folder as BEIR has them: 12 queries, 42 documents."""
    (tmp_path / "qrels").mkdir()
    _lines(tmp_path / "queries.jsonl", [{"_id": f"q{at}", "text": f"send my {one}"} for at, one in enumerate(WORDS)])
    documents = [{"_id": f"d{at}", "title": one.title(), "text": f"send {one} page"} for at, one in enumerate(WORDS)]
    documents += [{"_id": f"n{at}", "title": "", "text": f"page {at} on nothing"} for at in range(30)]
    _lines(tmp_path / "corpus.jsonl", documents)
    for name, some in {"train": range(8), "dev": range(8, 10), "test": range(10, 12)}.items():
        judged = "".join(f"q{at}\td{at}\t1\n" for at in some)
        (tmp_path / "qrels" / f"{name}.tsv").write_text(HEAD + judged, encoding="utf-8")
    return tmp_path


def test_a_folder_of_queries_corpus_and_qrels(beir: Path) -> None:
    """Its parts are those of the qrels; titles belong to documents; test queries look through the whole corpus."""
    found = tunesmith.check(beir, task="reranking")
    assert found["splits"] == {"train": 8, "validation": 2, "test": 2}
    told = {one["what"]: one["value"] for one in found["decisions"]}
    assert told["corpus"] == 42
    assert any("Card send card page" in str(sample) for sample in found["samples"])
    with pytest.raises(DataError, match="--task embedding or --task reranking"):
        tunesmith.check(beir)


def test_judgements_of_what_is_not_there_are_named_with_their_lines(beir: Path) -> None:
    with (beir / "qrels" / "test.tsv").open("a", encoding="utf-8") as file:
        file.write("q99\td1\t1\nq1\td99\t1\nq1\td1\n")
    queries = [{"_id": f"q{at}", "text": "" if at == 10 else f"send my {one}"} for at, one in enumerate(WORDS)]
    _lines(beir / "queries.jsonl", queries)
    (beir / "qrels" / "train.tsv").write_text(
        "".join(f"q{at} 0 d{at} 1\n" for at in range(8)), encoding="utf-8"
    )  # as TREC has them
    with pytest.raises(DataError) as failed:
        tunesmith.check(beir, task="embedding")
    told = str(failed.value)
    for wanted in (
        "queries.jsonl, line 11, row 11: the text is empty",
        "line 4: there is no query with the id 'q99'",
        "line 5: there is no document with the id 'd99'",
        "line 6: expected query, document and a number",
    ):
        assert wanted in told


def test_wrong_documents_that_read_as_right_ones_are_told(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"query": f"send my {one}", "document": f"all on how to send a {one}", "clicked": 1} for one in WORDS
    ]
    rows += [{"query": f"send my {one}", "document": f"we mend {one} here", "clicked": 0} for one in WORDS]
    rows.append({"query": "send my card", "document": "All on how to send a card today", "clicked": "no"})
    for row in rows:
        row["clicked"] = str(row["clicked"]).replace("1", "yes").replace("0", "no")
    _lines(tmp_path / "rows.jsonl", rows)
    found = tunesmith.check(tmp_path / "rows.jsonl", task="reranking")
    told = [one["message"] for one in found["warnings"] if one["what"] == "suspected false negatives"]
    assert len(told) == 1
    assert told[0].startswith("1 wrong documents")
    assert "line 25 (as line 1)" in told[0]
