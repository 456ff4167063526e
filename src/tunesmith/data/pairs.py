"""Pairs of texts that belong together, more or less: queries and documents, anchors and positives, sentences with a
score. How their columns are found, how rows of many layouts become one pair each, and what can not be learned from.

A row is kept as text (the query), text_pair (a document), text_negative (one that is not relevant, or nothing) and a
target: float64 [4], the relevance and the keys of the three texts, equal for texts that count as the same.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tunesmith.core.errors import DataError, Problem
from tunesmith.core.events import Decided, Emit, Warned
from tunesmith.data import false_negatives, labels, text_hashes
from tunesmith.data.duplicates import Duplicates, connected, find_duplicates, normalise
from tunesmith.data.modality import Cells, DataModality, Reasons
from tunesmith.data.part import Part
from tunesmith.data.profile import Profile, simple
from tunesmith.data.texts import TextData
from tunesmith.data.values import looks_listed, parse_list

QUERIES = (
    "anchor", "query", "queries", "question", "sentence1", "sentence_1", "sentence_a", "text1", "text_1", "text_a",
    "question1", "premise", "user_text", "user", "user_profile", "history", "search", "search_term", "source", "q",
)  # fmt: skip
DOCUMENTS = (
    "positive", "positives", "pos", "document", "documents", "doc", "docs", "passage", "passages", "answer", "answers",
    "response", "sentence2", "sentence_2", "sentence_b", "text2", "text_2", "text_b", "question2", "hypothesis",
    "context", "item_text", "item", "product", "title", "candidate", "target_text", "text_pair", "d",
)  # fmt: skip
NEGATIVES = ("negative", "negatives", "neg", "hard_negative", "hard_negatives")
_NUMBERED_NEGATIVE = re.compile(r"(negative|neg|hard_negative)_?\d+$")
SCORES = re.compile(
    r"(^|_)(score|scores|label|labels|relevance|relevances|similarity|rating|click|clicked|clicks|grade|is_duplicate|"
    r"duplicate|rel|match)($|_)"
)
RELEVANCE = "relevance"
"""The column that is made where rows have no score: what stands together belongs together."""
_SCALES = ((0.0, 1.0), (-1.0, 1.0), (0.0, 5.0), (0.0, 10.0), (0.0, 100.0))
_MOSTLY = 0.95
"""Of the scores, the share that says on which scale they are."""
_MOSTLY_BROKEN = 0.9
"""The same of scores from 0 to 1 that are no whole numbers."""
_SHOWN = 1_000
_LEFT = np.uint64(12)
"""Bits that a key leaves out of a hash, so that float64 holds it exactly."""


def keys(texts: Sequence[str]) -> npt.NDArray[np.float64]:
    """float64 [n]: equal for texts that are the same but for case, punctuation and spaces; 0 where there is none."""
    found = (text_hashes.hashes(texts) >> _LEFT).astype(np.float64)
    found[[not text for text in texts]] = 0.0
    return found


class PairData(DataModality):
    name: ClassVar[str] = "pairs"
    roles: ClassVar[tuple[str, ...]] = ("text", "text_pair", "text_negative")
    noun: ClassVar[str] = "pair of texts"
    nouns: ClassVar[str] = "pairs of texts"
    usual_task: ClassVar[str] = "embedding"
    parts: ClassVar[tuple[str, ...]] = ("text", "second text")
    flag: ClassVar[str] = "--text"
    kinds: ClassVar[tuple[str, ...] | None] = ("relevance",)

    def claims(self, profile: Profile) -> float:
        """Less than plain texts do: it is asked for, or told by an anchor."""
        found = TextData().claims(profile)
        return 8 * found if simple(profile.name) == "anchor" else 1e-3 * found

    def choose(
        self, profiles: Sequence[Profile], target: Sequence[str], source: str, reasons: Reasons
    ) -> tuple[str, ...]:
        named = {simple(profile.name): profile.name for profile in profiles if profile.kind in ("string", "other")}
        query = next((named[name] for name in QUERIES if name in named), None)
        document = next((named[name] for name in DOCUMENTS if name in named and named[name] != query), None)
        negative = next((named[name] for name in NEGATIVES if name in named), None)
        why = "the names say that the texts belong together"
        if query is None or document is None:
            taken = {query, document, negative}
            free = sorted(
                (one for one in profiles if one.name not in taken and TextData().claims(one) > 0),
                key=lambda one: -TextData().claims(one),
            )  # fmt: skip
            needed = (query is None) + (document is None)
            if len(free) < needed:
                raise self.no_column(profiles, source)
            chosen = [one.name for one in sorted(free[:needed], key=lambda one: one.position)]
            query = query or chosen.pop(0)
            document = document or chosen.pop(0)
            why = f"two columns of text, of which {query!r} comes first"
        found = (query, document, *([negative] if negative else []))
        reasons["text"] = (" + ".join(found), why)
        return found

    def no_column(self, profiles: Sequence[Profile], source: str) -> DataError:
        columns = ", ".join(profile.name for profile in profiles) or "none"
        problem = Problem(f"two columns of texts are needed, a query and a document; columns: {columns}", source)
        return DataError(problem, fix="Name them, the query first: --text query --text document")

    def arrange(self, part: Part, *, asked: bool) -> None:
        """Rows of lists and of several negatives become rows of one pair; where no column holds a score, all that
        stands together belongs together. Raises DataError for lists that do not fit each other."""
        if not asked and "anchor" not in map(simple, part.table.column_names):
            return
        part_rows(part)
        names = [simple(name) for name in part.table.column_names]
        last = part.table.column(part.table.num_columns - 1).type
        numbered = not part.header and (pa.types.is_floating(last) or pa.types.is_integer(last))
        if not numbered and not part.header and part.table.num_columns > 2:
            cells = part.table.column(part.table.num_columns - 1)[:1000].to_pylist()
            numbered = all(_number(cell) is not None for cell in cells if cell not in (None, ""))
        if not numbered and not any(SCORES.search(name) for name in names):
            ones = pa.array(np.ones(part.rows), pa.float64())
            part.table = part.table.append_column(RELEVANCE, ones)

    def read(self, role: str, column: pa.ChunkedArray, folder: Path) -> Cells:
        cells = TextData().read("text", column, folder)
        texts, nothing = cells.columns["text"], np.zeros(len(cells.blank), dtype=bool)
        if role == "text_negative":
            plain = pa.array(["" if one is None else one for one in texts.to_pylist()], pa.string())
            return Cells({role: plain}, nothing, nothing, cells.faults)
        what = "query" if role == "text" else "document"
        faults = [(int(row), f"the {what} is empty") for row in np.flatnonzero(cells.blank)]
        return Cells({role: texts}, nothing, cells.nothing, [*cells.faults, *faults])

    def refuse(self, table: pa.Table, source: str) -> None:
        TextData().refuse(table, source)

    def duplicates(self, table: pa.Table, threshold: float) -> Duplicates:
        """Rows of one query are never divided; (nearly) the same pairs are, too, where the query is written otherwise,
        or its sides have changed places."""
        queries = find_duplicates(table, ["text"], threshold)
        sides = [normalise(table.column(role).to_pylist()) for role in ("text", "text_pair")]
        ordered = [sorted(pair) for pair in zip(*sides, strict=True)]
        pairs = pa.table({"text": [pair[0] for pair in ordered], "text_pair": [pair[1] for pair in ordered]})
        found = find_duplicates(pairs, ["text", "text_pair"], threshold)
        if not len(queries.cluster):
            return queries
        others = found.cluster + int(queries.cluster.max()) + 1
        joint = connected(queries.cluster, others, int(others.max()) + 1)[queries.cluster]
        return replace(queries, cluster=np.unique(joint, return_inverse=True)[1].astype(np.int64))

    def hashes(self, table: pa.Table) -> npt.NDArray[np.uint64]:
        return text_hashes.of_texts(table.select(["text", "text_pair"]))

    def lengths(self, table: pa.Table) -> Mapping[str, Any]:
        return labels.text_lengths(table.column("text_pair"))

    def warn(self, table: pa.Table, names: Sequence[str], place: Callable[[int], Problem], emit: Emit) -> None:
        """Also raises DataError for rows that nothing can be learned from, or that contradict each other."""
        TextData().warn(table.select(["text", "text_pair"]), names, place, emit)
        targets = np.array(table.column("target").combine_chunks().values, dtype=np.float64).reshape(-1, 4)
        check(targets, place, emit)
        false_negatives.tell(table, targets, place, emit)


def check(targets: np.ndarray, place: Callable[[int], Problem], emit: Emit) -> None:
    """Raises DataError, all rows together, for scores beyond the scale of the others, texts that are to be like
    themselves or unlike what they are like, and data of one side alone; warns of pairs with two scores. `targets`
    float64 [n, 4]."""
    if not len(targets):
        return
    scores, query, document, negative = targets.T
    faults: dict[int, str] = {}
    low, high = scale_of(scores)
    for row in np.flatnonzero((scores < low) | (scores > high))[:_SHOWN]:
        told = f"the score {scores[row]:g} lies outside of the scale {low:g} to {high:g} of the other rows"
        faults[int(row)] = told
    plain = np.ptp(scores) == 0
    if plain:
        for row in np.flatnonzero(query == document)[:_SHOWN]:
            faults[int(row)] = "both texts are the same: nothing can be learned from it"
        if scores[0] <= 0:
            problem = replace(place(0), message=f"every pair has the score {scores[0]:g}: nothing belongs together")
            raise DataError(problem, "Give pairs that belong together too, or leave the score out if these do.")
    for row in np.flatnonzero((negative != 0) & (negative == document))[:_SHOWN]:
        faults[int(row)] = "the negative is the document itself"
    for row in np.flatnonzero((negative != 0) & (negative == query))[:_SHOWN]:
        faults[int(row)] = "the negative is the query itself"
    if faults:
        problems = [replace(place(row), message=told) for row, told in sorted(faults.items())]
        raise DataError(problems, "Mend or remove these rows, and write all scores on one scale.")
    _tell_contradictions(targets, place, emit)
    _tell_lone(targets, place, emit)
    emit(Decided("scores", f"{low:g} to {high:g}" if not plain else "none", _of_scores(scores)))


def scale_of(scores: np.ndarray) -> tuple[float, float]:
    """The narrowest usual scale that nearly all scores lie on; their own range where there is none."""
    for low, high in _SCALES:
        within = scores[(scores >= low) & (scores <= high)]
        broken = len(within) > 0 and float(np.mean(within != np.round(within))) > 0.5
        if len(within) >= (_MOSTLY_BROKEN if broken and high == 1 else _MOSTLY) * len(scores):
            return low, high
    return float(scores.min()), float(scores.max())


def _of_scores(scores: np.ndarray) -> str:
    distinct = np.unique(scores)
    if len(distinct) == 1:
        return "all that stands together belongs together"
    return f"{len(distinct)} different scores from {scores.min():g} to {scores.max():g}"


def _tell_contradictions(targets: np.ndarray, place: Callable[[int], Problem], emit: Emit) -> None:
    _, pair = np.unique(targets[:, 1:3], axis=0, return_inverse=True)
    order = np.lexsort((targets[:, 0], pair.ravel()))
    same = (pair.ravel()[order][1:] == pair.ravel()[order][:-1]) & (targets[order][1:, 0] != targets[order][:-1, 0])
    if not same.any():
        return
    at = int(np.flatnonzero(same)[0])
    first, second = sorted((int(order[at]), int(order[at + 1])))
    rows = " and ".join(_said(place(row)) for row in (first, second))
    told = (
        f"{int(same.sum())} pairs stand with two scores, such as {rows}: {targets[first, 0]:g}, {targets[second, 0]:g}"
    )
    emit(Warned("pairs with two scores", told))


def _tell_lone(targets: np.ndarray, place: Callable[[int], Problem], emit: Emit) -> None:
    """Queries to which nothing is relevant, of data that says what is."""
    scores = targets[:, 0]
    if not set(np.unique(scores).tolist()) <= {0.0, 1.0} or len(np.unique(scores)) < 2:
        return
    best: dict[float, float] = defaultdict(float)
    first: dict[float, int] = {}
    for row, (score, query, _, _) in enumerate(targets.tolist()):
        best[query] = max(best[query], score)
        first.setdefault(query, row)
    lone = [first[query] for query, score in best.items() if score <= 0]
    if lone and len(targets) > len(best):
        told = f"{len(lone)} queries have no document that belongs to them, the first in {_said(place(lone[0]))}"
        emit(Warned("queries without documents", f"{told}; their documents are learned as wrong ones only"))


def _said(problem: Problem) -> str:
    return f"line {problem.line}" if problem.line is not None else f"row {problem.row}"


def _number(cell: object) -> float | None:
    try:
        return float(str(cell).strip().replace(",", "."))
    except ValueError:
        return None


# --- Layouts ------------------------------------------------------------------------------------


def _parsed(table: pa.Table) -> pa.Table:
    """A table in which columns of documents, negatives and scores that hold lists as JSON are columns of lists."""
    for at, name in enumerate(table.column_names):
        known = simple(name) in (*DOCUMENTS, *NEGATIVES) or SCORES.search(simple(name))
        cells = table.column(name).to_pylist() if known and pa.types.is_string(table.column(name).type) else []
        filled = [cell for cell in cells if cell and cell.strip()]
        if not filled or sum(map(looks_listed, map(str.strip, filled))) < _MOSTLY * len(filled):
            continue
        try:
            found = [None if not (cell or "").strip() else [_text(one) for one in parse_list(cell)] for cell in cells]
        except ValueError:
            continue
        table = table.set_column(at, name, pa.array(found, pa.list_(pa.string())))
    return table


def _text(one: object) -> str | None:
    return None if one is None else str(one)


def part_rows(part: Part) -> None:
    """Rows with lists of documents, of negatives and of scores, and rows with negatives in several columns, as rows of
    one pair each."""
    table = part.table = _parsed(part.table)
    lists = [name for name, column in zip(table.column_names, table.columns, strict=True)
             if pa.types.is_list(column.type) or pa.types.is_large_list(column.type)]  # fmt: skip
    if all(pa.types.is_floating(table.schema.field(name).type.value_type) for name in lists):
        lists = []  # targets as they were read
    several = [name for name in table.column_names if _NUMBERED_NEGATIVE.match(simple(name))]
    if not lists and not several:
        return
    wrong = [name for name in lists if simple(name) in NEGATIVES]
    others = [name for name in lists if name not in wrong]
    rows: list[dict[str, Any]] = []
    origins: list[int] = []
    problems: list[Problem] = []
    for at, row in enumerate(table.to_pylist()):
        plain = {name: cell for name, cell in row.items() if name not in lists and name not in several}
        beside = {name: row[name] or [] for name in others}
        lengths = {len(cells) for cells in beside.values()}
        if beside and (len(lengths) > 1 or 0 in lengths):
            told = ", ".join(f"{len(cells)} in {name!r}" for name, cells in beside.items())
            what = "the query has no document" if 0 in lengths else "its lists differ in length"
            problems.append(part.problem(at, f"{what}: {told}"))
            continue
        negatives = [cell for name in wrong for cell in row[name] or []]
        negatives += [row[name] for name in several if row[name]]
        count = lengths.pop() if beside else 1
        for number in range(max(count, len(negatives) or 1)):
            made = plain | {name: cells[number % count] for name, cells in beside.items()}
            if wrong or several:
                made["negative"] = negatives[number % len(negatives)] if negatives else None
            rows.append(made)
            origins.append(at)
    if problems:
        raise DataError(problems[:_SHOWN], "Give every query the documents that belong to it, or remove these rows.")
    part.table = pa.Table.from_pylist(rows)
    part.rows = len(rows)
    part.made_of = np.array(origins, dtype=np.int64)
