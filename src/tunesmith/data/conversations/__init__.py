"""Text to generate: conversations, completions, preferences, pairs and plain text, in all the usual formats."""

from tunesmith.data.conversations.convert import convert
from tunesmith.data.conversations.divide import Division, divide, file_splits, units
from tunesmith.data.conversations.examples import Examples
from tunesmith.data.conversations.formats import Format, ReadRequest, detect
from tunesmith.data.conversations.lint import lint
from tunesmith.data.conversations.peek import peek
from tunesmith.data.conversations.read import read_examples
from tunesmith.data.conversations.validate import validate

__all__ = [
    "Division",
    "Examples",
    "Format",
    "ReadRequest",
    "convert",
    "detect",
    "divide",
    "file_splits",
    "lint",
    "peek",
    "read_examples",
    "units",
    "validate",
]
