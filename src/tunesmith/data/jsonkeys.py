"""JSON whose objects name each key once. Python takes the last of two, others the first: neither is what was meant."""

from __future__ import annotations

import json
from typing import Any

Json = dict[str, Any]
"""An object of JSON."""


class KeyTwice(ValueError):
    """A key stands twice in one object."""


def once(pairs: list[tuple[str, object]]) -> Json:
    """The object of these keys and values, as json's `object_pairs_hook`. Raises KeyTwice."""
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise KeyTwice(f"the key {twice[:60]!r} stands {names.count(twice)} times in one object")
    return found


DECODER = json.JSONDecoder(object_pairs_hook=once)
"""Decodes JSON. Raises JSONDecodeError, and KeyTwice."""


class TwiceIn(json.JSONDecodeError):
    """Valid JSON but for a key that stands twice in one object."""


def decode(text: str, start: int) -> tuple[object, int]:
    """The value at `start` and where it ends. Raises JSONDecodeError, also for what Python alone can not hold."""
    try:
        return DECODER.raw_decode(text, start)
    except json.JSONDecodeError:
        raise
    except KeyTwice as error:
        raise TwiceIn(str(error), text, start) from error
    except (ValueError, RecursionError) as error:
        raise json.JSONDecodeError(str(error), text, start) from error


_KINDS = {
    bool: "true or false", str: "a string", list: "a list", dict: "an object", int: "a number", float: "a number",
    type(None): "null",
}  # fmt: skip


def kind(value: object) -> str:
    """'a list', 'an object', ... for messages."""
    return _KINDS.get(type(value), type(value).__name__)
