"""The test rows by the base model before training, as it is and with examples in its prompt; how they are answered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from tunesmith.engine.batching import sample
from tunesmith.engine.generate import Generated, Sampling, ending_ids
from tunesmith.engine.sequences import SequenceWriter
from tunesmith.evaluate.few_shot import FewShot, begun, count_answers
from tunesmith.evaluate.measured import RowStatistics
from tunesmith.families.generative.context import GenerativeRun
from tunesmith.families.generative.predictor import within

_LONGEST_ANSWER = 256


def measure_base(work: GenerativeRun) -> dict[str, Any]:
    """What needs the base as it was: its statistics on the test rows, its answers, and those with examples shown."""
    test = work.items.splits["test"]
    answered = _answered(work)
    found: dict[str, Any] = {"statistics": {"base": work.base_statistics(test)}, "answers": {}, "items": answered}
    prompts = prompts_of(work, answered)
    if prompts:
        found["answers"]["base"] = generate(work, prompts)
    if work.plan.task.options.few_shot and work.data.form not in ("text", "feedback"):
        shots, statistics = few_shot(work, test, answered)
        if statistics is not None:
            found["statistics"]["few_shot"] = statistics
        if prompts:
            found["answers"]["few_shot"] = generate(work, shots)
    return found


def _answered(work: GenerativeRun) -> np.ndarray:
    """The test items that are answered by every contender; the first sequence of an example stands for it."""
    if work.data.form == "text":
        return np.zeros(0, dtype=np.int64)
    test = work.items.splits["test"]
    if work.items.good is not None:
        test = test[work.items.good[test]]  # a bad answer is nobody's model
    _, first = np.unique(work.items.example[test], return_index=True)
    return sample(test[np.sort(first)], work.plan.task.options.generate_rows, work.plan.spec.seed)


def prompts_of(work: GenerativeRun, items: np.ndarray) -> list[list[int]]:
    found = [work.codec.prompt(work.data[int(work.items.example[item])]) for item in items]
    return [within(prompt.tolist(), work.limit, work.bundle.kind) for prompt in found if prompt is not None]


def generate(work: GenerativeRun, prompts: list[list[int]]) -> list[Generated]:
    stops = {*work.codec.stop_ids, *ending_ids(work.bundle.model.network, work.bundle.tokenizer)}
    return work.generate(prompts, Sampling(max_new_tokens=answer_length(work), temperature=0.0), stops)


def answer_length(work: GenerativeRun) -> int:
    asked = work.plan.task.options.max_new_tokens
    if asked:
        return int(asked)
    train = work.sequences(work.items.splits["train"])
    usual = float(np.quantile(work.items.rows.learned_counts[train], 0.9))
    return int(min(_LONGEST_ANSWER, max(16, 2 * usual)))


def few_shot(
    work: GenerativeRun, test: np.ndarray, answered: np.ndarray
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


def _first_answers(work: GenerativeRun, items: np.ndarray) -> list[int] | None:
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
