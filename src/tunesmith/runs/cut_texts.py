"""Texts that are longer than what is read of them: how much of them is not read, and what to do about it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tunesmith.core.errors import TunesmithError
from tunesmith.core.events import Warned
from tunesmith.data import languages
from tunesmith.evaluate.types import Finding
from tunesmith.models import catalog
from tunesmith.models.lengths import USUAL, chosen_limit, is_much, longest_made_for, longest_row, unread
from tunesmith.models.types import Tokenizer

WORST = 0.2
"""Share of all tokens that is not read, from which on it is the first thing to mend where the model is not good."""
WORDS = 0.75
"""Words to a token, about."""
_PARTS = (
    "Where the answer can be told from a part of a text, make a row of each part, and keep the parts of one text "
    "together with --group COLUMN."
)
_STEP = 64
"""What is proposed as a limit is a multiple of it."""


@dataclass(frozen=True)
class Cut:
    """`lengths`: whole tokens of the rows that were measured, which stand for `rows` of them. `limit`: tokens that are
    read of each. `model`: the name of the base, `reads` the most that it can read (None: not known), `texts` some of
    the texts, by whose language another base is proposed."""

    lengths: np.ndarray
    rows: int
    limit: int
    model: str
    reads: int | None = None
    texts: Sequence[str] = ()

    @property
    def longer(self) -> int:
        """Rows beyond the limit, of all."""
        return round(float((self.lengths > self.limit).mean()) * self.rows)

    def unread(self, limit: int) -> float:
        """Share of all tokens that is not read with this limit."""
        return unread(self.lengths, limit)

    @property
    def much(self) -> bool:
        return is_much(self.lengths, self.limit)

    @property
    def worst(self) -> bool:
        """Whether so much is not read that this is the first thing to mend."""
        return self.much and self.unread(self.limit) >= WORST

    @cached_property
    def evidence(self) -> str:
        """What is not read, in a sentence."""
        words = round(self.limit * WORDS, -1) if self.limit >= 40 else round(self.limit * WORDS)
        about = "" if len(self.lengths) == self.rows else "about "
        return (
            f"{about}{self.longer:,} of {self.rows:,} texts are longer than the {self.limit:,} tokens (about "
            f"{words:,.0f} words) that are read of each: {_share(self.unread(self.limit))} of all words are not read."
        ).capitalize()

    @cached_property
    def ways(self) -> list[tuple[str, list[str]]]:
        """Ways to read more, each in a sentence and as the words of a command; the nearest first."""
        wanted = _STEP * math.ceil(float(np.percentile(self.lengths, 95)) / _STEP)
        found = [self._more(min(wanted, self.reads))] if self.reads is not None and self.reads > self.limit else []
        if (self.reads is None or wanted > self.reads) and (base := self._longer_base(wanted)):
            found.append(base)
        return found

    @property
    def advice(self) -> str:
        """What to do, in sentences."""
        return " ".join([*(told for told, _ in self.ways), _PARTS])

    def _more(self, limit: int) -> tuple[str, list[str]]:
        read = self.lengths.clip(max=self.limit).sum()
        times = float(self.lengths.clip(max=limit).sum() / max(1, read))
        left = self.unread(limit)
        rest = f"{_share(left)} of the words would still not be read" if left >= 0.005 else "nearly all would be read"
        most = f", the most that {self.model} can" if limit == self.reads else ""
        words = ["--max-length", str(limit)]
        return f"With {' '.join(words)}{most}, {rest}, in at least {times:.1f} times the time.", words

    def _longer_base(self, wanted: int) -> tuple[str, list[str]] | None:
        found = languages.detect(self.texts)
        entry = catalog.for_longer(self.reads or self.limit, None if found is None else found.main)
        if entry is None:
            return None
        here = "" if entry.alias in catalog.on_this_machine() else ", from the hub"
        words = ["--model", entry.alias, "--max-length", str(min(wanted, entry.max_length))]
        told = f"up to {entry.max_length:,} tokens; larger and slower{here}"
        return f"A base for longer texts is {entry.alias} ({told}): {' '.join(words)}.", words

    @property
    def warning(self) -> Warned:
        return Warned("cut texts", f"{self.evidence} {self.advice}")

    @property
    def finding(self) -> Finding:
        return {"name": "texts_cut", "severity": "warning", "evidence": self.evidence, "action": self.advice}


def limits_for(lengths: np.ndarray, model: str, tokenizer: Tokenizer | None) -> tuple[int | None, int | None]:
    """(tokens that a run reads of each row where nothing is asked, the most that the model can read); None where that
    can not be told without its weights. `lengths`: tokens of the rows."""
    try:
        source = catalog.find(model)
        entry, folder = source.entry, source.folder
        if folder is not None and tokenizer is not None:
            from transformers import AutoConfig

            config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
            made_for, most = longest_made_for(folder, config, tokenizer), longest_row(folder)
        elif entry is not None:  # encoders of the catalogue that were made for less have positions for as many
            made_for, most = entry.max_length, max(entry.max_length, USUAL)
        else:
            return None, None
    except (TunesmithError, OSError, ValueError, KeyError):
        return None, None
    return chosen_limit(lengths, made_for, most), most


def _share(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.01 else "less than 1 %"
