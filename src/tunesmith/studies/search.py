"""search: the best settings within a budget, chosen on validation rows; the test rows are read once, by the winner.

Tree-structured Parzen estimators propose settings (Bergstra et al. 2011), asynchronous successive
halving ends what falls behind (Li et al. 2020), both through Optuna, whose study lies in the folder.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tunesmith.core.errors import RunFailed, Stopped, TunesmithError, UsageError
from tunesmith.core.events import Emit, Evaluated, Event, Phase, Step, ignore
from tunesmith.core.files import full_disk_as_oserror
from tunesmith.core.imports import require
from tunesmith.core.run import is_run
from tunesmith.core.spec import Words
from tunesmith.display.cards import Card, Shown, Table
from tunesmith.evaluate.words import metric as named
from tunesmith.evaluate.words import number
from tunesmith.evaluate.words import seconds as spoken
from tunesmith.runs import choose
from tunesmith.runs.shared_split import SharedSplit
from tunesmith.runs.train import Run
from tunesmith.studies import advice
from tunesmith.studies.series import (
    Budget,
    Study,
    Trial,
    TrialEnds,
    Watch,
    fitting,
    open_study,
    parse_budget,
    try_out,
)
from tunesmith.studies.space import Range, Space, derive

if TYPE_CHECKING:
    import optuna

STARTUP = 8
"""Trials that are drawn at random before the estimator learns from them."""
HALVING = 2
"""Of the trials that reach an epoch 1, 2, 4, 8, ... the better one in so many goes on."""
REPEATS = 10
"""So many trials in a row that were made before, and a search ends."""
CUT_OFF = "cut_off"
"""Where a study keeps the numbers of the trials that a kill ended."""
METHODS = ("full", "lora")
"""Methods that a search tries where it is not told which."""


@dataclass(frozen=True, repr=False)
class SearchResult(Shown):
    """What a search found: `best` words, all `trials`, and the winner's `run`, measured on the test rows."""

    path: Path
    document: Words
    run: Run

    @property
    def best(self) -> Words:
        return dict(self.document["best"]["words"])

    @property
    def trials(self) -> list[Words]:
        return list(self.document["trials"])

    def _card(self) -> Card:
        found = self.document
        done = sorted((t for t in found["trials"] if t["state"] == "complete"), key=lambda t: t["value"])
        ranked = done[::-1] if found["higher_is_better"] else done
        rows = [(t["number"], number(t["value"]), spoken(t["seconds"]), t["words"]) for t in ranked[:10]]
        table = Table(("trial", f"{named(found['metric'])} (validation)", "time", "settings"), rows)
        return Card("Search", None, [("found", " ".join(found["words"])), ("run", self.run.path)], [table])


def search(
    data: object, *, out: str | Path, budget: str | Budget, space: Mapping[str, object] | None = None,
    models: Sequence[str] | None = None, methods: Sequence[str] | None = None, pruning: bool = True,
    launcher: str = "here", emit: Emit = ignore, **words: object,
) -> SearchResult:  # fmt: skip
    """Try settings on train and validation rows until the budget is spent, then train and test the best.

    `budget`: '30m', '2h', '20 trials' (see `parse_budget` for money); time includes the winner's last
    training. `space`: option -> values or {"low", "high"}; derived from the options' declarations when
    not given (`space.derive`). `words` as for `train`; what they fix is not searched. A search that was
    killed goes on when it is asked for again with the same `out`: the trial that was cut off is made
    anew. The same words and seed give the same trials, also with another `launcher` (`here`, `process`).
    Writes search.json and report.html; the winner's run folder is `out`/run. Raises UsageError,
    RunFailed, Stopped.
    """
    require("optuna", extra="search", why="A search")
    limit = parse_budget(budget)
    given = {**(space or {}), **({"model": list(models)} if models else {}),
             **({"method": list(methods)} if methods else {})}  # fmt: skip
    asked = {"verb": "search", "space": given, "pruning": pruning}
    with open_study(out, data, words, launcher, **asked) as study, full_disk_as_oserror():
        split, method = study.make_split(), study.words.get("method", "auto")
        tried = [method] if method != "auto" else _methods(split)
        searching = _Search(study, split, derive(study.words, given, tried, split.words["task"]), limit, pruning)
        try:
            if not is_run(study.path / "run"):  # else the winner is settled
                searching.go_on(emit)
            return _finish(searching)
        finally:
            searching.close()


def _methods(split: SharedSplit) -> list[str]:
    if split.method == "scratch":  # the base has random weights
        return ["scratch"]
    known = choose.methods_of(split.family, split.words["task"])
    return [name for name in METHODS if name in known] or known


class _Search:
    """A study under way: asks for settings, tries them, tells what came of it."""

    def __init__(self, of: Study, split: SharedSplit, space: Space, budget: Budget, pruning: bool):
        import optuna

        self.of, self.split, self.space, self.budget, self.pruning = of, split, space, budget, pruning
        self.seed = int(split.words["seed"])
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.storage = optuna.storages.RDBStorage(f"sqlite:///{of.path}/study.db")
        self.study = optuna.create_study(
            study_name="search", storage=self.storage, load_if_exists=True,
            direction="maximize" if split.higher_is_better else "minimize",
            pruner=optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=HALVING)
            if pruning else optuna.pruners.NopPruner(),
        )  # fmt: skip
        self._pick_up()

    def _pick_up(self) -> None:
        """Give up trials that were cut off, at whatever moment: the next one draws the same settings again.

        The folder's lock is ours, so that whoever was running a trial is gone.
        """
        import optuna

        for trial in self.study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
            self.study.set_user_attr(CUT_OFF, [*self._cut_off(), trial.number])  # first: it may hold a result by now
            self.study.tell(trial.number, state=optuna.trial.TrialState.FAIL)

    def _cut_off(self) -> list[int]:
        return list(self.study.user_attrs.get(CUT_OFF, []))

    def close(self) -> None:
        """Let go of the study's file."""
        self.storage.remove_session()
        self.storage.engine.dispose()

    def go_on(self, emit: Emit = ignore) -> None:
        """Try until the budget is spent. Raises what can not be cured by other settings."""
        said = ""
        while not self._spent():
            best = self.study.best_value if self.told("COMPLETE") else None
            so_far = "" if best is None else f", best {named(self.split.metric)} so far {number(best)}"
            if (told := f"trial {len(self.told()) + 1}{so_far}") != said:  # settings drawn again are no trial
                emit(Phase("search", told))
            said = told
            try:
                self._try_one()
            except (Stopped, KeyboardInterrupt):
                raise Stopped(
                    "The search was stopped; all finished trials are kept.", reason="signal",
                    fix=f"Ask for the same search with --out {self.of.path} to go on with it.",
                ) from None  # fmt: skip
        if not self.told("COMPLETE"):
            reasons = {trial.user_attrs["why"] for trial in self.told()}
            raise RunFailed(f"No trial of the search came to an end: {'; '.join(sorted(reasons)) or 'no time'}.")

    def told(self, *states: str) -> list[optuna.trial.FrozenTrial]:
        """Trials that ended, in one of these states. Those that were cut off by a kill are no trials, nor are settings
        that were drawn again: their result was known, and nothing of the budget is spent on them."""
        ended = [t for t in self._asked() if not states or t.state.name in states]
        return [t for t in ended if not t.user_attrs.get("repeats")]

    def _asked(self) -> list[optuna.trial.FrozenTrial]:
        cut_off = self._cut_off()
        trials = [t for t in self.study.get_trials(deepcopy=False) if t.state.is_finished()]
        return [t for t in trials if "why" in t.user_attrs and t.number not in cut_off]

    def _spent(self) -> bool:
        if self._repeated() >= REPEATS:  # a space of a few settings: all that there is was tried
            return True
        if self.budget.trials:
            return len(self.told()) >= self.budget.trials
        waiting = sorted(t.user_attrs["seconds"] for t in self.told("COMPLETE"))
        return bool(waiting) and self._left() < 0.5 * waiting[len(waiting) // 2]

    def _repeated(self) -> int:
        """How many of the last trials were settings that had been tried before."""
        seen: list[Words] = []
        count = 0
        for trial in self._asked():
            count = count + 1 if trial.params in seen else 0
            seen.append(trial.params)
        return count

    def _left(self) -> float:
        """Seconds for trials: what is not spent, less what training the winner again will take."""
        assert self.budget.seconds is not None
        took, best = sum(t.user_attrs["seconds"] for t in self.told()), self.best()
        return self.budget.seconds - took - (best.user_attrs["seconds"] if best else 0.0)

    def best(self) -> optuna.trial.FrozenTrial | None:
        """The best finished trial; of equals the one with the lowest validation loss, then the first."""
        sign = -1 if self.split.higher_is_better else 1
        done = [t for t in self.told("COMPLETE") if t.value is not None]
        return min(done, key=lambda t: (sign * t.value, t.user_attrs["loss"], t.number), default=None)

    def _try_one(self) -> None:
        self.study.sampler = self._sampler(len(self._asked()))
        trial = self.study.ask()
        words = {**self.split.without_test(), **self._suggest(trial)}
        words = fitting(words, words["method"])
        same = next((t for t in self.told("COMPLETE", "PRUNED") if t.params == trial.params), None)
        if same is not None:  # the same settings and seed come to the same
            known = same.user_attrs
            trial.set_user_attr("repeats", True)
            self._tell(trial, Trial(known["last"], known["loss"], known["step"], 0.0, known["why"]), words)
            return
        left = self._left() if self.budget.seconds and self.told("COMPLETE") else math.inf
        watch = _Halving(self.split.metric, trial, self.pruning, time.monotonic() + left)
        try:
            self._tell(trial, try_out(words, self.of.path / "trial", watch, self.of.launcher), words)
        except (RunFailed, UsageError) as error:
            if isinstance(error, UsageError) and not self.told("COMPLETE"):
                raise
            self._tell(trial, watch.trial, words, error)

    def _sampler(self, index: int) -> optuna.samplers.BaseSampler:
        """Of its own for each trial, so that a search that was cut off draws what it would have drawn; the first ones
        begin at the defaults of each method."""
        import optuna

        seed = (self.seed * 1_000_003 + index) % 2**32
        drawn = optuna.samplers.TPESampler(seed=seed, n_startup_trials=STARTUP)
        if index >= len(self.space.methods):
            return drawn
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # optuna calls it experimental
            return optuna.samplers.PartialFixedSampler(self.space.start(self.space.methods[index]), drawn)

    def _suggest(self, trial: optuna.trial.Trial) -> Words:
        model = trial.suggest_categorical("model", self.space.models)
        method = trial.suggest_categorical("method", self.space.methods)
        found: Words = {"model": model, "method": method}
        for name, domain in self.space.settings[method].items():
            key = f"{method}.{name}"
            if not isinstance(domain, Range):
                found[name] = trial.suggest_categorical(key, domain)
            elif domain.whole:
                found[name] = trial.suggest_int(key, int(domain.low), int(domain.high), log=domain.log)
            else:
                found[name] = trial.suggest_float(key, domain.low, domain.high, log=domain.log)
        return found

    def _tell(self, trial: optuna.trial.Trial, seen: Trial, words: Words, error: TunesmithError | None = None) -> None:
        import optuna

        undefined = f"{named(self.split.metric)} is not defined on the validation rows" if seen.value is None else None
        why = error.message if error is not None else undefined or seen.why
        told = {"last": seen.value, "loss": seen.loss, "step": seen.step, "seconds": seen.seconds, "why": why}
        for name, value in told.items():
            trial.set_user_attr(name, value)
        trial.set_user_attr("words", _changed(words, self.split))
        state = optuna.trial.TrialState.COMPLETE
        if error is not None or seen.value is None:
            state = optuna.trial.TrialState.FAIL
        elif why != "done":
            state = optuna.trial.TrialState.PRUNED
        self.study.tell(trial, seen.value if state == optuna.trial.TrialState.COMPLETE else None, state=state)


def _changed(words: Words, split: SharedSplit) -> Words:
    """What a trial sets beside what all runs of the search share."""
    return {k: v for k, v in words.items() if k in ("model", "method") or split.without_test().get(k) != v}


class _Halving(Watch):
    """Reports the best value after every epoch, and ends the run when it falls behind or time is up."""

    def __init__(self, metric: str, trial: optuna.trial.Trial, pruning: bool, deadline: float):
        super().__init__(metric)
        self._optuna, self._pruning, self._deadline = trial, pruning, deadline
        self._epoch, self._reported = 0.0, 0

    def __call__(self, event: Event) -> None:
        super().__call__(event)
        if isinstance(event, Step):
            self._epoch = event.epoch
            if time.monotonic() > self._deadline:
                raise TrialEnds("out of time")
        elif isinstance(event, Evaluated) and self._pruning and round(self._epoch) > self._reported:
            self._reported = round(self._epoch)
            if self.trial.value is not None:
                self._optuna.report(self.trial.value, self._reported)
            if self._optuna.should_prune():
                raise TrialEnds(f"fell behind after epoch {self._reported}")


def _finish(searching: _Search) -> SearchResult:
    """Train the winner once more, now with the test rows beside it, and write down everything."""
    of, split, best = searching.of, searching.split, searching.best()
    assert best is not None
    words = best.user_attrs["words"]
    run = of.run("run", fitting({**split.with_test(), **words}, words["method"]))
    tried = searching.told()  # what was cut off or drawn again has no number
    trials = [_row(trial, number) for number, trial in enumerate(tried, 1)]
    document = {
        "metric": split.metric, "higher_is_better": split.higher_is_better, "rows": split.sizes,
        "budget": str(searching.budget), "seconds": round(sum(t["seconds"] for t in trials), 1),
        "space": searching.space.record(), "trials": trials,
        "best": {"number": 1 + tried.index(best), "value": best.value, "words": words},
        "importance": importance(searching.study, best, searching.seed),
        "run": str(run.path), "test": run.document["test"][split.metric], "verdict": run.document["verdict"],
    }  # fmt: skip
    document["next_step"] = advice.after_search(of.spec, document["verdict"], run.path)
    document["words"] = [*_sentences(document), advice.told(document["next_step"])]
    of.publish("search", document)
    return SearchResult(of.path, document, run)


def _row(trial: optuna.trial.FrozenTrial, number: int) -> Words:
    return {"number": number, "state": trial.state.name.lower(), "value": trial.user_attrs["last"],
            **{name: trial.user_attrs[name] for name in ("words", "loss", "step", "seconds", "why")}}  # fmt: skip


def importance(study: optuna.Study, best: optuna.trial.FrozenTrial, seed: int) -> dict[str, float]:
    """Share of the differences that each setting explains among the trials of the best one's method, and the
    method itself among all (fANOVA: Hutter et al. 2014); {} where there are too few trials to say."""
    import optuna

    done = [t for t in study.get_trials(deepcopy=False) if t.state == optuna.trial.TrialState.COMPLETE]
    alike = [t for t in done if t.params["method"] == best.params["method"]]
    found: dict[str, float] = {}
    for trials, wanted in ((alike, set(best.params)), (done, {"model", "method"})):
        spread = {name for name in wanted if len({t.params.get(name) for t in trials}) > 1}
        if len(trials) < 5 or len({t.value for t in trials}) < 2 or not spread:
            continue
        part = optuna.create_study(direction=study.direction)
        part.add_trials(trials)
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on settings that never differed: `spread` leaves those out
            shares = optuna.importance.get_param_importances(part, evaluator=evaluator, params=sorted(spread))
        found |= {name.rpartition(".")[2]: round(float(share), 4) for name, share in shares.items()}
    return found


def _beside_the_first(best: Words, first: Words | None) -> str:
    if first is None or first["number"] == best["number"]:  # the first trials are the defaults
        return "; nothing beat the defaults."
    return f"; the defaults had {number(first['value'])}" + (
        ", with a higher validation loss." if first["value"] == best["value"] else "."
    )


def _sentences(document: Words) -> list[str]:
    trials, best, metric = document["trials"], document["best"], named(document["metric"])
    states = {state: sum(t["state"] == state for t in trials) for state in ("complete", "pruned", "fail")}
    first = next((t for t in trials if t["state"] == "complete"), None)
    watched = document["rows"]["validation"]
    found = [
        f"{len(trials)} trial{'s' * (len(trials) != 1)} in {spoken(document['seconds'])}: {states['complete']} went to "
        f"the end, {states['pruned']} were ended early, {states['fail']} failed.",
        f"The best on the validation rows was trial {best['number']} with {metric} {number(best['value'])}"
        + _beside_the_first(best, first),
        f"On the {document['rows']['test']:,} test rows, which no trial has seen, it has {metric} "
        f"{number(document['test']['value'])} (95 % interval {number(document['test']['low'])} to "
        f"{number(document['test']['high'])}).",
        f"The best of many trials looks better on validation ({watched:,} row{'s' * (watched != 1)}) than it is: "
        "believe the test number.",
        document["verdict"]["worth"]["words"],
    ]  # fmt: skip
    if document["importance"]:
        name, share = max(document["importance"].items(), key=lambda item: item[1])
        found.append(f"What mattered most was {name} ({share:.0%} of the differences between finished trials).")
    return found
