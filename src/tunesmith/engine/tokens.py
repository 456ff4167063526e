"""Rows as tokens: one flat, memory-mapped file however many rows there are.

A million rows stay on disk; a batch touches only its own. Knows nothing of tasks: targets are an
array that the task made.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor

from tunesmith.core.errors import OptionError
from tunesmith.core.events import Decided, Emit
from tunesmith.core.files import new_file, own_folder
from tunesmith.data.features import FeatureTable, by_column
from tunesmith.engine.encoded import EncodedItems, Flat, padded
from tunesmith.models.bundle import Bundle
from tunesmith.models.guard import tokens
from tunesmith.models.lengths import USUAL, chosen_limit, unread
from tunesmith.models.types import Tokenizer

FEATURES = "features"
"""Column of what stands beside a text, an object of cells as they are written."""
_CHUNK = 2_000  # rows handed to the tokenizer at once


class HiddenStates:
    """Token states in a flat file [tokens, hidden], in the order of `EncodedRows.ids`.

    `known` bool [rows] are the rows whose states it holds, all when None. Read with pread rather than mapped:
    mapped pages would count as this process's memory.
    """

    def __init__(self, path: Path, hidden_size: int, blocks: int, dtype: torch.dtype, known: np.ndarray | None = None):
        self.path, self.hidden_size, self.blocks, self.dtype = path, hidden_size, blocks, dtype
        self._known = known
        self._row_bytes = hidden_size * dtype.itemsize
        self._file = os.open(path, os.O_RDONLY)

    def of_all(self, positions: np.ndarray) -> bool:
        """Whether the states of all these rows are in the file."""
        return self._known is None or bool(self._known[positions].all())

    def read(self, starts: np.ndarray, lengths: np.ndarray) -> dict[str, Tensor]:
        """'hidden' [rows, longest, hidden], zeros after a row's end, and 'blocks', how many are done."""
        states = torch.zeros(len(starts), int(lengths.max()), self.hidden_size, dtype=self.dtype)
        raw = states.view(torch.uint8).numpy()
        for i, (start, length) in enumerate(zip(starts, lengths, strict=True)):
            wanted = int(length) * self._row_bytes
            if os.preadv(self._file, [raw[i, :length].reshape(-1).data], int(start) * self._row_bytes) != wanted:
                raise OSError(f"{self.path} is shorter than it should be")
        return {"hidden": states, "blocks": torch.tensor(self.blocks)}

    def close(self) -> None:
        os.close(self._file)


@dataclass
class EncodedRows(Flat, EncodedItems):
    """Tokens of n rows.

    `ids` int32 [tokens], `types` uint8 [tokens] or None, `offsets` int64 [n + 1]: row i is
    `ids[offsets[i]:offsets[i + 1]]`. `unread` int64: how many tokens
    are left out of each of the rows at `cut`, which were longer than the limit.
    """

    unit: ClassVar[str] = "tokens"
    ids: np.ndarray
    types: np.ndarray | None
    offsets: np.ndarray
    pad_token_id: int
    hidden: HiddenStates | None = None
    """Token states after the frozen bottom of the network, read instead of computed."""
    unread: np.ndarray | None = None
    table: np.ndarray | None = None
    """What stands beside each text, as numbers: float32 [n, width]."""
    notes: list[str] = field(default_factory=list)
    """What was odd in that, in words."""

    @property
    def whole_lengths(self) -> np.ndarray:
        """Tokens of each row before it was cut, int64 [n]."""
        found = self.lengths
        if self.unread is not None:
            found[self.cut] += self.unread
        return found

    @property
    def content(self) -> tuple[np.ndarray, ...]:
        return (self.ids, self.offsets) if self.table is None else (self.ids, self.offsets, self.table)

    def inputs(self, positions: np.ndarray) -> dict[str, Tensor]:
        """Tokens padded to the longest row, or the states that were kept of them."""
        starts, ends = self.offsets[positions], self.offsets[positions + 1]
        places = list(zip(starts, ends, strict=True))
        ids, mask = padded([self.ids[start:end] for start, end in places], self.pad_token_id)
        beside = {} if self.table is None else {"table": torch.from_numpy(self.table[positions])}
        if self.hidden is not None and self.hidden.of_all(positions):
            return {"attention_mask": mask, **self.hidden.read(starts, ends - starts), **beside}
        batch = {"input_ids": ids, "attention_mask": mask, **beside}
        if self.types is not None:
            batch["token_type_ids"], _ = padded([self.types[start:end] for start, end in places])
        return batch


def with_features(encoded: EncodedRows, rows: Dataset, bundle: Bundle) -> EncodedRows:
    """With what stands beside the texts, where the model of the bundle reads it and the rows have it."""
    if getattr(bundle.model, "table", None) is None or FEATURES not in rows.column_names:
        return encoded
    table = FeatureTable.of(bundle.model.table)
    encoded.table = table.transform(by_column(rows[FEATURES][:], [column.name for column in table.columns]))
    encoded.notes = table.notes
    return encoded


def encode_texts(
    rows: Dataset, tokenizer: Tokenizer, max_length: int, folder: Path, check: Callable[[], None] = lambda: None
) -> EncodedRows:
    """Tokenize the columns 'text' and, where there is one, 'text_pair'.

    Files go into `folder`. Rows above `max_length` tokens are cut at the end by the tokenizer (the
    longer text of a pair first) and listed in `cut`. `check` is called between chunks and may raise.
    """
    own_folder(folder)
    pairs = "text_pair" in rows.column_names
    lengths: list[np.ndarray] = []
    cut: list[int] = []
    unread: list[int] = []
    with (
        new_file(folder / "ids.bin", durable=False) as ids_file,
        new_file(folder / "types.bin", durable=False) as types_file,
    ):
        for start in range(0, len(rows), _CHUNK):
            check()
            chunk = rows[start : start + _CHUNK]
            texts = (chunk["text"], chunk["text_pair"]) if pairs else (chunk["text"],)
            encoded = _tokenize(tokenizer, texts, max_length, truncation=True)
            ids = encoded["input_ids"]
            sizes = np.fromiter((len(row) for row in ids), dtype=np.int64, count=len(ids))
            lengths.append(sizes)
            # not `tofile`, which forgets why it could not write: a full disk pauses a run, other faults end it
            ids_file.write(np.concatenate([np.asarray(row, dtype=np.int32) for row in ids]).data)
            if pairs and "token_type_ids" in encoded:
                types = [np.asarray(row, dtype=np.uint8) for row in encoded["token_type_ids"]]
                types_file.write(np.concatenate(types).data)
            full = np.flatnonzero(sizes >= max_length)
            over = _whole_lengths(tokenizer, texts, full) - max_length
            cut += [start + int(i) for i in full[over > 0]]
            unread += over[over > 0].tolist()
    kinds = folder / "types.bin"
    return EncodedRows(
        ids=np.memmap(folder / "ids.bin", dtype=np.int32, mode="r"),
        types=np.memmap(kinds, dtype=np.uint8, mode="r") if kinds.stat().st_size else None,
        offsets=np.concatenate([[0], np.cumsum(np.concatenate(lengths))]).astype(np.int64),
        cut=np.array(cut, dtype=np.int64),
        unread=np.array(unread, dtype=np.int64),
        pad_token_id=tokenizer.pad_token_id,
    )


def _tokenize(
    tokenizer: Tokenizer, texts: Sequence[list[str]], max_length: int | None, *, truncation: bool
) -> Mapping[str, list[list[int]]]:  # fmt: skip
    return tokens(
        tokenizer, *texts, truncation=truncation, max_length=max_length, padding=False,
        return_attention_mask=False, verbose=False,
    )  # fmt: skip


def _whole_lengths(tokenizer: Tokenizer, texts: Sequence[list[str]], full: np.ndarray) -> np.ndarray:
    """Tokens of the rows `full`, which are at the limit, before they were cut; int64 [len(full)]."""
    some = [[column[int(i)] for i in full] for column in texts]
    whole = _tokenize(tokenizer, some, None, truncation=False)["input_ids"] if len(full) else []
    return np.array([len(row) for row in whole], dtype=np.int64)


def check_length(asked: int | None, reads: int, name: str) -> None:
    """Raises OptionError when longer rows are asked for than the model can read."""
    if asked is not None and asked > reads:
        raise OptionError(
            f"max_length={asked} is more than the model {name!r} can read.", f"Set max_length to at most {reads}."
        )


def encode_rows(
    rows: Dataset,
    bundle: Bundle,
    asked_length: int | None,
    folder: Path,
    emit: Emit,
    check: Callable[[], None],
) -> EncodedRows:
    """`encode_texts` with the limit that was asked for, or fits the model and the rows; a larger one than the model was
    made for becomes its `max_length`.

    Raises OptionError when more is asked than the model can read.
    """
    check_length(asked_length, bundle.position_limit, bundle.name)
    if asked_length is not None:
        return with_features(encode_texts(rows, bundle.tokenizer, asked_length, folder, check), rows, bundle)
    made_for = min(bundle.max_length, USUAL)
    encoded = encode_texts(rows, bundle.tokenizer, made_for, folder, check)
    limit = chosen_limit(encoded.whole_lengths, bundle.max_length, bundle.position_limit)
    why = f"the model {bundle.name!r} was made for {bundle.max_length} tokens"
    if limit > made_for:
        why += f", but {unread(encoded.whole_lengths, made_for):.0%} of all words would not be read with so few"
        encoded = encode_texts(rows, bundle.tokenizer, limit, folder, check)
        bundle.max_length = limit  # so does the finished model
    emit(Decided("max_length", limit, why))
    return with_features(encoded, rows, bundle)
