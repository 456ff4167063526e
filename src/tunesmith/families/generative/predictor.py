"""A finished model that writes text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from tunesmith.core import registry
from tunesmith.core.errors import DataError, ModelError, NotSupported, OptionError, Problem
from tunesmith.core.events import Emit
from tunesmith.core.options import resolve
from tunesmith.data import predict_inputs
from tunesmith.data.answers import beside
from tunesmith.data.predict_inputs import as_warning
from tunesmith.display.cards import Card, Shown
from tunesmith.engine.generate import Generated, Sampling, begin_with, ending_ids, generate
from tunesmith.engine.hardware import device, prepare
from tunesmith.evaluate.measured import RowStatistics
from tunesmith.evaluate.text_metrics import text_rows
from tunesmith.families.generative.prompts import Prompt, prompts_of
from tunesmith.models.bundle import LanguageBundle
from tunesmith.models.loaders.language import load_language_finished, read_mark
from tunesmith.models.rendering import without_reasoning
from tunesmith.runs import choose


def references(codec: Any, examples: Iterable[Any]) -> list[list[str]]:
    """The answers that were wanted of each example, without reasoning."""
    return [[without_reasoning(text) for text in codec.references(example)] for example in examples]


def written_rows(answers: Sequence[Generated], wanted: list[list[str]]) -> RowStatistics:
    """What the metrics of written answers are made of, by row; reasoning is not compared."""
    texts = [without_reasoning(answer.text) for answer in answers]
    return text_rows(texts, wanted, [answer.stopped for answer in answers])


class TextGenerator(Shown):
    """What `tunesmith.load` gives for a model that writes.

    **Usage**:
    model = tunesmith.load("runs/support")
    model.predict("Where is my parcel?")                  # {"text": "Hello, ...", "stopped": True}
    model.predict([{"role": "user", "content": "Hi"}], temperature=0.7, seed=1)    # one conversation
    model.predict(df)                                     # the DataFrame with the column predicted
    """

    def __init__(self, bundle: LanguageBundle, mark: Mapping[str, Any]):
        self.bundle = bundle
        self.mark = dict(mark)
        task = registry.get("tasks", mark["task"])
        if choose.family_of_task(mark["task"]) != "generative":
            raise ModelError(f"The record of the run names the task {mark['task']!r}, which writes no text.")
        known = {name: mark[name] for name in ("prefix",) if name in task.Options.model_fields}
        self.task = task(task.Options(**known))
        self.codec = self.task.codec(bundle.tokenizer)
        begin_with(bundle.model.network, getattr(self.codec, "first", None))
        self.bundle.model.to(device()).eval()

    @classmethod
    def load(cls, folder: Path) -> TextGenerator:
        """From a run's model folder. Raises ModelError."""
        prepare()
        mark = read_mark(folder)
        return cls(load_language_finished(folder), mark)

    def _card(self) -> Card:
        asked = "conversations" if self.conversational else "texts"
        facts = [("task", self.mark["task"]), ("base", self.bundle.name), ("continues", asked)]
        return Card("Model that writes text", None, facts)

    @property
    def conversational(self) -> bool:
        """Whether it was trained on conversations, so that a text alone is what a user says."""
        learned = self.mark.get("conversational", self.mark["form"] in ("chat", "preference", "feedback"))
        return bool(learned and self.bundle.tokenizer.chat_template)

    @property
    def stop_ids(self) -> set[int]:
        # of a conversation the template's ends of turns, whether or not one was read before
        ends = self.codec.encoder.stop_ids if self.conversational else self.codec.stop_ids
        return {*ends, *ending_ids(self.bundle.model.network, self.bundle.tokenizer)}

    def prompt_ids(self, prompt: Prompt, tools: list[Any] | None = None) -> list[int]:
        """Token ids that the model continues; raises DataError when they leave no room for an answer."""
        if isinstance(prompt, str) and self.conversational:
            prompt = [{"role": "user", "content": prompt}]
        ids: list[int] = self.codec.prompt_of(prompt, tools).tolist()
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
        return self.continued([self.within(self.prompt_ids(prompt)) for prompt in prompts], sampling)

    def within(self, ids: list[int]) -> list[int]:
        """As much of a prompt as was read of one in training."""
        return within(ids, int(self.mark["max_length"]), self.bundle.kind) if self.bundle.kind == "seq2seq" else ids

    def continued(self, ids: Sequence[list[int]], sampling: Sampling | None = None) -> list[Generated]:
        """One answer per prompt of token ids."""
        model = self.bundle.model.running
        return generate(model, self.bundle.tokenizer, ids, sampling or Sampling(), stop_ids=self.stop_ids)

    def predict(self, data: Any, *, emit: Emit = as_warning, **sampling: Any) -> Any:
        """An answer {"text", "stopped"} for each prompt, in the shape in which they are given.

        One text, one list of messages or one row (dict): one answer. A list, array or iterator of these: a list of
        answers. A DataFrame or Series, or the path of a file: a DataFrame with the column `predicted` added, its
        index kept. Rows and tables ask as they did in training. `sampling` are the options of `Sampling`:
        temperature, top_p, max_new_tokens, seed, stop. Raises DataError with every row that asks nothing or
        could be meant in two ways, OptionError.
        """
        how = sampling_of(sampling)
        found = predict_inputs.given(data, emit=emit)
        places: list[tuple[str, int]] | list[tuple[None, int]] = found.places or [(None, 0)] * len(found.items)
        rows = [(file, line, item) for (file, line), item in zip(places, found.items, strict=True)]
        prompts = prompts_of(self, rows, emit)
        written = self.continued(prompts, how) if prompts else []
        answers = [{"text": answer.text.strip(), "stopped": answer.stopped} for answer in written]
        if found.frame is not None:
            return beside(found.frame, answers, {"text": ""}, emit)
        return answers[0] if found.one else answers

    def predict_proba(self, data: Any) -> Any:
        """Raises NotSupported: texts that are written have no probabilities."""
        raise NotSupported("This model writes text, which has no probabilities of labels.", "Use `predict`.")

    @property
    def classes_(self) -> Any:
        """Raises NotSupported: there are none."""
        raise NotSupported("This model writes text and has no classes.")

    def score(self, data: Any, target: Any = None) -> float:
        """Raises NotSupported: no single number says how good texts are."""
        raise NotSupported(
            "This model writes text, which no single number is the score of.", "Use `tunesmith.evaluate(run, data)`."
        )


def sampling_of(words: Mapping[str, Any]) -> Sampling:
    """How answers are written, from words of the user. Raises OptionError."""
    wrong = set(words) - set(Sampling.model_fields)
    if wrong:
        raise OptionError(
            f"predict: a model that writes text has no option {sorted(wrong)[0]!r}.",
            f"Known: {', '.join(Sampling.model_fields)}.",
        )
    return cast(Sampling, resolve(dict(words), {"sampling": Sampling})["sampling"])


def within(ids: list[int], limit: int, kind: str) -> list[int]:
    """Room for an answer: a continued text keeps its end, an encoder's its beginning."""
    return ids[:limit] if kind == "seq2seq" else ids[-max(1, limit * 3 // 4) :]
