"""Text as token ids with the mask of what is learned, and how an over-long example is cut.

Characters are mapped to tokens by their offsets, and the text is tokenised on either side of each place where
learned text begins. Served, the model continues the tokens of the prompt alone, and these can differ from the
same characters in a longer text: `Answer: ` + `yes` would share the token ` yes`, and two newlines are one
token at the end of a prompt but two before a word. So no token is half learned, and the context of an answer
is what the model is served. (Where several turns of one text are learned, that holds for the words before
each of them; the start of an earlier answer stays tokenised as it was served then.)
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from tunesmith.core.errors import DataError, ModelError, Problem
from tunesmith.models.guard import tokens
from tunesmith.models.types import Tokenizer

Overflow = Literal["truncate", "drop", "error"]

CONTEXT_CUT = "longer than the limit: the beginning was cut"
ANSWER_CUT = "longer than the limit: the end of the answer and its end token were cut"
TOO_LONG = "longer than the limit"

Span = tuple[int, int]
Offsets = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Ids int32 [n], and where each token starts and ends in the text, int64 [n]."""


@dataclass(frozen=True)
class Encoded:
    """One example: `ids` int32 [n]; `learned` bool [n]; `spans`, the learned turns as [start, end) tokens.

    `head` counts the tokens at the start that truncation keeps if it can: beginning of sequence, system turn.
    """

    ids: np.ndarray
    learned: np.ndarray
    spans: tuple[Span, ...]
    head: int = 0

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Cut:
    """What `cut` did: `kept` bool [n] over the tokens before, the `reason`, and whether an answer's end is gone.

    `learned` bool [n]: what still is, where that is less than all that was: an answer without its beginning is not.
    """

    kept: np.ndarray
    reason: str
    end_lost: bool = False
    learned: np.ndarray | None = None


def encode_completion(tokenizer: Tokenizer, prompt: str, completion: str) -> Encoded:
    """Beginning of sequence (if the tokenizer adds one), `prompt`, `completion`, end of sequence.

    Learned are `completion` and the end of sequence; never the beginning, as nothing comes before it that could
    predict it. Raises ModelError without an end-of-sequence token.
    """
    text = prompt + completion
    return encode_spans(tokenizer, text, [(len(prompt), len(text))], end=end_of_sequence(tokenizer))


def encode_spans(
    tokenizer: Tokenizer,
    text: str,
    spans: Sequence[Span],
    *,
    end: int | None = None,
    head: int = 0,
    begin: int | Literal["default"] | None = "default",
) -> Encoded:
    """`text` with the characters of `spans` (in order, disjoint) learned.

    `end` is an id to append to the last span; `head` counts characters; `begin` is the id to prepend unless
    the text already starts with it, by default the one that the tokenizer adds by itself.
    """
    ids, starts, _ = tokenise(tokenizer, text, [start for start, _ in spans])
    begin = begin_of_sequence(tokenizer) if begin == "default" else begin
    before = [begin] if begin is not None and not (len(ids) and ids[0] == begin) else []
    after = [] if end is None else [end]
    tokens = [
        (int(np.searchsorted(starts, a)) + len(before), int(np.searchsorted(starts, b)) + len(before)) for a, b in spans
    ]
    if after:
        tokens[-1] = (tokens[-1][0], len(before) + len(ids) + 1)
    if begin is not None and tokens and tokens[0][0] == 0:
        tokens[0] = (1, tokens[0][1])  # text that begins with the beginning of sequence itself
    all_ids = np.concatenate([before, ids, after]).astype(np.int32)
    learned = np.zeros(len(all_ids), dtype=bool)
    for a, b in tokens:
        learned[a:b] = True
    kept = int(np.searchsorted(starts, head)) + len(before)
    return Encoded(all_ids, learned, tuple(tokens), max(kept, int(begin is not None)))


def tokenise(tokenizer: Tokenizer, text: str, boundaries: Iterable[int] = ()) -> Offsets:
    """Tokens of `text` without added special tokens, tokenised on either side of the character `boundaries`."""
    cuts = sorted({at for at in boundaries if 0 < at < len(text)})
    pieces = [_piece(tokenizer, text, a, b) for a, b in pairwise([0, *cuts, len(text)])]
    ids, starts, ends = (np.concatenate(parts) for parts in zip(*pieces, strict=True))
    return ids, starts, ends


def begin_of_sequence(tokenizer: Tokenizer) -> int | None:
    """The beginning-of-sequence id, if the tokenizer puts one before every text by itself."""
    first = next(iter(tokens(tokenizer, "a").input_ids), None)
    return first if tokenizer.bos_token_id is not None and first == tokenizer.bos_token_id else None


def end_of_sequence(tokenizer: Tokenizer, *, offsets: bool = True) -> int:
    """The end-of-sequence id; ModelError without one, or where `offsets` are needed and the tokenizer is not fast."""
    if offsets and not getattr(tokenizer, "is_fast", False):
        raise ModelError(
            "This model's tokenizer does not say which characters its tokens cover, so what is learned can not be "
            "established.",
            "Choose a model with a fast tokenizer (a tokenizer.json in its folder).",
        )
    if tokenizer.eos_token_id is None:
        raise ModelError(
            "This model's tokenizer has no end-of-sequence token: a model trained with it would never stop.",
            "Set eos_token in the model's tokenizer_config.json, or choose another model.",
        )
    return int(tokenizer.eos_token_id)


def check_learned(
    encodings: Iterable[Encoded], tokenizer: Tokenizer, stop_ids: Collection[int] | None = None, *, chat: bool = False
) -> list[str]:
    """Why training on these examples must be refused; empty when nothing is wrong.

    `stop_ids` end generation (`TemplateEncoder.stop_ids` for conversations); by default the end of sequence.
    """
    refusals = []
    if chat and not tokenizer.chat_template:
        refusals.append("The tokenizer has no chat template, so conversations have no agreed form.")
    stops = list(stop_ids if stop_ids is not None else [tokenizer.eos_token_id])
    rows = empty = stopped = doubled = 0
    for encoded in encodings:
        rows += 1
        empty += not encoded.learned.any()
        stopped += bool(np.isin(encoded.ids[encoded.learned], stops).any())
        begin = tokenizer.bos_token_id
        doubled += begin is not None and len(encoded) > 1 and bool((encoded.ids[:2] == begin).all())
    if not rows:
        return [*refusals, "There is no example to learn from."]
    if empty == rows:
        refusals.append("No token is learned in any example: every answer is empty, cut away or has weight 0.")
    elif empty:
        refusals.append(f"{empty:,} of {rows:,} examples have no learned token: drop them.")
    if not stopped and empty < rows:
        refusals.append("The end of an answer is never learned, so the model would never stop writing.")
    if doubled:
        refusals.append(
            f"{doubled:,} of {rows:,} examples begin with two beginning-of-sequence tokens: the template or the data "
            f"writes {tokenizer.bos_token!r} twice."
        )
    return refusals


def cut(
    encoded: Encoded, limit: int, overflow: Overflow = "truncate", *, row: int | None = None
) -> tuple[Encoded | None, Cut | None]:
    """`encoded` within `limit` tokens, and what was cut; (encoded, None) when it fits.

    'truncate' keeps the last learned turn, and of those before it the ones that are whole (`split_long` keeps
    them all). Given up in this order: what follows the turn (which is no cut
    worth a word), the start of the context (not the head), the head but for the beginning of sequence. A turn
    that is longer than all of that keeps its beginning, after context of at most a quarter of the limit: its
    end token is lost, and `end_lost` says so. 'drop' gives (None, Cut); 'error' raises DataError, naming `row`.
    """
    n = len(encoded)
    if n <= limit:
        return encoded, None
    if overflow == "error":
        raise DataError(
            Problem(f"{n:,} tokens, but at most {limit:,} are allowed", row=row),
            "Raise the limit on tokens, shorten the text, or let over-long rows be truncated or dropped.",
        )
    kept = np.zeros(n, dtype=bool)
    if overflow == "drop" or not encoded.spans or limit < 2:
        return None, Cut(kept, TOO_LONG)
    start, stop = encoded.spans[-1]
    if stop <= limit:
        return Encoded(encoded.ids[:stop], encoded.learned[:stop], encoded.spans, encoded.head), None
    begin = min(encoded.head, 1)
    head = encoded.head if encoded.head + stop - start <= limit else begin
    end_lost = head + stop - start > limit
    first = stop - (limit - head)
    if end_lost:
        first = max(start - max(limit // 4 - head, 0), head)
    kept[:head] = True
    kept[max(first, head) : max(first, head) + limit - head] = True
    kept[stop:] = False
    position = np.concatenate([[0], np.cumsum(kept)])
    learned = encoded.learned.copy()
    broken = [(a, b) for a, b in encoded.spans[:-1] if not kept[a:b].all()]
    for a, b in broken:
        learned[a:b] = False
    spans = [(int(position[a]), int(position[b])) for a, b in encoded.spans if (a, b) not in broken]
    shorter = Encoded(encoded.ids[kept], learned[kept], tuple(s for s in spans if s[0] < s[1]), head)
    return shorter, Cut(kept, ANSWER_CUT if end_lost else CONTEXT_CUT, end_lost, learned)


def split_long(encoded: Encoded, limit: int) -> list[Encoded]:
    """A conversation that is longer than `limit` as several, in the order of their answers, so that `cut` leaves
    every answer whole and learned once: in each the last answers that fit, and in the next one before them those
    that do not."""
    shorter, done = cut(encoded, limit)
    kept = len(shorter.spans) if shorter is not None else 0
    left = len(encoded.spans) - kept
    if done is None or not kept or not left:
        return [encoded]
    stop = encoded.spans[left - 1][1]
    before = Encoded(encoded.ids[:stop], encoded.learned[:stop], encoded.spans[:left], min(encoded.head, stop))
    learned = encoded.learned.copy()
    learned[:stop] = False
    return [*split_long(before, limit), Encoded(encoded.ids, learned, encoded.spans[left:], encoded.head)]


def _offsets(tokenizer: Tokenizer, text: str) -> Offsets:
    found = tokens(
        tokenizer, text, add_special_tokens=False, return_offsets_mapping=True, return_attention_mask=False,
        verbose=False,
    )  # fmt: skip
    ids = np.asarray(found["input_ids"], dtype=np.int32)
    offsets = np.asarray(found["offset_mapping"], dtype=np.int64).reshape(-1, 2)
    starts, ends = offsets[:, 0].copy(), offsets[:, 1]
    # Some tokenizers leave the space out of the offsets of ' word': a token starts where the last one ended.
    starts[1:] = np.minimum(starts[1:], ends[:-1])
    return ids, starts, ends


def _piece(tokenizer: Tokenizer, text: str, start: int, end: int) -> Offsets:
    """Tokens of text[start:end] as they are in the middle of a text.

    SentencePiece puts a space before the start of a text; behind a newline it does not, unless newline and
    text make one token, which only tokenizers without that space do.
    """
    if start:
        ids, starts, ends = _offsets(tokenizer, "\n" + text[start:end])
        if not np.any((starts < 1) & (ends > 1)):
            inside = ends > 1
            return ids[inside], starts[inside] - 1 + start, ends[inside] - 1 + start
    ids, starts, ends = _offsets(tokenizer, text[start:end])
    return ids, starts + start, ends + start
