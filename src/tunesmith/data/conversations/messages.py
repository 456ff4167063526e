"""Messages of every dialect as OpenAI's: role, content, tool_calls. Knows no files and no rules.

What is no message stays as it is, so that `validate` can name it; only what can not be understood at all
raises Fault.
"""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from tunesmith.data.jsonkeys import KeyTwice, kind, once

_SPEAKERS = {
    "human": "user", "user": "user", "prompter": "user",
    "gpt": "assistant", "chatgpt": "assistant", "assistant": "assistant", "ai": "assistant", "model": "assistant",
    "bot": "assistant", "bing": "assistant", "bard": "assistant", "system": "system", "developer": "developer",
    "function_call": "function_call", "tool_call": "function_call", "observation": "tool",
    "function_response": "tool", "tool_response": "tool", "function": "tool", "tool": "tool",
}  # fmt: skip
DIALECTS = {"openai": "role/content", "sharegpt": "from/value"}

Message = dict[str, Any]

Note = Callable[[str], None]
"""How a row tells what was done to it: a sentence, the same for all rows of a kind."""
KEYS = ("role", "content", "weight", "tool_calls", "tool_call_id", "name", "reasoning_content")
"""The keys that a message may have."""
_REASONING = ("reasoning", "thinking", "thought", "reasoning_text")
_LOGGED = {
    "id", "index", "object", "type", "status", "created", "created_at", "timestamp", "time", "date", "model", "usage",
    "finish_reason", "stop_reason", "logprobs", "annotations", "audio", "provider_specific_fields", "tokens",
    "token_count", "message_id", "parent_id", "uuid", "metadata", "meta", "citations", "latency", "service_tier",
    "system_fingerprint", "channel", "recipient", "end_turn", "update_time", "create_time",
}  # fmt: skip
"""What logs of an API keep beside a message, and nobody says."""

_CAMEL = {
    "function_call": "functionCall", "function_response": "functionResponse",
    "function_declarations": "functionDeclarations",
}  # fmt: skip
_PRINTED = re.compile(r"\s*(\[\s*)?\{\s*'")


class Fault(ValueError):
    """What is wrong with one row; the text goes into its Problem."""


def decoded(value: object) -> object:
    """The list or object that a string holds as JSON, or as Python prints it; anything else unchanged."""
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        try:
            # in a table a text may have its line breaks as they are
            return json.loads(value, strict=False, object_pairs_hook=once)
        except KeyTwice as error:
            raise Fault(str(error)) from None
        except (ValueError, RecursionError):
            return _printed(value)
    return value


def _printed(text: str) -> object:
    """The objects that a text holds as Python prints them, which is how pandas writes them into CSV files."""
    if not _PRINTED.match(text):
        return text
    try:
        with warnings.catch_warnings(action="ignore"):
            return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return text


def structure(value: object) -> object:
    """`decoded`, and None for a string that holds nothing or JSON's null, as tables of text write what is not there."""
    return None if isinstance(value, str) and value.strip() in ("", "null") else decoded(value)


def is_messages(value: object) -> bool:
    """Whether this is a list of messages (or its JSON): objects with 'role' or 'from'."""
    return dialect_of(value) is not None


def dialect_of(messages: object) -> str | None:
    """Of DIALECTS the one that a list of messages (or its JSON) begins with."""
    messages = decoded(messages)
    items = messages if isinstance(messages, list) else []
    return next((found for found in map(_dialect, items) if found), None)


def _dialect(message: object) -> str | None:
    if not isinstance(message, Mapping):
        return None
    return "openai" if "role" in message else "sharegpt" if "from" in message else None


def read_messages(value: object, note: Note = lambda _: None) -> object:
    """Messages of role/content or from/value (or their JSON) in internal form; no list stays what it is.

    Tool calls without an id get 'call_1', 'call_2', ..., and tool messages without one answer the calls in
    their order. Legacy function_call and role 'function' become tool_calls and 'tool'.
    """
    value = decoded(value)
    if not isinstance(value, list):
        return value
    calls = _Calls()
    spoken = dialect_of(value) or "openai"
    messages = []
    for number, item in enumerate(value, 1):
        try:
            own = _dialect(item)
            if own and own != spoken:
                told = f"the messages before it are of {DIALECTS[spoken]}: one conversation must be of one format"
                raise Fault(f'key "{DIALECTS[own].partition("/")[0]}": {told}')
            messages.append(_message(item, calls, note) if isinstance(item, Mapping) else item)
        except Fault as fault:
            raise Fault(f"message {number}, {fault}") from None
    return messages


def read_tools(tools: Any, functions: Any = None) -> list[Any] | None:
    """Tools as [{"type": "function", "function": {...}}]; bare and legacy ones are wrapped; None for none."""
    tools, functions = structure(tools) or [], structure(functions) or []
    for key, value in (("tools", tools), ("functions", functions)):
        if not isinstance(value, list):
            raise Fault(f'key "{key}": is {kind(value)}, not a list')
    return [_tool(tool) for tool in (*tools, *functions)] or None


def read_contents(contents: object, instruction: object) -> object:
    """Gemini's contents and systemInstruction as messages."""
    contents, instruction = decoded(contents), decoded(instruction)
    if not isinstance(contents, list):
        return contents
    messages: list[Message] = []
    if isinstance(instruction, Mapping) and instruction:
        parts = _parts(instruction, 'key "systemInstruction"')
        instruction = "".join(str(part.get("text", "")) for part in parts)
        messages.append({"role": "system", "content": instruction})
    elif instruction:
        messages.append({"role": "system", "content": instruction})
    calls = _Calls()
    for number, item in enumerate(contents, 1):
        messages += _content(item, calls, number) if isinstance(item, Mapping) else [item]
    return messages


def gemini_tools(tools: object) -> list[object] | None:
    """Gemini's tools, [{"functionDeclarations": [...]}], in internal form."""
    tools = structure(tools) or []
    if not isinstance(tools, list):
        raise Fault(f'key "tools": is {kind(tools)}, not a list')
    found: list[Any] = []
    for tool in tools:
        declared = _camel(tool).get("functionDeclarations") if isinstance(tool, Mapping) else None
        found += declared if isinstance(declared, list) else [tool]
    return read_tools(found)


class _Calls:
    """Ids of the tool calls of one conversation, and which of them still wait for an answer."""

    def __init__(self) -> None:
        self.count = 0
        self.waiting: list[tuple[str, Any]] = []  # id, name of the tool

    def add(self, call: Any) -> Any:
        """The call with id, type and its arguments as JSON."""
        if not isinstance(call, Mapping):
            return call
        self.count += 1
        call = {key: value for key, value in call.items() if value is not None}
        function = call.get("function")
        if "function" not in call and "name" in call:
            call, function = {"function": call}, call
        name = None
        if isinstance(function, Mapping):
            name, arguments = function.get("name"), function.get("arguments", {})
            if not isinstance(arguments, str):
                function = {**function, "arguments": json.dumps(arguments, ensure_ascii=False)}
        number = call.get("id", f"call_{self.count}")
        self.waiting.append((number, name))
        return {**call, "id": number, "type": call.get("type", "function"), "function": function}

    def answered(self, message: Message) -> object:
        """The id that this tool message answers: its own, else the first call that waits (for its name)."""
        if "tool_call_id" in message:
            number = message["tool_call_id"]
        else:
            named = [found for found, name in self.waiting if name == message.get("name")]
            number = named[0] if named else self.waiting[0][0] if self.waiting else None
        self.waiting = [waiting for waiting in self.waiting if waiting[0] != number]
        return number


def _message(item: Mapping[str, Any], calls: _Calls, note: Note) -> Message:
    message = {key: value for key, value in item.items() if value is not None}
    if "from" in message and "role" not in message:
        _translate_turn(message)
    _without_log(message, note)
    _usual_role(message, note)
    for key in ("loss", "train"):  # other trainers' names of the weight
        if isinstance(message.get(key), bool):
            message["weight"] = int(message.pop(key))
    if isinstance(message.get("weight"), float):
        message["weight"] = int(message["weight"]) if message["weight"].is_integer() else message["weight"]
    if "function_call" in message:
        message["tool_calls"] = [message.pop("function_call")]
    if message.get("tool_calls") == []:
        del message["tool_calls"]
    if isinstance(message.get("tool_calls"), list):
        message["tool_calls"] = [calls.add(call) for call in message["tool_calls"]]
    if message.get("role") == "model":  # an older form of Gemini's
        message["role"] = "assistant"
    if message.get("role") in ("tool", "function"):
        number = calls.answered(message)
        if number is not None:
            message["tool_call_id"] = number
        if message["role"] == "function":  # of the interface before tool calls
            message.pop("name", None)
        message["role"] = "tool"
    refusal = message.pop("refusal", None)
    if "content" not in message and (refusal is not None or "tool_calls" in message):
        message["content"] = refusal
    if "content" in message:
        message["content"] = _joined(message["content"])
    return message


def _without_log(message: Message, note: Note) -> None:
    """Leave out, in place, what a log keeps beside a message; thoughts get the name that templates know."""
    for key in _REASONING:
        if isinstance(message.get(key), str) and "reasoning_content" not in message:
            message["reasoning_content"] = message.pop(key)
            note(f"the key {key!r} of messages is read as 'reasoning_content'")
    if message.get("reasoning_content") == "":
        del message["reasoning_content"]
    for key in [key for key in message if key not in KEYS and key not in ("refusal", "function_call", "loss", "train")]:
        if key in _LOGGED or message[key] in ("", [], {}):
            del message[key]
            note(f"the key {key!r} of messages is left out: it says nothing")


def _usual_role(message: Message, note: Note) -> None:
    """'User', 'human' and 'ai' as the roles that all know, in place."""
    role = message.get("role")
    usual = _SPEAKERS.get(role.strip().lower()) if isinstance(role, str) else None
    if usual in ("user", "assistant", "system") and role not in (usual, "model"):
        message["role"] = usual
        note(f"the role {role!r} is read as {usual!r}")


def _translate_turn(message: Message) -> None:
    """From/value as role/content, in place; a function_call becomes tool_calls."""
    speaker, value = message.pop("from"), message.pop("value", None)
    role = _SPEAKERS.get(speaker.strip().lower(), speaker) if isinstance(speaker, str) else speaker
    if role == "function_call":
        calls = decoded(value)
        calls = [calls] if isinstance(calls, Mapping) else calls
        if not isinstance(calls, list) or not all(isinstance(call, Mapping) for call in calls):
            raise Fault('key "value": is not valid JSON of a call, such as {"name": "f", "arguments": {"x": 1}}')
        message.update(role="assistant", tool_calls=calls)
        return
    message["role"] = role
    if value is not None:
        message["content"] = value


def _joined(content: object) -> object:
    """Text parts as one string; parts of other kinds stay, for validation to name."""
    if not isinstance(content, list) or not content:
        return content
    texts = [part.get("text") if isinstance(part, Mapping) else part for part in content]
    plain = all(not isinstance(part, Mapping) or part.get("type", "text") == "text" for part in content)
    strings = [text for text in texts if isinstance(text, str)]
    return "".join(strings) if plain and len(strings) == len(texts) else content


def _tool(tool: object) -> object:
    if isinstance(tool, Mapping) and "function" not in tool and "name" in tool:
        tool = {key: value for key, value in tool.items() if key != "type"}
        return {"type": "function", "function": tool}
    return tool


def _camel(item: Mapping[str, object]) -> dict[str, object]:
    """Keys as Gemini's JSON has them; its Python client writes them with underscores."""
    return {_CAMEL.get(key, key): value for key, value in item.items()}


def _parts(item: Mapping[str, Any], where: str) -> list[Mapping[str, Any]]:
    parts = item.get("parts")
    parts = [parts] if isinstance(parts, Mapping) else parts
    if not isinstance(parts, list) or not all(isinstance(part, Mapping) for part in parts):
        raise Fault(f'{where}, key "parts": is {kind(parts)}, not a list of objects')
    parts = [_camel(part) for part in parts]
    for part in parts:
        if not part.keys() & {"text", "functionCall", "functionResponse"}:
            raise Fault(f'{where}, key "parts": only text can be learned from, and this has {", ".join(part)!r}')
    return parts


def _content(item: Mapping[str, object], calls: _Calls, number: int) -> list[Message]:
    parts = _parts(item, f"message {number}")
    role = {"model": "assistant", "function": "user"}.get(str(item.get("role")), item.get("role", "user"))
    found: list[Message] = []
    for answer in _objects(parts, "functionResponse", number):
        message = {"role": "tool", "name": answer.get("name"), "content": _answer(answer.get("response"))}
        found.append({"tool_call_id": calls.answered(message), **message})
    texts = [part["text"] for part in parts if "text" in part]
    asked = [
        calls.add({"function": {"name": call.get("name"), "arguments": call.get("args") or {}}})
        for call in _objects(parts, "functionCall", number)
    ]
    if texts or asked or not found:
        message = {"role": role, "content": _joined(texts) if texts else None if asked else ""}
        found.append({**message, "tool_calls": asked} if asked else message)
    for message in found:
        message.pop("name", None)
    return found


def _objects(parts: list[Mapping[str, Any]], key: str, number: int) -> list[Mapping[str, Any]]:
    """What these parts hold under a key. Raises Fault for what is no object."""
    found = [part[key] for part in parts if key in part]
    for one in found:
        if not isinstance(one, Mapping):
            raise Fault(f'message {number}, key "{key}": is {kind(one)}, not an object')
    return found


def _answer(response: object) -> str:
    """A tool's answer as text; {"output": "..."} is how Gemini wraps one."""
    if isinstance(response, Mapping) and list(response) == ["output"] and isinstance(response["output"], str):
        return str(response["output"])
    return response if isinstance(response, str) else json.dumps(response, ensure_ascii=False)
