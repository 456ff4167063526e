"""cross_validate: every row is tested once, by a run that has never seen it or a text like it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tunesmith.core.errors import OptionError
from tunesmith.core.files import own_folder, write_table
from tunesmith.core.spec import Words
from tunesmith.evaluate.measured import with_intervals
from tunesmith.evaluate.metrics import higher_is_better
from tunesmith.evaluate.words import baseline as named_baseline
from tunesmith.evaluate.words import metric as named
from tunesmith.evaluate.words import number
from tunesmith.runs import choose
from tunesmith.runs.family import family_named, family_of
from tunesmith.runs.shared_split import Pool
from tunesmith.runs.train import Run
from tunesmith.studies.series import Series, Study, fitting, make_spec, open_study

Ints = np.ndarray


class Folds(Series):
    """What cross-validation found: folds.json as `document`, a finished run a fold, and out-of-fold predictions."""

    @property
    def predictions(self) -> Path:
        """Parquet: row_id, fold, truth, predicted, scores of every row that was in a fold."""
        return self.path / "out_of_fold.parquet"


def cross_validate(
    data: object, *, out: str | Path, cv: int = 5, group: str | None = None, launcher: str = "here", **words: object
) -> Folds:
    """`cv` complete runs, each tested on another part of the rows; a test part of the data's own is left alone.

    Folds are stratified by target. Rows with equal `group` stay together, and so do (near-)identical texts;
    each run takes its validation rows from its own training part in the same way. Killed, it goes on when it
    is asked for again. `launcher`: where the runs take place (`here`, `process`). Writes folds.json,
    out_of_fold.parquet and report.html into `out`. Raises UsageError, RunFailed, Stopped.
    """
    for name in ("validation", "test", "test_size", "time"):
        if words.get(name) is not None:
            raise OptionError(f"Cross-validation makes its own parts: {name} does not go with it.", "Leave it out.")
    words["group"] = group
    with open_study(out, data, words, launcher, verb="cross-validation", folds=cv) as study:
        spec, source = make_spec(data, study.words)
        family = family_named(family_of(spec, source))
        pool = family.pool(source, spec, study.path / "data")
        of = assign(pool.strata, pool.units, cv, spec.seed)
        words = fitting({**pool.words, "effort": choose.effort_of(spec)}, pool.method)
        runs = [_run_fold(study, pool, of == fold, fold, words) for fold in range(cv)]
        return _finish(study, runs, pool, of)


def assign(strata: Ints, units: Ints | None, folds: int, seed: int) -> Ints:
    """The fold int64 [n] of each row: strata int64 [n] in like shares, equal `units` int64 [n] never apart. Without
    units the rows are cut in blocks, as they come.

    Raises OptionError where there are fewer units than folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    count = strata.size if units is None else np.unique(units).size
    if not 2 <= folds <= count:
        raise OptionError(f"--cv {folds}: expected 2 to {count}, the number of rows or groups that may be parted.")
    if units is None:
        return np.arange(count) * folds // count
    whole = count == units.size
    maker = (StratifiedKFold if whole else StratifiedGroupKFold)(folds, shuffle=True, random_state=seed)
    of = np.empty(units.size, dtype=np.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # rare classes are not in every fold, which is all that can be
        if whole and np.bincount(strata).max() < folds:
            strata = np.zeros_like(strata)
        for fold, (_, tested) in enumerate(maker.split(np.zeros(units.size), strata, units)):
            of[tested] = fold
    return of


def _run_fold(study: Study, pool: Pool, tested: Ints, fold: int, words: Words) -> Run:
    folder = study.path / "data" / f"fold-{fold + 1}"
    own_folder(folder)
    files = {}
    for name, part, chosen in (("data", "train", ~tested), ("test", "test", tested)):
        file = folder / f"{part}.{pool.suffix}"
        pool.write(np.flatnonzero(chosen), file)
        files[name] = str(file.resolve())
    return study.run(f"fold-{fold + 1}", {**words, **files})


def _finish(study: Study, runs: Sequence[Run], pool: Pool, of: Ints) -> Folds:
    documents = [run.document for run in runs]
    metric = documents[0]["first_metric"]
    table = _out_of_fold(runs, pool.ids, of)
    predictions = study.path / "out_of_fold.parquet"
    write_table(table, predictions)
    document = {
        "metric": metric,
        "runs": [
            {"name": f"fold {n}", "run": str(run.path), "rows": int((of == n - 1).sum()), "metrics": run.metrics,
             "verdict": run.document["verdict"]["outcome"]}
            for n, run in enumerate(runs, 1)
        ],
        **mean_and_spread([run.metrics for run in runs]),
        "forgetting": summarize_forgetting(runs),
        "baselines": {
            name: float(np.mean([d["baselines"][name][metric]["value"] for d in documents]))
            for name in documents[0]["baselines"] if all(metric in d["baselines"].get(name, {}) for d in documents)
        },
        "out_of_fold": _pooled(runs[0], table),
        "predictions": str(predictions),
    }  # fmt: skip
    document["words"] = _sentences(document)
    study.publish("folds", document)
    return Folds(study.path, document, list(runs))


def mean_and_spread(found: Sequence[Mapping[str, float]]) -> Words:
    """{"mean", "spread"}: of each metric that all runs have; spread is the standard deviation (n - 1)."""
    names = [name for name in found[0] if all(name in values for values in found)]
    table = {name: np.array([values[name] for values in found]) for name in names}
    return {
        "mean": {name: float(values.mean()) for name, values in table.items()},
        "spread": {name: float(values.std(ddof=1)) if len(values) > 1 else 0.0 for name, values in table.items()},
    }


def summarize_forgetting(runs: Sequence[Run]) -> Words | None:
    """{"kept": {"mean", "spread"}, "lost": {"mean", "spread"}, "probe"} of runs that all measured it, else None."""
    found = [run.document.get("forgetting") for run in runs]
    if not all(found):
        return None
    told = mean_and_spread([{part: one[part]["value"] for part in ("kept", "lost")} for one in found if one])
    return {
        **{part: {name: told[name][part] for name in ("mean", "spread")} for part in ("kept", "lost")},
        "probe": cast(Words, found[0])["probe"],
    }


def forgotten_sentence(found: Words) -> str:
    """One line on what `forgotten` gave."""
    lost, kept = found["lost"], found["kept"]
    return (
        f"Of what was known before, {kept['mean']:.0%} was kept on average; lost {number(lost['mean'])}, standard "
        f"deviation {number(lost['spread'])} ({found['probe']})."
    )


def _out_of_fold(runs: Sequence[Run], ids: Ints, of: Ints) -> pa.Table:
    """What each row was given by the run that had not seen it, in the order of the rows."""
    parts = []
    for fold, run in enumerate(runs):
        table = pq.read_table(run.folder.predictions)
        rows = np.asarray(table.column("row_id")) - int((of != fold).sum())  # test rows come after training rows
        mine = ids[of == fold][rows]
        parts.append(
            table.set_column(0, "row_id", pa.array(mine)).add_column(1, "fold", pa.array([fold + 1] * len(mine)))
        )
    return pa.concat_tables(parts).sort_by("row_id")


def _pooled(run: Run, table: pa.Table) -> Words:
    """{} for several labels, whose thresholds differ from fold to fold."""
    family = family_named(choose.family_of_task(run.folder.load_spec().task))
    measured = family.read_predictions(run.path, table)
    return {} if measured.kind == "labels" else dict(with_intervals(measured))


def _sentences(document: Words) -> list[str]:
    metric, runs = document["metric"], document["runs"]
    mean, spread = document["mean"][metric], document["spread"][metric]
    low, high = min(run["metrics"][metric] for run in runs), max(run["metrics"][metric] for run in runs)
    found = [
        f"{named(metric)} over {len(runs)} folds: {number(mean)} on average, standard deviation {number(spread)} "
        f"(from {number(low)} to {number(high)}).",
    ]
    if document["baselines"]:
        best = (max if higher_is_better(metric) else min)(document["baselines"].items(), key=lambda b: b[1])
        better = sum(run["verdict"] == "better" for run in runs)
        found.append(
            f"The best baseline on average, {named_baseline(best[0])}, has {number(best[1])}; the model was proven "
            f"better than its best baseline in {better} of {len(runs)} folds."
        )
    if pooled := document["out_of_fold"].get(metric):
        found.append(
            f"Over all rows together, each told by a run that had not seen it: {number(pooled['value'])} "
            f"(95 % interval {number(pooled['low'])} to {number(pooled['high'])})."
        )
    if document["forgetting"]:
        found.append(forgotten_sentence(document["forgetting"]))
    return found
