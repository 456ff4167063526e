"""Advice on prompts and completions, after the checks of OpenAI's former `prepare_data`. Never a refusal."""

from __future__ import annotations

from collections.abc import Sequence

from tunesmith.data.conversations.examples import Examples
from tunesmith.data.conversations.turns import common_start

_FEW = 100
_LONG = 10_000
_PROMPT_PREFIX, _COMPLETION_PREFIX = 12, 5
_SHOWN = 10


def lint(examples: Examples) -> list[str]:
    """What could be better, in sentences; empty if nothing strikes. Prompt/completion examples are looked
    at closely, all others only for their number and for duplicates."""
    advice = []
    if len(examples) < _FEW:
        advice.append(f"There are {len(examples)} examples; a few hundred and more teach better.")
    seen: dict[int, int] = {}
    doubled = []
    for example in examples:
        row = example.pop("row")
        if seen.setdefault(hash(repr(example)), row) != row:
            doubled.append(row)
    if doubled:
        advice.append(f"{len(doubled)} examples are duplicates of earlier ones: {_rows(doubled)}.")
    return advice + (_prompt_advice(examples) if examples.form == "completion" else [])


def _prompt_advice(examples: Examples) -> list[str]:
    cells = [(example["prompt"], example["completion"], example["row"]) for example in examples]
    prompts, completions = [prompt for prompt, _, _ in cells], [completion for _, completion, _ in cells]
    long = [row for prompt, completion, row in cells if len(prompt) + len(completion) > _LONG]
    advice = [f"{len(long)} examples are longer than {_LONG:,} characters: {_rows(long)}."] if long else []
    for name, texts in (("prompt", prompts), ("completion", completions)):
        shouted = [text for text in texts if sum(map(str.isupper, text)) > sum(map(str.islower, text))]
        if len(shouted) > len(texts) / 3:
            advice.append(f"More than a third of the {name}s are in upper case; lower case is usually learned better.")
    if len(prompts) < 2:
        return advice
    return advice + _of_prompts(prompts, completions) + _of_completions(completions, any(prompts))


def _of_prompts(prompts: Sequence[str], completions: Sequence[str]) -> list[str]:
    if not any(prompts):
        return []
    if len(set(prompts)) == 1:
        return ["All prompts are the same, so that nothing can be learned from them."]
    advice = []
    suffix, prefix = _common_suffix(prompts), common_start(prompts)
    if suffix:
        often = sum(text.count(suffix) > 1 for text in prompts)
        if often:
            advice.append(f"All prompts end with {suffix!r}, which {often} of them hold elsewhere too.")
    else:
        advice.append(
            "The prompts have no common end, such as ' ->' or '\\n\\n###\\n\\n', to tell where the completion begins."
        )
    if len(prefix) > _PROMPT_PREFIX:
        advice.append(f"All prompts start with {prefix!r}; a trained model needs no instruction that never changes.")
    glued = sum(
        bool(prompt) and not prompt[-1].isspace() and not completion[:1].isspace()
        for prompt, completion in zip(prompts, completions, strict=True)
    )
    if glued:
        advice.append(f"{glued} completions follow their prompt without a space between them; begin them with one.")
    return advice


def _of_completions(completions: Sequence[str], prompted: bool) -> list[str]:
    if len(set(completions)) == 1:
        return ["All completions are the same, so that there is nothing to learn."]
    advice = []
    prefix, suffix = common_start(completions), _common_suffix(completions)
    if prompted and len(prefix) >= _COMPLETION_PREFIX:
        advice.append(f"All completions start with {prefix!r}; put it at the end of the prompts.")
    if suffix.strip():
        advice.append(f"All completions end with {suffix!r}; it is not needed, as the end is learned anyway.")
    return advice


def _common_suffix(texts: Sequence[str]) -> str:
    return common_start([text[::-1] for text in texts])[::-1]


def _rows(rows: Sequence[int]) -> str:
    more = f" and {len(rows) - _SHOWN} more" if len(rows) > _SHOWN else ""
    return f"row{'s' * (len(rows) > 1)} {', '.join(map(str, rows[:_SHOWN]))}{more}"
