"""The test rows by the base model before training, as it is and with examples in its prompt; how they are answered."""

from __future__ import annotations

from collections import Counter

import numpy as np

from tunesmith.engine.batching import sample
from tunesmith.engine.generate import Generated, Sampling
from tunesmith.engine.sequences import SequenceWriter
from tunesmith.evaluate.few_shot import FewShot, Prompt, begun, count_answers
from tunesmith.evaluate.measured import RowStatistics
from tunesmith.families.generative.context import GenerativeRun, OfBase
from tunesmith.families.generative.predictor import within
from tunesmith.models.codec import Example
from tunesmith.models.mask import Encoded

_LONGEST_ANSWER = 256


def measure_base(run: GenerativeRun) -> OfBase:
    """What needs the base as it was: its statistics on the test rows, its answers, and those with examples shown."""
    test = run.items.splits["test"]
    answered = _answered(run)
    found = OfBase(answered, {"base": run.base_statistics(test)}, {})
    prompts = prompts_of(run, answered)
    if prompts:
        found.answers["base"] = generate(run, prompts)
    if run.plan.task.options.few_shot and run.data.form not in ("text", "feedback"):
        shots, statistics = few_shot(run, test, answered)
        if statistics is not None:
            found.statistics["few_shot"] = statistics
        if prompts:
            found.answers["few_shot"] = generate(run, shots)
    return found


def _answered(run: GenerativeRun) -> np.ndarray:
    """The test items that are answered by every contender; the first sequence of an example stands for it."""
    if run.data.form == "text":
        return np.zeros(0, dtype=np.int64)
    test = run.items.splits["test"]
    if run.items.good is not None:
        test = test[run.items.good[test]]  # a bad answer is nobody's model
    _, first = np.unique(run.items.example[test], return_index=True)
    return sample(test[np.sort(first)], run.plan.task.options.generate_rows, run.plan.spec.seed)


def prompts_of(run: GenerativeRun, items: np.ndarray) -> list[list[int]]:
    found = [run.codec.prompt(run.example(item)) for item in items]
    return [within(prompt.tolist(), run.limit, run.bundle.kind) for prompt in found if prompt is not None]


def generate(run: GenerativeRun, prompts: list[list[int]]) -> list[Generated]:
    return run.generate(prompts, Sampling(max_new_tokens=answer_length(run), temperature=0.0), run.stop_ids)


def answer_length(run: GenerativeRun) -> int:
    asked = run.plan.task.options.max_new_tokens
    if asked:
        return int(asked)
    train = run.sequences(run.items.splits["train"])
    usual = float(np.quantile(run.items.rows.learned_counts[train], 0.9))
    return int(min(_LONGEST_ANSWER, max(16, 2 * usual)))


def few_shot(
    run: GenerativeRun, test: np.ndarray, answered: np.ndarray
) -> tuple[list[list[int]], RowStatistics | None]:
    """Prompts of `answered` with training examples before them, and the base's statistics on the test rows so."""
    train = np.unique(run.items.example[run.items.splits["train"]])[:2_000]
    shots = FewShot([run.data[int(i)] for i in train], seed=run.plan.spec.seed)
    room = run.limit * 3 // 4

    def ids_of(example: Example) -> list[int]:
        def ids(prompt: Prompt) -> list[int]:
            found: list[int] = run.codec.prompt_of(prompt, example.get("tools")).tolist()
            return found

        prompt = shots.prompt(dict(example), run.plan.task.options.few_shot, lambda some: len(ids(some)) <= room)
        return within(ids(prompt), run.limit, run.bundle.kind)

    prompts = [ids_of(run.example(item)) for item in answered]
    if run.plan.task.sequences_per_item > 1 or run.data.form == "text":
        return prompts, None
    first = _first_answers(run, test)
    if first is None:
        return prompts, None
    writer = SequenceWriter(run.folder.cache / "few-shot")
    rows = run.items.rows
    for item, number in zip(test, first, strict=True):
        start, end = rows.offsets[item], rows.offsets[item + 1]
        learned = np.flatnonzero(rows.learned[start:end])
        prompt = np.asarray(ids_of(begun(dict(run.example(item)), number)), dtype=np.int32)
        answer = (
            rows.ids[start + learned[0] : end] if rows.sources is None else rows.ids[start + rows.sources[item] : end]
        )
        mask = rows.learned[start + learned[0] : end] if rows.sources is None else np.ones(len(answer), dtype=bool)
        ids = np.concatenate([prompt, answer])[-run.bundle.position_limit :]
        marks = np.concatenate([np.zeros(len(prompt), dtype=bool), mask.astype(bool)])[-run.bundle.position_limit :]
        writer.add(Encoded(ids, marks, ()), int(item), len(prompt) if rows.sources is not None else 0)
    extended = writer.close(rows.pad_token_id, pairs=rows.sources is not None, start_token_id=rows.start_token_id)
    measured = run.measure(extended, np.arange(len(extended)))
    return prompts, run.plan.task.statistics(measured)


def _first_answers(run: GenerativeRun, items: np.ndarray) -> list[int] | None:
    """Of each item the number of the first answer, from 0, that is learned in it: the sequences of an example have its
    answers in their order. None where some answer is in none of them."""
    rows, done, first = run.items.rows, Counter[int](), []
    for item, example in zip(items, run.items.example[items].tolist(), strict=True):
        learned = np.flatnonzero(rows.learned[rows.offsets[item] : rows.offsets[item + 1]])
        first.append(done[example])
        done[example] += 1 + int((np.diff(learned) > 1).sum())
    whole = run.data.form != "chat" or all(count == count_answers(run.data[number]) for number, count in done.items())
    return first if whole else None
