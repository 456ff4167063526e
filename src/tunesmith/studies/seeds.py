"""several_seeds: how much of a result is chance."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tunesmith.core.errors import OptionError
from tunesmith.core.spec import Words
from tunesmith.evaluate.words import metric as named
from tunesmith.evaluate.words import number
from tunesmith.models.manifest import METADATA
from tunesmith.runs import choose
from tunesmith.runs.load import load
from tunesmith.runs.protocols import Predictor
from tunesmith.studies.folds import forgotten_sentence, mean_and_spread, summarize_forgetting
from tunesmith.studies.series import Series, fitting, open_study
from tunesmith.studies.soup import check_soup, greedy_soup


class Seeds(Series):
    """What several seeds found: seeds.json as `document`, and a finished run a seed."""

    @property
    def soup(self) -> Predictor | None:
        """The averaged model, where it was asked for and helped on validation."""
        folder = self.path / "soup"
        return load(folder) if (folder / METADATA).exists() else None


def several_seeds(
    data: object, *, out: str | Path, seeds: int | Sequence[int] = 3, soup: bool = False, launcher: str = "here",
    **words: Any,
) -> Seeds:  # fmt: skip
    """One run for each seed on one and the same split; metrics on the test rows with mean and spread.

    `seeds`: how many, counted up from the word `seed`, or which; the split is always that of the word
    `seed`. `soup`: average the runs' weights greedily (Wortsman et al. 2022, algorithm 1) in the order of
    their validation metric; a run joins only if validation gains, and the average is kept only if it is
    better there than the best single run. All runs of a soup begin with the same weights (`init_seed`), and batch
    normalisations that gather statistics get those of the average. Its test result is read once, after that.
    Killed, it goes on when it is asked for again. `launcher`: where the runs take place (`here`, `process`). Writes
    seeds.json, report.html and, with a soup, the folder `soup`. Raises UsageError, RunFailed, Stopped.
    """
    first = int(words.get("seed") or 0)
    chosen = list(range(first, first + seeds)) if isinstance(seeds, int) else [int(seed) for seed in seeds]
    if len(set(chosen)) != len(chosen) or len(chosen) < 2:
        raise OptionError(f"--seeds {seeds}: expected at least two different seeds.")
    with open_study(out, data, words, launcher, verb="series of seeds", seeds=chosen, soup=soup) as study:
        split = study.make_split()
        if soup:
            check_soup(split)
        base = fitting(split.with_test(), split.method)
        if soup:  # which is made of what was trained, from one place: other heads have no mean
            base.setdefault("init_seed", first)
        else:
            base["effort"] = choose.effort_of(study.spec)
        runs = [study.run(f"seed-{seed}", {**base, "seed": seed}) for seed in chosen]
        document: Words = {
            "metric": split.metric,
            "runs": [{"name": f"seed {seed}", "run": str(run.path), "metrics": run.metrics,
                      "validation": run.document["validation"][split.metric]["value"]}
                     for seed, run in zip(chosen, runs, strict=True)],
            **mean_and_spread([run.metrics for run in runs]),
            "forgetting": summarize_forgetting(runs),
            "soup": greedy_soup(study.path / "soup", runs, split) if soup else None,
        }  # fmt: skip
        document["words"] = _sentences(document)
        study.publish("seeds", document)
        return Seeds(study.path, document, runs)


def _sentences(document: Words) -> list[str]:
    metric, runs = document["metric"], document["runs"]
    values = [run["metrics"][metric] for run in runs]
    mean, spread = document["mean"][metric], document["spread"][metric]
    found = [
        f"{named(metric)} on the test rows over {len(runs)} seeds: {number(mean)} on average, standard deviation "
        f"{number(spread)} (from {number(min(values))} to {number(max(values))}).",
        "A difference between two settings that is smaller than this spread may be chance.",
    ]
    if document["forgetting"]:
        found.append(forgotten_sentence(document["forgetting"]))
    soup = document["soup"]
    if soup and soup["kept"]:
        gap = soup["difference"]
        equal = ", with a lower log loss" if soup["validation"] == soup["best_single"] else ""
        found.append(
            f"The average of the weights of {', '.join(soup['of'])} is kept: validation {number(soup['validation'])} "
            f"against {number(soup['best_single'])} of the best single run{equal}. On test it has "
            f"{number(soup['test']['value'])}, {number(gap['difference'], True)} against that run "
            f"(95 % interval {number(gap['low'], True)} to {number(gap['high'], True)})."
        )
    elif soup:
        found.append("No average of weights was better on validation than the best single run, so none is kept.")
    return found
