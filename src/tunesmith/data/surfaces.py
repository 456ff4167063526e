"""Which entities the training rows had: remembered by digests, so that a model can be handed on without their names."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from tunesmith.data.tags import spans_of, surface

_MOST = 200_000
"""Above so many nothing is remembered: the record of a model is read at each start."""


class SurfaceForms:
    """A set of words that entities were made of, in any case of their letters."""

    def __init__(self, digests: Iterable[str] = ()):
        self._digests = frozenset(digests)

    @classmethod
    def of(cls, words: Iterable[Sequence[str]], tags: Iterable[Sequence[str]]) -> SurfaceForms | None:
        """Those of some rows; None where there are too many to remember."""
        found: set[str] = set()
        for row, given in zip(words, tags, strict=True):
            found.update(_digest(surface(row, span)) for span in spans_of(given))
            if len(found) > _MOST:
                return None
        return cls(found)

    def __contains__(self, words: object) -> bool:
        return _digest(str(words)) in self._digests

    def record(self) -> list[str]:
        """As JSON; the class is made of it again."""
        return sorted(self._digests)


def _digest(words: str) -> str:
    return hashlib.blake2b(words.encode(), digest_size=8).hexdigest()
