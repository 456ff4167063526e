"""Documents, queries and which of them belong together, each in a file of its own, as BEIR has them: corpus.jsonl,
queries.jsonl and qrels/train.tsv, dev.tsv, test.tsv (Thakur et al. 2021). Lines of TREC (query 0 document grade) are
read too."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from tunesmith.core.errors import DataError, Problem
from tunesmith.core.events import Decided, Emit, Warned, ignore
from tunesmith.core.files import scratch
from tunesmith.data import tables
from tunesmith.data.arrowfile import BATCH_ROWS
from tunesmith.data.corpus import documents_of
from tunesmith.data.folders import files_in
from tunesmith.data.jsonlayout import SPLIT_WORDS
from tunesmith.data.layout import Layout
from tunesmith.data.modality import DataModality
from tunesmith.data.pairs import PairData
from tunesmith.data.part import Hints, Part

_SUFFIXES = (".jsonl", ".jsonl.gz", ".json", ".parquet", ".tsv", ".csv")
_QRELS = {".tsv", ".txt", ".csv", ".qrels", ".trec"}
_IDS = ("_id", "id", "doc_id", "docid", "query_id", "qid", "pid", "corpus-id", "query-id", "corpus_id")
_SHOWN = 1_000
MOST_DOCUMENTS = 50_000
"""Of a corpus in which test queries look for theirs without being asked to."""


class Retrieval(Layout):
    def parts(self, folder: Path, modality: DataModality) -> Mapping[str, Path] | None:
        texts = isinstance(modality, PairData) or modality.suffixes & tables.SUFFIXES
        if not texts or _file(folder, "corpus") is None or _file(folder, "queries") is None:
            return None
        place = folder / "qrels"
        files = list(files_in(place)) if place.is_dir() else [one for one in files_in(folder) if one.stem == "qrels"]
        files = [one for one in files if one.suffix.lower() in _QRELS]
        known = {SPLIT_WORDS[one.stem.lower()]: one for one in files if one.stem.lower() in SPLIT_WORDS}
        if "train" in known:
            return known
        return {"": files[0]} if len(files) == 1 else None

    def read(self, at: Path, split: str, modality: DataModality, *, emit: Emit, cache_dir: Path, hints: Hints) -> Part:
        folder = at.parent.parent if at.parent.name == "qrels" else at.parent
        if not isinstance(hints.modalities[0], PairData):
            problem = Problem("it holds queries, documents and which of them belong together", str(folder))
            raise DataError(problem, "Say what is learned of them: --task embedding or --task reranking.")
        problems: list[Problem] = []
        lines, cells = _judgements(at, problems)
        with scratch() as space:
            queries = _texts(folder, "queries", {query for query, _, _ in cells}, space, hints, problems)
            documents = _texts(folder, "corpus", {document for _, document, _ in cells}, space, hints, problems)
        for line, (query, document, _) in zip(lines, cells, strict=True):
            for what, name, known in (("query", query, queries), ("document", document, documents)):
                if name not in known.texts:
                    told = f"there is no {what} with the id {name!r} in {known.file.name}"
                    problems.append(Problem(told, str(at), line=line))
        if problems:
            shown = sorted(problems[:_SHOWN], key=lambda one: (one.file or "", one.line or 0))
            raise DataError(shown, "Mend these lines, or leave them out.")
        if not cells:
            raise DataError(
                Problem("no document belongs to any query", str(at)), "Give lines of query, document, score."
            )
        rows = [
            {"query": queries.texts[query], "document": documents.texts[document], "score": score}
            for query, document, score in cells
        ]
        batches = (rows[start : start + BATCH_ROWS] for start in range(0, len(rows), BATCH_ROWS))
        part = tables.read_tables(map(tables.table_of_rows, batches), split, str(at), cache_dir, emit)
        part.lines = np.array(lines, dtype=np.int64)
        asked = {query for query, _, _ in cells}
        told = f"{len(cells):,} judgements, {len(asked):,} of {queries.count:,} queries, {documents.count:,} documents"
        emit(Decided("layout", "queries, corpus and qrels", f"{at}: {told}"))
        part.corpus = documents.file
        if documents.count > MOST_DOCUMENTS:
            part.corpus = None
            told = f"{documents.file} holds {documents.count:,}: those alone that are judged are looked for"
            emit(Warned("large corpus", f"{told}. All of them: --corpus {documents.file}"))
        return part


@dataclass
class _Texts:
    """The texts of a file that are asked for, by id, and how many it holds."""

    file: Path
    texts: dict[str, str]
    count: int


def _file(folder: Path, name: str) -> Path | None:
    return next((folder / f"{name}{suffix}" for suffix in _SUFFIXES if (folder / f"{name}{suffix}").is_file()), None)


def _judgements(at: Path, problems: list[Problem]) -> tuple[list[int], list[tuple[str, str, float]]]:
    """The lines (from 1) of queries with documents, and their ids and grades. Raises DataError."""
    try:
        rows = at.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(Problem(f"it is no UTF-8: {error.reason}", str(at)), "Save it as UTF-8.") from error
    lines: list[int] = []
    found: list[tuple[str, str, float]] = []
    for line, row in enumerate(rows, 1):
        if not row.strip():
            continue
        cells = [
            cell.strip() for cell in re.split(r"\t" if "\t" in row else "," if "," in row else r"\s+", row.strip())
        ]
        grade = _number(cells[-1])
        if line == 1 and grade is None:
            continue
        if len(cells) not in (3, 4) or grade is None:
            problems.append(Problem(f"expected query, document and a number, got {row[:60]!r}", str(at), line=line))
            continue
        lines.append(line)
        found.append((cells[0], cells[-2], grade))
    return lines, found


def _number(cell: str) -> float | None:
    try:
        found = float(cell)
    except ValueError:
        return None
    return found if np.isfinite(found) else None


def _texts(
    folder: Path, name: str, wanted: Collection[str], space: Path, hints: Hints, problems: list[Problem]
) -> _Texts:
    """The texts of the ids `wanted` in the file called `name`; what is wrong with it is added to `problems`. Raises
    DataError where it has no ids or no texts."""
    file = _file(folder, name)
    assert file is not None
    part = tables.read_file(file, name, emit=ignore, cache_dir=space, hints=Hints(options=hints.options))
    names = part.table.column_names
    key = next((one for one in names if one.lower() in _IDS), names[0] if not part.header else None)
    if key is None:
        problem = Problem(f"no column holds ids (columns: {', '.join(names)})", str(file))
        raise DataError(problem, 'Expected objects such as {"_id": "d1", "title": "...", "text": "..."}.')
    found: dict[str, str] = {}
    row = 0
    for batch in part.table.to_batches(max_chunksize=BATCH_ROWS):
        table = pa.Table.from_batches([batch])
        for one, text in zip(table.column(key).to_pylist(), documents_of(table.drop([key]), str(file)), strict=True):
            if (one := str(one)) in wanted:
                if one in found and found[one] != text:
                    problems.append(part.problem(row, f"the id {one!r} stands for two texts"))
                if not text.strip():
                    problems.append(part.problem(row, "the text is empty"))
                found[one] = text
            row += 1
    part.release()
    return _Texts(file, found, row)
