"""After (and before) training a generative model: the test rows by the base, the prompted base and the tuned one."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from tunesmith.core import events
from tunesmith.core.errors import RunFailed
from tunesmith.core.files import (
    fsync_folder,
    full_disk_as_oserror,
    new_folder,
    remove,
    write_json,
    write_table,
    write_text,
)
from tunesmith.engine.batching import sample
from tunesmith.engine.generate import Generated, Sampling, ending_ids, name_ends
from tunesmith.engine.hardware import peak_memory_bytes
from tunesmith.engine.sequences import SequenceWriter
from tunesmith.evaluate import card, examples, metrics_json, preview, report, text_metrics
from tunesmith.evaluate.diagnose import curve_findings, gravest_first, leaked
from tunesmith.evaluate.evidence import Answer, Evidence
from tunesmith.evaluate.few_shot import FewShot, begun, count_answers
from tunesmith.evaluate.text_metrics import RowStatistics
from tunesmith.evaluate.types import Finding
from tunesmith.families.generative import verdict as language_verdict
from tunesmith.families.generative.context import LanguageWork
from tunesmith.families.generative.cost import cost_of
from tunesmith.families.generative.divergence import divergence
from tunesmith.families.generative.predictor import references, within, written_rows
from tunesmith.forgetting import retain
from tunesmith.models.additions import ADAPTER, quiet_peft
from tunesmith.models.load import quiet_transformers
from tunesmith.models.load_language import MARK, base_of_adapter, load_language_finished
from tunesmith.models.manifest import write_manifest
from tunesmith.models.virtual import virtual_tokens
from tunesmith.runs import next_step
from tunesmith.runs.clock import Clock
from tunesmith.runs.history import latest, read_curves, versions

_TOLERANCE = {"fp32": 1e-3, "bf16": 0.1}
"""Largest difference of a sequence's mean token loss between the model trained and the model read back."""
_LONGEST_ANSWER = 256


def measure_base(work: LanguageWork) -> dict[str, Any]:
    """What needs the base as it was: its statistics on the test rows, its answers, and those with examples shown."""
    test = work.items.splits["test"]
    answered = _answered(work)
    found: dict[str, Any] = {"statistics": {"base": work.base_statistics(test)}, "answers": {}, "items": answered}
    prompts = _prompts(work, answered)
    if prompts:
        found["answers"]["base"] = _generate(work, prompts)
    if work.plan.task.options.few_shot and work.data.form not in ("text", "feedback"):
        shots, statistics = few_shot(work, test, answered)
        if statistics is not None:
            found["statistics"]["few_shot"] = statistics
        if prompts:
            found["answers"]["few_shot"] = _generate(work, shots)
    return found


def finish(work: LanguageWork, started: float) -> dict[str, Any]:
    """Evaluate, save, report; `result.json` is written last. Returns the metrics document."""
    clock = Clock(work.emit)
    test = work.items.splits["test"]
    clock.phase("evaluate", f"{len(test)} test examples")
    ours = work.statistics(test)
    moved = divergence(work) if work.plan.task.needs_reference else {}
    first = work.plan.task.metrics[0]
    own = text_metrics.compute(ours).get(first)
    work.forgetting = retain.measured(work, first, own, lambda name: bool(text_metrics.higher_is_better(name)))
    answers = dict(work.base["answers"])
    if answers:
        answers["tuned"] = _generate(work, _prompts(work, work.base["items"]))
    work.stop.check()

    clock.phase("save", str(work.folder.model))
    _save_model(work)

    clock.phase("report", str(work.folder.report))
    document = _document(work, ours, moved, answers, started)
    evidence = _evidence(work, document, answers)
    write_json(work.folder.metrics, document)
    _save_rows(work, ours)
    report.write_report(evidence, work.folder.report)
    write_text(work.folder.model / "README.md", card.model_card(evidence))
    if not work.plan.engine.keep_cache:
        remove(work.folder.cache)
    fsync_folder(work.folder.path)
    names = (*work.plan.task.metrics, work.plan.task.text_metric)
    headline = {name: document["test"][name]["value"] for name in names if name in document["test"]}
    write_json(work.folder.result, {
        "status": "finished", "metrics": headline, "verdict": document["verdict"],
        "seconds": round(time.monotonic() - started, 3),
    })  # fmt: skip
    clock.end()
    work.emit(events.Finished(round(time.monotonic() - started, 3), headline))
    return document


# answers


def _answered(work: LanguageWork) -> np.ndarray:
    """The test items that are answered by every contender; the first sequence of an example stands for it."""
    if work.data.form == "text":
        return np.zeros(0, dtype=np.int64)
    test = work.items.splits["test"]
    if work.items.good is not None:
        test = test[work.items.good[test]]  # a bad answer is nobody's model
    _, first = np.unique(work.items.example[test], return_index=True)
    return sample(test[np.sort(first)], work.plan.task.options.generate_rows, work.plan.spec.seed)


def _prompts(work: LanguageWork, items: np.ndarray) -> list[list[int]]:
    found = [work.codec.prompt(work.data[int(work.items.example[item])]) for item in items]
    return [within(prompt.tolist(), work.limit, work.bundle.kind) for prompt in found]


def _generate(work: LanguageWork, prompts: list[list[int]]) -> list[Generated]:
    stops = {*work.codec.stop_ids, *ending_ids(work.bundle.model.network, work.bundle.tokenizer)}
    return work.generate(prompts, Sampling(max_new_tokens=_answer_length(work), temperature=0.0), stops)


def _answer_length(work: LanguageWork) -> int:
    asked = work.plan.task.options.max_new_tokens
    if asked:
        return int(asked)
    train = work.sequences(work.items.splits["train"])
    usual = float(np.quantile(work.items.rows.learned_counts[train], 0.9))
    return int(min(_LONGEST_ANSWER, max(16, 2 * usual)))


def few_shot(
    work: LanguageWork, test: np.ndarray, answered: np.ndarray
) -> tuple[list[list[int]], RowStatistics | None]:
    """Prompts of `answered` with training examples before them, and the base's statistics on the test rows so."""
    train = np.unique(work.items.example[work.items.splits["train"]])[:2_000]
    shots = FewShot([work.data[int(i)] for i in train], seed=work.plan.spec.seed)
    room = work.limit * 3 // 4

    def ids_of(example: Mapping[str, Any]) -> list[int]:
        def ids(prompt: Any) -> list[int]:
            found: list[int] = work.codec.prompt_of(prompt, example.get("tools")).tolist()
            return found

        prompt = shots.prompt(dict(example), work.plan.task.options.few_shot, lambda some: len(ids(some)) <= room)
        return within(ids(prompt), work.limit, work.bundle.kind)

    prompts = [ids_of(work.data[int(work.items.example[item])]) for item in answered]
    if work.plan.task.sequences_per_item > 1 or work.data.form == "text":
        return prompts, None
    first = _first_answers(work, test)
    if first is None:
        return prompts, None
    writer = SequenceWriter(work.folder.cache / "few-shot")
    rows = work.items.rows
    for item, number in zip(test, first, strict=True):
        start, end = rows.offsets[item], rows.offsets[item + 1]
        learned = np.flatnonzero(rows.learned[start:end])
        prompt = np.asarray(ids_of(begun(work.data[int(work.items.example[item])], number)), dtype=np.int32)
        answer = (
            rows.ids[start + learned[0] : end] if rows.sources is None else rows.ids[start + rows.sources[item] : end]
        )
        mask = rows.learned[start + learned[0] : end] if rows.sources is None else np.ones(len(answer), dtype=bool)
        ids = np.concatenate([prompt, answer])[-work.bundle.position_limit :]
        marks = np.concatenate([np.zeros(len(prompt), dtype=bool), mask.astype(bool)])[-work.bundle.position_limit :]
        writer.add(_Sequence(ids, marks), int(item), len(prompt) if rows.sources is not None else 0)
    extended = writer.close(rows.pad_token_id, pairs=rows.sources is not None, start_token_id=rows.start_token_id)
    measured = work.measure(extended, np.arange(len(extended)))
    return prompts, work.plan.task.statistics(measured)


def _first_answers(work: LanguageWork, items: np.ndarray) -> list[int] | None:
    """Of each item the number of the first answer, from 0, that is learned in it: the sequences of an example have its
    answers in their order. None where some answer is in none of them."""
    rows, done, first = work.items.rows, Counter[int](), []
    for item, example in zip(items, work.items.example[items].tolist(), strict=True):
        learned = np.flatnonzero(rows.learned[rows.offsets[item] : rows.offsets[item + 1]])
        first.append(done[example])
        done[example] += 1 + int((np.diff(learned) > 1).sum())
    whole = work.data.form != "chat" or all(count == count_answers(work.data[number]) for number, count in done.items())
    return first if whole else None


class _Sequence:
    def __init__(self, ids: np.ndarray, learned: np.ndarray):
        self.ids, self.learned = ids, learned


# saving


def _save_model(work: LanguageWork) -> None:
    """Save aside, read back, compare what it thinks of some test rows, then give the folder its name."""
    folder, bundle = work.folder, work.bundle
    some = work.sequences(work.items.splits["test"][:8])
    expected = work.measure(work.items.rows, some)
    ends = {*work.codec.stop_ids, *ending_ids(bundle.model.network, bundle.tokenizer)}
    if bundle.model.adapted is None:
        name_ends(bundle.model.network, ends)
    with new_folder(folder.model, replace=True) as aside:
        with full_disk_as_oserror(), quiet_transformers(), quiet_peft():
            if bundle.model.adapted is None:
                bundle.model.network.save_pretrained(aside)
            else:
                # not the whole table of words beside the new rows, nor a base without the earlier run's adapter
                bundle.model.adapted.active_peft_config.base_model_name_or_path = str(bundle.folder)
                bundle.model.adapted.save_pretrained(aside, save_embedding_layers=False)
            bundle.tokenizer.save_pretrained(aside)
        write_json(aside / MARK, {
            "format": 1, "task": work.plan.spec.task, "network": bundle.kind, "base": str(bundle.folder),
            "base_fingerprint": bundle.fingerprint, "base_name": bundle.name, "quantization": bundle.quantization,
            "form": work.data.form, "conversational": any(example.get("messages") for example in work.data),
            "prefix": getattr(work.plan.task.options, "prefix", ""), "max_length": work.limit,
            "new_tokens": work.plan.task.options.new_tokens,
        })  # fmt: skip
        ours, bundle.model = bundle.model, load_language_finished(aside).model.to(work.device)
        again = work.measure(work.items.rows, some)
        bundle.model = ours
        worst = float(np.abs((again.loss - expected.loss) / np.maximum(expected.tokens, 1)).max())
        allowed = _TOLERANCE["bf16" if bundle.quantization else work.precision]
        if not worst <= allowed:
            raise RunFailed(
                f"The saved model answers differently from the trained one: the mean token loss of a test row differs "
                f"by {worst:.4g}, allowed {allowed:.4g}."
            )
        if _needs_base(work):
            _save_base(aside, ends, work.emit)
        write_manifest(aside)


def _needs_base(work: LanguageWork) -> bool:
    """Whether the adapter was trained on something else than what the base's own folder holds: with rows for new
    tokens, or on what an earlier run's adapter makes of it. Virtual tokens are put beside a base by peft alone."""
    bundle = work.bundle
    if bundle.model.adapted is None or virtual_tokens(bundle.model.adapted):
        return False
    longest = bundle.model.network.get_input_embeddings().weight.shape[0] - 1
    return longest in bundle.new_token_ids or (bundle.folder / ADAPTER).exists()


def _save_base(folder: Path, ends: set[int], emit: events.Emit) -> None:
    """Beside the adapter in `folder` the base that it was trained on: from a folder with both transformers reads
    both, while it makes no table of words longer and puts no adapter on an adapter."""
    network = base_of_adapter(folder)
    name_ends(network, ends)
    with full_disk_as_oserror(), quiet_transformers():
        network.save_pretrained(folder)
    size = sum(file.stat().st_size for file in folder.glob("model*.safetensors"))
    why = "the adapter was trained on more than its base's own folder holds; plain transformers reads both from here"
    emit(events.Decided("base_saved_beside", f"{size / 1e6:,.1f} MB", why))


def _beside(work: LanguageWork) -> dict[str, Any] | None:
    """What plain peft needs to know to put the adapter beside its base; None of a whole model."""
    bundle = work.bundle
    if bundle.model.adapted is None:
        return None
    return {
        "base": str(bundle.folder), "run": str(bundle.folder.parent) if (bundle.folder / ADAPTER).exists() else None,
        "here": _needs_base(work), "quantization": bundle.quantization,
        "type": str(bundle.model.adapted.active_peft_config.peft_type.value),
    }  # fmt: skip


def _save_rows(work: LanguageWork, ours: RowStatistics) -> None:
    """predictions.parquet: of each test row its row_id in the source, from 0, and what each metric is made of."""
    import pyarrow as pa

    places = work.items.example[work.items.splits["test"]]
    columns = {"row_id": [int(work.data[int(place)]["row"]) - 1 for place in places]}
    write_table(pa.table({**columns, **{name: some.tolist() for name, some in ours.items()}}),
                   work.folder.predictions)  # fmt: skip


# the document


def _document(
    work: LanguageWork, ours: RowStatistics, moved: RowStatistics, answers: dict[str, list[Generated]], started: float
) -> dict[str, Any]:
    seed, task = work.plan.spec.seed, work.plan.task
    statistics: dict[str, RowStatistics] = {"tuned": ours, **work.base["statistics"]}
    wanted = _references(work)
    texts = {name: written_rows(found, wanted) for name, found in answers.items()}
    if work.data.form == "pair" and len(work.base["items"]):
        sources = [work.data[int(work.items.example[i])]["source"] for i in work.base["items"]]
        texts["lead"] = text_metrics.text_rows([text_metrics.lead(source) for source in sources], wanted)
        texts["copy_source"] = text_metrics.text_rows([text_metrics.copy(source) for source in sources], wanted)
    measured = {
        name: {
            metric: found
            for rows in (statistics.get(name, {}), texts.get(name, {}))  # all test rows, and those answered
            for metric, found in text_metrics.with_intervals(rows, seed=seed).items()
        }
        for name in {**statistics, **texts}
    }
    found, gates = language_verdict.judge(work, statistics, texts, answers, wanted, measured["tuned"])
    validation = text_metrics.with_intervals(work.statistics(work.items.splits["validation"]), seed=seed)
    test = measured.pop("tuned") | text_metrics.with_intervals(moved, seed=seed)
    document = {
        "task": work.plan.spec.task, "model": work.plan.spec.model, "method": work.plan.spec.method,
        "first_metric": task.metrics[0], "test": test, "validation": validation, "baselines": measured,
        "test_without_leaked": None, "per_class": [], "confusion_matrix": None, "verdict": dict(found),
        "findings": gravest_first(
            curve_findings(read_curves(work.folder.events), task.metrics[0])
            + _findings(work, test, found, wanted if texts else None)
        ),
        "cost": cost_of(work, {
            "wall_seconds": round(time.monotonic() - started, 3), "peak_memory_bytes": peak_memory_bytes(),
            "tokens": work.state.tokens,
        }),
    }  # fmt: skip
    if texts:
        document["signatures"] = text_metrics.signatures(wanted)
    if work.forgetting is not None:
        document["forgetting"] = work.forgetting
    document["examples"] = _examples(work, answers)
    found["next_step"] = next_step.for_texts(work.plan.spec, document, work.folder.path, gates)
    document["verdict"] = dict(found)
    metrics_json.check(document)
    return document


def _examples(work: LanguageWork, answers: dict[str, list[Generated]]) -> list[examples.Example]:
    given = answers.get("tuned", [])[: examples.SHOWN]
    rows = [work.data[int(work.items.example[item])] for item in work.base["items"][: len(given)]]
    wanted = [work.codec.references(row)[0] for row in rows]
    return examples.of_texts([work.codec.question(row) for row in rows], [one.text for one in given], wanted)


def _findings(
    work: LanguageWork, test: Mapping[str, Any], verdict: Mapping[str, Any], wanted: list[list[str]] | None
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
                        f"{_answer_length(work)} tokens.",
            "action": "Train longer, or raise max_new_tokens if the wanted answers are longer than that.",
        })  # fmt: skip
    if verdict["against"] == "few_shot" and verdict["outcome"] != "better":
        found.append({
            "name": "prompting_is_enough", "severity": "warning",
            "evidence": f"The base model that is shown {work.plan.task.options.few_shot} examples is not beaten.",
            "action": "Use the base model with examples in its prompt, or train on more rows.",
        })  # fmt: skip
    return found


def _references(work: LanguageWork) -> list[list[str]]:
    return references(work.codec, [work.data[int(work.items.example[item])] for item in work.base["items"]])


def _evidence(work: LanguageWork, document: dict[str, Any], answers: dict[str, list[Generated]]) -> Evidence:
    log = events.read(work.folder.events)
    network = work.bundle.model.network
    shown = []
    for at, item in enumerate(work.base["items"]):
        example = work.data[int(work.items.example[item])]
        shown.append(Answer(
            row=int(example["row"]), question=work.codec.question(example),
            wanted=work.codec.references(example)[0], given={name: some[at].text for name, some in answers.items()},
            cut=frozenset(name for name, some in answers.items() if not some[at].stopped),
        ))  # fmt: skip
    return Evidence(
        name=work.folder.name, created=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        task=work.plan.spec.task, kind="text", method=work.plan.spec.method,
        model={"name": work.bundle.name, "fingerprint": work.bundle.fingerprint, "licence": work.bundle.licence,
               "parameters": sum(p.numel() for p in network.parameters()), "beside": _beside(work)},
        metrics=document, test=None, test_count=len(work.items.splits["test"]), answers=shown,
        path=str(work.folder.path),
        previews=[preview.render_preview(one, work.bundle.tokenizer, style="html") for one in work.items.preview],
        curves=read_curves(work.folder.events),
        audit=work.corpus.audit() | {"splits": {name: len(where) for name, where in work.items.splits.items()}},
        decisions=latest(log, "decided", ("what", "value", "why")),
        warnings=latest(log, "warned", ("what", "message")),
        spec=work.plan.spec.words(), data_fingerprint=work.corpus.fingerprint, versions=versions(),
        cost=document["cost"],
    )  # fmt: skip
