"""The verdict of a run that writes text: gated by what it writes, compared with the base and the prompted base."""

from __future__ import annotations

from collections.abc import Mapping

from tunesmith.core.measured import Measured
from tunesmith.engine.generate import Generated
from tunesmith.evaluate import compare, good_text, text_metrics, verdict
from tunesmith.evaluate.goal import goal_of
from tunesmith.evaluate.measured import paired_difference
from tunesmith.evaluate.types import Interval
from tunesmith.families.generative.context import GenerativeRun
from tunesmith.models.rendering import without_reasoning

_FEWEST = 6
"""Answers below which nothing can be proven by them."""


def judge(
    run: GenerativeRun,
    likely: Mapping[str, Measured],
    texts: Mapping[str, Measured],
    answers: Mapping[str, list[Generated]],
    wanted: list[list[str]],
    test: Mapping[str, Interval],
) -> tuple[verdict.Verdict, list[str]]:
    """The verdict, and what is wrong with the answers. `likely` and `texts`: statistics by contender ('tuned' is the
    model) of all test rows and of the answers written; `wanted`: what should have been written."""
    task, seed = run.plan.task, run.plan.spec.seed
    first = task.metrics[0]
    rivals = {name: rows for name, rows in likely.items() if name != "tuned"}
    core = compare.verdict(likely["tuned"], rivals, first, seed=seed)
    written = None
    if answers.get("tuned"):
        shown = [without_reasoning(one.text) for one in answers["tuned"]]
        written = good_text.count(shown, [one.stopped for one in answers["tuned"]], wanted)
    # answers are compared by what they say, where there is one that is wanted
    by_text = "tuned" in texts and not task.needs_reference and len(wanted) >= _FEWEST
    metric = _metric(task.text_metric, wanted) if by_text else first
    rows = texts if by_text else likely
    worth = verdict.worth(
        rows["tuned"], {name: one for name, one in rows.items() if name != "tuned"}, metric, seed=seed
    )
    of_text = next((one for one in worth["contenders"] if by_text and one["name"] == "base"), None)
    gates = good_text.gates(written, of_text)
    base = None
    if "base" in rivals:
        base = paired_difference(likely["tuned"], rivals["base"], first, seed=seed)
    good = good_text.judge(
        written, gates, test, (metric, of_text) if by_text else None, base, first, goal=goal_of(run.plan.spec, "text")
    )
    if gates and core["outcome"] == "better":
        core["outcome"] = "not proven"  # losses may fall while what is written is of no use
    return verdict.whole(core, good, worth), gates


def _metric(usual: str, wanted: list[list[str]]) -> str:
    """chrF where the usual metric does not read the letters of the wanted answers."""
    return usual if text_metrics.language_note(wanted) is None else "chrf"
