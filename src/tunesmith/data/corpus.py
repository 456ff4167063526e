"""Further documents: a text a row, of a file in any format that tables are read from."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from tunesmith.core.errors import DataError, Problem
from tunesmith.core.events import ignore
from tunesmith.core.files import scratch
from tunesmith.data.pairs import DOCUMENTS
from tunesmith.data.profile import profile_table, simple
from tunesmith.data.sources import read_source
from tunesmith.data.tables import flatten
from tunesmith.data.texts import TextData, as_text


def read_corpus(path: str) -> list[str]:
    """The documents of a file, each once: those of the column that is called so, or else of that with most text. Raises
    DataError for a file without any."""
    if not Path(path).expanduser().exists():
        raise DataError(
            Problem("there is no such file", path), fix="Give a file with a document in each row: corpus=FILE"
        )
    with scratch() as folder:
        part = read_source(path, "train", emit=ignore, cache_dir=folder)[0]
        texts = documents_of(part.table, path)
    found = list(dict.fromkeys(text for text in texts if text and text.strip()))
    if not found:
        raise DataError(Problem("it holds no document", path), fix="Give a file with a document in each row.")
    return found


def documents_of(table: pa.Table, source: str) -> list[str]:
    """The document of each row, '' where there is none: of a column with a name for it, behind its title where there
    are both, or else of that with most text. Raises DataError where no column holds texts."""
    table = flatten(table)
    named = {simple(name): name for name in table.column_names}
    name = next((named[one] for one in ("text", *DOCUMENTS) if one in named and one != "title"), named.get("title"))
    if name is None:
        profiles = profile_table(table)
        best = max(profiles, key=TextData().claims, default=None)
        if best is None or not TextData().claims(best):
            raise DataError(Problem("no column holds texts", source), fix="Give a file with a document in each row.")
        name = best.name
    texts = [text or "" for text in as_text(table.column(name)).to_pylist()]
    if (title := named.get("title")) is None or title == name:
        return texts
    titles = [text or "" for text in as_text(table.column(title)).to_pylist()]
    return [f"{title} {text}".strip() for title, text in zip(titles, texts, strict=True)]
