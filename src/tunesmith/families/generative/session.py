"""A conversation with a model: its history, its settings, and the commands that change them.

session = ChatSession(model, tokenizer, system="Answer in one sentence.")
for piece in session.reply("Hello!"):
    print(piece, end="", flush=True)
session.command("/set temperature=0.7")
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from pathlib import Path

from pydantic import ValidationError

from tunesmith.core.errors import DataError, FolderError, ModelError, OptionError, Problem, did_you_mean
from tunesmith.core.files import open_in_place
from tunesmith.core.options import describe_faults, parse_value
from tunesmith.engine.generate import Generated, Sampling, context_length, ending_ids, stream
from tunesmith.models.guard import tokens
from tunesmith.models.rendering import Message, limits
from tunesmith.models.types import Network, Tokenizer

Encode = Callable[[Sequence[Message]], Sequence[int]]
"""Messages -> ids of the prompt that the model continues with the assistant's turn."""

HELP = """\
/reset               forget the conversation
/system TEXT         say how the model should behave; without TEXT, say nothing
/set NAME=VALUE      max_new_tokens, temperature, top_p, top_k, seed, stop
/save FILE           append the conversation to a JSONL file that can be trained on
/help                this list
/quit                leave"""


class ChatSession:
    """History and settings of one conversation.

    `model` is a transformers model (PEFT's wrapper too). `encode` and `stop_ids` are those of training,
    where they are known; else the tokenizer's chat template, and its and the model's ending tokens.
    `notify` hears what the reader should know: that history was cut, that an answer was.

    A model without a chat template, or an encoder-decoder, reads each text by itself: its `messages`
    are kept for `/save`, as one conversation for each exchange.
    """

    def __init__(
        self,
        model: Network,
        tokenizer: Tokenizer,
        *,
        system: str | None = None,
        sampling: Sampling | None = None,
        encode: Encode | None = None,
        stop_ids: Sequence[int] | None = None,
        notify: Callable[[str], None] = lambda sentence: None,
    ):
        self.system = system
        self.sampling = sampling or Sampling(temperature=0.7, top_p=0.95)
        self.notify = notify
        self.messages: list[Message] = []
        """The whole conversation, without the system message."""
        self.open = True
        """False once `/quit` was said."""
        self._model, self._tokenizer = model, tokenizer
        self.remembers = bool(tokenizer.chat_template) and not model.config.is_encoder_decoder
        """Whether the model reads the history; set it to False for one trained on prompts and completions."""
        self._encode = encode or (self._by_template if self.remembers else self._as_text)
        self._stop_ids = ending_ids(model, tokenizer) if stop_ids is None else set(stop_ids)
        self._first = 0  # of the messages that the model still reads

    def reply(self, text: str) -> Generator[str, None, None]:
        """The answer in pieces, as they are ready. Closing the iterator stops it; what was said stays.

        Raises DataError where the text alone is too long for the model, ModelError where the chat
        template refuses the messages. The conversation is then as it was before.
        """
        self.messages.append({"role": "user", "content": text})
        said: list[str] = []
        try:
            found = yield from self._answer(said)
        finally:
            # also when interrupted: the next question may be about what was said so far
            answer = "".join(said).strip()
            if answer:
                self.messages.append({"role": "assistant", "content": answer})
            else:
                self.messages.pop()
        if found.reason == "length":
            self.notify(f"The answer was cut after {len(found.ids)} tokens. More: /set max_new_tokens=1000")
        elif not answer:
            self.notify("The model ended its answer without a word.")

    def ask(self, text: str) -> str:
        """The whole answer. Raises as `reply`."""
        return "".join(self.reply(text)).strip()

    def command(self, line: str) -> str | None:
        """Carry out a line such as "/set temperature=0.7" and say what was done; None if it is no command.

        Raises OptionError for unknown commands and wrong values, FolderError for a file that can not be written.
        """
        match = re.fullmatch(r"/([a-z]+)(?:\s+(.*))?", line.strip(), flags=re.DOTALL)
        if match is None:
            return None
        name, argument = match[1], (match[2] or "").strip()
        commands: dict[str, Callable[[str], str]] = {
            "reset": self._reset, "system": self._say_system, "set": self._set, "save": self._save,
            "help": lambda _: HELP, "quit": self._quit,
        }  # fmt: skip
        if name not in commands:
            raise OptionError(f"There is no command /{name}.", did_you_mean(name, commands))
        return commands[name](argument)

    def _answer(self, said: list[str]) -> Generator[str, None, Generated]:
        ids = self._prompt()
        with closing(stream(self._model, self._tokenizer, ids, self.sampling, stop_ids=self._stop_ids)) as pieces:
            while True:
                try:
                    piece = next(pieces)
                except StopIteration as end:
                    found: Generated = end.value
                    return found
                said.append(piece)
                yield piece

    def _prompt(self) -> Sequence[int]:
        """Ids of the conversation, without its oldest exchanges where they leave no room for an answer."""
        limit = context_length(self._model)
        room = None if limit is None else limit - min(self.sampling.max_new_tokens, limit // 2)
        first = self._first if self.remembers else len(self.messages) - 1
        while True:
            ids = self._encode([*self._head(), *self.messages[first:]])
            if room is None or len(ids) <= room:
                break
            if first == len(self.messages) - 1:
                raise DataError(
                    Problem(f"The text is too long: {len(ids):,} tokens with what surrounds it; {room:,} fit."),
                    "Shorten it, or leave less room for the answer with /set max_new_tokens=...",
                )
            first += 1
            while self.messages[first]["role"] != "user":
                first += 1
        if self.remembers and first > self._first:
            self._first = first
            self.notify(f"The conversation is longer than the model reads; it forgot the first {first} messages.")
        return ids

    def _head(self) -> list[Message]:
        return [{"role": "system", "content": self.system}] if self.system and self.remembers else []

    def _by_template(self, messages: Sequence[Message]) -> Sequence[int]:
        try:
            with limits():
                ids: list[int] = self._tokenizer.apply_chat_template(
                    list(messages), add_generation_prompt=True, tokenize=True, return_dict=False
                )
        except ModelError:
            raise
        except Exception as error:  # a template may fail in any way
            fix = "It may know no system messages: /system without a text removes yours." if self.system else None
            raise ModelError(f"The model's chat template refuses the conversation: {error}", fix) from None
        return ids

    def _as_text(self, messages: Sequence[Message]) -> Sequence[int]:
        ids: list[int] = tokens(self._tokenizer, messages[-1]["content"]).input_ids
        end = self._tokenizer.eos_token_id
        if not self._model.config.is_encoder_decoder and len(ids) > 1 and ids[-1] == end:
            ids = ids[:-1]  # some tokenizers end every text, and a prompt is to be continued
        return ids

    def _reset(self, _: str) -> str:
        self.messages, self._first = [], 0
        return "The conversation is forgotten."

    def _say_system(self, text: str) -> str:
        if text and not self.remembers:
            raise OptionError("This model reads one text at a time and has no system message.")
        self.system = text or None
        return "The system message is set." if text else "There is no system message."

    def _set(self, setting: str) -> str:
        name, equals, value = (part.strip() for part in setting.partition("="))
        if not equals or name not in Sampling.model_fields:
            known = did_you_mean(name, Sampling.model_fields)
            raise OptionError(f"/set {setting}: expected NAME=VALUE.", f"{known} Example: /set temperature=0.7")
        parsed = [value] if name == "stop" and not value.startswith("[") else parse_value(value)
        try:
            self.sampling = Sampling(**{**self.sampling.model_dump(), name: parsed})
        except ValidationError as error:
            raise OptionError("\n".join(describe_faults(error, Sampling))) from None
        return f"{name} = {getattr(self.sampling, name)}"

    def _save(self, file: str) -> str:
        if not file or not self.messages:
            raise OptionError("Nothing is saved: there is no " + ("conversation yet." if file else "file name."))
        size = len(self.messages) if self.remembers else 2
        exchanges = [self.messages[start : start + size] for start in range(0, len(self.messages), size)]
        path = Path(file).expanduser()
        try:
            with open_in_place(path, append=True) as out:
                for messages in exchanges:
                    out.write(json.dumps({"messages": [*self._head(), *messages]}, ensure_ascii=False) + "\n")
        except OSError as error:
            raise FolderError(f"{path} can not be written: {error.strerror}.") from None
        return f"Saved to {path}."

    def _quit(self, _: str) -> str:
        self.open = False
        return ""
