"""Which column is text, which is the target, and what kind of target it is, with the reason."""

from __future__ import annotations

import re
from collections.abc import Container, Sequence
from dataclasses import dataclass, field

from tunesmith.core.errors import DataError, Problem, did_you_mean
from tunesmith.core.events import Decided, Emit
from tunesmith.data import joined
from tunesmith.data.kinds import (
    MOSTLY,
    meaning,
    natural_kind,
    pairs_or_decimals,
    repeats,
    tell_other_reading,
    tell_rating,
)
from tunesmith.data.profile import Profile, simple
from tunesmith.data.types import Columns, Kind, ValueOptions

_PAIRS = (
    ("sentence1", "sentence2"), ("sentence_1", "sentence_2"), ("sentence_a", "sentence_b"),
    ("text1", "text2"), ("text_1", "text_2"), ("text_a", "text_b"), ("text", "text_pair"),
    ("premise", "hypothesis"), ("question1", "question2"), ("question", "answer"), ("question", "sentence"),
    ("question", "passage"), ("question", "context"), ("query", "passage"), ("query", "document"),
    ("query", "answer"), ("anchor", "positive"),
)  # fmt: skip


@dataclass
class Guess:
    """The columns and, per choice, the reason (`what -> (value, why)`)."""

    columns: Columns
    reasons: dict[str, tuple[str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class ColumnRequest:
    """What the user fixed; None where we choose."""

    text: tuple[str, ...] | None
    target: tuple[str, ...] | None
    kinds: tuple[Kind, ...]
    values: ValueOptions = field(default_factory=ValueOptions)
    decimal: str | None = None


def choose_columns(profiles: Sequence[Profile], request: ColumnRequest, source: str, header: bool, emit: Emit) -> Guess:
    """Decide on text, pair, target and kind; each choice is emitted as `Decided`.

    Raises DataError if a named column does not exist, text and target are the same, or the guess is
    impossible or ambiguous; the message lists the candidates and names `--text` and `--target`.
    """
    known = {profile.name: profile for profile in profiles}
    _check_names(request, known, source)
    reasons: dict[str, tuple[str, str]] = {}
    texts = _texts(profiles, request, source, reasons)
    target, kind, separator = _target(profiles, texts, request, source, reasons)
    pair = texts[1] if len(texts) > 1 else None
    columns = Columns(texts[0], pair, target, kind, separator, header)
    columns = meaning(columns, known, (request.values, request.decimal), source, reasons)
    for what, (value, why) in reasons.items():
        emit(Decided(what, value, why))
    if len(target) == 1:
        tell_rating(known[target[0]], columns, emit)
        tell_other_reading(known[target[0]], columns, request.values, emit)
    skipped = {p.name: p.useless for p in profiles if p.useless and p.name not in (*texts, *target)}
    _tell_left_out(profiles, columns, skipped, emit)
    if skipped:
        emit(Decided("skipped columns", list(skipped), "; ".join(f"{k}: {v}" for k, v in skipped.items())))
    return Guess(columns, reasons)


def _tell_left_out(profiles: Sequence[Profile], columns: Columns, skipped: Container[str], emit: Emit) -> None:
    """Say which columns are neither read nor learned, and how those that hold text can be read too."""
    used = {*columns.texts, *columns.target}.union(*(name.split(joined.SIGN) for name in columns.texts))
    left = [profile for profile in profiles if profile.name not in used and profile.name not in skipped]
    if not left:
        return
    told = "; ".join(f"{profile.name}: {profile.described}" for profile in left[:12])
    told += f"; {len(left) - 12} more" if len(left) > 12 else ""
    texts = [profile.name for profile in left if profile.reads_like_text]
    if texts:
        both = sorted([texts[0], columns.text], key=[profile.name for profile in profiles].index)
        joint = joined.SIGN.join(both)
        told += f". To read {texts[0]!r} too: --text {joint!r} as one text"
        if columns.text_pair is None:
            told += f", or as a pair --text {both[0]!r} --text {both[1]!r}"
    emit(Decided("left out columns", [profile.name for profile in left], told))


def _check_names(request: ColumnRequest, known: dict[str, Profile], source: str) -> None:
    problems = []
    fix = None
    for flag, names in (("--text", request.text), ("--target", request.target)):
        for name in names or ():
            if name not in known:
                problems.append(Problem(f"there is no such column ({flag})", source, column=name))
                listed = ", ".join(list(known)[:30])
                fix = f"{did_you_mean(name, known).split(' Known:')[0]} Columns: {listed}."
    if problems:
        raise DataError(problems, fix=fix)
    read = {part for name in request.text or () for part in (joined.parts_of(name, known.keys() - {name}) or [name])}
    both = read & set(request.target or ())
    if both:
        raise DataError(
            Problem("the column is text and target at once", source, column=sorted(both)[0]),
            fix="Name different columns with --text and --target.",
        )


def _texts(
    profiles: Sequence[Profile], request: ColumnRequest, source: str, reasons: dict[str, tuple[str, str]]
) -> tuple[str, ...]:
    if request.text:
        by_name = {profile.name for profile in profiles}
        several = [name for name in request.text if joined.SIGN in name and joined.parts_of(name, by_name - {name})]
        why = "as asked for" if not several else f"as asked for: the columns of {several[0]!r} as one text, a line each"
        reasons["text"] = (" + ".join(request.text), why)
        return request.text
    free = [profile for profile in profiles if profile.name not in (request.target or ())]
    scores = {p.name: _text_score(p) for p in free}
    ranked = sorted((p for p in free if scores[p.name] > 0), key=lambda p: -scores[p.name])
    if not ranked and (named := [p for p in free if p.text_name]):
        reasons["text"] = (named[0].name, "the name is usual for it")
        return (named[0].name,)
    if not ranked:
        raise DataError(
            Problem("no column holds text; " + _describe(profiles), source),
            fix="Name the text column: --text COLUMN",
        )
    pair = _pair(ranked)
    if pair:
        reasons["text"] = (f"{pair[0]} + {pair[1]}", pair[2])
        return pair[:2]
    best = ranked[0]
    if request.target and len(request.target) == 1 and not best.text_name:
        about = [p for p in ranked if _free_text(p) and simple(request.target[0]).startswith(f"{simple(p.name)}_")]
        if about:
            best = max(about, key=lambda p: len(p.name))
            reasons["text"] = (best.name, f"the name of {request.target[0]!r} begins with its name")
            return (best.name,)
    usual = ", and the name is usual for it" if best.text_name else ""
    reasons["text"] = (best.name, f"its texts are {best.characters:.0f} characters long on average{usual}")
    return (best.name,)


def _text_score(profile: Profile) -> float:
    if profile.kind != "string" or profile.numeric > 0.5 or (profile.useless and not profile.text_name):
        return 0.0
    if not profile.cells or (profile.target_rank and not profile.text_name and profile.words < 3):
        return 0.0
    different = profile.distinct / len(profile.cells)
    if different < 0.02 and not profile.text_name:
        return 0.0
    natural = min(profile.characters, 2_000) * different * (1.0 if profile.words >= 2 else 0.2)
    return natural * (4.0 if profile.text_name else 1.0)


def _pair(ranked: Sequence[Profile]) -> tuple[str, str, str] | None:
    """Two text columns that belong together, and why."""
    names = {simple(profile.name): profile for profile in ranked}
    for first, second in _PAIRS:
        if first in names and second in names and _free_text(names[second]):
            return names[first].name, names[second].name, "the names say that the two texts belong together"
    free = [profile for profile in ranked if _free_text(profile)]
    if len(free) != 2 or any(profile.text_name for profile in free):
        return None
    left, right = sorted(free, key=lambda profile: profile.position)
    alike = max(left.characters, right.characters) <= 2.5 * min(left.characters, right.characters)
    unnamed = re.fullmatch(r"column_\d+", left.name) is not None
    related = re.sub(r"[\d_]+$|_[ab]$", "", left.name) == re.sub(r"[\d_]+$|_[ab]$", "", right.name)
    if alike and (unnamed or related):
        return left.name, right.name, "two columns of free text of similar length"
    return None


def _free_text(profile: Profile) -> bool:
    return profile.words >= 2.5 and profile.distinct > 0.3 * len(profile.cells) and not profile.target_rank


def _target(
    profiles: Sequence[Profile],
    texts: tuple[str, ...],
    request: ColumnRequest,
    source: str,
    reasons: dict[str, tuple[str, str]],
) -> tuple[tuple[str, ...], Kind, str | None]:
    if request.target:
        chosen = request.target
        why = "as asked for"
    else:
        read = {*texts, *(part for name in texts for part in name.split(joined.SIGN))}
        chosen, why = _guess_target([p for p in profiles if p.name not in read], request, source)
    reasons["target"] = (" + ".join(chosen), why)
    _refuse_nested([p for p in profiles if p.name in chosen], source)
    if len(chosen) > 1:
        reasons["target kind"] = ("labels", "one column per label")
        if "labels" not in request.kinds:
            raise DataError(Problem(f"this task takes one target column, got {len(chosen)}", source))
        return chosen, "labels", None
    profile = next(p for p in profiles if p.name == chosen[0])
    kind, separator, kind_why = natural_kind(profile, request.values.label_separator)
    if separator == "," and kind == "labels" and request.values.label_separator is None:
        kind, separator, kind_why = pairs_or_decimals(profile, request.decimal, request.kinds, source, kind_why)
    if kind not in request.kinds:
        kind, separator, kind_why = request.kinds[0], None, f"the task asks for it (it looks like {kind})"
    reasons["target kind"] = (kind, kind_why)
    return chosen, kind, separator


def _refuse_nested(targets: Sequence[Profile], source: str) -> None:
    problems = [
        Problem(
            f"cells such as {str(one.cells[0])[:60]} hold lists in lists or objects, and no labels",
            source,
            None,
            one.name,
        )
        for one in targets
        if one.kind == "other" and one.cells
    ]
    if problems:
        raise DataError(problems, fix="Write a label, a number or one list of labels into each cell.")


def _guess_target(profiles: Sequence[Profile], request: ColumnRequest, source: str) -> tuple[tuple[str, ...], str]:
    scores = {p.name: _target_score(p, request) for p in profiles}
    ranked = sorted((p for p in profiles if scores[p.name] > 0), key=lambda p: -scores[p.name])
    binary = _binary_columns(profiles, ranked, request)
    if binary:
        return binary, f"{len(binary)} columns hold only 0 and 1: one per label"
    if not ranked and (named := [p for p in profiles if p.target_rank and p.cells]):
        return (max(named, key=lambda p: p.target_rank).name,), "the name is usual for it"
    if not ranked:
        raise DataError(
            Problem("no column can be the target; " + _describe(profiles), source),
            fix="Name the target column: --target COLUMN (and the text column: --text COLUMN)",
        )
    best = ranked[0]
    rivals = [p for p in ranked[1:] if scores[p.name] > scores[best.name] - 0.05]
    if rivals:
        names = [best.name, *(rival.name for rival in rivals)]
        listed = ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
        raise DataError(
            Problem(f"{len(names)} columns could be the target: {listed}", source),
            fix="Name the target column: --target COLUMN (and the text column, if need be: --text COLUMN)",
        )
    repeated = f"{best.distinct} different values in {len(best.cells)} rows"
    usual = ", and the name is usual for it" if best.target_rank else ""
    alone = ", and no other column is left" if len(ranked) == 1 and not usual else ""
    return (best.name,), f"{repeated}{usual}{alone}"


def _target_score(profile: Profile, request: ColumnRequest) -> float:
    if profile.useless or profile.kind in ("time", "other"):
        return 0.0
    kind, _, _ = natural_kind(profile)
    if kind == "number":
        fits = 1.0 if set(request.kinds) & {"number"} else 0.0
    elif kind == "label":
        few = 2 <= profile.distinct <= max(2, 0.5 * len(profile.cells))
        fits = 2.0 if few and "label" in request.kinds else 0.0
        if "number" in request.kinds and profile.numeric >= MOSTLY:
            fits = max(fits, 1.0)
    else:
        fits = 2.0 if "labels" in request.kinds and repeats(profile) else 0.0
    return fits + profile.target_rank if fits else 0.0


def _binary_columns(profiles: Sequence[Profile], ranked: Sequence[Profile], request: ColumnRequest) -> tuple[str, ...]:
    binary = [p for p in profiles if p.binary and (p.distinct == 2 or p.marked)]
    if "labels" not in request.kinds or len(binary) < 2:
        return ()
    # a column that is called 'label', or one with several classes, is a better target than binary ones
    if any(p not in binary and (p.target_rank or natural_kind(p)[0] != "number") for p in ranked):
        return ()
    if sum(p.target_rank > 9 for p in binary) == 1:
        return ()
    # columns of only 0 beside them are labels that no row of the sample has
    found = {p.position for p in binary}
    beside = {p.position: p for p in profiles if p.binary}
    while more := {place for place in beside if place not in found and {place - 1, place + 1} & found}:
        found |= more
    return tuple(beside[place].name for place in sorted(found))


def _describe(profiles: Sequence[Profile]) -> str:
    if not profiles:
        return "there is no other column"
    told = [f"{p.name} ({p.useless or f'{p.distinct} different values'})" for p in profiles[:12]]
    more = f" and {len(profiles) - 12} more" if len(profiles) > 12 else ""
    return f"columns: {', '.join(told)}{more}"
