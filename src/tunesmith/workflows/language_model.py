"""A finished model that writes text."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tunesmith.core import registry
from tunesmith.core.errors import DataError, OptionError, Problem
from tunesmith.data.conversations.messages import Fault, read_contents, read_messages
from tunesmith.engine.generate import Generated, Sampling, ending_ids, generate
from tunesmith.engine.hardware import device
from tunesmith.models.load_language import MARK, LanguageBundle, load_language_finished

Prompt = str | Sequence[Mapping[str, Any]]
"""A text, or messages."""
_MESSAGES = ("messages", "conversations", "conversation")


class TextGenerator:
    """What `tunesmith.load` gives for a model that writes.

    **Usage**:
    model = tunesmith.load("runs/support")
    model.predict(["Where is my parcel?"])                  # [{"text": "Hello, ...", "stopped": True}]
    model.predict([[{"role": "user", "content": "Hi"}]], temperature=0.7, seed=1)
    """

    def __init__(self, bundle: LanguageBundle, mark: Mapping[str, Any]):
        self.bundle = bundle
        self.mark = dict(mark)
        task = registry.get("tasks", mark["task"])
        known = {name: mark[name] for name in ("prefix",) if name in task.Options.model_fields}
        self.codec = task(task.Options(**known)).codec(bundle.tokenizer)
        self.bundle.model.to(device()).eval()

    @classmethod
    def load(cls, folder: Path) -> TextGenerator:
        """From a run's model folder. Raises ModelError."""
        mark = json.loads((folder / MARK).read_text(encoding="utf-8"))
        return cls(load_language_finished(folder), mark)

    @property
    def conversational(self) -> bool:
        """Whether it was trained on conversations, so that a text alone is what a user says."""
        return bool(self.mark["form"] in ("chat", "preference", "feedback") and self.bundle.tokenizer.chat_template)

    @property
    def stop_ids(self) -> set[int]:
        # of a conversation the template's ends of turns, whether or not one was read before
        ends = self.codec.encoder.stop_ids if self.conversational else self.codec.stop_ids
        return {*ends, *ending_ids(self.bundle.model.network, self.bundle.tokenizer)}

    def prompt_ids(self, prompt: Prompt) -> list[int]:
        """Token ids that the model continues; raises DataError when they leave no room for an answer."""
        if isinstance(prompt, str) and self.conversational:
            prompt = [{"role": "user", "content": prompt}]
        ids: list[int] = self.codec.prompt_of(prompt).tolist()
        if not ids:
            raise DataError(Problem("the prompt is empty"), "Give some text.")
        if self.bundle.kind == "causal" and len(ids) >= self.bundle.position_limit:
            raise DataError(
                Problem(f"the prompt has {len(ids):,} tokens, and the model reads {self.bundle.position_limit:,}"),
                "Shorten it.",
            )
        return ids

    def generate(self, prompts: Iterable[Prompt], sampling: Sampling | None = None) -> list[Generated]:
        """One answer per prompt; greedy when no sampling is asked for."""
        ids = [self.prompt_ids(prompt) for prompt in prompts]
        model = self.bundle.model.running
        return generate(model, self.bundle.tokenizer, ids, sampling or Sampling(), stop_ids=self.stop_ids)

    def predict(self, prompts: Iterable[Prompt], **sampling: Any) -> list[dict[str, Any]]:
        """[{"text", "stopped"}]; keywords are those of `Sampling`: temperature, top_p, max_new_tokens, seed, stop."""
        wrong = set(sampling) - set(Sampling.model_fields)
        if wrong:
            raise OptionError(
                f"predict: a model that writes text has no option {sorted(wrong)[0]!r}.",
                f"Known: {', '.join(Sampling.model_fields)}.",
            )
        found = self.generate(prompts, Sampling(**sampling))
        return [{"text": answer.text.strip(), "stopped": answer.stopped} for answer in found]


def prompt_of_row(row: Mapping[str, Any] | Fault) -> Prompt:
    """What a row of any format asks: its messages up to the last answer, or its prompt, source or text.

    Raises DataError naming the columns when there is none, or saying why the row can not be read.
    """
    if isinstance(row, Fault):
        raise DataError(Problem(str(row)), "Mend or remove this row.")
    inside = row["input"] if isinstance(row.get("input"), dict) else row  # OpenAI's preference format
    messages = read_messages(next((inside[name] for name in _MESSAGES if inside.get(name)), None))
    if row.get("contents"):
        messages = read_contents(row["contents"], row.get("systemInstruction"))
    if isinstance(messages, list) and messages and all(isinstance(message, Mapping) for message in messages):
        end = len(messages)
        while end and messages[end - 1].get("role") == "assistant":
            end -= 1
        return list(messages[:end])
    for name in ("prompt", "instruction", "query", "question", "source", "document", "text", "input"):
        value = row.get(name)
        if isinstance(value, str) and value.strip():
            return f"{value}\n{row['input']}" if name == "instruction" and row.get("input") else value
    raise DataError(
        Problem(f"there is no prompt in the columns {', '.join(map(str, row))}"),
        "Expected messages, prompt, instruction, question, source or text.",
    )
