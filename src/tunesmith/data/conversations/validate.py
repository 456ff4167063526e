"""The rules for examples to learn from, after OpenAI's for fine-tuning files. Every fault of every row."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

from tunesmith.core.errors import Problem
from tunesmith.data.conversations.examples import Examples, in_order
from tunesmith.data.conversations.messages import KEYS
from tunesmith.data.conversations.shape import Example
from tunesmith.data.conversations.turns import role as role_of
from tunesmith.data.jsonkeys import kind

FIX = "Mend or remove these rows."
ROLES = ("system", "developer", "user", "assistant", "tool")
_WORDS = {
    "sharegpt": {"role": "from", "content": "value"},
    "openai-preference": {"chosen": "preferred_output", "rejected": "non_preferred_output"},
}
LONGEST = 4_000_000
"""Bytes of a message: more than any model reads at once, so it is there by mistake. Plain text is cut instead."""
_SHAPE = '{"role": "user", "content": "..."}'
_CALL = '{"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}'


def validate(examples: Examples) -> list[Problem]:
    """All problems of all rows, in the order of the rows; empty if all is well.

    The rules are those of OpenAI's training files: known roles and keys, content everywhere, user and assistant in
    turns, an assistant message last, weights of 0 or 1 with something left to learn, tool calls that fit the tools
    and are answered; and for preferences two different answers to a prompt that does not end in one.
    """
    words = _WORDS.get(examples.format, {})
    words = words | {"messages": examples.detected.columns.get("messages", "messages")}
    found = [examples.problem(example["row"], message) for example in examples for message in faults(example, words)]
    return in_order([*examples.problems, *found], examples.files)


def faults(example: Example, words: Mapping[str, str] | None = None) -> list[str]:
    """What is wrong with one example. words: the file's own names of keys, for the messages."""
    return list(_RULES[example["form"]](_Check(example, words or {})))


@dataclass
class _Check:
    """One example, and how the keys are called in its file."""

    example: Example
    words: Mapping[str, str]

    def key(self, name: str) -> str:
        return f'key "{self.words.get(name, name)}"'

    def names(self) -> set[object]:
        """Names of the tools."""
        functions = [tool.get("function") for tool in self.example.get("tools") or () if isinstance(tool, Mapping)]
        return {function.get("name") for function in functions if isinstance(function, Mapping)}

    def check_tools(self) -> Iterator[str]:
        for number, tool in enumerate(self.example.get("tools") or (), 1):
            function = tool.get("function") if isinstance(tool, Mapping) else None
            if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
                yield f'key "tools": tool {number} is not {{"type": "function", "function": {{"name": "..."}}}}'

    def check_text(self, name: str, may_be_empty: bool = False, most: float = LONGEST) -> Iterator[str]:
        if fault := _text_fault(self.example.get(name), may_be_empty, most):
            yield f"{self.key(name)}: {fault}"

    def not_messages(self, name: str) -> str | None:
        """What is wrong where a list of messages should be."""
        messages = self.example.get(name)
        if messages is None:
            return f"{self.key(name)}: is missing"
        if not isinstance(messages, list):
            return f"{self.key(name)}: is {kind(messages)}, not a list of messages"
        return None if messages else f"{self.key(name)}: there are no messages"


def _text_fault(text: object, may_be_empty: bool = False, most: float = LONGEST) -> str | None:
    if text is None:
        return "is missing"
    if not isinstance(text, str):
        return f"is {kind(text)}, not a string"
    if not may_be_empty and not text.strip():
        return "is empty"
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        return f"holds half a character (\\u{ord(text[error.start]):04x}, a surrogate without its other half)"
    return f"is {size:,} bytes long, and {most:,} are the most for one message" if size > most else None


def _chat(check: _Check) -> Iterator[str]:
    yield from check.check_tools()
    if fault := check.not_messages("messages"):
        yield fault
        return
    messages = check.example["messages"]
    yield from _messages(check, messages)
    yield from _last_is_assistant(check, messages)


def _last_is_assistant(check: _Check, messages: list[Any]) -> Iterator[str]:
    roles = [role_of(message) for message in messages]
    if "assistant" not in roles:
        yield f'{check.key("messages")}: no message has the role "assistant"'
    elif roles[-1] != "assistant":
        yield f"message {len(roles)}, {check.key('role')}: the last message must be the assistant's"
    spoken = [message.get("weight", 1) for message in messages if role_of(message) == "assistant"]
    if spoken and all(weight == 0 for weight in spoken):
        yield 'key "weight": it is 0 in every assistant message, so there is nothing to learn'


def _messages(
    check: _Check, messages: list[object], where: str = "", given: list[object] | None = None
) -> Iterator[str]:
    """The faults of a list of messages. given: the prompt that they answer, if they do."""
    waiting: dict[Any, None] = {}  # ids of calls without an answer, in their order
    used: set[Any] = {number for message in given or () for number in _ids(message)}
    last: Mapping[str, Any] = {}
    for number, message in enumerate(messages, 1):
        here = f"{where}message {number}"
        if not isinstance(message, Mapping):
            yield f"{here}: is {kind(message)}, not an object such as {_SHAPE}"
            continue
        alike = message.get("role") in ("user", "assistant") and message.get("role") == last.get("role")
        if alike and "tool_calls" not in {*last, *message}:  # to say something and then call a tool may be two messages
            yield f"{here}, {check.key('role')}: follows another {message['role']} message; make the two one"
        last = message
        if message.get("role") != "tool":
            for call in waiting:
                yield f'{here}: the tool call "{call}" before it is not answered by a tool message'
            waiting.clear()
        yield from (f"{here}, {fault}" for fault in _message(check, message, number == 1 and given is None))
        if message.get("role") == "tool":
            yield from (f"{here}, {fault}" for fault in _answer(message, waiting))
        if "tool_calls" in message:
            yield from (f"{here}, {fault}" for fault in _calls(check, message, used))
            waiting |= dict.fromkeys(_ids(message))
            used |= waiting.keys()
    if waiting and role_of(messages[-1]) == "tool":
        yield from (f'{where}the tool call "{call}" is not answered by a tool message' for call in waiting)


def _ids(message: object) -> list[str]:
    """Ids of the message's tool calls; one that is no string is told elsewhere."""
    calls = message.get("tool_calls") if isinstance(message, Mapping) else None
    found = [call.get("id") for call in calls if isinstance(call, Mapping)] if isinstance(calls, list) else []
    return [number for number in found if isinstance(number, str)]


def _message(check: _Check, message: Mapping[str, object], first: bool) -> Iterator[str]:
    role = message.get("role")
    if role is None:
        yield f"{check.key('role')}: is missing"
    elif role not in ROLES:
        yield f"{check.key('role')}: {json.dumps(role)} is not one of {', '.join(ROLES)}"
    elif role in ("system", "developer") and not first:
        yield f"{check.key('role')}: a {role} message must be the first"
    content = message.get("content")
    if isinstance(content, list) and content:
        others = [part.get("type") if isinstance(part, Mapping) else kind(part) for part in content]
        named = ", ".join(sorted({str(other) for other in others if other != "text"})) or "a text part without text"
        yield f"{check.key('content')}: only text can be learned from, and this holds: {named}"
    elif content is not None or "tool_calls" not in message:
        fault = _text_fault(content, may_be_empty=role == "tool" or "tool_calls" in message)
        if fault:
            yield f"{check.key('content')}: {fault}"
    for key in message:
        if key not in KEYS:
            yield f'key "{key}": is not known (known: {", ".join(check.words.get(name, name) for name in KEYS)})'
    if not isinstance(message.get("reasoning_content", ""), str):
        yield f'key "reasoning_content": is {kind(message["reasoning_content"])}, not a string'
    if "weight" in message:
        weight = message["weight"]
        if isinstance(weight, bool) or weight not in (0, 1):
            yield f'key "weight": {json.dumps(weight)} is neither 0 nor 1'
        if role != "assistant":
            yield 'key "weight": only assistant messages have one'


def _answer(message: Mapping[str, object], waiting: dict[object, None]) -> Iterator[str]:
    number = message.get("tool_call_id")
    if number is None:
        yield 'key "tool_call_id": is missing'
    elif not isinstance(number, str) or number not in waiting:
        yield f'key "tool_call_id": {json.dumps(number)} answers no tool call before it'
    else:
        del waiting[number]


def _calls(check: _Check, message: Mapping[str, object], used: set[object]) -> Iterator[str]:
    calls = message["tool_calls"]
    if message.get("role") != "assistant":
        yield 'key "tool_calls": only assistant messages have them'
    if not isinstance(calls, list):
        yield f'key "tool_calls": is {kind(calls)}, not a list'
        return
    here: set[str] = set()
    for number, call in enumerate(calls, 1):
        where = f'key "tool_calls": call {number}'
        function = call.get("function") if isinstance(call, Mapping) else None
        if not isinstance(function, Mapping) or not isinstance(call["id"], str) or call["type"] != "function":
            yield f"{where} is not {_CALL}"
            continue
        if call["id"] in here | used:
            yield f'{where} has the id "{call["id"]}" of an earlier call'
        here.add(call["id"])
        yield from (f"{where}{fault}" for fault in _function(check, function))


def _function(check: _Check, function: Mapping[str, Any]) -> Iterator[str]:
    name = function.get("name")
    if not isinstance(name, str) or not name:
        yield " has no name"
    elif name not in (known := check.names()):
        told = f"only {', '.join(sorted(map(str, known)))}" if known else "none at all"
        yield f' asks for "{name}", but the key "tools" holds {told}'
    try:
        json.loads(function["arguments"])
    except (ValueError, RecursionError) as error:
        yield f' has "arguments" that are not valid JSON: {error}'


def _prompt(check: _Check) -> Iterator[str]:
    """The prompt of a preference or a judged answer: a string, or messages that leave the word to the assistant."""
    if check.example.get("messages") is None and "prompt" in check.example:
        yield from check.check_text("prompt", may_be_empty=True)
        return
    yield from check.check_tools()
    messages = check.example.get("messages")
    if messages is None:
        yield 'key "messages": is missing'
        return
    if fault := check.not_messages("messages"):
        yield fault
        return
    yield from _messages(check, messages)
    if role_of(messages[-1]) == "assistant":
        yield f"message {len(messages)}, {check.key('role')}: the prompt must not end with the assistant"


def _reply(check: _Check, name: str) -> Iterator[str]:
    """An answer: a string, or messages of assistant and tool."""
    messages = check.example[name]
    if isinstance(messages, str):
        yield from check.check_text(name)
        return
    if fault := check.not_messages(name):
        yield fault
        return
    where = f"{check.key(name)}, "
    given = check.example.get("messages")
    yield from _messages(check, messages, where, given if isinstance(given, list) else [])
    for number, message in enumerate(messages, 1):
        if role_of(message) not in ("assistant", "tool", None) and role_of(message) in ROLES:
            yield f"{where}message {number}, {check.key('role')}: only assistant and tool messages can answer"
    if "assistant" not in map(role_of, messages):
        yield f'{check.key(name)}: no message has the role "assistant"'


def _preference(check: _Check) -> Iterator[str]:
    yield from _prompt(check)
    yield from _reply(check, "chosen")
    yield from _reply(check, "rejected")
    if check.example["chosen"] == check.example["rejected"]:
        yield f"{check.key('rejected')}: is the same as {check.key('chosen')}"


def _feedback(check: _Check) -> Iterator[str]:
    yield from _prompt(check)
    yield from _reply(check, "completion")


_RULES: dict[str, Callable[[_Check], Iterator[str]]] = {
    "chat": _chat,
    "completion": lambda check: chain(check.check_text("prompt", may_be_empty=True), check.check_text("completion")),
    "text": lambda check: check.check_text("text", most=math.inf),
    "preference": _preference,
    "feedback": _feedback,
    "pair": lambda check: chain(check.check_text("source"), check.check_text("target")),
}
