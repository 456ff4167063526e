"""What a comparison or a search ends with: what is proven better than something simpler, and what to do next."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tunesmith.core import registry
from tunesmith.core.spec import RunSpec, Words
from tunesmith.evaluate.measured import Difference
from tunesmith.evaluate.verdict import NextStep
from tunesmith.evaluate.words import capital, listed, number
from tunesmith.runs import next_step

Ahead = Callable[[Words, Words], Difference]

SIMPLE = ("majority", "head", "base", "few_shot")
"""Ways that every other one has to beat before it is worth its cost, beside those that learn from cheap features."""


def proof(contenders: Sequence[Words], pick: Words, ahead: Ahead) -> str:
    """Which of the simple ways `pick` is proven better than, and which of them nothing is proven better than.
    `ahead`: how much better its first is than its second, on the same test rows."""
    cheap = {kind.cheap for kind in registry.usable("modalities").values()}
    cheap |= {target.simple for target in registry.usable("evaluate.targets").values()}
    simple = [contender for contender in contenders if contender["rung"] in {*SIMPLE, *cheap}]
    said = []
    if unbeaten := [contender for contender in simple if not _beaten(contender, contenders, ahead)]:
        said.append(f"None is proven better than {listed([contender['title'] for contender in unbeaten])}.")
    rest = [(contender, ahead(pick, contender)) for contender in simple if contender is not pick]
    beaten = [contender["title"] for contender, gap in rest if gap["low"] > 0]
    open_ = [
        f"{contender['title']} ({number(gap['difference'], True)}, 95 % interval {number(gap['low'], True)} to "
        f"{number(gap['high'], True)})"
        for contender, gap in rest if gap["low"] <= 0 and contender not in unbeaten
    ]  # fmt: skip
    title = capital(pick["title"])
    if beaten:
        said.append(f"{title} is proven better than {listed(beaten)}.")
    if open_:
        said.append(f"{title} is not proven better than {listed(open_)}.")
    return " ".join(said)


def _beaten(contender: Words, contenders: Sequence[Words], ahead: Ahead) -> bool:
    return any(other is not contender and ahead(other, contender)["low"] > 0 for other in contenders)


def after_comparison(
    spec: RunSpec, contenders: Sequence[Words], pick: Words, ahead: Ahead, rows: Mapping[str, int]
) -> NextStep:
    """What to do when `pick` is the way to take. `rows`: of each split."""
    constant = next((contender for contender in contenders if contender["rung"] == "majority"), None)
    if constant is not None and not _beaten(constant, contenders, ahead):
        if step := _more_tests(spec, rows):
            return step
        return next_step.look_at_columns(spec)
    trained = [contender for contender in contenders if contender.get("run")]
    if pick in trained:
        return next_step.made("It is trained already: try it.", next_step.use(Path(pick["run"]), spec))
    if pick["rung"] in ("base", "few_shot"):
        shown = any(contender["rung"] == "few_shot" for contender in contenders)
        examples = ", with examples in its prompt where that is better" if shown else ""
        return next_step.made(f"Use the base as it is{examples}: train nothing.")
    if not trained:
        told = "See what a linear model on a frozen base reaches on the same rows, which takes seconds."
        return next_step.made(told, next_step.command(spec, "train", "--effort", "quick"))
    best = next((one for one in trained if all(ahead(other, one)["low"] <= 0 for other in trained)), trained[0])
    told = (
        f"A few lines of Python make {pick['title']}; it is no model that this program saves. Of those that it "
        f"does, take {best['title']}, which is trained already."
    )
    return next_step.made(told, next_step.use(Path(best["run"]), spec))


def after_search(spec: RunSpec, verdict: Words, run: Path) -> NextStep:
    """What to do with the winner of a search, `run`, by its verdict."""
    worth = verdict["worth"]
    if verdict["good"]["level"] != "good" or worth["level"] != "good":
        worse = {one["name"] for one in worth["contenders"] if one["outcome"] == "worse"}
        if "linear_probe" in worse:
            return next_step.train_simply(spec)
        if worth["level"] == "poor":
            told = "A simpler way is better: compare them all on one split, and use the cheapest that is good enough."
            return next_step.made(told, next_step.command(spec, "compare"))
        if verdict["good"]["level"] != "good":
            told = (
                "Settings alone did not make it good: see whether a larger base, or more rows, would, and which rows "
                "it gets wrong (in the report of the run)."
            )
            return next_step.made(told, next_step.command(spec, "compare"))
    return next_step.use_it(run, spec)


def told(step: NextStep) -> str:
    """A next step as one line of text."""
    return f"Next: {step['words']}" + (f" {step['command']}" if step["command"] else "")


def _more_tests(spec: RunSpec, rows: Mapping[str, int]) -> NextStep | None:
    total = sum(rows.values())
    few = rows["test"] < next_step.FEW_TEST_ROWS and total <= next_step.MANY_ROWS and spec.test is None
    if not few:
        return None
    words = (
        f"{rows['test']:,} test rows decide little. Five-fold cross-validation tests on each of {total:,} rows once."
    )
    return next_step.made(words, next_step.command(spec, "train", "--cv", "5"))
