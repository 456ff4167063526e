"""The language of the texts, and whether the base model was made for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from tunesmith.core.events import Decided, Emit, Warned
from tunesmith.data import languages
from tunesmith.data.conversations import Examples
from tunesmith.data.prepared import PreparedData
from tunesmith.models import catalog

_READ = {"content", "text", "source", "target", "prompt", "completion", "chosen", "rejected"}
_ENOUGH = 0.2
"""Share of the rows in languages that a base does not speak, from which on that is said."""


def sample(data: PreparedData) -> list[str]:
    """Texts of at most 300 rows, taken at even distances; none where the rows hold no language."""
    rows = len(data.rows)
    step = max(1, rows // languages.SAMPLE)
    return data.modality.words(data.rows.select(range(0, rows, step))) or []


def sample_of(examples: Examples) -> list[str]:
    """The words of at most 300 examples at even distances, one text each."""
    step = max(1, len(examples) // languages.SAMPLE)
    return [" ".join(readable_text(examples[place])) for place in range(0, len(examples), step)]


def readable_text(part: object) -> Iterator[str]:
    """What people read in an example: everything but roles, names and tools."""
    if isinstance(part, Mapping):
        for name, inner in part.items():
            if isinstance(inner, str) and name in _READ:
                yield inner
            elif name in _READ or name == "messages":
                yield from readable_text(inner)
    elif isinstance(part, list | tuple):
        for inner in part:
            yield from readable_text(inner)


def base_for(asked: str, texts: Sequence[str], emit: Emit, kind: str = "encoder", method: str = "auto") -> str:
    """The base model: `asked`, or where that is 'auto' the default, or one that speaks the language of the texts where
    it is on this machine; for the method 'scratch' a small one with random weights. The language is said, and a base
    that was not made for it is warned about."""
    if asked == "auto" and method == "scratch" and (small := catalog.untrained(kind)):
        emit(Decided("model", small, "scratch begins with random weights, and no other network is asked for"))
        return small
    found = languages.detect(texts)
    if found is None or not found.shares:
        return _usual(asked, kind, emit)
    rows = f"{found.told} of {found.rows} rows that were looked at could be told"
    emit(Decided("language", found.described(), rows))
    usual = asked if asked != "auto" else catalog.default(kind)
    spoken = catalog.speaks(usual)
    foreign = {code: share for code, share in found.shares.items() if spoken is not None and code not in spoken}
    if found.main is None or sum(foreign.values()) < _ENOUGH:
        return _usual(asked, kind, emit)
    fitting = [entry.alias for entry in catalog.CATALOG if entry.kind == kind and _speaks_all(entry.alias, foreign)]
    here = [name for name in fitting if name in catalog.on_this_machine()]
    if asked == "auto" and here:
        emit(Decided("model", here[0], f"it speaks {found.described()}, and the default does not"))
        return here[0]
    made_for = next((entry.languages for entry in catalog.CATALOG if usual in (entry.alias, entry.hub_id)), "others")
    advice = f"Bases that speak it: {', '.join(f'--model {name}' for name in fitting[:3])}" if fitting else ""
    where = "" if here or not fitting else " (from the hub: none is on this machine)"
    message = f"the texts are {found.described()}, and the base {usual} was made for {made_for}: expect less."
    emit(Warned("language", f"{message} {advice}{where}".strip()))
    return _usual(asked, kind, emit)


def _usual(asked: str, kind: str, emit: Emit) -> str:
    if asked != "auto":
        return asked
    usual, why = catalog.default(kind), "small, fast on a processor, good on short texts"
    if kind != "encoder":
        entry = next(entry for entry in catalog.CATALOG if entry.alias == usual)
        why = entry.note if entry.writer else "small and of good quality for its size"
        if better := catalog.better_default(kind):
            why += f" (`{better.install}` brings it)"
    emit(Decided("model", usual, f"the default: {why}"))
    return usual


def _speaks_all(name: str, codes: dict[str, float]) -> bool:
    spoken = catalog.speaks(name)
    return spoken is not None and set(codes) <= spoken | {code for code, share in codes.items() if share < 0.05}
