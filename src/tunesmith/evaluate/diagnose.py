"""Findings: what curves, predictions and data audit prove, and what to do next.

Every rule asks for evidence beyond what chance or a healthy run shows; a rule that can not be sure
says nothing. Nothing here trains, reads files or knows of a model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tunesmith.core.measured import Measured
from tunesmith.core.text import shortened
from tunesmith.evaluate import curve, noise, shift
from tunesmith.evaluate.compare import Verdict
from tunesmith.evaluate.fit import Curves, fit_state, of_set_aside
from tunesmith.evaluate.linear import Frozen
from tunesmith.evaluate.metrics import TABLE, higher_is_better
from tunesmith.evaluate.sample import BINS
from tunesmith.evaluate.tables import LabelRow, per_class
from tunesmith.evaluate.types import Finding, Interval, Outcome, Severity, finding
from tunesmith.evaluate.words import baseline as named_baseline
from tunesmith.evaluate.words import metric as named
from tunesmith.evaluate.words import number

Metrics = Mapping[str, Interval]

CALIBRATION = {"label": 0.10, "labels": 0.05}
"""Calibration error from which on it is said; and only when it is twice what chance explains."""

WIDE = 0.05
"""A test set is small when the interval of a share reaches further than this to one side ..."""

FEW_ROWS = 50
"""... or when it has fewer rows than this."""

IMBALANCE = 10
"""Rows of the most frequent label over rows of the rarest."""

SEEN_ENOUGH = 5
"""A label counts as never predicted only with this many test rows."""

COLLAPSED = 0.6
"""Predictions have collapsed when they spread over less than this share of the labels that the truth does."""

NOISE = 0.02
"""Wrong labels are suspected when their share is proven to be larger. Careful data sets come to half a percent:
texts that a linear model is surely wrong about, mislabelled or not, and few enough to live with."""

SHIFTED = 0.65
"""Train and test differ when a linear model tells them apart with a proven area under the ROC curve above: what
three in ten test rows plainly of another kind come to. Splits at random stay below 0.52."""

WORTHWHILE = {"label": 0.02, "number": 0.05}
"""More rows are advised when half as many again are expected to take off so many wrong rows, or of the RMSE ..."""

PROVEN = 0.1
"""... and proven to take off this part of that. A few rows a label prove no more, and forecasts for so few fall short
of what comes (docs/log.md)."""

SHOWN = 5
"""Suspected rows in the words of the finding; all of them stand in noise.csv."""

_ORDER = {"problem": 0, "warning": 1, "info": 2}


def findings(
    *,
    curves: Curves,
    outcome: Measured,
    test: Metrics,
    baselines: Mapping[str, Metrics],
    first_metric: str,
    audit: Mapping[str, object] | None = None,
    verdict: Verdict | None = None,
    test_without_leaked: Metrics | None = None,
    data: Sequence[Finding] = (),
    set_aside: str | None = None,
) -> list[Finding]:
    """All findings, problems first.

    outcome: of the test rows. test, baselines, test_without_leaked: metrics with intervals. audit:
    the data audit; parts that are missing are passed over. data: what `of_data` found. set_aside: the method whose
    training the curves are of, where the linear head was handed over in its place.
    """
    audit = audit or {}
    losses = [part.get("log_loss") for part in (baselines.get("majority", {}), test)]
    prior, reached = (loss["value"] if loss else None for loss in losses)
    found = fit_state(curves, first_metric, prior, reached)
    if set_aside is not None:
        found = of_set_aside(set_aside, found)
    found += _constant_is_as_good(test, baselines, first_metric, len(outcome))
    found += _worse_than_baseline(verdict)
    found += _small_test(outcome, test, first_metric)
    found += leaked(audit.get("leakage"), test, test_without_leaked, first_metric) + _conflicts(audit)
    if isinstance(outcome, Outcome) and outcome.kind != "number":
        table = per_class(outcome)
        found += _calibration(outcome) + _imbalance(table, audit) + _never_predicted(table) + _collapse(outcome)
    return gravest_first([*found, *data])


def gravest_first(found: Sequence[Finding]) -> list[Finding]:
    """Problems, then warnings, then what is only told."""
    return sorted(found, key=lambda finding: _ORDER[finding["severity"]])


def next_step(found: list[Finding]) -> str:
    """The action of the gravest finding: the next thing to try."""
    ranked = gravest_first(found)
    return ranked[0]["action"] if ranked else ""


def _constant_is_as_good(test: Metrics, baselines: Mapping[str, Metrics], first: str, rows: int) -> list[Finding]:
    """The interval of the first metric reaches what a constant answer has."""
    ours = test.get(first)
    theirs = next((baselines[name].get(first) for name in ("majority", "mean") if name in baselines), None)
    if ours is None or theirs is None or first not in TABLE:
        return []
    if ours["low"] > theirs["value"] if higher_is_better(first) else ours["high"] < theirs["value"]:
        return []
    evidence = (
        f"{named(first)} {number(ours['value'])} (95 % interval {number(ours['low'])} to "
        f"{number(ours['high'])}); a constant answer has {number(theirs['value'])}."
    )
    action = (
        "Check that the answer can be told from what is read at all; then raise the learning rate, the epochs "
        "or the number of rows."
    )
    if rows < FEW_ROWS:
        action = f"{rows:,} test rows can not tell. --cv 5 tests on every row once; or label more rows."
        return finding("no_better_than_constant", "warning", evidence, action)
    return finding("no_better_than_constant", "problem", evidence, action)


def _worse_than_baseline(verdict: Verdict | None) -> list[Finding]:
    if verdict is None or verdict["outcome"] != "worse" or verdict["against"] is None:
        return []
    action = (
        "Use that simpler way as it is, or train longer, with another "
        "learning rate, or from a base model closer to this data."
    )
    difference = verdict["difference"]
    evidence = f"{named_baseline(verdict['against'])} is better on the test rows"
    evidence += "." if difference is None else f", by {number(abs(difference))} ({named(verdict['metric'])})."
    evidence = evidence[:1].upper() + evidence[1:]
    return finding("worse_than_baseline", "problem", evidence, action)


def _small_test(outcome: Measured, test: Metrics, first: str) -> list[Finding]:
    found = test.get(first)
    if found is None or first not in TABLE:
        return []
    reach = max(found["high"] - found["value"], found["value"] - found["low"])
    wide = TABLE[first].range == (0.0, 1.0) and reach > WIDE
    if not wide and len(outcome) >= FEW_ROWS:
        return []
    evidence = (
        f"{len(outcome):,} test rows leave {named(first)} between {number(found['low'])} and {number(found['high'])}."
    )
    action = "Do not trust small gains. --cv 5 tests on every row once; four times the test rows halve the interval."
    return finding("small_test_set", "warning", evidence, action)


def _calibration(outcome: Outcome) -> list[Finding]:
    if not len(outcome):
        return []
    view = outcome.view()
    confidence, true = view.decisions
    error = np.abs(np.bincount(view.decision_bins, true - confidence, BINS)).sum() / len(true)
    # a calibrated model shows some error too, on few rows: the mean of |N(0, s)| is 0.8 s in each bin
    spread = np.sqrt(np.bincount(view.decision_bins, confidence * (1 - confidence), BINS))
    chance = float(np.sqrt(2 / np.pi) * spread.sum() / len(true))
    if error < max(CALIBRATION[outcome.kind], 2 * chance):
        return []
    over = bool(confidence.mean() > true.mean())
    evidence = (
        f"Calibration error {number(error)} (chance alone: {number(chance)}). Mean probability "
        f"{number(confidence.mean())}, share that came true {number(true.mean())}: "
        f"{'over' if over else 'under'}-confident."
    )
    action = "Do not read the probabilities as they stand; set an abstain threshold on validation rows. " + (
        "Label smoothing or fewer epochs help." if over else "Longer training or less smoothing helps."
    )
    return finding("calibration_off", "warning", evidence, action)


def _imbalance(table: list[LabelRow], audit: Mapping[str, object]) -> list[Finding]:
    counts = label_counts(audit) or {row["label"]: row["support"] for row in table}
    known = {name: rows for name, rows in counts.items() if rows > 0}
    if len(known) < 2:
        return []
    rare, common = min(known, key=known.__getitem__), max(known, key=known.__getitem__)
    ratio = known[common] / known[rare]
    if ratio < IMBALANCE:
        return []
    recall = {row["label"]: row["recall"] for row in table if row["support"]}
    limit = known[common] / IMBALANCE
    few = [recall[name] for name, rows in known.items() if rows <= limit and name in recall]
    many = [recall[name] for name, rows in known.items() if rows > limit and name in recall]
    hurt = bool(few and many) and float(np.mean(few)) < float(np.mean(many)) - 0.1
    evidence = f"{common!r} has {known[common]:,} rows, {rare!r} has {known[rare]:,}: {ratio:,.0f} to 1."
    if few and many:
        means = number(float(np.mean(few))), number(float(np.mean(many)))
        evidence += f" Mean recall of rare labels {means[0]}, of the others {means[1]}."
    action = "Read F1 (macro) rather than accuracy. " + (
        "Try class_weights=auto and add rows of the rare labels." if hurt else "The rare labels hold up."
    )
    return finding("imbalance", "warning" if hurt else "info", evidence, action)


def _never_predicted(table: list[LabelRow]) -> list[Finding]:
    rows = [row for row in table if row["support"] >= SEEN_ENOUGH]
    never = [row["label"] for row in rows if row["predicted"] == 0]
    if not never:
        return []
    shown = ", ".join(map(repr, never[:5])) + (" ..." if len(never) > 5 else "")
    of = f"{len(never)} of {len(rows)} labels with at least {SEEN_ENOUGH} test rows"
    evidence = f"{of} are never predicted: {shown}."
    action = "Train longer, set class_weights=auto, or merge labels that can not be told apart."
    severity: Severity = "problem" if 2 * len(never) >= len(rows) else "warning"
    return finding("labels_never_predicted", severity, evidence, action)


def _collapse(outcome: Outcome) -> list[Finding]:
    """Nearly all rows are given a few labels. Numbers of labels are exponentials of entropy."""
    if outcome.kind != "label" or len(outcome) < FEW_ROWS:
        return []
    labels = outcome.scores.shape[1]
    given, true = (np.bincount(rows, minlength=labels) for rows in (outcome.predicted(), outcome.truth))
    spread = [float(np.exp(-(p[p > 0] * np.log(p[p > 0])).sum())) for p in (given / given.sum(), true / true.sum())]
    if spread[0] >= COLLAPSED * spread[1]:
        return []
    most = np.argsort(-given, kind="stable")[: max(1, round(spread[0]))]
    names = ", ".join(repr(outcome.labels[label]) for label in most[:5]) + (" ..." if len(most) > 5 else "")
    evidence = (
        f"{given[most].sum() / len(outcome):.0%} of the predictions are {names}; of the rows, "
        f"{true[most].sum() / len(outcome):.0%} are. The predictions spread over {spread[0]:.1f} labels, "
        f"the truth over {spread[1]:.1f}."
    )
    action = "Check that the label column is right; then set class_weights=auto, another learning_rate, or more epochs."
    return finding("class_collapse", "problem", evidence, action)


def of_data(frozen: Frozen, test: Metrics) -> tuple[list[Finding], noise.Noise | None]:
    """What linear models on the frozen features prove of the data, and the rows whose label is suspected
    (None where wrong labels are not proven)."""
    found = _shifted(frozen)
    if frozen.kind == "labels" or len(frozen.truth) < curve.FEWEST_ROWS:
        return found, None
    blocks = noise.blocks_of(frozen)
    penalty = blocks.best_penalty()
    suspected = noise.of_rows(frozen, blocks, penalty)
    noisy = _noisy(frozen, suspected)
    if frozen.rows <= 2 * len(frozen.truth):  # further away than that the curve is not known
        sizes, errors = curve.measure_errors(blocks, frozen.kind, penalty, frozen.seed)
        more = _rounded(frozen.rows / 2)
        found += _too_little(frozen, curve.forecast(sizes, errors, frozen.rows, more, frozen.seed), test)
    return noisy + found, suspected if noisy else None


def _noisy(frozen: Frozen, suspected: noise.Noise | None) -> list[Finding]:
    if suspected is None or suspected.low <= NOISE or not len(suspected.rows):
        return []
    shown = [
        f"row {int(frozen.row_ids[row])} “{shortened(' '.join(frozen.texts[row].split()), 80)}” is "
        f"{frozen.names[frozen.truth[row]]!r}, perhaps {frozen.names[other]!r}"
        for row, other in zip(suspected.rows[:SHOWN], suspected.suggested[:SHOWN], strict=True)
    ]
    evidence = (
        f"About {suspected.share:.0%} of the training labels look wrong (at least {suspected.low:.1%}): a linear model "
        f"that has not seen the row is sure of another label. The {len(suspected.rows):,} most suspect rows are "
        f"listed, the first of them: {'; '.join(shown)}."
    )
    action = "Go through noise.csv in the run folder from the top, and correct or remove the rows that are wrong."
    return finding("label_noise", "warning", evidence, action)


def _shifted(frozen: Frozen) -> list[Finding]:
    told = shift.discriminate(frozen.features, frozen.test, frozen.seed)
    if told is None or told[0]["low"] <= SHIFTED:
        return []
    area, strangest = told
    rows = ", ".join(str(int(row)) for row in frozen.test_ids[strangest[:SHOWN]])
    evidence = (
        f"A linear model tells test rows from training rows: ROC-AUC {number(area['value'])} (95 % interval "
        f"{number(area['low'])} to {number(area['high'])}; 0.5 is chance). Least like the training rows: rows {rows}."
    )
    action = (
        "Ask which of the two looks like the rows of later use: if the test rows do, label training rows like them; "
        "if not, test on rows held out of the training file."
    )
    return finding("train_test_shift", "warning", evidence, action)


def _too_little(frozen: Frozen, ahead: curve.Forecast, test: Metrics) -> list[Finding]:
    number_task = frozen.kind == "number"
    own = test.get("accuracy")
    # of a model with fewer errors than the linear one, more rows are taken to remove the same part
    left = 1.0 if number_task or own is None else min(1.0, (1 - own["value"]) / max(ahead.now, 1e-9))
    gain, reach = ahead.gain * left, (ahead.gain - ahead.low) * left
    worthwhile = WORTHWHILE[frozen.kind] * (ahead.now if number_task else 1.0)
    if gain <= worthwhile or gain - reach <= PROVEN * worthwhile:
        return []
    about = (
        f"-{gain:.3g} ± {reach:.2g} RMSE"
        if number_task
        else f"+{100 * gain:.1f} ± {100 * reach:.1f} points of accuracy"
    )
    evidence = (
        f"{ahead.more:,} more rows: {about} (where it errs, it is more often too low), by "
        f"the learning curve of a linear model on the frozen features, fitted on parts of the {ahead.rows:,} training "
        "rows."
    )
    action = f"Label more rows, about {ahead.more:,}, rather than tuning options."
    return finding("too_little_data", "warning", evidence, action)


def _rounded(rows: float) -> int:
    """To two significant digits: nobody labels 3,487 rows."""
    return int(float(f"{rows:.2g}"))


def leaked(entry: object, test: Metrics, without: Metrics | None, first: str) -> list[Finding]:
    """Rows that stand in two splits still are a warning; rows that were moved together are told.

    `entry`: what the audit says of leakage: {"remaining_rows", "moved_rows"}, or the rows themselves.
    """
    left = entry.get("remaining_rows", 0) if isinstance(entry, Mapping) and "remaining_rows" in entry else None
    moved = entry.get("moved_rows", 0) if isinstance(entry, Mapping) else 0
    rows = count(entry) if left is None else int(left)
    if not rows:
        if not moved:
            return []
        evidence = f"{moved:,} rows changed their split, so that (near-)identical ones stand on one side."
        return finding("leakage", "info", evidence, "Nothing to do: none is both learnt and tested.")
    evidence = f"{rows:,} rows stand, identical or nearly so, in more than one split."
    if without and first in without and first in test:
        numbers = number(test[first]["value"]), number(without[first]["value"])
        evidence += f" {named(first)} on all test rows {numbers[0]}, without those {numbers[1]}."
    remove = "remove these rows from the training file"
    action = f"Trust the numbers without the shared rows, and {remove}." if without else f"R{remove[1:]}."
    return finding("leakage", "warning", evidence, action)


def _conflicts(audit: Mapping[str, object]) -> list[Finding]:
    entry = audit.get("conflicts")
    nouns = next((name for name in entry if name != "rows"), "texts") if isinstance(entry, Mapping) else "texts"
    number_of = int(entry[nouns]) if isinstance(entry, Mapping) and nouns in entry else count(entry)
    if not number_of:
        return []
    occur = f"{nouns.removesuffix('s')} occurs" if number_of == 1 else f"{nouns} occur"
    evidence = f"{number_of:,} {occur} with different labels; no model can get all of them right."
    action = "Decide on one label for each of them; the data audit lists examples."
    return finding("conflicting_labels", "warning", evidence, action)


def label_counts(audit: Mapping[str, object]) -> dict[str, int]:
    """Training rows by label from an audit, {} where it does not tell.

    Reads {"labels": {name: {"train": n, ...}}}, and "label_counts" by label or by split and label.
    """
    counts = audit.get("labels") or audit.get("label_counts")
    if not isinstance(counts, Mapping):
        return {}
    if isinstance(counts.get("train"), Mapping):
        counts = counts["train"]
    flat = {name: rows.get("train") if isinstance(rows, Mapping) else rows for name, rows in counts.items()}
    return {str(name): rows for name, rows in flat.items() if isinstance(rows, int)}


def count(part: object) -> int:
    """Rows that an audit entry is about, whatever its shape: a number, a list, or an object with "rows"."""
    if isinstance(part, Mapping):
        return next((count(part[key]) for key in ("rows", "count", "total") if key in part), 0)
    if isinstance(part, list | tuple):
        return len(part)
    return int(part) if isinstance(part, int | float) else 0
