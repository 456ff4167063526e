"""Examples of every form as token sequences, and prompts as the model reads them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tunesmith.core.errors import OptionError, did_you_mean
from tunesmith.models.chat_template import TemplateEncoder, learned_turns
from tunesmith.models.guard import tokens
from tunesmith.models.mask import (
    Encoded,
    begin_of_sequence,
    encode_completion,
    encode_spans,
    end_of_sequence,
)
from tunesmith.models.rendering import Message, Tools
from tunesmith.models.types import Tokenizer

Example = Mapping[str, Any]


class Codec(ABC):
    """How a task reads examples."""

    prefix: str = ""
    """Put before every source."""
    languages: tuple[str, str] | None = None
    """Of source and target, where the tokenizer knows several."""
    first: int | None = None
    """The token that every answer begins with, which the model is given."""

    @property
    def unseen(self) -> Mapping[str, int]:
        """What was left out so far, and of how many examples."""
        return {}

    @property
    @abstractmethod
    def stop_ids(self) -> tuple[int, ...]:
        """Tokens that end an answer."""

    @abstractmethod
    def prompt(self, example: Example) -> np.ndarray | None:
        """Token ids that the model is to continue with its answer; None where there is no question."""

    @abstractmethod
    def prompt_of(self, prompt: Any, tools: Tools = None) -> np.ndarray:
        """Token ids of what a user asks."""

    @abstractmethod
    def references(self, example: Example) -> list[str]:
        """The answers that were wanted."""

    @abstractmethod
    def question(self, example: Example) -> str:
        """What was asked, for people."""


class CausalCodec(Codec):
    """For models that continue a text. The chat template is looked at when a conversation comes."""

    def __init__(self, tokenizer: Tokenizer, date: str | None = None):
        """date: the day (2026-01-31) that a template writes which asks for today's; today when not given."""
        self.tokenizer = tokenizer
        self._date = date
        self._encoder: TemplateEncoder | None = None

    @property
    def encoder(self) -> TemplateEncoder:
        if self._encoder is None:
            self._encoder = TemplateEncoder(self.tokenizer, date=self._date)
        return self._encoder

    @property
    def unseen(self) -> Mapping[str, int]:
        """What the template left out so far, and of how many conversations."""
        return self._encoder.unseen if self._encoder else {}

    @property
    def stop_ids(self) -> tuple[int, ...]:
        return self._encoder.stop_ids if self._encoder else (end_of_sequence(self.tokenizer),)

    def sequences(self, example: Example) -> list[Encoded]:
        """What is learned from an example of the form chat, completion or text."""
        if example["form"] == "chat":
            return self.encoder.encode_turns(example["messages"], example.get("tools"), row=example.get("row"))
        if example["form"] == "completion":
            return [encode_completion(self.tokenizer, example["prompt"], example["completion"])]
        return [encode_completion(self.tokenizer, "", example["text"])]

    def answer(self, example: Example, completion: str | Sequence[Message]) -> Encoded:
        """The prompt of an example of the form preference or feedback with an answer, which is learned."""
        if example.get("messages") is not None:
            given = [{"role": "assistant", "content": completion}] if isinstance(completion, str) else completion
            return self.encoder.encode(
                example["messages"], example.get("tools"), completion=given, row=example.get("row")
            )
        assert isinstance(completion, str)
        return encode_completion(self.tokenizer, example["prompt"], completion)

    def prompt(self, example: Example) -> np.ndarray | None:
        """Token ids that the model is to continue with its answer; None for plain text."""
        if example["form"] == "text":
            return None
        messages = example.get("messages")
        if messages is None:
            return self.prompt_of(example["prompt"])
        if example["form"] == "chat":
            messages = messages[: learned_turns(messages)[-1]]
        return self.encoder.prompt(messages, example.get("tools"))

    def prompt_of(self, prompt: str | Sequence[Message], tools: Tools = None) -> np.ndarray:
        """Token ids of a text or of messages (with their tools) that the model is to continue."""
        if isinstance(prompt, str):
            return encode_spans(self.tokenizer, prompt, [], begin=begin_of_sequence(self.tokenizer)).ids
        return self.encoder.prompt(prompt, tools)

    def references(self, example: Example) -> list[str]:
        """The answers that were wanted: what was last learned, a tool call as the template writes it."""
        if example["form"] == "chat":
            last = example["messages"][learned_turns(example["messages"])[-1]]
            return [self._written(example) if last.get("tool_calls") else last["content"]]
        for name in ("completion", "chosen"):
            if name in example:
                found = example[name]
                return [found if isinstance(found, str) else str(found[-1].get("content") or "")]
        return [example["text"]]

    def _written(self, example: Example) -> str:
        """The last learned turn of a conversation, without special tokens and the token that ends it."""
        encoded = self.sequences(example)[-1]
        start, stop = encoded.spans[-1]
        ids = encoded.ids[start : stop - (encoded.ids[stop - 1] in self.stop_ids)]
        return self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)

    @staticmethod
    def question(example: Example) -> str:
        """What was asked, for people: the last question, after the turns before it, if there are any."""
        if example.get("messages") is not None:
            messages = example["messages"]
            if example.get("form") == "chat":
                messages = messages[: learned_turns(messages)[-1]]
            last = max((at for at, one in enumerate(messages) if one["role"] == "user"), default=-1)
            said = [(one["role"], one.get("content") or "") for one in messages[: last + 1]]
            return said[0][1] if len(said) == 1 else "\n".join(f"{role}: {text}" for role, text in said)
        return str(example.get("prompt") or example.get("text") or "")


class PairCodec(Codec):
    """For models with an encoder: the source is read whole, the target learned token by token.

    Of a tokenizer of many languages (NLLB, M2M100) `languages` are those of source and target, its own where None is
    asked for, and `first` is the token of the target's, with which every answer begins: the model is given it.
    Raises OptionError for a language that the tokenizer does not know.
    """

    def __init__(self, tokenizer: Tokenizer, prefix: str = "", source: str | None = None, target: str | None = None):
        self.tokenizer = tokenizer
        self.prefix = prefix
        self.languages, self.first = _speak(tokenizer, source, target)

    @property
    def stop_ids(self) -> tuple[int, ...]:
        return (end_of_sequence(self.tokenizer, offsets=False),)

    def sequence(self, example: Example) -> tuple[Encoded, int]:
        """Source and target one after the other, and the number of source tokens."""
        source, target = self._source(example), self._target(example["target"])
        ids = np.array(source + target, dtype=np.int32)
        start = len(source) + (target[0] == self.first)
        learned = np.arange(len(ids)) >= start
        return Encoded(ids, learned, ((start, len(ids)),)), len(source)

    def prompt(self, example: Example) -> np.ndarray:
        return np.array(self._source(example), dtype=np.int32)

    def prompt_of(self, prompt: str, tools: Tools = None) -> np.ndarray:
        return np.array(self._source({"source": prompt}), dtype=np.int32)

    def _source(self, example: Example) -> list[int]:
        text = self.prefix + example["source"]
        return tokens(self.tokenizer, text, truncation=False, verbose=False)["input_ids"]

    def _target(self, text: str) -> list[int]:
        ids: list[int] = tokens(self.tokenizer, text_target=text, truncation=False, verbose=False)["input_ids"]
        end = end_of_sequence(self.tokenizer, offsets=False)  # a target is learned whole; Marian's know no offsets
        return ids if ids and ids[-1] == end else [*ids, end]

    @staticmethod
    def references(example: Example) -> list[str]:
        return list(example.get("references") or [example["target"]])

    @staticmethod
    def question(example: Example) -> str:
        return str(example["source"])


def _speak(tokenizer: Tokenizer, source: str | None, target: str | None) -> tuple[tuple[str, str] | None, int | None]:
    """Set the tokenizer's languages; gives them and the token that every target begins with, None where it has none."""
    if not (hasattr(tokenizer, "src_lang") and hasattr(tokenizer, "tgt_lang")):
        if source or target:
            raise OptionError(
                "source_language and target_language: this model's tokenizer knows no languages.", "Leave them out."
            )
        return None, None
    source = source or tokenizer.src_lang
    target = target or tokenizer.tgt_lang or source
    for language in (source, target):
        if language not in tokenizer.get_vocab() and language not in getattr(tokenizer, "lang_code_to_token", ()):
            codes = [code for code in tokenizer.all_special_tokens if "_" in code]
            raise OptionError(
                f"this model's tokenizer has no language {language!r}.", did_you_mean(str(language), codes)
            )
    tokenizer.src_lang, tokenizer.tgt_lang = source, target
    first = tokens(tokenizer, text_target="")["input_ids"][0]
    return (source, target), None if first == tokenizer.eos_token_id else int(first)
