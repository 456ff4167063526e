"""Which tokens of a conversation are learned, exactly, for the tokenizer's own chat template.

What is learned of an assistant's turn is what the model must write itself when it is served: all that the
template puts between the prompt for that turn (the messages before it, rendered with
`add_generation_prompt`) and the end of the turn, its end-of-turn token included. Role headers belong to the
prompt; what a template writes behind the end-of-turn token (a newline, mostly) is context.

Where a turn ends is found once for a template, with sentinels in place of the text; every row must then
agree with it, or is refused with its reason. No template is known by name, and the data is not searched for
markers.

* A template may show a turn differently once it is history: it drops reasoning, or writes an empty `<think>`
  only in the last turn. Then one text can not hold several turns as the model writes them, and the
  conversation becomes one example for each learned turn (`encode_turns`), each as served.
* A template may show the context differently once it is answered (a system text only before the last question),
  or leave older turns out. Then the context is the one that is served, for each turn.
* A template without an end-of-turn token gets the end-of-sequence token after the turn, learned, and again
  one example for each turn.
* A template that drops the reasoning (`<think>...</think>`) even from the last turn, or puts a second, empty
  one before it, does not show what the model must write: the turn is then the generation prompt, and the text
  as it is in the data.
* Special tokens written out in the data (`<|im_end|>` in a question) would become the tokens themselves and
  so forge turns: the row is refused.
"""

from __future__ import annotations

import datetime
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from tunesmith.core.errors import DataError, ModelError
from tunesmith.models.mask import Encoded, begin_of_sequence, encode_spans, end_of_sequence, tokenise
from tunesmith.models.rendering import (
    THINK,
    THOUGHT,
    ChatTemplate,
    Message,
    TemplateFailed,
    Tools,
    as_object,
    as_text,
    refusal,
    with_date,
)
from tunesmith.models.types import Tokenizer

Messages = Sequence[Message]
_PLAIN = re.compile(r"[A-Za-z0-9 _.,-]+")


class _Turn(NamedTuple):
    """A text up to and with a turn, and which of its characters are learned."""

    text: str
    start: int
    stop: int


def learned_turns(messages: Messages) -> list[int]:
    """Where the assistant's messages are that are learned: those without the weight 0."""
    return [i for i, message in enumerate(messages) if message["role"] == "assistant" and message.get("weight", 1) != 0]


class TemplateEncoder:
    """Conversations as token ids with the mask of what is learned.

    `variables` go to the template as they are (`{"enable_thinking": False}`). `end_of_turn` are the ids that
    end an assistant's turn, and `stop_ids` those that end generation. `unseen` counts the conversations with something
    that the template does not show and that is no reason to refuse them, by what it is. `date` (2026-01-31) stands for
    today's. Raises ModelError when the tokenizer has
    no chat template, no end-of-sequence token or no offsets, or when its template fails.

    **Usage**:
    encoder = TemplateEncoder(tokenizer)
    encoded = encoder.encode([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}])
    tokenizer.decode(encoded.ids[encoded.learned])     # 'Hello<|im_end|>'
    """

    def __init__(self, tokenizer: Tokenizer, variables: Mapping[str, object] | None = None, *, date: str | None = None):
        self.tokenizer = tokenizer
        self._date = datetime.date.fromisoformat(date) if date else datetime.date.today()
        self._eos = end_of_sequence(tokenizer)
        if not tokenizer.chat_template:
            raise ModelError(
                "This model's tokenizer has no chat template, so it is not known how the model reads conversations.",
                "Teach it one with --template chatml (or a .jinja file of your own), choose a model trained for "
                "conversations ('instruct' or 'chat'), or give prompts and completions in place of messages.",
            )
        self._begin = begin_of_sequence(tokenizer)
        self._variables = {**tokenizer.special_tokens_map, **(variables or {})}
        tokens = tokenizer.added_tokens_decoder.values()
        self._added = {token.content for token in tokens}
        self._special = {token.content for token in tokens if token.special} | {tokenizer.eos_token}
        self._templates: dict[str, ChatTemplate] = {}
        self._heads: dict[str, str] = {}
        template = self._template(None)
        written = template.closing[: template.end].strip()
        self.end_of_turn = tuple(tokenise(tokenizer, written)[0].tolist()) if template.has_end else (self._eos,)
        self._stops = {self.end_of_turn[-1], self._eos}
        self.unseen: Counter[str] = Counter()

    @property
    def stop_ids(self) -> tuple[int, ...]:
        """Ids that end generation; one more once a turn with another end (a tool call's) was encoded."""
        return tuple(sorted(self._stops))

    def prompt(self, messages: Messages, tools: Tools = None) -> np.ndarray:
        """Ids int32 [n] that the model continues with the next assistant's turn, exactly as in training."""
        template = self._template(tools)
        clean = template.clean(list(messages))
        text = _served(template, clean, tools) + template.header
        return encode_spans(self.tokenizer, text, [], begin=self._begin).ids

    def encode(
        self, messages: Messages, tools: Tools = None, *, completion: Messages | None = None, row: int | None = None
    ) -> Encoded:
        """The conversation as one example; DataError where the template needs one for each turn.

        With `completion`, `messages` are context and only assistants' turns of `completion` are learned.
        """
        examples = self.encode_turns(messages, tools, completion=completion, row=row)
        if len(examples) > 1:
            problem = (
                f"this model's chat template shows {len(examples)} assistant turns differently once they are history, "
                "or does not end them, so one example can not hold them"
            )
            fix = "Let each turn be an example of its own, or keep weight 1 on the last assistant message only."
            raise _in_row(refusal(problem, fix), row)
        return examples[0]

    def encode_turns(
        self, messages: Messages, tools: Tools = None, *, completion: Messages | None = None, row: int | None = None
    ) -> list[Encoded]:
        """One example that holds all learned turns where the template allows it, else one for each.

        Messages behind the last learned turn are left out: nothing is learned from them. Raises DataError,
        naming `row`, where the template refuses the messages, leaves some of their text out, or where the
        data has the text of a special token.
        """
        try:
            return self._examples([*messages, *(completion or [])], 0 if completion is None else len(messages), tools)
        except DataError as error:
            raise _in_row(error, row) from None

    def _examples(self, messages: list[Message], first: int, tools: Tools) -> list[Encoded]:
        learned = [i for i in learned_turns(messages) if i >= first]
        if not learned:
            raise refusal("there is no assistant message to learn", "Add one, or give one of them weight 1.")
        template = self._template(tools)
        clean = template.clean(messages[: learned[-1] + 1])
        _forbid_control(template, clean, tools)
        turns = [self._turn(template, clean, i, tools) for i in learned]
        self.unseen.update(_not_shown(template, clean, learned, turns[-1].text))
        text = turns[-1].text
        _require_all(template, clean, tools, text)
        head = self._head(template, clean, tools, text)
        if len(turns) == 1 or (template.has_end and all(text.startswith(t.text[: t.stop]) for t in turns[:-1])):
            return [self._encoded(template, turns, head)]
        return [self._encoded(template, [turn], head) for turn in turns]

    def _encoded(self, template: ChatTemplate, turns: list[_Turn], head: int) -> Encoded:
        last, spans = turns[-1], [(turn.start, turn.stop) for turn in turns]
        if template.has_end:
            return encode_spans(self.tokenizer, last.text, spans, head=head, begin=self._begin)
        return encode_spans(self.tokenizer, last.text[: last.stop], spans, end=self._eos, head=head, begin=self._begin)

    def _turn(self, template: ChatTemplate, messages: list[Message], i: int, tools: Tools) -> _Turn:
        """What is learned of message `i`, as the last one of its conversation."""
        served = _served(template, messages[:i], tools) + template.header
        try:
            text, tagged = template.render(messages[: i + 1], tools)
        except TemplateFailed as failed:
            raise _not_taken(i + 1, failed) from None
        content = messages[i]["content"]
        stop = self._stop(template, text)
        marked = tagged[-1] if tagged else (0, 0)
        if marked[1] < stop - template.end or _squeezed(content) not in _squeezed(text[slice(*marked)]):
            marked = (0, 0)  # marks another turn, or only a part of this one
        if text.startswith(served):
            # {% generation %} may begin later than the prompt ends. Where it ends is not asked: many templates
            # leave the end of the turn out of it, or put more in.
            start = max(len(served), marked[0])
            as_probed = (template.opening + said + template.closing for said in (content, content.strip()))
            written = text[len(served) : stop]
            doubled = THOUGHT in content and written.count(THOUGHT) > content.count(THOUGHT)
            if not doubled and (text[len(served) :] in as_probed or _kept(messages[i], written)):
                return _Turn(text, start, stop)
        elif marked[1]:
            return _Turn(text, max(marked[0], _header_end(served, text)), stop)
        answer = content.rpartition(THOUGHT)[2]
        if THOUGHT in content and _squeezed(text[:stop]).endswith(_squeezed(answer + template.closing[: template.end])):
            return _as_written(template, served, content)
        begun = 0 if text.startswith(served) else _behind(template, messages[i - 1]["content"], served, text[:stop])
        if begun and _kept(messages[i], text[begun:stop]):
            return _Turn(served + text[begun:], len(served), len(served) + stop - begun)
        if not text.startswith(served) and THOUGHT not in content:
            raise refusal(
                f"this model's chat template begins the answer with {served[-40:]!r} when the model is served, but "
                f"writes message {i + 1} without it: what would be learned is never asked",
                f"Write the reasoning before the answer ('{THINK}\\n...\\n{THOUGHT}\\n\\n'; it may be empty), or turn "
                "it off with a variable of the template (often enable_thinking)."
                if served.rstrip().endswith((THINK, THOUGHT))
                else "Choose a model whose template writes a conversation as it is served, or leave the row out.",
            )
        raise refusal(
            f"this model's chat template leaves out or rewrites a part of message {i + 1} (assistant)",
            "Write the answer the way the template does, or choose a model whose template keeps it.",
        )

    def _stop(self, template: ChatTemplate, text: str) -> int:
        """The character behind the end of the last turn of `text`."""
        if text.endswith(template.closing):
            return len(text) - len(template.closing) + template.end
        written = len(text.rstrip())
        end = next((found for found in template.control.finditer(text) if found.end() == written), None)
        if end is None:
            raise refusal(
                f"this model's chat template ends the conversation with {text[-40:]!r}, and not with the end of an "
                f"assistant's turn ({template.closing!r})"
            )
        self._stops.add(self.tokenizer.convert_tokens_to_ids(end.group()))
        return written

    def _head(self, template: ChatTemplate, messages: list[Message], tools: Tools, text: str) -> int:
        """Characters of the system turn, where the template writes it as a turn of its own."""
        if messages[0]["role"] != "system":
            return 0
        key = as_text([messages[0], tools])
        if key not in self._heads:
            if len(self._heads) > 100:
                self._heads.clear()  # texts that differ in every row are not worth keeping
            try:
                self._heads[key] = template.render(messages[:1], tools)[0]
            except TemplateFailed:
                self._heads[key] = ""
        head = self._heads[key]
        return len(head) if text.startswith(head) and messages[0]["content"].strip() in head else 0

    def _template(self, tools: Tools) -> ChatTemplate:
        try:
            source = self.tokenizer.get_chat_template(None, tools or None)
        except ValueError:
            raise ModelError(
                "This model's tokenizer has several chat templates, and none of them is called 'default'.",
                "Name the one for conversations 'default' in tokenizer_config.json, or give one with --template.",
            ) from None
        if source not in self._templates:
            text = with_date(source, self._date)
            self._templates[source] = ChatTemplate(text, self._variables, self._special, self._added)
        return self._templates[source]


def _served(template: ChatTemplate, messages: list[Message], tools: Tools) -> str:
    """What the model is given to answer the messages."""
    try:
        return template.render(messages, tools, prompt=True)[0]
    except TemplateFailed as failed:
        raise _not_taken(len(messages), failed) from None


def _not_taken(count: int, failed: TemplateFailed) -> DataError:
    which = f"the messages up to message {count}" if count else "a conversation that begins with the assistant"
    return refusal(
        f"this model's chat template does not take {which}: {failed}",
        "Change the messages (a system text can go into the first user message; many templates want user and "
        "assistant in turns), or choose a model whose template takes them.",
    )


def _header_end(served: str, text: str) -> int:
    """Where the role header ends in a turn that does not go on as its prompt does: what both have, less `<think>`."""
    header = served.rstrip().removesuffix(THINK)
    if served.rstrip().endswith(THINK) and text.startswith(header):
        return len(header)  # before the tag, though what the turn begins with may share a character with it
    same = next((i for i, (a, b) in enumerate(zip(served, text, strict=False)) if a != b), min(len(served), len(text)))
    return same


def _behind(template: ChatTemplate, asked: str, served: str, text: str) -> int:
    """Where the turn begins in a text whose context is not the one that is served (Mistral's templates show a system
    text only before a last question); 0 where what leads from question to answer does not tell."""
    at = text.rfind(template.lead)
    # only a lead with a token in it, which no text can hold, is sure to be the place
    known = at >= 0 and served.endswith(template.lead) and template.control.search(template.lead) is not None
    return at + len(template.lead) if known and _squeezed(text[:at]).endswith(_squeezed(asked)) else 0


def _as_written(template: ChatTemplate, served: str, content: str) -> _Turn:
    """The turn as the model writes it: the prompt, the text of the data, the closing.

    A prompt that opens the reasoning has its tag already; one that closes it (thinking is off) allows none.
    """
    said, opened = content.strip(), served.rstrip()
    if opened.endswith(THOUGHT):
        reasoning, _, said = said.rpartition(THOUGHT)
        if reasoning.removeprefix(THINK).strip():
            raise refusal(
                "the answer has reasoning, but the generation prompt of this model's chat template closes it",
                "Take the reasoning out of the answers, or let the template think.",
            )
        said = said.lstrip()
    elif opened.endswith(THINK):
        gap = served[len(opened) :]
        said = said.removeprefix(THINK)
        said = said[len(gap) :] if said.startswith(gap) else said.lstrip()
    return _Turn(served + said + template.closing, len(served), len(served + said) + template.end)


def _require_all(template: ChatTemplate, messages: list[Message], tools: Tools, text: str) -> None:
    """Refuse a conversation of which the template leaves out something that it was given."""
    for number, message in enumerate(messages, 1):
        said = message["content"].strip()
        forms = (said, json.dumps(said, ensure_ascii=False))
        if message["role"] == "assistant" or any(form in text for form in forms):
            continue
        # a template may drop what is older, as it does when the model is served, but not what is asked
        asked = "" if message["role"] == "system" else _served(template, messages[:number], tools)
        if not any(form in asked for form in forms):
            raise refusal(
                f"this model's chat template leaves out message {number} ({message['role']})",
                "Move its text into a user message, or choose a model whose template keeps it.",
            )
    if tools and "tools" not in template.source:
        raise refusal(
            "this model's chat template has no place for tools",
            "Take 'tools' out of the data, or choose a model trained to call tools.",
        )


def _not_shown(template: ChatTemplate, messages: list[Message], learned: list[int], text: str) -> Iterator[str]:
    """What the template leaves out of a conversation, in words."""
    names = {message["name"] for message in messages if message["role"] != "tool" and message.get("name")}
    if any(str(name) not in text for name in names):
        yield 'the names of speakers (key "name")'
    thoughts = [messages[i]["reasoning_content"].strip() for i in learned if messages[i].get("reasoning_content")]
    if any(thought not in text for thought in thoughts[-1:]):
        yield 'the thoughts of answers (key "reasoning_content")'
    if any((said := messages[i]["content"]) != said.strip() and said not in text for i in learned):
        yield "white space around answers"


def _forbid_control(template: ChatTemplate, messages: list[Message], tools: Tools) -> None:
    """Refuse text that would become a special token."""
    parts = [(f"message {number} ({message['role']})", message) for number, message in enumerate(messages, 1)]
    for what, part in [*parts, *([("the tools", {"tools": tools})] if tools else [])]:
        found = template.control.search("\n".join(as_text(value) for value in part.values()))
        if found:
            raise refusal(
                f"{what}: the text {found.group()!r} is a special token of this model, so it could end the turn or "
                "begin another",
                "Write it differently (with a space inside), or leave the row out.",
            )


def _kept(message: Message, written: str) -> bool:
    """Whether the text and all tool calls of an assistant's message are in what the template wrote of it.

    Some templates write only the first of several calls. How a call is written is theirs: what is looked for are the
    names, each as often as it is called, and the plain words of the arguments.
    """
    functions = [call["function"] for call in message.get("tool_calls", [])]
    parts = [message["content"], *(word for one in functions for word in _plain_words(as_object(one["arguments"])))]
    names = Counter(_squeezed(one["name"]) for one in functions)
    squeezed = _squeezed(written)
    return all(_squeezed(part) in squeezed for part in parts) and all(
        squeezed.count(name) >= count for name, count in names.items()
    )


def _plain_words(value: object) -> list[str]:
    """The texts within arguments that every way to write them leaves as they are."""
    if isinstance(value, str):
        return [value] if _PLAIN.fullmatch(value) else []
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [word for one in inner for word in _plain_words(one)]


def _squeezed(text: str) -> str:
    """Without white space, which templates trim and add."""
    return "".join(text.split())


def _in_row(error: DataError, row: int | None) -> DataError:
    return DataError([replace(problem, row=row) for problem in error.problems], error.fix)
