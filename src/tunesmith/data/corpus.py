"""Further documents: a text a row, of a file in any format that tables are read from."""

from __future__ import annotations

from pathlib import Path

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
        table = flatten(part.table)
        profiles = profile_table(table)
        named = [one.name for one in profiles if simple(one.name) in (*DOCUMENTS, "text")]
        best = max(profiles, key=TextData().claims, default=None)
        if not named and (best is None or not TextData().claims(best)):
            raise DataError(Problem("no column holds texts", path), fix="Give a file with a document in each row.")
        texts = as_text(table.column(named[0] if named else best.name)).to_pylist()  # type: ignore[union-attr]
    found = list(dict.fromkeys(text for text in texts if text and text.strip()))
    if not found:
        raise DataError(Problem("it holds no document", path), fix="Give a file with a document in each row.")
    return found
