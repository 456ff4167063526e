"""Rows before they are tensors: read, guess columns, clean, split, check for leaks, account for each row.

Never imports torch; knows nothing of tokens or models.
"""

from tunesmith.data.ledger import Ledger
from tunesmith.data.prepare import keep, prepare, read_rows
from tunesmith.data.prepared import PreparedData
from tunesmith.data.targets import parse_targets
from tunesmith.data.types import Columns, Kind, Leakage, ReadOptions, SplitOptions

__all__ = [
    "Columns",
    "Kind",
    "Leakage",
    "Ledger",
    "PreparedData",
    "ReadOptions",
    "SplitOptions",
    "keep",
    "parse_targets",
    "prepare",
    "read_rows",
]
