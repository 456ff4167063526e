"""Rows that belong together, as the pictures of one patient do: by a column, or by what the names of files say."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from tunesmith.core.errors import DataError, Problem, did_you_mean
from tunesmith.core.events import Emit, Warned
from tunesmith.data.modality import DataModality
from tunesmith.data.part import Part
from tunesmith.data.profile import Profile, simple
from tunesmith.data.split import NAMES
from tunesmith.data.types import Columns, SplitOptions

_WORDS = (
    "patient", "participant", "subject", "person", "donor", "animal", "mouse", "plant", "camera", "host", "hospital",
    "site", "scanner", "device", "document", "book", "video", "clip", "scene", "sequence", "session", "speaker",
    "signer", "writer", "author", "slide", "case", "cam", "doc", "subj", "sub", "vid", "seq", "pat",
)  # fmt: skip
"""What pictures of one are alike by, whatever they show."""
_COLUMN = re.compile(rf"({'|'.join(_WORDS)}|group|user|customer|owner)(_?(id|no|nr|number|name|key|code))?s?")
_MOSTLY = 0.9
_SOME = 0.5
"""Share of the files that must say to which group they belong."""


def named_in(path: str, word: str) -> str | None:
    """What a path says after a word: 'patient_12' of 'scans/patient_12_left.png' for 'patient'; None where it does not.
    'folder' is the folder that the file lies in."""
    if word == "folder":
        return os.path.dirname(path) or None
    found = re.findall(
        rf"(?<![A-Za-z])(?i:{re.escape(word)})[-_ ]?((?i:[a-z]{{0,2}}\d+)|[A-Z]{{1,2}}(?![A-Za-z]))", path
    )
    return f"{word}_{found[-1].lower()}" if found else None


def add_groups(parts: Sequence[Part], columns: Columns, modality: DataModality, group: str | None) -> None:
    """Give each part a column `group` where it is none of the data: by what the names of its files say. Raises
    DataError where they say nothing."""
    if group is None or group in parts[0].table.column_names:
        return
    for part in parts:
        groups = _keys(part, group, columns, modality)
        if sum(one is not None for one in groups) < _SOME * len(groups):
            known = parts[0].table.column_names
            more = f", and the names of the {modality.nouns} do not say {group}_1, {group}_2" if modality.places else ""
            problem = Problem(f"there is no such column (option 'group'){more}", part.name, column=group)
            raise DataError(problem, fix=did_you_mean(group, known))
        part.table = part.table.append_column(group, pa.array(groups, pa.string()))


def suggest(
    parts: Sequence[Part], profiles: Sequence[Profile], columns: Columns, modality: DataModality,
    options: SplitOptions, emit: Emit,
) -> None:  # fmt: skip
    """Warn where a column or the names of the files say that rows belong together, and nobody asked to keep them so."""
    if options.group is not None or options.time is not None or not modality.places:
        return
    found = _column(profiles, columns) or _word(_paths(parts[0], columns, modality))
    if found is None:
        return
    name, count, what = found
    alike = f"{modality.nouns} of one are alike, so that a test looks easier than new ones will be"
    if len(parts) < len(NAMES):
        emit(Warned("group", f"{what} tell {count} groups apart; {alike}. --group {name} keeps each on one side"))
        return
    keys = [set(_keys(part, name, columns, modality)) - {None} for part in parts]
    shared = keys[0] & keys[1] | keys[0] & keys[2] | keys[1] & keys[2]
    if shared:
        some = ", ".join(map(str, sorted(map(str, shared))[:3]))
        emit(Warned("group", f"{what}: {len(shared)} groups stand in more than one part, such as {some}; {alike}"))


def _keys(part: Part, name: str, columns: Columns, modality: DataModality) -> list[object]:
    if name in part.table.column_names:
        return part.table.column(name).to_pylist()
    return [None if path is None else named_in(path, name) for path in _paths(part, columns, modality)]


def _column(profiles: Sequence[Profile], columns: Columns) -> tuple[str, int, str] | None:
    used = {*columns.inputs, *columns.target}
    for profile in profiles:
        named = profile.name not in used and _COLUMN.fullmatch(simple(profile.name))
        if named and 2 <= profile.distinct <= _MOSTLY * len(profile.cells):
            return profile.name, profile.distinct, f"values of the column {profile.name!r}"
    return None


def _word(paths: Sequence[str | None]) -> tuple[str, int, str] | None:
    for word in _WORDS:
        groups = [named for path in paths if path is not None and (named := named_in(path, word)) is not None]
        different = len(set(groups))
        if len(groups) >= _MOSTLY * len(paths) and 2 <= different <= _MOSTLY * len(groups):
            return word, different, f"the names of the files, such as {groups[0]}"
    return None


def _paths(part: Part, columns: Columns, modality: DataModality) -> list[str | None]:
    """Where the inputs of a part lie, from its folder on; None for those of which that is not known."""
    column = part.table.column(columns.inputs[0])
    if not modality.places:
        return [None] * part.rows
    if pa.types.is_struct(column.type):
        column = pc.struct_field(column, "path")
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return [None] * part.rows
    folder = os.path.abspath(part.folder)
    return [
        os.path.relpath(cell, folder) if cell and not cell.startswith("data:") else None for cell in column.to_pylist()
    ]
