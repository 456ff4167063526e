"""The parts of report and card that are about queries and documents, and about pairs with a score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from datasets import Dataset
from scipy.stats import rankdata

from tunesmith.core.measured import Measured
from tunesmith.evaluate import page, words
from tunesmith.evaluate.evidence import Evidence
from tunesmith.evaluate.page import text
from tunesmith.evaluate.ranking import Ranked
from tunesmith.evaluate.scored import Scored

_SHOWN = 15
_LETTERS = 200


def examples(
    rows: Dataset, test: Measured, others: Mapping[str, Measured], documents: Sequence[str] = ()
) -> dict[str, Any]:
    """What the sections show of some test rows: those that moved up or down against the base, and the worst.
    `documents`: the texts that `Ranked.best` counts."""
    base = others.get("base")
    if isinstance(test, Ranked):
        return _of_ranked(rows, test, base if isinstance(base, Ranked) else None, documents)
    if isinstance(test, Scored):
        return _of_scored(rows, test, base if isinstance(base, Scored) else None)
    return {}


def _of_ranked(rows: Dataset, test: Ranked, base: Ranked | None, documents: Sequence[str]) -> dict[str, Any]:
    queries, wanted = rows["text"][:], rows["text_pair"][:]
    known = np.flatnonzero(test.ranks > 0)
    first = {queries[at]: documents[best[0]] for at, best in enumerate(test.best) if best and len(documents)}

    def row(at: int) -> dict[str, Any]:
        return {"query": queries[at], "document": wanted[at], "rank": int(test.ranks[at]),
                "base": None if base is None else int(base.ranks[at]), "first": first.get(queries[at])}  # fmt: skip

    worst = known[np.argsort(-test.ranks[known], kind="stable")][:_SHOWN]
    found = {"worst": [row(int(at)) for at in worst if test.ranks[at] > 1], "ranked": True}
    if base is not None:
        gain = np.log(np.maximum(base.ranks, 1)) - np.log(np.maximum(test.ranks, 1))
        order = known[np.argsort(-gain[known], kind="stable")]
        found["up"] = [row(int(at)) for at in order[:_SHOWN] if gain[at] > 0]
        found["down"] = [row(int(at)) for at in order[::-1][:_SHOWN] if gain[at] < 0]
    return found


def _of_scored(rows: Dataset, test: Scored, base: Scored | None) -> dict[str, Any]:
    left, right = rows["text"][:], rows["text_pair"][:]
    share = max(1, len(test) - 1)
    wanted, ours = ((rankdata(some) - 1) / share for some in (test.truth, test.scores))
    off = np.abs(ours - wanted)

    def row(at: int) -> dict[str, Any]:
        return {"query": left[at], "document": right[at], "truth": float(test.truth[at]), "wanted": float(wanted[at]),
                "given": float(ours[at]), "base": None if theirs is None else float(theirs[at])}  # fmt: skip

    theirs = None if base is None else (rankdata(base.scores) - 1) / share
    found = {"worst": [row(int(at)) for at in np.argsort(-off, kind="stable")[:_SHOWN]], "ranked": False}
    if theirs is not None:
        gain = np.abs(theirs - wanted) - off
        order = np.argsort(-gain, kind="stable")
        found["up"] = [row(int(at)) for at in order[:_SHOWN] if gain[at] > 0]
        found["down"] = [row(int(at)) for at in order[::-1][:_SHOWN] if gain[at] < 0]
    return found


def moved(evidence: Evidence) -> str:
    """Rows that the training moved up, and those that it moved down, against the base."""
    shown = evidence.shown
    parts = []
    for name, title in (("up", "Better than the base"), ("down", "Worse than the base")):
        if shown.get(name):
            parts.append(f"<h3>{title}</h3>{_table(shown[name], shown['ranked'])}")
    note = (
        "The rank of the document that belongs to the query, among all that can be found."
        if shown.get("ranked") else
        "Places of pairs among all test pairs, from 0 (least alike) to 1, by people and by the model."
    )  # fmt: skip
    return f'<p class="soft small">{note}</p>{"".join(parts)}' if parts else ""


def worst(evidence: Evidence) -> str:
    rows = evidence.shown.get("worst")
    if not rows:
        return ""
    ranked = evidence.shown["ranked"]
    note = (
        "Queries whose document comes last, and what comes first instead." if ranked else
        "Pairs whose place is furthest from where people put them, from 0 (least alike of the test pairs) to 1."
    )  # fmt: skip
    return f'<p class="soft small">{note}</p>{_table(rows, ranked)}'


def negatives(evidence: Evidence) -> str:
    """Documents that the base took for relevant, beside those that are."""
    rows = evidence.shown.get("negatives")
    if not rows:
        return ""
    body: list[Sequence[page.Cell]] = [
        [(text(row["query"], _LETTERS), "text"), (text(row["document"], _LETTERS), "text"),
         (text(row["negative"], _LETTERS), "text")] for row in rows
    ]  # fmt: skip
    note = (
        '<p class="soft small">What the base finds first for a query and is not marked as relevant. Look for documents '
        "that do belong to their query: they would be learned as wrong ones.</p>"
    )
    return note + page.table(["query", "its document", "hard negative"], body, fold=True)


def sizes(evidence: Evidence) -> str:
    """What vectors that are cut off are worth."""
    found = getattr(evidence.test, "sizes", None)
    if not found:
        return ""
    names = list(next(iter(found.values())))
    body: list[Sequence[page.Cell]] = [
        [f"{size}", *((words.number(values[name]), "n") for name in names)] for size, values in found.items()
    ]
    return page.table(["numbers", *((text(words.metric(name)), "n") for name in names)], body, fold=True)


def _table(rows: Sequence[Mapping[str, Any]], ranked: bool) -> str:
    if ranked:
        head: list[str | tuple[str, str]] = [
            "query",
            "its document",
            ("rank", "n"),
            ("of the base", "n"),
            "found first",
        ]
        body: list[Sequence[page.Cell]] = [
            [(text(row["query"], _LETTERS), "text"), (text(row["document"], _LETTERS), "text"), (f"{row['rank']}", "n"),
             ("–" if row["base"] is None else f"{row['base']}", "n"), (text(row["first"] or "", _LETTERS), "text")]
            for row in rows
        ]  # fmt: skip
        return page.table(head, body, fold=True)
    head = ["first text", "second text", ("score", "n"), ("people", "n"), ("model", "n"), ("base", "n")]
    body = [
        [(text(row["query"], _LETTERS), "text"), (text(row["document"], _LETTERS), "text"),
         (words.number(row["truth"]), "n"), (words.number(row["wanted"]), "n"), (words.number(row["given"]), "n"),
         (words.number(row["base"]), "n")]
        for row in rows
    ]  # fmt: skip
    return page.table(head, body, fold=True)


def plain(evidence: Evidence) -> list[str]:
    """Lines of Python that use the model without Tunesmith."""
    if evidence.task == "reranking":
        return [
            "from sentence_transformers import CrossEncoder",
            "",
            'model = CrossEncoder("path/to/this/folder")',
            'print(model.predict([("a query", "a document"), ("a query", "another document")]))',
        ]
    return [
        "from sentence_transformers import SentenceTransformer",
        "",
        'model = SentenceTransformer("path/to/this/folder")',
        'vectors = model.encode(["a query", "a document"])',
        "print(model.similarity(vectors, vectors))",
    ]
