"""compare: from the constant answer to training from scratch, quality and cost of each on one split.

Every contender runs in a process of its own where nothing else is asked, so that its memory is its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy import stats

from tunesmith.core import registry
from tunesmith.core.errors import OptionError, RunFailed, Stopped, TunesmithError, did_you_mean
from tunesmith.core.events import Emit, Phase, Warned, ignore
from tunesmith.core.files import own_folder, read_json
from tunesmith.core.renamed import given_words
from tunesmith.core.spec import Words
from tunesmith.evaluate.diagnose import FEW_ROWS
from tunesmith.evaluate.measured import Difference, paired_difference, with_intervals
from tunesmith.evaluate.metrics import get
from tunesmith.evaluate.words import baseline, bytes_, capital, listed, number, seconds
from tunesmith.evaluate.words import metric as named
from tunesmith.runs import choose
from tunesmith.runs.family import family_named, family_of
from tunesmith.runs.shared_split import SharedSplit
from tunesmith.studies import advice
from tunesmith.studies.contender import read_measured
from tunesmith.studies.series import Study, fitting, make_spec, open_study

TRAINED = ("head", "adapters", "lora", "full", "scratch")
"""Methods of a comparison where it is not told which, as far as they fit the task."""
_NOTHING = 1e-9
"""Differences that are none: numbers were added up in another order."""
TITLES = {
    **{name: baseline(name) for name in ("base", "few_shot", "majority", "tfidf", "nearest_neighbours")},
    "head": f"{baseline('linear_probe')} (head)", "lora": "lora", "full": "full", "scratch": "from scratch",
}  # fmt: skip


def compare(
    data: object, *, out: str | Path, models: Sequence[str] | None = None, methods: Sequence[str] | None = None,
    launcher: str = "process", emit: Emit = ignore, **words: object,
) -> Words:  # fmt: skip
    """Quality, time, memory and size of each way to solve the task, and which one to take.

    `methods`: of nearest_neighbours (few-shot) and the names of `tunesmith methods`, beside majority and tfidf; for
    text that is written of few-shot (examples in the prompt) and those names, beside base. `models`: base models,
    for the contenders that have one. `launcher`: where these take place (`here`, `process`), which have memory of
    their own in processes alone. All contenders learn from, choose on and are tested on the same rows.
    Returns {"rungs": [{"name", "metric", "value", "low", "high", "seconds", "peak_memory_bytes",
    "size_bytes", "forgetting" (of those that train), ...}], "recommendation": "...", "proof": which simple ways
    something is proven better than, "next_step": {"words", "command"}, ...}; written to ladder.json
    with report.html in `out`. Killed, it goes on when it is asked for again. Raises UsageError, RunFailed, Stopped.
    """
    clean = given_words(words)
    name_of_family = family_of(*make_spec(data, clean))
    family = family_named(name_of_family)
    known = [*family.contenders, *choose.methods_of(name_of_family)]
    aliases = dict.fromkeys(("few-shot", "few_shot"), family.few_shot)
    names = list(dict.fromkeys(aliases.get(name, name) for name in methods or []))
    for name in names:
        if name not in known:
            raise OptionError(
                f"There is no method called {name!r} to compare with for this task.", did_you_mean(name, known)
            )
    bases = list(dict.fromkeys(models or [clean.get("model", "auto")]))
    with open_study(out, data, clean, launcher, verb="ladder", rungs=names, models=bases) as study:
        split = study.make_split()
        jobs = [
            (name, base) for name in (_fitting(names, split) if names else usual(split))
            for base in (bases if family.contenders.get(name, True) else bases[:1])
        ]  # fmt: skip
        contenders = []
        for at, (name, base) in enumerate(jobs, 1):
            emit(Phase("compare", f"{at} of {len(jobs)}: {_title(name, split)}"))
            try:
                contenders.append(_contender(study, split, name, base, short_names(bases)[base]))
            except RunFailed as error:
                if name in names or not isinstance(error.__cause__, OptionError):
                    raise  # else the base has nothing that it could move, and nobody asked for it
                emit(Warned("left out", f"{_title(name, split)}: {error.__cause__.message}"))
        points = []
        if curve := family.learning_curve:
            emit(Phase("compare", "what more rows would bring"))
            points = _job(study, "learning_curve", _words(split, curve, bases[0]))["points"]
        document = _document(study, split, contenders, points)
        study.publish("ladder", document)
        return document


def usual(split: SharedSplit) -> list[str]:
    """The contenders where it is not told which."""
    task = split.words["task"]
    fitting_ones = choose.methods_of(split.family, task)
    trained = [name for name in TRAINED if name in fitting_ones]
    names = [*family_named(split.family).usual_contenders(split.kind, task), *trained]
    if split.method not in names:  # what `auto` takes belongs among them
        names.insert(names.index("scratch"), split.method)
    return names


def _fitting(names: Sequence[str], split: SharedSplit) -> list[str]:
    """Those that are asked for, behind what every comparison has. Raises OptionError for one that does not fit."""
    family, task = family_named(split.family), split.words["task"]
    usual = [*family.usual_contenders(split.kind, task), family.few_shot, *choose.methods_of(split.family, task)]
    for name in names:
        if name not in usual:
            raise OptionError(f"{name} does not fit {task}.", f"Use some of {', '.join(dict.fromkeys(usual))}.")
    return list(dict.fromkeys([*family.yardsticks(task), *names]))


def short_names(bases: Sequence[str]) -> dict[str, str]:
    """What tells contenders with these bases apart: the last part of the name where that is enough; "" for one."""
    last = [Path(base).name for base in bases]
    return {
        base: "" if len(bases) == 1 else short if last.count(short) == 1 else "_".join(Path(base).parts).strip("/_")
        for base, short in zip(bases, last, strict=True)
    }


def _contender(study: Study, split: SharedSplit, name: str, base: str, short: str) -> Words:
    """`short`: the name of the base among several, "" where there is one."""
    named = short and family_named(split.family).contenders.get(name, True)
    folder = study.path / "rungs" / (f"{name}-{short}" if named else name)
    told = _job(study, f"rungs/{folder.name}", _words(split, name, base))
    title = _title(name, split) + (f", {short}" if named else "")
    return {"name": folder.name, "rung": name, "title": title, "metric": split.metric, "folder": str(folder), **told}


def _title(name: str, split: SharedSplit) -> str:
    """What a contender is called."""
    own = family_named(split.family).titles(split.kind, split.words["task"])
    return own.get(name) or TITLES.get(name) or baseline(name)


def _words(split: SharedSplit, name: str, base: str) -> Words:
    """The job of a contender."""
    more = {} if name == "few_shot" else split.brief
    method = name if name in choose.methods_of(split.family) else split.method
    return {"rung": name, "words": fitting({**split.with_test(), **more, "model": base}, method)}


def _job(study: Study, name: str, job: Words) -> Words:
    """What the contender found; read where it was found before. Raises RunFailed, Stopped."""
    folder = study.path / name
    found, log = folder / "rung.json", folder / "log.txt"
    if not found.exists():
        own_folder(folder)
        try:
            study.launcher.launch("tunesmith.studies.contender:contend", {**job, "folder": str(folder)}, log)
        except Stopped as error:
            full = error.reason == "disk_full"
            why = "The disk is full" if full else "The comparison was stopped"
            first = "Free some space, then ask" if full else "Ask"
            raise Stopped(
                f"{why}; what is done of the comparison is kept.", reason=error.reason,
                fix=f"{first} for the same comparison with --out {study.path} to go on with it.",
            ) from error  # fmt: skip
        except TunesmithError as error:
            said = f"All that it said is in {log}; leave" if log.exists() else "Leave"
            raise RunFailed(
                f"The contender {folder.name} failed: {error.message}", f"{said} it out with methods."
            ) from error
    return read_json(found)


def _document(study: Study, split: SharedSplit, contenders: list[Words], points: list[Words]) -> Words:
    metric, seed = split.metric, int(split.words["seed"])
    found = {one["name"]: read_measured(Path(one["folder"]), split.kind, split.label_names) for one in contenders}

    values = {name: with_intervals(one, [metric], seed=seed).get(metric) for name, one in found.items()}
    without = [one["title"] for one in contenders if values[one["name"]] is None]
    contenders = [one for one in contenders if values[one["name"]] is not None]
    if not contenders:
        raise RunFailed(f"{named(metric)} is defined for no contender: the answers, or the truth, are all alike.")

    def ahead(one: Words, other: Words) -> Difference:
        return paired_difference(found[one["name"]], found[other["name"]], metric, seed=seed)

    for below, contender in zip([None, *contenders[:-1]], contenders, strict=True):
        contender |= values[contender["name"]] or {}
        contender["against_below"] = None
        if below is not None:
            gap = ahead(contender, below)
            contender["difference_to_below"] = dict(gap)
            contender["against_below"] = f"{_word(gap)}: {number(gap['difference'], True)}"
    best, pick, gap = choose_contender(contenders, ahead, split.higher_is_better)
    document: Words = {
        "metric": metric, "higher_is_better": split.higher_is_better, "rows": split.sizes,
        "rungs": contenders, "best": best["name"], "recommended": pick["name"], "learning_curve": points,
        "more_rows": more_rows(points, metric) if points else "", "path": str(study.path),
    }  # fmt: skip

    document["proof"] = advice.proof(contenders, pick, ahead)
    document["next_step"] = advice.after_comparison(study.spec, contenders, pick, ahead, document["rows"])
    said = [_recommendation(document, best, pick, gap), document["proof"], _doubt(document), document["more_rows"]]
    if without:
        said.append(
            f"{capital(listed(without))} gave answers of which {named(metric)} is not defined, as all are alike."
        )
    said = [sentence for sentence in said if sentence]
    document["recommendation"] = " ".join(said)
    document["words"] = [
        *said,
        f"All on the same {document['rows']['test']:,} test rows. The highest of {len(contenders)} values on one test "
        "set is a little too kind: test the one that you take on new rows before you promise a number.",
        advice.told(document["next_step"]),
    ]  # fmt: skip
    return document


def choose_contender(
    contenders: Sequence[Words], ahead: advice.Ahead, higher_is_better: bool
) -> tuple[Words, Words, Difference]:
    """(the best contender, the one to take, how much better the best is): the one to take is the quickest that is not
    proven worse than the best."""
    sign = 1 if higher_is_better else -1
    best = max(contenders, key=lambda contender: sign * contender["value"])
    gaps = {contender["name"]: ahead(best, contender) for contender in contenders}
    as_good = [contender for contender in contenders if gaps[contender["name"]]["low"] <= 0]
    pick = min(as_good, key=lambda contender: contender["seconds"])
    return best, pick, gaps[pick["name"]]


def _word(gap: Difference) -> str:
    return "better" if gap["low"] > _NOTHING else "worse" if gap["high"] < -_NOTHING else "not proven"


def _recommendation(document: Words, best: Words, pick: Words, gap: Difference) -> str:
    name = named(document["metric"])
    if pick["rung"] not in registry.names("methods"):
        advice = f"Do not fine-tune yet: take {pick['title']}"
    elif pick["rung"] == "head":
        advice = f"Train only a head: take {pick['title']}"
    else:
        advice = f"Fine-tune: take {pick['title']}"
    cost = f"{seconds(pick['seconds'])}, {bytes_(pick['peak_memory_bytes'])} of memory"
    if pick is best:
        return f"{advice}. It has the best {name}, {number(pick['value'])}, and nothing quicker comes near it ({cost})."
    return (
        f"{advice} ({name} {number(pick['value'])}, {cost}). {capital(best['title'])} has {number(best['value'])}, but "
        f"the difference of {number(gap['difference'], True)} (95 % interval {number(gap['low'], True)} to "
        f"{number(gap['high'], True)}) may be chance on these test rows, and it costs {seconds(best['seconds'])}."
    )


def _doubt(document: Words) -> str:
    rows = document["rows"]["test"]
    if rows >= FEW_ROWS:
        return ""
    return f"But {rows:,} test rows prove next to nothing: hold out more of them before you rely on this."


def more_rows(points: Sequence[Words], name: str) -> str:
    """What twice the rows would bring, by a power law through the errors of the linear probe on sub-samples
    (Hestness et al. 2017); "" where there are too few points."""
    if len(points) < 3:
        return ""
    known = get(name)
    share = known.range == (0.0, 1.0) and known.higher_is_better
    errors = np.array([1 - p["value"] if share else p["value"] for p in points])
    rows = np.array([p["rows"] for p in points], dtype=np.float64)
    if (errors <= 0).any() or not (share or not known.higher_is_better):
        return "Nothing can be said of more rows: the linear probe makes no error that could fall further."
    fitted = stats.linregress(np.log(rows), np.log(errors))
    slope, start = float(fitted.slope), float(fitted.intercept)
    if slope >= -0.02:
        return (
            "More rows alone would bring little: the error of the linear probe does not fall with them. Look at the "
            "labels, or at another base model."
        )
    now = math.exp(start) * rows[-1] ** slope
    doubt = float(stats.t.ppf(0.975, len(rows) - 2) * fitted.stderr)
    sign = 1 if share else -1
    change, low, high = (sign * now * (1 - 2**power) for power in (slope, slope + doubt, slope - doubt))
    low, high = sorted((low, high))
    return (
        f"Twice the training rows ({2 * int(rows[-1]):,}) would move {named(name)} of the linear probe by about "
        f"{number(change, True)} (95 % interval {number(low, True)} to {number(high, True)}), going by how its error "
        f"fell over {len(rows)} parts of the rows. An estimate on validation rows; a fine-tuned model gains alike or "
        "more."
    )
