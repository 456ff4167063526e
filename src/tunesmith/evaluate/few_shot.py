"""Few-shot prompts: training examples put before the question, the baseline that costs no training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from tunesmith.evaluate.features import TfidfFeatures
from tunesmith.models.chat_template import learned_turns
from tunesmith.models.rendering import Message

Example = dict[str, Any]
"""An example in its internal form, any but "text" (which asks nothing)."""

Prompt = list[dict[str, Any]] | str
"""Messages for the chat forms, text for the others."""


class FewShot:
    """Chooses among training examples; fitted once, asked for every query.

    The nearest by TF-IDF to the query, the nearest last (Liu et al. 2022, "What Makes Good In-Context Examples for
    GPT-3?"); any, the same for every query, where the texts have nothing to count. Examples with tool calls are left
    out: an answer that is a call shows little without its tools.
    """

    def __init__(self, examples: Sequence[Example], *, seed: int = 0):
        self._examples = [example for example in examples if _shows(example)]
        self._sources = [_source(example) for example in self._examples]
        self._order = np.random.default_rng(seed).permutation(len(self._examples))
        self._features: TfidfFeatures | None = None
        if self._examples:
            with suppress(ValueError):  # nothing to count in the texts: any example is as good
                self._features = TfidfFeatures(self._sources)

    def prompt(self, query: Example, k: int, fits: Callable[[Prompt], bool] = lambda prompt: True) -> Prompt:
        """The query with up to `k` examples before it: fewer where `fits` says that more are too long.

        Chat forms: the query's system message, each example as earlier turns, then the query's own
        messages up to its answer. Other forms: "source\\ntarget\\n\\n" for each example, then the
        query's source and a line break. An example with the query's own source is never shown.
        """
        chosen = self._chosen(_source(query), k)
        while chosen:
            prompt = _joined([self._examples[i] for i in chosen], query)
            if fits(prompt):
                return prompt
            chosen = chosen[1:]  # the least similar goes first
        return _joined([], query)

    def _chosen(self, source: str, k: int) -> list[int]:
        """Positions of the shown examples, the nearest last."""
        order = self._order
        if self._features is not None:
            similarity = np.asarray(
                (self._features.of_training @ self._features.transform([source]).T).todense()
            ).ravel()
            order = order[np.argsort(-similarity[order], kind="stable")]
        return [int(i) for i in order if self._sources[i] != source][:k][::-1]


def begun(example: Example, answer: int) -> Example:
    """A conversation up to the learned answer of this number, from 0; any other example as it is."""
    if example["form"] != "chat":
        return example
    return {**example, "messages": example["messages"][: learned_turns(example["messages"])[answer] + 1]}


def count_answers(example: Example) -> int:
    """How many answers of it are learned."""
    return len(learned_turns(example["messages"])) if example["form"] == "chat" else 1


def _joined(examples: Sequence[Example], query: Example) -> Prompt:
    asked = _asked(query)
    if isinstance(asked, str):
        shown = "".join(f"{_asked(example)}\n{_answer(example)}\n\n" for example in examples)
        return f"{shown}{asked}\n"
    first = [message for message in asked if _instructs(message)]
    turns = [turn for example in examples for turn in (*_asked(example), *_answer(example)) if not _instructs(turn)]
    return [*first, *turns, *(message for message in asked if not _instructs(message))]


def _shows(example: Example) -> bool:
    """Whether it has a question and a good, written answer."""
    if example["form"] == "text" or not example.get("label", True):
        return False
    answer = _answer(example)
    if isinstance(answer, str):
        return True
    return bool(answer) and all(map(_written, (*_asked(example), *answer)))


def _asked(example: Example) -> Any:
    """What the model reads: messages up to the last answer, or a text."""
    if example["form"] == "pair":
        return example["source"]
    if example["form"] == "chat":
        return example["messages"][: _last_answer(example["messages"])]
    messages = example.get("messages")
    return example["prompt"] if messages is None else messages


def _answer(example: Example) -> Any:
    """What the model should write: messages, or a text."""
    if example["form"] == "chat":
        last = _last_answer(example["messages"])
        return example["messages"][last : last + 1]
    return example[{"pair": "target", "preference": "chosen"}.get(example["form"], "completion")]


def _last_answer(messages: Sequence[Message]) -> int:
    """The position of the last one that is learned; the end where there is none."""
    return (learned_turns(messages) or [len(messages)])[-1]


def _source(example: Example) -> str:
    """What similarity is measured on: all that the user said."""
    asked = _asked(example)
    if isinstance(asked, str):
        return asked
    return "\n".join(message["content"] or "" for message in asked if message["role"] == "user")


def _instructs(message: Message) -> bool:
    return message["role"] in ("system", "developer")


def _written(message: Message) -> bool:
    return bool(message.get("content")) and not message.get("tool_calls") and message["role"] != "tool"
