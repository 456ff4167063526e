"""Which column is text, which is the target, and what kind of target it is, with the reason."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field, replace

from tunesmith.core.errors import DataError, Problem, did_you_mean
from tunesmith.core.events import Decided, Emit
from tunesmith.data import joined, kinds
from tunesmith.data.kinds import natural_kind
from tunesmith.data.modality import SURE, DataModality, Reasons, described
from tunesmith.data.profile import Profile
from tunesmith.data.target_kind import TargetKind, kind_named
from tunesmith.data.texts import TextData
from tunesmith.data.types import Columns, Kind, ValueOptions


@dataclass
class Guess:
    """The columns and, per choice, the reason (`what -> (value, why)`)."""

    columns: Columns
    modality: DataModality
    reasons: Reasons = field(default_factory=dict)


@dataclass(frozen=True)
class ColumnRequest:
    """What the user fixed; None where we choose."""

    text: tuple[str, ...] | None
    target: tuple[str, ...] | None
    kinds: tuple[Kind, ...]
    values: ValueOptions = field(default_factory=ValueOptions)
    decimal: str | None = None
    modalities: tuple[DataModality, ...] = (TextData(),)
    others: tuple[DataModality, ...] = ()
    features: str | tuple[str, ...] | None = None


def choose_columns(
    profiles: Sequence[Profile], request: ColumnRequest, source: str, header: bool, emit: Emit,
    beside: Callable[[Columns], tuple[str, ...]] = lambda columns: (),
) -> Guess:  # fmt: skip
    """Decide on text, pair, target and kind; each choice is emitted as `Decided`. `beside`: what else is
    read, by these.

    Raises DataError if a named column does not exist, text and target are the same, or the guess is
    impossible or ambiguous; the message lists the candidates and names `--text` and `--target`.
    """
    known = {profile.name: profile for profile in profiles}
    _check_names(request, known, source)
    reasons: Reasons = {}
    modality, texts = _inputs(profiles, request, source, reasons)
    apart = {kind for one in request.modalities for kind in one.kinds or () if one is not modality}
    own = modality.kinds or tuple(kind for kind in request.kinds if kind not in apart)
    request = replace(request, kinds=own)
    target, kind, separator = _target(profiles, texts, request, source, reasons)
    columns = Columns(texts, target, kind, separator, header, modality=modality.name)
    columns = kinds.meaning(columns, known, (request.values, request.decimal), source, reasons)
    columns = modality.meaning(columns, known, reasons)
    for what, (value, why) in reasons.items():
        emit(Decided(what, value, why))
    if len(target) == 1:
        kinds.tell_rating(known[target[0]], columns, emit)
        kinds.tell_other_reading(known[target[0]], columns, request.values, emit)
    columns = replace(columns, features=beside(columns))
    used = (*texts, *target, *columns.features)
    skipped = {p.name: p.useless for p in profiles if p.useless and p.name not in used}
    _tell_left_out(profiles, columns, skipped, modality.joins, emit)
    if skipped:
        emit(Decided("skipped columns", list(skipped), "; ".join(f"{k}: {v}" for k, v in skipped.items())))
    return Guess(columns, modality.of_columns(columns), reasons)


def _tell_left_out(
    profiles: Sequence[Profile], columns: Columns, skipped: Container[str], joins: bool, emit: Emit
) -> None:
    """Say which columns are neither read nor learned, and how those that hold text can be read too."""
    used = {*columns.inputs, *columns.target, *columns.features}.union(
        *(name.split(joined.SIGN) for name in columns.inputs)
    )
    left = [profile for profile in profiles if profile.name not in used and profile.name not in skipped]
    if not left:
        return
    told = "; ".join(f"{profile.name}: {profile.described}" for profile in left[:12])
    told += f"; {len(left) - 12} more" if len(left) > 12 else ""
    texts = [profile.name for profile in left if profile.reads_like_text]
    if texts and joins:
        both = sorted([texts[0], columns.inputs[0]], key=[profile.name for profile in profiles].index)
        joint = joined.SIGN.join(both)
        told += f". To read {texts[0]!r} too: --text {joint!r} as one text"
        if len(columns.inputs) == 1:
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
        problem = Problem("the column is text and target at once", source, column=min(both))
        raise DataError(problem, fix="Name different columns with --text and --target.")


def _inputs(
    profiles: Sequence[Profile], request: ColumnRequest, source: str, reasons: Reasons
) -> tuple[DataModality, tuple[str, ...]]:
    """What is read, and the columns that hold it."""
    target = request.target or ()
    request = _of_sure_target(profiles, request)
    if request.text is None:
        modality = _likeliest(request, profiles)
        free = [profile for profile in profiles if profile.name not in target]
        free = [profile for profile in free if _surely(profile, request) is None] or free
        if not any(modality.claims(profile) for profile in free):
            _refuse_other(free, modality, request, source)
        names = modality.choose(free, target, source, reasons)
    else:
        modality = _likeliest(request, [profile for profile in profiles if profile.name in request.text])
        names = request.text
        known = {profile.name for profile in profiles}
        several = [name for name in names if joined.SIGN in name and joined.parts_of(name, known - {name})]
        why = "as asked for" if not several else f"as asked for: the columns of {several[0]!r} as one text, a line each"
        reasons[modality.roles[0]] = (" + ".join(names), why)
    _refuse_other([profile for profile in profiles if profile.name in names], modality, request, source)
    return modality, names


def _of_sure_target(profiles: Sequence[Profile], request: ColumnRequest) -> ColumnRequest:
    """The request with the modalities alone that belong to the kind of target that some column surely holds, and no
    other column is called like a target."""
    named = [one for one in profiles if one.name in (request.target or ())]
    held = {_surely(one, request) for one in named or profiles} - {None}
    rivals = [one for one in profiles if one.target_rank and one.kind != "other" and one.distinct > 1]
    others = [one for one in rivals if _surely(one, request) is None]
    fitting = tuple(one for one in request.modalities if held & set(one.kinds or ()))
    return replace(request, modalities=fitting) if fitting and (named or not others) else request


def _likeliest(request: ColumnRequest, profiles: Sequence[Profile]) -> DataModality:
    return max(request.modalities, key=lambda one: max((one.claims(profile) for profile in profiles), default=0.0))


def _refuse_other(profiles: Sequence[Profile], modality: DataModality, request: ColumnRequest, source: str) -> None:
    """Raises DataError for a column of another modality than the task's."""
    for profile in profiles:
        for other in request.others:
            if other.claims(profile) >= SURE > modality.claims(profile):
                message = f"the column holds {other.nouns}, and the task reads {modality.nouns}"
                fix = f"Name another column with {modality.flag}, or use --task {other.usual_task}."
                raise DataError(Problem(message, source, column=profile.name), fix)


def _target(
    profiles: Sequence[Profile], texts: tuple[str, ...], request: ColumnRequest, source: str, reasons: Reasons
) -> tuple[tuple[str, ...], Kind, str | None]:
    if request.target:
        chosen, why = request.target, "as asked for"
    else:
        read = {*texts, *(part for name in texts for part in name.split(joined.SIGN))}
        chosen, why = _guess_target([p for p in profiles if p.name not in read], request, source)
    reasons["target"] = (" + ".join(chosen), why)
    _refuse_nested([p for p in profiles if p.name in chosen and _surely(p, request) is None], source)
    if len(chosen) > 1:
        reasons["target kind"] = ("labels", "one column per label")
        if "labels" not in request.kinds:
            raise DataError(Problem(f"this task takes one target column, got {len(chosen)}", source))
        return chosen, "labels", None
    profile = next(p for p in profiles if p.name == chosen[0])
    kind, separator, kind_why = natural_kind(profile, request.values.label_separator)
    kind = _surely(profile, request) or kind
    if separator == "," and kind == "labels" and request.values.label_separator is None:
        kind, separator, kind_why = kinds.pairs_or_decimals(profile, request.decimal, request.kinds, source, kind_why)
    if kind not in request.kinds:
        kind, separator, kind_why = request.kinds[0], None, f"the task asks for it (it looks like {kind})"
    if (other := kind_named(kind)) is not None:
        kind_why = other.why(profile)
    reasons["target kind"] = (kind, kind_why)
    return chosen, kind, separator


def _others(request: ColumnRequest) -> dict[Kind, TargetKind]:
    """The kinds beside labels and numbers that the target may be of."""
    return {name: other for name in request.kinds if (other := kind_named(name)) is not None}


def _surely(profile: Profile, request: ColumnRequest) -> Kind | None:
    """The kind of target that a column holds where it can be nothing else."""
    claims = {name: other.claims(profile) for name, other in _others(request).items()}
    best = max(claims, key=lambda name: claims[name], default=None)
    return best if best is not None and claims[best] >= TargetKind.sure else None


def _refuse_nested(targets: Sequence[Profile], source: str) -> None:
    problems = []
    for one in targets:
        if one.kind == "other" and one.cells:
            message = f"cells such as {str(one.cells[0])[:60]} hold lists in lists or objects, and no labels"
            problems.append(Problem(message, source, column=one.name))
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
        fix = "Name the target column: --target COLUMN (and the text column: --text COLUMN)"
        raise DataError(Problem(f"no column can be the target; {described(profiles)}", source), fix)
    best = ranked[0]
    rivals = [p for p in ranked[1:] if scores[p.name] > scores[best.name] - 0.05]
    if rivals:
        names = [best.name, *(rival.name for rival in rivals)]
        listed = ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
        fix = "Name the target column: --target COLUMN (and the text column, if need be: --text COLUMN)"
        raise DataError(Problem(f"{len(names)} columns could be the target: {listed}", source), fix)
    repeated = f"{best.distinct} different values in {len(best.cells)} rows"
    usual = ", and the name is usual for it" if best.target_rank else ""
    alone = ", and no other column is left" if len(ranked) == 1 and not usual else ""
    return (best.name,), f"{repeated}{usual}{alone}"


def _target_score(profile: Profile, request: ColumnRequest) -> float:
    if _surely(profile, request) is None and (profile.useless or profile.kind in ("time", "other")):
        return 0.0
    if claimed := max((other.claims(profile) for other in _others(request).values()), default=0.0):
        return claimed
    kind, _, _ = natural_kind(profile)
    if kind == "number":
        fits = 1.0 if set(request.kinds) & {"number"} else 0.0
    elif kind == "label":
        few = 2 <= profile.distinct <= max(2, 0.5 * len(profile.cells))
        fits = 2.0 if few and "label" in request.kinds else 0.0
        if "number" in request.kinds and profile.numeric >= kinds.MOSTLY:
            fits = max(fits, 1.0)
    else:
        fits = 2.0 if "labels" in request.kinds and kinds.repeats(profile) else 0.0
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
