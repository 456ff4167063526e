"""What a run that writes text has shown: its metrics beside the base's, its verdict, its findings, its answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tunesmith.evaluate import examples, metrics_json, preview, text_metrics
from tunesmith.evaluate.diagnose import curve_findings, gravest_first, leaked
from tunesmith.evaluate.evidence import Answer
from tunesmith.evaluate.measured import RowStatistics, value_of, with_intervals
from tunesmith.evaluate.types import Finding
from tunesmith.families.generative import verdict as language_verdict
from tunesmith.families.generative.baselines import answer_length, generate, prompts_of
from tunesmith.families.generative.context import GenerativeRun
from tunesmith.families.generative.cost import cost_of
from tunesmith.families.generative.divergence import divergence
from tunesmith.families.generative.predictor import references, written_rows
from tunesmith.families.generative.saving import beside
from tunesmith.forgetting.monitor import measured
from tunesmith.runs.history import read_curves


def judge(work: GenerativeRun) -> None:
    """What the model makes of the test rows, what it has lost, and what it writes where the base wrote."""
    work.ours = work.statistics(work.items.splits["test"])
    work.moved = divergence(work) if work.plan.task.needs_reference else None
    first = work.plan.task.metrics[0]
    work.forgetting = measured(work, first, value_of(work.ours, first))
    work.answers = dict(work.base["answers"])
    if work.answers:
        work.answers["tuned"] = generate(work, prompts_of(work, work.base["items"]))


def document(work: GenerativeRun, cost: dict[str, Any]) -> dict[str, Any]:
    """metrics.json."""
    seed, task = work.plan.spec.seed, work.plan.task
    statistics: dict[str, RowStatistics] = {"tuned": work.ours, **work.base["statistics"]}
    wanted = _references(work)
    texts = {name: written_rows(found, wanted) for name, found in work.answers.items()}
    if work.data.form == "pair" and len(work.base["items"]):
        sources = [work.data[int(work.items.example[i])]["source"] for i in work.base["items"]]
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
    found, work.gates = language_verdict.judge(work, statistics, texts, work.answers, wanted, measured["tuned"])
    validation = with_intervals(work.statistics(work.items.splits["validation"]), seed=seed)
    test = measured.pop("tuned")
    if work.moved is not None:
        test |= with_intervals(work.moved, seed=seed)
    document = metrics_json.build(
        task=work.plan.spec.task, model=work.plan.spec.model, method=work.plan.spec.method,
        first_metric=task.metrics[0], test=test, validation=validation, baselines=measured, verdict=found,
        findings=gravest_first(
            curve_findings(read_curves(work.folder.events), task.metrics[0])
            + _findings(work, test, found, wanted if texts else None)
        ),
        cost=cost_of(work, cost),
    )  # fmt: skip
    if texts:
        document["signatures"] = text_metrics.signatures(wanted)
    document["examples"] = _examples(work)
    return document


def _examples(work: GenerativeRun) -> list[examples.Example]:
    given = work.answers.get("tuned", [])[: examples.SHOWN]
    rows = [work.data[int(work.items.example[item])] for item in work.base["items"][: len(given)]]
    wanted = [work.codec.references(row)[0] for row in rows]
    return examples.of_texts([work.codec.question(row) for row in rows], [one.text for one in given], wanted)


def _findings(
    work: GenerativeRun, test: Mapping[str, Any], verdict: Mapping[str, Any], wanted: list[list[str]] | None
) -> list[Finding]:
    found = leaked(work.corpus.splits.facts, test, None, work.plan.task.metrics[0])
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
                        f"{answer_length(work)} tokens.",
            "action": "Train longer, or raise max_new_tokens if the wanted answers are longer than that.",
        })  # fmt: skip
    if verdict["against"] == "few_shot" and verdict["outcome"] != "better":
        found.append({
            "name": "prompting_is_enough", "severity": "warning",
            "evidence": f"The base model that is shown {work.plan.task.options.few_shot} examples is not beaten.",
            "action": "Use the base model with examples in its prompt, or train on more rows.",
        })  # fmt: skip
    return found


def _references(work: GenerativeRun) -> list[list[str]]:
    return references(work.codec, [work.data[int(work.items.example[item])] for item in work.base["items"]])


def evidence(work: GenerativeRun) -> dict[str, Any]:
    """What the report shows beside the metrics document."""
    network = work.bundle.model.network
    shown = []
    for at, item in enumerate(work.base["items"]):
        example = work.data[int(work.items.example[item])]
        shown.append(Answer(
            row=int(example["row"]), question=work.codec.question(example),
            wanted=work.codec.references(example)[0],
            given={name: some[at].text for name, some in work.answers.items()},
            cut=frozenset(name for name, some in work.answers.items() if not some[at].stopped),
        ))  # fmt: skip
    return {
        "kind": "text", "modality": "text",
        "model": {"name": work.bundle.name, "fingerprint": work.bundle.fingerprint, "licence": work.bundle.licence,
                  "parameters": sum(p.numel() for p in network.parameters()), "beside": beside(work)},
        "test_count": len(work.items.splits["test"]), "answers": shown,
        "previews": [preview.render_preview(one, work.bundle.tokenizer, style="html") for one in work.items.preview],
        "audit": work.corpus.audit() | {"splits": {name: len(where) for name, where in work.items.splits.items()}},
    }  # fmt: skip
