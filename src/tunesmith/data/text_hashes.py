"""Which texts a run has learned from, so that other data can say which of its rows are no news. Keeps no texts, only
64-bit hashes of them after normalising (case, punctuation and white space do not count)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from tunesmith.core.files import write_table
from tunesmith.data.duplicates import normalise
from tunesmith.data.split import NAMES, Marks

Hashes = npt.NDArray[np.uint64]
FILE = "texts.parquet"
_CHUNK = 20_000


def hashes(texts: Sequence[str], pairs: Sequence[str] | None = None) -> Hashes:
    """uint64 [n]: equal for texts (or pairs of them) that are the same but for case, punctuation and spaces."""
    found = np.zeros(len(texts), dtype=np.uint64)
    for start in range(0, len(texts), _CHUNK):
        part = normalise(texts[start : start + _CHUNK])
        if pairs is not None:
            part = [f"{one}\n{two}" for one, two in zip(part, normalise(pairs[start : start + _CHUNK]), strict=True)]
        for row, text in enumerate(part, start):
            digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
            found[row] = int.from_bytes(digest, "little")
    return found


def of_texts(table: pa.Table) -> Hashes:
    """The same for a table of one or two columns of texts; a part of the rows in memory at a time."""
    batches = table.to_batches(max_chunksize=_CHUNK)
    found = [hashes(*(column.to_pylist() for column in batch.columns)) for batch in batches]
    return np.concatenate(found) if found else np.zeros(0, dtype=np.uint64)


def save(folder: Path, found: Hashes, marks: Marks) -> None:
    """Write the hash of every row and the split that it stands in."""
    split = pa.DictionaryArray.from_arrays(pa.array(marks), pa.array(NAMES))
    write_table(pa.table({"hash": pa.array(found), "split": split}), folder / FILE)


def of_run(folder: Path) -> dict[str, Hashes] | None:
    """Split -> hashes of its texts, of a run's data folder; None where an earlier version wrote it."""
    if not (folder / FILE).exists():
        return None
    table = pq.read_table(folder / FILE)
    split = np.asarray(table.column("split").cast(pa.string()).to_pylist())
    found = table.column("hash").to_numpy()
    return {name: found[split == name] for name in NAMES}
