"""A finished model that writes text."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NoReturn, cast

import numpy as np
import torch

from tunesmith.core import registry
from tunesmith.core.errors import DataError, NotSupported, OptionError, Problem, RunFailed
from tunesmith.core.events import Emit
from tunesmith.core.files import copy_folder, scratch
from tunesmith.core.options import Options, pick
from tunesmith.core.spec import Words
from tunesmith.data import predict_inputs
from tunesmith.data.answers import beside
from tunesmith.data.conversations import Examples, read_examples
from tunesmith.data.conversations.inputs import open_parts
from tunesmith.data.part import LeftOut
from tunesmith.data.predict_inputs import FileRows, as_warning
from tunesmith.data.types import Columns
from tunesmith.display.cards import Card, Shown
from tunesmith.engine.batching import TOKENS_AT_ONCE
from tunesmith.engine.generate import Generated, Sampling, begin_with, ending_ids, generate, name_ends, stream
from tunesmith.engine.hardware import device, prepare
from tunesmith.engine.likelihood import likelihoods
from tunesmith.engine.sequences import SequenceWriter
from tunesmith.evaluate.measured import RowStatistics, with_intervals
from tunesmith.evaluate.text_metrics import text_rows
from tunesmith.families.generative.items import fit, start_token
from tunesmith.families.generative.prompts import Prompt, prompts_of
from tunesmith.families.generative.session import ChatSession
from tunesmith.models.additions import ADAPTER
from tunesmith.models.bundle import LanguageBundle
from tunesmith.models.codec import Codec, Example
from tunesmith.models.guard import loading
from tunesmith.models.loaders.language import load_language_finished
from tunesmith.models.manifest import METADATA, read_metadata, write_manifest, write_metadata
from tunesmith.models.pretrained import quiet_transformers
from tunesmith.models.rendering import Tools, without_reasoning
from tunesmith.runs.load import model_folder, options_of
from tunesmith.runs.reading import OtherData

_WRITTEN = 200
"""Most rows that `evaluate` has answers written to."""
_TOLERANCE = 1e-4
_PROMPTS = ("Once", "The weather today", "Hello, who are you?", "1 2 3 4")
"""What a model that was written as one plain one is compared by; logits in float32 may differ by so much."""


def references(codec: Codec, examples: Iterable[Example]) -> list[list[str]]:
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

    Options: ClassVar[type[Options]] = Sampling
    summary: ClassVar[str] = "a model that writes text"
    together: ClassVar[int] = 8
    columns: Columns | None = None

    def __init__(self, bundle: LanguageBundle, metadata: Words, folder: Path):
        self.bundle = bundle
        self.folder = folder
        """Where it was loaded from."""
        self.metadata = dict(metadata)
        with loading(folder / METADATA, "record of the run"):
            task = registry.get("tasks", metadata["task"])
            known = {"prefix": metadata["prefix"]} if "prefix" in task.Options.model_fields else {}
            self.task = task(pick(task.Options, known))
        self.codec = self.task.codec(bundle.tokenizer)
        begin_with(bundle.model.network, self.codec.first)
        self.bundle.model.to(device()).eval()

    @classmethod
    def load(cls, path: str | Path) -> TextGenerator:
        """From a run folder or its `model` folder. Raises FolderError, ModelError."""
        folder = model_folder(path)
        prepare()
        metadata = read_metadata(folder)
        return cls(load_language_finished(folder), metadata, folder)

    def _card(self) -> Card:
        asked = "conversations" if self.conversational else "texts"
        facts = [("task", self.metadata["task"]), ("base", self.bundle.name), ("continues", asked)]
        return Card("Model that writes text", None, facts)

    @property
    def conversational(self) -> bool:
        """Whether it was trained on conversations, so that a text alone is what a user says."""
        learned = self.metadata.get("conversational", self.metadata["form"] in ("chat", "preference", "feedback"))
        return bool(learned and self.bundle.tokenizer.chat_template)

    @property
    def stop_ids(self) -> set[int]:
        # of a conversation the template's ends of turns, whether or not one was read before
        ends = self.codec.encoder.stop_ids if self.conversational else self.codec.stop_ids
        return {*ends, *ending_ids(self.bundle.model.network, self.bundle.tokenizer)}

    def prompt_ids(self, prompt: Prompt, tools: Tools = None) -> list[int]:
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
        return within(ids, int(self.metadata["max_length"]), self.bundle.kind) if self.bundle.kind == "seq2seq" else ids

    def continued(self, ids: Sequence[list[int]], sampling: Sampling | None = None) -> list[Generated]:
        """One answer per prompt of token ids."""
        model = self.bundle.model.running
        return generate(model, self.bundle.tokenizer, ids, sampling or Sampling(), stop_ids=self.stop_ids)

    def predict(self, data: object, *, emit: Emit = as_warning, **sampling: object) -> Any:
        """An answer {"text", "stopped"} for each prompt, in the shape in which they are given.

        One text, one list of messages or one row (dict): one answer. A list, array or iterator of these: a list of
        answers. A DataFrame or Series, or the path of a file: a DataFrame with the column `predicted` added, its
        index kept. Rows and tables ask as they did in training. `sampling` are the options of `Sampling`:
        temperature, top_p, max_new_tokens, seed, stop. Raises DataError with every row that asks nothing or
        could be meant in two ways, OptionError.
        """
        how = cast(Sampling, options_of(type(self), sampling))
        found = predict_inputs.identify(data, emit=emit)
        answers = self.answer_rows(found.items, how, emit, found.places)
        if found.frame is not None:
            return beside(found.frame, answers, {"text": ""}, emit)
        return answers[0] if found.one else answers

    def answer_rows(
        self, asked: Sequence[object], options: Sampling, emit: Emit, places: Sequence[tuple[str, int]] | None = None
    ) -> list[Words]:
        """See `runs.protocols.Predictor`; `asked` are texts, messages or rows. {"text", "stopped"} of each."""
        where: Sequence[tuple[str | None, int]] = places or [(None, 0)] * len(asked)
        prompts = prompts_of(self, [(file, line, one) for (file, line), one in zip(where, asked, strict=True)], emit)
        written = self.continued(prompts, options) if prompts else []
        return [{"text": answer.text.strip(), "stopped": answer.stopped} for answer in written]

    def rows(self, other: OtherData, cache: Path, emit: Emit) -> Iterator[FileRows]:
        """See `runs.protocols.Predictor`; rows are of any format, and ask as they did in training."""
        parts = other.read(lambda how: open_parts(other.data, cache, emit, how))
        found = [(one.name, line, row) for inputs in parts.values() for one in inputs
                 for line, row in one.rows if not isinstance(row, LeftOut)]  # fmt: skip
        asked = [row for _, _, row in found]
        own = [dict(row) if isinstance(row, Mapping) else {} for row in asked]  # what is no row is refused when asked
        yield FileRows(own, asked, [(name, line) for name, line, _ in found])

    def stream(self, asked: Prompt, options: Sampling, tools: Tools = None) -> Generator[str, None, Generated]:
        """The answer to one prompt in pieces, as they are ready. Raises DataError."""
        model, ids = self.bundle.model.running, self.within(self.prompt_ids(asked, tools))
        return stream(model, self.bundle.tokenizer, ids, options, stop_ids=self.stop_ids)

    def session(self, *, system: str | None = None, sampling: Mapping[str, object] | None = None) -> ChatSession:
        """A conversation. `sampling` are options of `Sampling`. Raises OptionError."""
        how = options_of(type(self), {"temperature": 0.7, "top_p": 0.95, **(sampling or {})})
        session = ChatSession(
            self.bundle.model.running, self.bundle.tokenizer, system=system, sampling=cast(Sampling, how),
            encode=self.prompt_ids if self.conversational else None, stop_ids=sorted(self.stop_ids),
        )  # fmt: skip
        session.remembers = self.conversational
        return session

    def write_plain(self, folder: Path) -> dict[str, float]:
        """See `runs.protocols.Exports`; an adapter is merged into the weights. Raises ModelError."""
        if (self.folder / ADAPTER).exists():
            merged = load_language_finished(self.folder, merge=True)
            name_ends(merged.model.network, self.stop_ids)
            begin_with(merged.model.network, self.codec.first)
            with quiet_transformers():
                merged.model.network.config.use_cache = True
                merged.model.network.save_pretrained(folder)
                merged.tokenizer.save_pretrained(folder)
            write_metadata(folder, {**self.metadata, "quantization": None})
            write_manifest(folder)
        else:
            copy_folder(self.folder, folder)
        return self._compared_with(TextGenerator.load(folder))

    def _compared_with(self, plain: TextGenerator) -> dict[str, float]:
        worst = 0.0
        for text in _PROMPTS:
            ids = torch.tensor([self.prompt_ids(text)])
            inputs: dict[str, Any] = {"input_ids": ids}
            if self.bundle.kind == "seq2seq":
                inputs["decoder_input_ids"] = ids[:, :1]
            with torch.no_grad():
                first, second = (one.bundle.model.running(**inputs, use_cache=False).logits for one in (self, plain))
            worst = max(worst, float((first - second).abs().max()))
        ours, theirs = (one.generate(_PROMPTS, Sampling(max_new_tokens=24)) for one in (self, plain))
        same = [answer.ids for answer in ours] == [answer.ids for answer in theirs]
        if not worst <= _TOLERANCE or not same:
            raise RunFailed(
                f"The merged model does not answer as the trained one: logits differ by {worst:.3g} "
                f"(allowed {_TOLERANCE}), greedy answers are {'the same' if same else 'different'}.",
                "Nothing was written; use the adapter beside its base.",
            )
        return {"largest_difference": worst, "answers": len(_PROMPTS)}

    def measure(self, other: OtherData, emit: Emit) -> RowStatistics:
        """See `runs.protocols.Predictor`; of a task that needs no reference."""
        return self._statistics(self._examples(other, emit))

    tune = measure  # it has no thresholds

    def evaluate(self, other: OtherData, *, seed: int, emit: Emit) -> Words:
        """See `runs.protocols.Predictor`; metrics of the tokens, and of the answers written to up to 200 rows."""
        examples = self._examples(other, emit)
        metrics = with_intervals(self._statistics(examples), seed=seed)
        if examples.form != "text":
            some = [examples[i] for i in range(min(_WRITTEN, len(examples)))]
            limit = int(self.metadata["max_length"])
            asked = [within(self.codec.prompt(example).tolist(), limit, self.bundle.kind) for example in some]
            written = written_rows(self.continued(asked), references(self.codec, some))
            metrics |= with_intervals(written, seed=seed)
        return {"rows": len(examples), "metrics": metrics}

    def _examples(self, other: OtherData, emit: Emit) -> Examples:
        """As they were read to be learned."""
        name, forms = self.metadata["task"], tuple(self.task.forms)
        examples = other.read(lambda how: read_examples(other.data, emit=emit, form=forms, reading=how))
        if examples.form not in forms:
            learned = self.metadata["form"]
            message = f"the data is of the form {examples.form!r}, and the run learned {learned!r}"
            raise DataError(Problem(message, examples.files[0]))
        if self.task.sequences_per_item > 1:
            raise OptionError(
                f"evaluate: a run of the task {name} is measured against its base, which this command lacks.",
                "See metrics.json of the run, or train with --test FILE.",
            )
        return examples

    def _statistics(self, examples: Examples) -> RowStatistics:
        """What the metrics of tokens are made of, by example."""
        limit, bundle = int(self.metadata["max_length"]), self.bundle
        with scratch() as place:
            writer = SequenceWriter(place)
            for example in examples:
                for one, source in self.task.encode(example, example, self.codec, limit):
                    fitted = fit(one, source, limit, "truncate", example["row"] - 1, {})
                    if fitted is not None:
                        writer.add(fitted[0], example["row"] - 1, fitted[1])
            rows = writer.close(
                bundle.tokenizer.pad_token_id, pairs=bundle.kind == "seq2seq", start_token_id=start_token(bundle)
            )
            on = next(bundle.model.parameters()).device
            found = likelihoods(bundle.model, rows, np.arange(len(rows)), on=on, tokens_at_once=TOKENS_AT_ONCE)
        return cast(RowStatistics, self.task.statistics(found))

    def predict_proba(self, data: object) -> NoReturn:
        """Raises NotSupported: texts that are written have no probabilities."""
        raise NotSupported("This model writes text, which has no probabilities of labels.", "Use `predict`.")

    @property
    def classes_(self) -> NoReturn:
        """Raises NotSupported: there are none."""
        raise NotSupported("This model writes text and has no classes.")

    def score(self, data: object, target: object = None) -> NoReturn:
        """Raises NotSupported: no single number says how good texts are."""
        raise NotSupported(
            "This model writes text, which no single number is the score of.", "Use `tunesmith.evaluate(run, data)`."
        )


def within(ids: list[int], limit: int, kind: str) -> list[int]:
    """Room for an answer: a continued text keeps its end, an encoder's its beginning."""
    return ids[:limit] if kind == "seq2seq" else ids[-max(1, limit * 3 // 4) :]
