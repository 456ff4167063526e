"""Strategies: sound content with a few things wrong with it, which reaches deeper than noise does."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

_TOKENS = [
    b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b'"', b"'", b"\n", b"\r", b",", b";", b"\t", b"{", b"}", b"[", b"]", b":",
    b"-",     b"=1+1", b"\x1b[2J", b"nan", b"1e999", b"9" * 5000, b"[" * 2000, b"&a [*a]", b"!!python/object:os.system",
    b"\xed\xa0\x80", "\u202e".encode(), b"a" * 70_000, b"\\u0000", b"\\ud800", b"null", b"true", b"-1", b"#", b"\\",
    b"\x80\x81", b"2020-99-99", b"0x", b"<<", b"*", b"?", b"|", b"%", b"~", b"\x00\x00\x00\x80", b"\xff" * 8,
]  # fmt: skip

VALUES = st.one_of(
    st.sampled_from([
        None, True, False, 0, 1, -1, 2, 3, 7, -32, 10**6, 10**9, 2**31, 2**63, 2**64, 10**40, 0.5, -0.0, 1e308, 1e-300,
        "", "abc", "0", "-1", "auto", "float32", "float16", "int8", "bfloat16", "gelu", "../../x", "/etc/passwd", "\0",
        "a/b", "owner/repo--x.Y", "\ud800", "\x1b[2J", "(a+)+$", "x" * 10_000, [], {}, [[]], [None], [1, 2], ["a"] * 50,
        {"a": 1}, {"": None}, {"0": "a", "1": "a"}, {"type": "x"}, [{}], [-1], [10**12], "BertModel",
        "LlamaForCausalLM",         "float64", "eager", "sdpa", "mean", "cls",
    ]),
    st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=20),
)  # fmt: skip

_KEYS = ["auto_map", "quantization_config", "a", "vocab_size", "model_type", "__class__", "rope_scaling", "dtype"]
_CHANGE = st.tuples(
    st.sampled_from(["flip", "insert", "delete", "double", "cut", "token"]), st.floats(0, 1), st.integers(0, 255),
    st.sampled_from(range(len(_TOKENS))),
)  # fmt: skip


@st.composite
def damaged_bytes(draw: Any, *sound: bytes) -> bytes:
    """One of the sound contents with one to six bytes or pieces changed."""
    content = bytearray(draw(st.sampled_from(sound)))
    for what, where, number, token in draw(st.lists(_CHANGE, min_size=1, max_size=6)):
        place = int(where * len(content))
        if what == "flip" and content:
            content[min(place, len(content) - 1)] ^= (1 << number % 8) if number < 128 else number
        elif what == "insert":
            content[place:place] = bytes([number])
        elif what == "delete":
            del content[place : place + number]
        elif what == "double":
            content[place:place] = content[place : place + 4 * number]
        elif what == "cut":
            del content[place:]
        else:
            content[place:place] = _TOKENS[token]
    return bytes(content)


@st.composite
def damaged_json(draw: Any, sound: Any) -> bytes:
    """A JSON document with one to three of its values replaced, deleted or added."""
    value = json.loads(json.dumps(sound))
    for _ in range(draw(st.integers(1, 3))):
        places = list(_places(value, ()))
        place = draw(st.sampled_from(places))
        if not place:
            if draw(st.integers(0, 9)) == 0:
                value = draw(VALUES)
            continue
        parent = value
        for step in place[:-1]:
            parent = parent[step]
        what = draw(st.sampled_from(["replace", "replace", "replace", "delete", "add", "nest"]))
        if what == "delete":
            del parent[place[-1]]
        elif what == "add" and isinstance(parent, dict):
            parent[
                draw(st.sampled_from(["auto_map", "quantization_config", "a", "vocab_size", "model_type", "__class__"]))
            ] = draw(VALUES)
        elif what == "nest":
            parent[place[-1]] = _nested(draw(st.sampled_from([3, 100, 900])))
        else:
            parent[place[-1]] = draw(VALUES)
        if not isinstance(value, dict | list):
            break
    return json.dumps(value).encode()


def _nested(depth: int) -> Any:
    value: Any = 1
    for number in range(depth):
        value = [value] if number % 2 else {"a": value}
    return value


def _places(value: Any, at: tuple[Any, ...]) -> Any:
    yield at
    if len(at) > 8:
        return
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, one in list(inner)[:60]:
        yield from _places(one, (*at, name))
