"""What a run on text that is written costs, as far as that differs by family."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

from tunesmith.core.errors import ModelError
from tunesmith.core.events import Emit
from tunesmith.core.spec import RunSpec
from tunesmith.data.conversations import Examples
from tunesmith.engine import batching
from tunesmith.engine.meta_model import Kind, MetaModel
from tunesmith.engine.meta_network import Parameters
from tunesmith.engine.options import LONGEST_EXAMPLE
from tunesmith.engine.protocols import Method
from tunesmith.families.generative import corpus, in_tokens, training
from tunesmith.families.generative.settle import settle_plan
from tunesmith.families.plan_data import SAMPLE, DataSummary, Texts, spread
from tunesmith.models.codec import Example
from tunesmith.models.rendering import Message, Tools, limits
from tunesmith.models.types import Config, Tokenizer
from tunesmith.runs.settle import Plan


class Written(DataSummary):
    """Examples of text that is written."""

    batch_rows = training.BATCH_ROWS
    batch_tokens = batching.LANGUAGE_TOKENS
    plain_attention = False
    cuts_unasked = False

    def read(self, config: Config, tokenizer: Tokenizer | None) -> Texts:
        texts = [text for example in self.some for text in _written(example, tokenizer)]
        notes = []
        if self.form in ("preference", "feedback"):
            notes.append(
                "each answer is read behind its prompt; the time is without their first reading, before training"
            )
        kind: Kind = "seq2seq" if getattr(config, "is_encoder_decoder", False) else "causal"
        rows = self.rows if self.form == "pair" else round(self.rows * len(texts) / max(1, len(self.some)))
        learned = sum(map(_learned, self.some)) / max(1, sum(map(len, texts))) if kind == "causal" else 1.0
        # judged answers are read once more, with the answer of another row, and nothing is learned of that
        return Texts(kind, rows, texts, notes, min(1.0, learned), again=float(self.form == "feedback"))

    def limit(self, reads: int, usual: int | None) -> int:
        return min(reads, LONGEST_EXAMPLE)

    def float32_base(self, method: Method) -> bool:
        return not method.adds

    def saved(self, parameters: Parameters, method: Method) -> int:
        return parameters.trainable if method.adds else parameters.total

    def feature_bytes(self, meta_model: MetaModel, tokens: int, frozen: Sequence[float]) -> float:
        return 0.0


def look(data: object, spec: RunSpec, folder: Path, emit: Emit) -> Written:
    """See `runs.protocols.Family`."""
    examples = corpus.read_for(spec, emit, data, cache_dir=folder)
    plan = settle_plan(spec, examples, emit)
    division = corpus.split_examples(examples, spec)
    read = in_tokens.in_tokens(plan, examples, division, emit, most=SAMPLE, weights=False)
    of_all = read.unchecked if read.lengths is None else ()  # of many rows some are looked at: that is a plan
    return summary_of(plan, examples, {name: len(rows) for name, rows in division.items()}, of_all)


def summary_of(plan: Plan, examples: Examples, splits: dict[str, int], unchecked: tuple[str, ...] = ()) -> Written:
    """Of examples that were read and divided, for `plan`."""
    some = [examples[int(number)] for number in spread(len(examples))]
    return Written(examples.form, splits, some, plan, unchecked)


def _written(example: Example, tokenizer: Tokenizer | None) -> Iterator[str]:
    """The sequences of an example as text: what is read, then what is learned."""
    form = example["form"]
    if form == "text":
        yield example["text"]
    elif form == "pair":  # an encoder reads one, a decoder writes the other: the mean of both counts
        yield from (example["source"], example["target"])
    elif form == "chat":
        yield _conversation(example["messages"], example.get("tools"), tokenizer)
    else:
        answers = [example["chosen"], example["rejected"]] if form == "preference" else [example["completion"]]
        for answer in answers:
            if example.get("messages") is None:
                yield example["prompt"] + (answer if isinstance(answer, str) else _conversation(answer, None, None))
            else:
                said = [{"role": "assistant", "content": answer}] if isinstance(answer, str) else answer
                yield _conversation([*example["messages"], *said], example.get("tools"), tokenizer)


def _learned(example: Example) -> int:
    """Letters of an example that are learned."""
    if example["form"] == "chat":
        said = [one for one in example["messages"] if one["role"] == "assistant" and one.get("weight") != 0]
    else:
        said = [example.get(name) or "" for name in ("text", "target", "completion", "chosen", "rejected")]
        said = [{"content": one} if isinstance(one, str) else one[-1] for one in said]
    return sum(len(str(one.get("content") or "")) for one in said)


def _conversation(messages: Sequence[Message], tools: Tools, tokenizer: Tokenizer | None) -> str:
    """As the tokenizer's template writes it; without a template that takes it, role and content in lines."""
    if tokenizer is not None and tokenizer.chat_template:
        try:
            with limits():
                return cast(str, tokenizer.apply_chat_template(messages, tools=tools, tokenize=False))
        except ModelError:
            raise
        except Exception:  # it may fail in any way
            pass  # such as a template that wants roles in turns
    return "\n".join(f"{message['role']}: {message.get('content') or ''}" for message in messages)
