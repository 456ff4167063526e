"""What is learned of an example, token by token, for a terminal, a page or a log."""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Iterator
from itertools import groupby
from typing import Literal

import numpy as np

from tunesmith.models.mask import Cut, Encoded
from tunesmith.models.types import Tokenizer

Style = Literal["ansi", "html", "plain"]
State = Literal["learned", "context", "cut"]

_STATES: tuple[State, ...] = ("learned", "context", "cut")
_MEANING = {"learned": "learned", "context": "context, not learned", "cut": "cut away"}
_RESET = "\x1b[0m"
# Neighbouring tokens differ in shade, so that their boundaries show.
_ANSI = {
    "learned": ("\x1b[30;42m", "\x1b[30;102m"),
    "context": ("\x1b[2m", "\x1b[2;4m"),
    "cut": ("\x1b[9;31m", "\x1b[9;91m"),
}
_CSS = (
    ".ts-tokens{font:14px/1.7 ui-monospace,monospace;white-space:pre-wrap;overflow-wrap:anywhere}"
    ".ts-tokens .learned{background:#b7ebc6;color:#10321c}.ts-tokens .learned.odd{background:#8fdca6}"
    ".ts-tokens .context{color:#5c6370}.ts-tokens .context.odd{background:#80808022}"
    ".ts-tokens .cut{background:#f6c9c9;color:#7a1f1f;text-decoration:line-through}"
)
_SIGNS = {" ": "·", "\n": "⏎", "\t": "⇥", "\r": "␍", "\x7f": "␡"}
_LONGEST_CHARACTER = 4  # bytes of a character in UTF-8, and so the most tokens that one character takes


def render_preview(encoded: Encoded, tokenizer: Tokenizer, *, cut: Cut | None = None, style: Style = "ansi") -> str:
    """`encoded` with every token as learned, context or cut, a legend and counts.

    `encoded` is the example before it was cut, and `cut` what `mask.cut` said of it. 'ansi' is coloured text,
    'html' a fragment that needs nothing else, 'plain' a line for each stretch of equal tokens. White space and
    control characters are shown as signs, so that no text can steer a terminal or end an element.
    """
    states = _states(encoded, cut)
    counts = {state: states.count(state) for state in _STATES}
    pieces = list(_pieces(encoded.ids, states, tokenizer))
    render = {"ansi": _ansi, "html": _html, "plain": _plain}[style]
    return render(pieces, counts)


def token_table(encoded: Encoded, tokenizer: Tokenizer, *, cut: Cut | None = None) -> list[dict[str, object]]:
    """`encoded` as [{"text", "learned", "cut"}]: the texts joined are the whole example. Tokens that share a
    character are one entry."""
    return [
        {"text": text, "learned": state == "learned", "cut": state == "cut"}
        for text, state, _ in _pieces(encoded.ids, _states(encoded, cut), tokenizer)
    ]


def _states(encoded: Encoded, cut: Cut | None) -> list[State]:
    kept = np.ones(len(encoded), dtype=bool) if cut is None else cut.kept
    learned = encoded.learned if cut is None or cut.learned is None else cut.learned
    return [("learned" if is_learned else "context") if is_kept else "cut"
            for is_learned, is_kept in zip(learned, kept, strict=True)]  # fmt: skip


def _pieces(ids: np.ndarray, states: list[State], tokenizer: Tokenizer) -> Iterator[tuple[str, State, list[int]]]:
    """(text, state, ids): one token each, but for the bytes of a character that takes several."""
    start = 0
    while start < len(ids):
        stop = start + 1
        text = _decode(tokenizer, ids[start:stop])
        while (
            "\ufffd" in text and stop - start < _LONGEST_CHARACTER and stop < len(ids) and states[stop] == states[start]
        ):
            stop += 1
            text = _decode(tokenizer, ids[start:stop])
        if "\ufffd" in text:  # no character after all
            stop = start + 1
            text = str(tokenizer.convert_ids_to_tokens(int(ids[start])))
        yield text, states[start], ids[start:stop].tolist()
        start = stop


def _decode(tokenizer: Tokenizer, ids: np.ndarray) -> str:
    text: str = tokenizer.decode(ids.tolist(), skip_special_tokens=False, clean_up_tokenization_spaces=False)
    # SentencePiece decoders take a space off the start of a text, which this is not
    leads = str(tokenizer.convert_ids_to_tokens(int(ids[0]))).startswith("▁")
    return " " + text if leads and not text.startswith(" ") else text


def _visible(text: str) -> str:
    """`text` with signs for white space and codes for characters that do not show."""
    return "".join(_sign(letter) for letter in text)


def _sign(letter: str) -> str:
    if letter in _SIGNS:
        return _SIGNS[letter]
    if letter < " ":
        return chr(0x2400 + ord(letter))
    if unicodedata.category(letter) in ("Cc", "Cf", "Co", "Cs", "Zl", "Zp", "Zs"):
        return f"\\u{{{ord(letter):x}}}"
    return letter


def _summary(counts: dict[State, int]) -> str:
    total = sum(counts.values())
    parts = [f"{count:,} {_MEANING[state]}" for state, count in counts.items() if count]
    return f"{total:,} tokens: {', '.join(parts)}"


def _ansi(pieces: list[tuple[str, State, list[int]]], counts: dict[State, int]) -> str:
    legend = "  ".join(f"{_ANSI[state][0]}{_MEANING[state]}{_RESET}" for state in _STATES if counts[state])
    body = "".join(
        f"{_ANSI[state][number % 2]}{_visible(text)}{_RESET}" + "\n" * text.count("\n")
        for number, (text, state, _) in enumerate(pieces)
    )
    return f"{legend}\n{_summary(counts)}\n\n{body}\n"


def _html(pieces: list[tuple[str, State, list[int]]], counts: dict[State, int]) -> str:
    legend = " ".join(f'<span class="{state}">{_MEANING[state]}</span>' for state in _STATES if counts[state])
    body = "".join(
        f'<span class="{state}{" odd" if number % 2 else ""}" title="{", ".join(map(str, ids))}">'
        f"{html.escape(_visible(text))}</span>" + "\n" * text.count("\n")
        for number, (text, state, ids) in enumerate(pieces)
    )
    return (
        f'<div class="ts-tokens"><style>{_CSS}</style><p>{legend}</p><p>{_summary(counts)}</p><div>{body}</div></div>'
    )


def _plain(pieces: list[tuple[str, State, list[int]]], counts: dict[State, int]) -> str:
    lines = [_summary(counts)]
    for state, stretch in groupby(pieces, key=lambda piece: piece[1]):
        lines.append(f"{state:8}{'|'.join(_visible(text) for text, _, _ in stretch)}")
    return "\n".join(lines) + "\n"
