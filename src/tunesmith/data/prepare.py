"""From a source of rows to rows that are clean, divided and checked. Reads as the list of its steps."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa

from tunesmith.core.errors import DataError, Problem, did_you_mean
from tunesmith.core.events import Decided, Emit, Warned, ignore
from tunesmith.core.files import move, own_folder
from tunesmith.data import canonical, groups, joined, labels, leakage, mojibake
from tunesmith.data.annotations.table import gathered
from tunesmith.data.arrowfile import ArrowWriter, content_hash, remove
from tunesmith.data.divide import KeptRows, divide
from tunesmith.data.features import choose as choose_features
from tunesmith.data.guess import ColumnRequest, Guess, choose_columns
from tunesmith.data.labels import TargetIndex
from tunesmith.data.modality import SURE, DataModality
from tunesmith.data.prepared import Origins, PreparedData
from tunesmith.data.profile import profile_table
from tunesmith.data.sources import SPLITS, read_source
from tunesmith.data.split import NAMES
from tunesmith.data.tables import Hints, Part, flatten
from tunesmith.data.target_kind import kind_named
from tunesmith.data.targets import TargetReader, parse_targets, tell_odd
from tunesmith.data.texts import TextData
from tunesmith.data.types import Columns, Kind, ReadOptions, SplitOptions, ValueOptions

__all__ = ["keep", "parse_targets", "prepare", "read_rows", "refuse_blank"]

FEWEST_ROWS = 10
_TOLD = 12
_ANSWERS_NEEDED = (
    "Rows to validate and test on need the right answers. Fill them in, or leave the file out: a part of the training "
    "data is then held out. For answers to rows without labels, train first, then `tunesmith predict RUN --data FILE`."
)


def prepare(  # the arguments are the flags of the command line
    source: object,
    *,
    validation: object = None,
    test: object = None,
    text: str | Sequence[str] | None = None,
    target: str | Sequence[str] | None = None,
    kinds: Sequence[Kind] = ("label", "labels", "number"),
    options: SplitOptions,
    reading: ReadOptions | None = None,
    values: ValueOptions | None = None,
    modalities: Sequence[DataModality] = (TextData(),),
    others: Sequence[DataModality] = (),
    features: str | Sequence[str] | None = None,
    seed: int,
    emit: Emit,
    cache_dir: Path,
) -> PreparedData:
    """Read, guess columns, clean, split and check for leaks.

    source, validation, test: path, pandas DataFrame, datasets.Dataset or DatasetDict, list of dicts, or
    hub id. text: one or two column names; target: one, or several 0/1 columns; both are guessed if
    None. kinds: what the target may be. reading: how files are read, where that should not be found out.
    values: what the cells of the target mean. modalities: what the inputs may be, the usual one first; others: what
    they may not be, so that a column of those is refused. Automatic choices are emitted as `Decided`. Arrow files go to
    cache_dir and stay memory-mapped. Raises DataError for everything that is wrong with the data.
    """
    values = values or ValueOptions()
    decimal = None if reading is None else reading.decimal
    texts = _names(text)
    if texts and len(texts) > (len(modalities[0].roles) if len(modalities) == 1 else 2):  # no pair: one text
        texts = (joined.SIGN.join(texts),)
    request = ColumnRequest(texts, _names(target), tuple(kinds), values, decimal, tuple(modalities), tuple(others),
                            features if isinstance(features, str) or features is None else tuple(features))  # fmt: skip
    hints = hints_of(request, options, reading)
    parts = read_parts(source, validation, test, hints, emit, cache_dir, joins=request.text or ())
    try:
        guess = _guess(parts, request, options, emit)
        anchor_targets(parts, guess.columns)
        tell_odd(parts, guess.columns, emit)
        reader = TargetReader.of(guess.columns, [part.table for part in parts], values, decimal)
        reader = replace(reader, drop_unreadable=values.unreadable == "drop")
        rows = canonical.write_rows(parts, reader, guess.modality, cache_dir)
        try:
            return _assemble(parts, guess, rows, (options, values), seed, emit)
        except BaseException:
            remove(rows.path)
            raise
    finally:
        for part in parts:
            part.release()


def hints_of(request: ColumnRequest, options: SplitOptions, reading: ReadOptions | None) -> Hints:
    """What is known of files before they are read: the names that they must have, and how they are to be read."""
    asked = filter(None, (options.group, options.time))
    beside = request.features if isinstance(request.features, tuple) else ()
    names = (*joined.names_in(request.text or ()), *(request.target or ()), *beside, *asked)
    kinds = tuple(kind for name in request.kinds if (kind := kind_named(name)) is not None)
    return Hints(
        names, options=reading or ReadOptions(), modalities=(*request.modalities, *request.others),
        kinds=kinds, target=request.target or (), sure=len(request.kinds) == 1,
        arranged_by=request.modalities,
    )  # fmt: skip


def read_rows(
    source: object, *, emit: Emit, cache_dir: Path, columns: Columns | None = None, reading: ReadOptions | None = None,
    modality: DataModality | None = None,
) -> datasets.Dataset:  # fmt: skip
    """All columns of other data as they are, in their order, for prediction and evaluation.

    The parts of divided data follow one another: train, validation, test. `modality`: of the inputs, texts where it is
    None. Raises DataError if an input column of `columns` is missing, naming the file and its columns, or if a cell of
    one can not be an input.
    """
    hints = Hints()
    if columns is not None:
        kind = kind_named(columns.kind)
        hints = Hints(
            (*joined.names_in(columns.inputs), *columns.target, *columns.features), None if columns.header else False,
            kinds=() if kind is None else (kind,), target=columns.target, sure=True,
        )  # fmt: skip
    modality = modality or TextData()
    hints = replace(hints, options=reading or ReadOptions(), modalities=(modality,))
    parts = read_source(source, "train", emit=emit, cache_dir=cache_dir, hints=hints)
    parts = [gathered(part) for part in parts]
    for part in parts:
        part.table = hints.gathered(flatten(part.table))
        if columns is not None and columns.target:
            modality.arrange(part, asked=True)
    hasher = hashlib.sha256()
    try:
        with ArrowWriter(cache_dir) as writer:
            if columns is not None:
                for part in parts:
                    part.table = _named_as_trained(part, columns, modality, emit)
                    part.table = joined.add_columns(part.table, columns.inputs)
                _check_columns(parts, (*columns.inputs, *columns.features))
                anchor(parts, columns.inputs, modality, emit)
                canonical.check_inputs(parts, columns, modality)
                anchor_targets(parts, columns)
            for part in parts:
                for batch in part.table.to_batches():
                    table = pa.Table.from_batches([batch])
                    content_hash(table, hasher)
                    writer.write(table)
            writer.finish(f"other-{hasher.hexdigest()[:20]}.arrow")
    finally:
        for part in parts:
            part.release()
    return datasets.Dataset.from_file(str(writer.path))


def _named_as_trained(part: Part, columns: Columns, modality: DataModality, emit: Emit) -> pa.Table:
    """The table of a part, its columns called as those of the training data where it can not be otherwise: of a folder
    with a row in each file, and of a table with one column alone that can hold nothing but the inputs."""
    names, wanted = part.table.column_names, columns.inputs[0]
    if part.row_files and names[0] == modality.roles[0]:
        names = [wanted, *columns.target][: len(names)]
    elif wanted not in names and len(columns.inputs) == 1:
        sure = [profile.name for profile in profile_table(part.table) if modality.claims(profile) >= SURE]
        if len(sure) == 1:
            why = f"no column is called {wanted!r}, and this one alone holds {modality.nouns}"
            emit(Decided(modality.roles[0], sure[0], why))
            names = [wanted if name == sure[0] else name for name in names]
    return part.table.rename_columns(names)


def anchor(parts: Sequence[Part], names: Sequence[str], modality: DataModality, emit: Emit) -> None:
    """Make the inputs in the tables of the parts mean the same in another folder."""
    for part in parts:
        for name in names:
            column = part.table.column(name)
            base = modality.base(column, part.folder)
            if base != part.folder:
                emit(Decided("base folder", str(base), f"the {modality.nouns} in column {name!r} lie there"))
            column = modality.anchored(column, base)
            part.table = part.table.set_column(part.table.column_names.index(name), name, column)


def anchor_targets(parts: Sequence[Part], columns: Columns) -> None:
    """The same for targets, where they are there."""
    if (other := kind_named(columns.kind)) is None:
        return
    for part in parts:
        for name in set(columns.target) & set(part.table.column_names):
            column = other.anchored(part.table.column(name), part.folder)
            part.table = part.table.set_column(part.table.column_names.index(name), name, column)


def refuse_blank(rows: datasets.Dataset, columns: Columns, source: str, modality: DataModality | None = None) -> None:
    """Raises DataError for rows of `read_rows`' dataset without input."""
    modality = modality or TextData()
    problems = [
        Problem(f"the {modality.noun} is missing", source, row=int(row) + 1, column=name)
        for role, name in zip(modality.roles, columns.inputs, strict=False)
        for row in np.flatnonzero(modality.read(role, rows.data.table.column(name), Path()).blank)
    ]
    if problems:
        raise DataError(problems, fix="Mend or remove these rows.")


def keep(source: object, folder: Path) -> Path:
    """Write data from memory to `folder`, one Arrow file a split, and return the folder.

    `prepare(folder)` then reads the same rows. For a DataFrame, dataset or list that has to be found
    again later. Raises DataError for data that can not be read.
    """
    own_folder(folder)
    for part in read_source(source, "train", emit=ignore, cache_dir=folder):
        move(part.path, folder / f"{part.split}.arrow")
    return folder


def _names(given: str | Sequence[str] | None) -> tuple[str, ...] | None:
    return (given,) if isinstance(given, str) else tuple(given or ()) or None


def read_parts(
    source: object, validation: object, test: object, hints: Hints, emit: Emit, cache_dir: Path, *,
    joins: Sequence[str] = (),
) -> list[Part]:  # fmt: skip
    found = {p.split: p for p in read_source(source, "train", emit=emit, cache_dir=cache_dir, hints=hints)}
    if "train" not in found and len(found) == 1:
        part = found.popitem()[1]
        part.split = "train"
        found["train"] = part
    if "train" not in found:
        raise DataError(Problem(f"the data has the parts {', '.join(found)}, but nothing to train on"))
    for split, other in (("validation", validation), ("test", test)):
        if other is not None:
            known = replace(hints, header=found["train"].header)
            others = read_source(other, split, emit=emit, cache_dir=cache_dir, hints=known)
            found[split] = next((part for part in others if part.split == split), others[0])
            found[split].split = split
    found = {split: gathered(part) for split, part in found.items()}
    for part in found.values():
        part.table = hints.gathered(flatten(part.table))
        for modality in hints.arranged_by:
            modality.arrange(part, asked=len(hints.arranged_by) == 1)
        part.table = joined.add_columns(part.table, joins)
    return [found[split] for split in SPLITS if split in found]


def _guess(parts: list[Part], request: ColumnRequest, options: SplitOptions, emit: Emit) -> Guess:
    train = parts[0]
    for flag, name in (("group", options.group), ("time", options.time)):
        by_names = flag == "group" and any(modality.places for modality in request.modalities)
        if name is not None and name not in train.table.column_names and not by_names:
            problem = Problem(f"there is no such column (option {flag!r})", train.name, column=name)
            raise DataError(problem, fix=did_you_mean(name, train.table.column_names))
    if train.labelled and request.target is None and "label" in request.kinds:
        request = replace(request, kinds=("label",))
    profiles = profile_table(train.table, train.folder)
    set_aside = {options.group, options.time} - {*(request.text or ()), *(request.target or ())}
    free = [profile for profile in profiles if profile.name not in set_aside]

    def beside(columns: Columns) -> tuple[str, ...]:
        used = [*joined.names_in(columns.inputs), *columns.inputs, *columns.target]
        if not request.features:
            return ()
        return choose_features(train.table, free, used, columns.target, request.features, train.name, emit)

    guess = choose_columns(free, request, train.name, train.header, emit, beside)
    columns = guess.columns
    _check_columns(parts[1:], (*columns.inputs, *columns.target, *columns.features), columns.target)
    anchor(parts, columns.inputs, guess.modality, emit)
    groups.add_groups(parts, columns, guess.modality, options.group)
    groups.suggest(parts, profiles, columns, guess.modality, options, emit)
    return guess


def _check_columns(parts: list[Part], names: Sequence[str], targets: Sequence[str] = ()) -> None:
    for part in parts:
        missing = [name for name in names if name not in part.table.column_names]
        listed = f" Columns: {', '.join(part.table.column_names[:30])}."
        if missing and set(missing) <= set(targets) and part.split != "train":
            told = [f"this {part.split} data has no column {name!r}, so no labels" for name in missing]
            raise DataError([Problem(message, part.name) for message in told], _ANSWERS_NEEDED + listed)
        if missing:
            near = did_you_mean(missing[0], part.table.column_names)
            problems = [Problem("there is no such column in this data", part.name, column=name) for name in missing]
            raise DataError(problems, fix=near if near.startswith("Known") else near + listed)


def _assemble(
    parts: list[Part],
    guess: Guess,
    rows: canonical.Canonical,
    asked: tuple[SplitOptions, ValueOptions],
    seed: int,
    emit: Emit,
) -> PreparedData:
    (options, values), table, columns, modality = asked, rows.table, guess.columns, guess.modality
    starts = np.cumsum([0, *(part.rows for part in parts)]).tolist()
    origins = Origins(parts, starts[:-1])
    kept = np.asarray(table.column("row_id")) if table.num_rows else np.zeros(0, dtype=np.int64)
    _check_amount(kept.size, rows, parts, modality)
    _tell_dropped(rows, emit)
    given = np.searchsorted(starts, kept, side="right") - 1
    _check_parts(given, parts, columns, modality)

    def place(position: int) -> Problem:
        part, row = origins.part_of(int(kept[position]))
        return part.problem(row, "")

    modality.warn(table, columns.inputs, place, emit)
    if (kind := kind_named(columns.kind)) is not None:
        kind.warn(table.column("target"), place, emit)
    mojibake.warn(table, "target", " + ".join(columns.target), place, emit)
    index = TargetIndex.of(table.column("target"), columns.kind)
    labels.check_targets(index, columns, given == 0, place, emit, values)
    found = modality.duplicates(table, options.near_duplicates)
    division = divide(KeptRows(parts, kept, given, modality), index, found, options, seed, emit)
    division.leakage.examples = leakage.examples(table, modality.roles[0], division.before, found, NAMES)
    leaked = leakage.find_leaks(division.marks, found.cluster) & (division.marks == NAMES.index("test"))
    conflicts, conflict_texts, conflict_rows = labels.find_conflicts(table, modality.roles[0], index, found.identical)
    if conflict_texts:
        message = f"{conflict_texts} {modality.nouns} stand with different labels ({conflict_rows} rows)"
        emit(Warned("conflicting labels", f"{message}, such as {conflicts[0]['text'][:80]!r}"))
    facts = {
        "duplicates": leakage.repeated(found, index.codes, modality.noun, modality.nouns),
        "conflicts": {modality.nouns: conflict_texts, "rows": conflict_rows},
        "missing": rows.missing,
        "words_for_nothing": {name: dict(words.most_common(50)) for name, words in rows.words.items()},
        "notes": [note for part in parts for note in part.notes],
        "reasons": {what: {"value": value, "why": why} for what, (value, why) in guess.reasons.items()},
        "split": division.facts,
    }
    if (looked := modality.facts(table)) is not None:
        facts[modality.nouns] = looked
    return PreparedData(
        rows=datasets.Dataset.from_file(str(rows.path)),
        splits={name: np.flatnonzero(division.marks == mark).astype(np.int64) for mark, name in enumerate(NAMES)},
        columns=columns,
        label_names=index.names,
        ledger=rows.ledger,
        leakage=division.leakage,
        conflicts=conflicts,
        fingerprint=_fingerprint(rows.content, columns, parts, options, seed),
        files=[part.name for part in parts],
        leaked_test=np.flatnonzero(leaked).astype(np.int64),
        origins=origins,
        index=index,
        marks=division.marks,
        facts=facts,
        modality=modality,
    )


def _check_amount(kept: int, rows: canonical.Canonical, parts: list[Part], modality: DataModality) -> None:
    if kept >= FEWEST_ROWS:
        return
    why = ", ".join(f"{number}: {reason}" for reason, number in rows.missing.items())
    left = f"{kept} of {rows.ledger.rows_in} rows are left" + (f" (dropped {why})" if why else "")
    problem = Problem(f"{left}; at least {FEWEST_ROWS} are needed", parts[0].name)
    raise DataError(problem, fix=f"Add rows, or check that {modality.flag} and --target name the right columns.")


def _check_parts(given: np.ndarray, parts: list[Part], columns: Columns, modality: DataModality) -> None:
    problems = []
    for part, rows in zip(parts, np.bincount(given, minlength=len(parts)), strict=True):
        if not rows:
            message = f"no row of this {part.split} data has a {modality.noun} and a target"
            cells = (cell for name in columns.target for cell in part.table.column(name).to_pylist())
            if all(not str(cell or "").strip() for cell in cells):
                message += f": the column {' + '.join(map(repr, columns.target))} is empty"
            problems.append(Problem(message, part.name))
    if problems:
        raise DataError(problems, fix=_ANSWERS_NEEDED)


def _tell_dropped(rows: canonical.Canonical, emit: Emit) -> None:
    for reason, number in rows.missing.items():
        emit(Warned("dropped rows", f"{number} rows are left out: {reason}"))
    if rows.unreadable:
        told = "; ".join(map(str, rows.unreadable[:_TOLD])) + ("; ..." if len(rows.unreadable) > _TOLD else "")
        emit(Warned("unreadable", f"{len(rows.unreadable):,} rows are left out: {told}"))
    for name, words in rows.words.items():
        told = ", ".join(f"{word!r} ({number} rows)" for word, number in words.most_common(12))
        fix = "If they are texts or labels like any other: --set nothing=keep"
        emit(Warned("words for nothing", f"in column {name!r}: {told}; such rows are left out. {fix}"))


def _fingerprint(content: str, columns: Columns, parts: list[Part], options: SplitOptions, seed: int) -> str:
    inputs = {
        "content": content,
        "columns": columns.record(),
        "parts": [[part.split, part.rows] for part in parts],
        "split": options.model_dump(),
        "seed": seed,
    }
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()
