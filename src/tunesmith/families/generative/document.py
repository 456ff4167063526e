"""What a run that writes text has shown: its metrics beside the base's, its verdict, its findings, its answers."""

from __future__ import annotations

from collections.abc import Mapping

from tunesmith.core.spec import Words
from tunesmith.evaluate import examples, metrics_json, preview, text_metrics
from tunesmith.evaluate.diagnose import gravest_first, leaked
from tunesmith.evaluate.evidence import Answer
from tunesmith.evaluate.fit import fit_state
from tunesmith.evaluate.measured import RowStatistics, value_of, with_intervals
from tunesmith.evaluate.types import Finding, Interval
from tunesmith.evaluate.verdict import Verdict
from tunesmith.families.generative import verdict as language_verdict
from tunesmith.families.generative.baselines import answer_length, generate, prompts_of
from tunesmith.families.generative.context import GenerativeRun
from tunesmith.families.generative.divergence import divergence
from tunesmith.families.generative.predictor import references, written_rows
from tunesmith.families.generative.saving import beside
from tunesmith.forgetting.monitor import measure
from tunesmith.runs.history import read_curves


def judge(run: GenerativeRun) -> None:
    """What the model makes of the test rows, what it has lost, and what it writes where the base wrote."""
    run.ours = run.statistics(run.items.splits["test"])
    run.moved = divergence(run) if run.plan.task.needs_reference else None
    first = run.plan.task.metrics[0]
    run.forgetting = measure(run, first, value_of(run.ours, first))
    run.answers = dict(run.base.answers)
    if run.answers:
        run.answers["tuned"] = generate(run, prompts_of(run, run.base.items))


def document(run: GenerativeRun, cost: Words) -> Words:
    """metrics.json."""
    seed, task = run.plan.spec.seed, run.plan.task
    statistics: dict[str, RowStatistics] = {"tuned": run.ours, **run.base.statistics}
    wanted = references(run.codec, [run.example(item) for item in run.base.items])
    texts = {name: written_rows(found, wanted) for name, found in run.answers.items()}
    if run.data.form == "pair" and len(run.base.items):
        sources = [run.example(item)["source"] for item in run.base.items]
        texts["lead"] = text_metrics.text_rows([text_metrics.lead(source) for source in sources], wanted)
        texts["copy_source"] = text_metrics.text_rows([text_metrics.copy(source) for source in sources], wanted)
    measured = {
        name: {
            metric: found
            for rows in (statistics.get(name), texts.get(name))  # all test rows, and those answered
            if rows is not None
            for metric, found in with_intervals(rows, seed=seed).items()
        }
        for name in {**statistics, **texts}
    }
    found, run.gates = language_verdict.judge(run, statistics, texts, run.answers, wanted, measured["tuned"])
    validation = with_intervals(run.statistics(run.items.splits["validation"]), seed=seed)
    test = measured.pop("tuned")
    if run.moved is not None:
        test |= with_intervals(run.moved, seed=seed)
    predicted: Words = {"predicted": run.predicted} if run.predicted else {}
    document = metrics_json.build(
        task=run.plan.spec.task, model=run.plan.spec.model, method=run.plan.spec.method,
        first_metric=task.metrics[0], test=test, validation=validation, baselines=measured, verdict=found,
        findings=gravest_first(
            fit_state(read_curves(run.folder.events), task.metrics[0])
            + _findings(run, test, found, wanted if texts else None)
        ),
        cost={**cost, "train_seconds": round(run.train_seconds, 3), **predicted},
    )  # fmt: skip
    if texts:
        document["signatures"] = text_metrics.signatures(wanted)
    document["examples"] = _examples(run)
    return document


def _examples(run: GenerativeRun) -> list[examples.Example]:
    given = run.answers.get("tuned", [])[: examples.SHOWN]
    rows = [run.example(item) for item in run.base.items[: len(given)]]
    wanted = [run.codec.references(row)[0] for row in rows]
    return examples.of_texts([run.codec.question(row) for row in rows], [one.text for one in given], wanted)


def _findings(
    run: GenerativeRun, test: Mapping[str, Interval], verdict: Verdict, wanted: list[list[str]] | None
) -> list[Finding]:
    found = leaked(run.corpus.splits.facts, test, None, run.plan.task.metrics[0])
    note = None if wanted is None else text_metrics.language_note(wanted)
    if note:
        found.append({
            "name": "letters_that_metrics_do_not_read", "severity": "info", "evidence": note,
            "action": "Compare answers by chrF, and read some of them.",
        })  # fmt: skip
    rate = test.get("stop_rate")
    if rate and rate["value"] < 0.5:
        found.append({
            "name": "answers_do_not_stop", "severity": "warning",
            "evidence": f"{100 * (1 - rate['value']):.0f} % of the answers reached the limit of "
                        f"{answer_length(run)} tokens.",
            "action": "Train longer, or raise max_new_tokens if the wanted answers are longer than that.",
        })  # fmt: skip
    if verdict["against"] == "few_shot" and verdict["outcome"] != "better":
        found.append({
            "name": "prompting_is_enough", "severity": "warning",
            "evidence": f"The base model that is shown {run.plan.task.options.few_shot} examples is not beaten.",
            "action": "Use the base model with examples in its prompt, or train on more rows.",
        })  # fmt: skip
    return found


def evidence(run: GenerativeRun) -> Words:
    """What the report shows beside the metrics document."""
    network = run.bundle.model.network
    shown = []
    for at, item in enumerate(run.base.items):
        example = run.example(item)
        shown.append(Answer(
            row=int(example["row"]), question=run.codec.question(example),
            wanted=run.codec.references(example)[0],
            given={name: some[at].text for name, some in run.answers.items()},
            cut=frozenset(name for name, some in run.answers.items() if not some[at].stopped),
        ))  # fmt: skip
    return {
        "kind": "text", "modality": "text",
        "model": {"name": run.bundle.name, "fingerprint": run.bundle.fingerprint, "licence": run.bundle.licence,
                  "parameters": sum(p.numel() for p in network.parameters()), "beside": beside(run)},
        "test_count": len(run.items.splits["test"]), "answers": shown,
        "previews": [preview.render_preview(one, run.bundle.tokenizer, style="html") for one in run.items.preview],
        "audit": run.corpus.audit() | {"splits": {name: len(where) for name, where in run.items.splits.items()}},
    }  # fmt: skip
