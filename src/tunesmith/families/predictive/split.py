"""Rows that several runs share, as Arrow files: one split of them, or all of them, to be cut into folds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa

from tunesmith.core import registry
from tunesmith.core.events import ignore
from tunesmith.core.files import new_file, scratch
from tunesmith.core.options import pick
from tunesmith.core.spec import RunSpec
from tunesmith.data import leakage
from tunesmith.data.groups import add_groups
from tunesmith.data.guess import ColumnRequest
from tunesmith.data.prepare import anchor, anchor_targets, hints_of, read_parts
from tunesmith.data.prepared import PreparedData
from tunesmith.data.profile import take
from tunesmith.data.split import group_numbers
from tunesmith.data.targets import TargetReader
from tunesmith.data.types import ValueOptions
from tunesmith.engine.protocols import PredictiveTask
from tunesmith.models import catalog
from tunesmith.runs import choose
from tunesmith.runs.reading import read, read_options, split_options
from tunesmith.runs.shared_split import Pool, SharedSplit, Words, same_data, shared_words


def make_split(source: object, spec: RunSpec, folder: Path) -> SharedSplit:
    """See `runs.protocols.Family`."""
    with scratch() as cache:
        prepared = read(source, spec, cache)
        parts = dict(prepared.splits)
        lone = _lone_rows(prepared)
        parts["validation_as_test"] = np.sort(np.concatenate([parts["validation"], lone]))
        row_ids = {name: _row_ids(prepared, positions) for name, positions in parts.items()}
        same_data(folder, prepared.fingerprint)
        _write_parts(source, spec, prepared, row_ids, folder)
    words, metric, method = _words(spec, prepared, parts["train"])
    return SharedSplit(
        folder.resolve(), words, "predictive", prepared.columns.kind, metric, method, prepared.fingerprint,
        prepared.label_names, {name: ids.tolist() for name, ids in row_ids.items()}, "arrow",
    )  # fmt: skip


def pool(source: object, spec: RunSpec, folder: Path) -> Pool:
    """See `runs.protocols.Family`."""
    with scratch() as cache:
        prepared = read(source, spec, cache, validation_size=0.0, test_size=0.0)
        same_data(folder, prepared.fingerprint)
        positions = np.flatnonzero(prepared.marks < 2)
        ids = _row_ids(prepared, positions)
        _write_parts(source, spec, prepared, {"all": ids}, folder)
        with pa.ipc.open_file(str(folder / "all.arrow")) as file:
            table = file.read_all()
        strata, units = prepared.index.strata()[positions], _units(prepared, positions, table, spec)
        words, _, method = _words(spec, prepared, positions)

    def write(places: np.ndarray, file: Path) -> None:
        with new_file(file) as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(take(table, places))

    return Pool(ids, strata, units, {**words, "group": split_options(spec).group}, method, "arrow", write)


def _units(prepared: PreparedData, positions: np.ndarray, table: pa.Table, spec: RunSpec) -> np.ndarray:
    """A number per row; rows with the same one must be in the same fold: duplicates, and rows of one group."""
    options = split_options(spec)
    rows = take(prepared.rows.data.table, positions)
    found = prepared.modality.duplicates(rows, options.near_duplicates)
    found = leakage.movable(found) if prepared.modality.together is None else found
    if options.group is None:
        return found.cluster
    return leakage.merge_groups(group_numbers(table.column(options.group).to_pylist()), found)


def _write_parts(
    source: object, spec: RunSpec, prepared: PreparedData, row_ids: Mapping[str, np.ndarray], folder: Path
) -> None:
    """The rows with these ids as `folder`/<name>.arrow: texts, targets and what they are grouped by.

    Targets are written as they were read: how they are meant can not be told from every part alone.
    """
    options = split_options(spec)
    columns = [
        *prepared.columns.inputs,
        *prepared.columns.target,
        *prepared.columns.features,
        *filter(None, (options.group, options.time)),
    ]
    request = ColumnRequest(
        prepared.columns.inputs, prepared.columns.target, choose.kinds_for(spec.task), modalities=(prepared.modality,)
    )
    with scratch() as cache:
        parts = read_parts(
            source,
            spec.validation,
            spec.test,
            hints_of(request, options, read_options(spec.options)),
            ignore,
            cache,
            joins=prepared.columns.inputs,
        )
        reader = TargetReader.of(prepared.columns, [part.table for part in parts], pick(ValueOptions, spec.options))
        anchor(parts, prepared.columns.inputs, prepared.modality, ignore)
        anchor_targets(parts, prepared.columns)
        add_groups(parts, prepared.columns, prepared.modality, options.group)
        for name, ids in row_ids.items():
            found, start = [], 0
            for part in parts:
                mine = ids[(ids >= start) & (ids < start + part.rows)] - start
                known = [column for column in dict.fromkeys(columns) if column in part.table.column_names]
                if len(mine):
                    some = take(part.table.select(known), mine)
                    if len(prepared.columns.target) == 1:
                        target = prepared.columns.target[0]
                        some = some.set_column(known.index(target), target, reader.read(some)[0])
                    found.append(some)
                start += part.rows
            table = pa.concat_tables(found, promote_options="permissive")
            with new_file(folder / f"{name}.arrow") as file, pa.ipc.new_file(file, table.schema) as writer:
                writer.write_table(table)
        for part in parts:
            part.release()


def _lone_rows(prepared: PreparedData) -> np.ndarray:
    """Training rows whose class has no other row outside the test part: a run without the test rows
    would refuse such a class, so that the row stands in its place too."""
    if prepared.columns.kind != "label":
        return np.zeros(0, dtype=np.int64)
    outside = prepared.marks < 2
    counts = np.bincount(prepared.index.codes[outside], minlength=len(prepared.index.sets))
    return np.flatnonzero(outside & (counts[prepared.index.codes] == 1)).astype(np.int64)


def _row_ids(prepared: PreparedData, positions: np.ndarray) -> np.ndarray:
    return np.asarray(prepared.rows.data.table.column("row_id"), dtype=np.int64)[positions]


def _words(spec: RunSpec, prepared: PreparedData, train: np.ndarray) -> tuple[Words, str, str]:
    """(what all runs on these rows share: columns and task settled, no split; the first metric; what `auto`
    is as a method for the rows at the positions `train`)."""
    columns = prepared.columns
    name = choose.task_for(columns, spec.task, ignore)
    task = fitted_task(name, spec, prepared, train)
    model = catalog.default(choose.loader_of(task).bases) if spec.model == "auto" else spec.model
    method = choose.method_for(spec, choose.training_rows(prepared, train, model, name), ignore)
    words = {**shared_words(spec, name), "text": list(columns.inputs), "target": list(columns.target)}
    words |= {"features": list(columns.features)} if columns.features else {}
    return words, task.metrics[0], method


def fitted_task(name: str, spec: RunSpec, prepared: PreparedData, train: np.ndarray) -> PredictiveTask:
    """The task of that name with the options of the spec, fitted to the rows at the positions `train`."""
    plugin = registry.get("tasks", name)
    task: PredictiveTask = plugin(pick(plugin.Options, spec.options))
    task.fit(prepared.columns.kind, prepared.label_names, prepared.targets(train), ignore)
    task.fit_inputs(prepared.rows.select(train))
    return task
