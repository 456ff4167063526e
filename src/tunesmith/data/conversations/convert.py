"""Examples as files of other formats. Every row is read back, and what would be lost is an error."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tunesmith.core.errors import DataError, OptionError, Problem, did_you_mean
from tunesmith.core.events import Emit, ignore
from tunesmith.core.files import new_file
from tunesmith.data.conversations.examples import Examples
from tunesmith.data.conversations.formats import Form, Format, ReadRequest
from tunesmith.data.conversations.messages import Fault, Message
from tunesmith.data.conversations.read import read_examples
from tunesmith.data.conversations.shape import Example, example_of

Record = dict[str, Any]
TARGETS = ("openai", "sharegpt", "alpaca", "messages", "gemini")
_SPEAKERS = {"system": "system", "developer": "system", "user": "human", "assistant": "gpt", "tool": "observation"}


def convert(source: object, out: str | Path, to: str, *, emit: Emit = ignore) -> int:
    """Write the examples of a source (or Examples) as JSONL in the format `to`; returns how many.

    to: 'openai' (chat, prompt/completion, preference; of texts as messages), 'messages' (Hugging Face: the same with
    tool arguments as objects; also feedback, pairs and plain text), 'sharegpt', 'alpaca' or 'gemini' (conversations,
    and prompt/completion as one question and answer). The file is either whole or not there. Raises DataError with
    every row of which the format could not hold all (tools in alpaca, weights in sharegpt, ...), OptionError for an
    unknown format or one for other forms. Columns that belong to no format are kept as they are.
    """
    if to not in TARGETS:
        raise OptionError(f"can not convert to {to!r}", fix=did_you_mean(to, TARGETS))
    examples = (
        source
        if isinstance(source, Examples)
        else read_examples(source, emit=emit, form=ReadRequest(keep_nothing=True, others=True))
    )
    # in a format of conversations a prompt is what a user says
    asked = examples.form == "completion" and (to, "completion") not in _WRITERS
    form = "chat" if asked else examples.form
    if (to, form) not in _WRITERS:
        fit = ", ".join(name for name, form in _WRITERS if form == examples.form)
        message = f"the format {to!r} can not hold examples of the form {examples.form!r}"
        raise OptionError(message, fix=f"Formats for them: {fit}.")
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    problems: list[Problem] = []
    with new_file(out, text=True, newline="\n", private=False) as file:
        file.writelines(_lines(examples, to, form, problems))
        if problems:
            raise DataError(problems, fix="Convert to another format ('openai' holds most), or change these rows.")
    return len(examples)


def _lines(examples: Examples, to: str, form: Form, problems: list[Problem]) -> Iterator[str]:
    write, name, columns = _WRITERS[to, form]
    for given in examples:
        others = given.pop("others", {})
        try:
            example = given
            if form != examples.form:  # a prompt and its completion as a question and its answer
                answer = {"role": "assistant", "content": given["completion"]}
                example = {"row": given["row"], "form": "chat", "messages": [*_asked(given), answer], "tools": None}
            elif to == "openai":
                example = _as_said(given)
            record = write(example) if write else _named(example, columns)
            lost = _lost(_canonical(example), _canonical(example_of(Format(name, form, "", columns), record)))
            if taken := sorted(others.keys() & record.keys()):
                raise Fault(f'key "{taken[0]}" of the input, whose name it has a use of its own for')
        except Fault as fault:
            lost = str(fault)
        if lost is not None:
            problems.append(examples.problem(given["row"], f"the format {to!r} can not hold this: {lost}"))
        elif not problems:
            yield json.dumps({**record, **others}, ensure_ascii=False) + "\n"


def _as_said(example: Example) -> Example:
    """A preference of texts as one of messages; anything else as it is."""
    if example["form"] != "preference" or example["messages"] is not None:
        return example
    answers = {key: [{"role": "assistant", "content": example[key]}] for key in ("chosen", "rejected")}
    return {"row": example["row"], "form": "preference", "messages": _asked(example), "tools": None, **answers}


def _asked(example: Example) -> list[Message]:
    """The prompt, a text, as what a user says."""
    if not example["prompt"].strip():
        raise Fault("its prompt is empty")
    return [{"role": "user", "content": example["prompt"]}]


def _canonical(example: Example) -> Example:
    """The example such that two of the same meaning are equal: no defaults, call ids numbered, arguments parsed."""
    ids: dict[str, int] = {}
    found = {}
    for key, value in example.items():
        if key in ("messages", "chosen", "rejected", "completion") and isinstance(value, list):
            found[key] = [_canonical_message(message, ids) for message in value]
        elif key != "row" and value is not None:
            found[key] = value
    return found


def _canonical_message(message: Message, ids: dict[str, int]) -> Message:
    clean = {key: value for key, value in message.items() if value is not None and (key, value) != ("weight", 1)}
    if "tool_calls" in clean:
        clean["tool_calls"] = [
            {**call, "id": ids.setdefault(call["id"], len(ids)), "function": _parsed(call)}
            for call in clean["tool_calls"]
        ]
    if "tool_call_id" in clean:
        clean["tool_call_id"] = ids.get(clean["tool_call_id"])
    return clean


def _lost(before: Example, after: Example) -> str | None:
    """The first thing that differs; None if nothing does."""
    for key, value in before.items():
        if value == after.get(key):
            continue
        if not isinstance(value, list) or not isinstance(after.get(key), list) or key == "tools":
            return f'key "{key}"'
        place = "" if key == "messages" else f'key "{key}", '
        pairs: Iterator[tuple[Message, Message]] = itertools.zip_longest(value, after[key], fillvalue={})
        for number, (left, right) in enumerate(pairs, 1):
            for name in sorted(left.keys() | right.keys()):
                if left.get(name) != right.get(name):
                    return f'{place}message {number}, key "{name}"'
    return None


def _with_tools(record: Record, example: Example) -> Record:
    return {**record, "tools": example["tools"]} if example.get("tools") else record


def _clean(messages: list[Message]) -> list[Message]:
    return [{key: value for key, value in message.items() if value is not None} for message in messages]


def _openai_chat(example: Example) -> Record:
    return _with_tools({"messages": _clean(example["messages"])}, example)


def _messages_chat(example: Example) -> Record:
    return _with_tools({"messages": _plain_messages(example["messages"])}, example)


def _openai_preference(example: Example) -> Record:
    answers = {column: _clean(example[side]) for side, column in _OPENAI_ANSWERS.items()}
    return {"input": _openai_chat(example), **answers}


def _plain_messages(messages: list[Message]) -> list[Message]:
    """Hugging Face's messages: no weights, arguments as objects."""
    found = []
    for message in _clean(messages):
        message.pop("weight", None)
        if "tool_calls" in message:
            message["tool_calls"] = [{**call, "function": _parsed(call)} for call in message["tool_calls"]]
        found.append(message)
    return found


def _parsed(call: Record) -> Record:
    return {**call["function"], "arguments": json.loads(call["function"]["arguments"])}


def _messages_prompted(example: Example) -> Record:
    """Preference and feedback: 'prompt' and the answers, each a string or messages."""
    prompt = "prompt" if example["messages"] is None else "messages"
    columns = {prompt: "prompt", "chosen": "chosen", "rejected": "rejected", "completion": "completion"}
    record = {
        column: _plain_messages(value) if isinstance(value, list) else value
        for column, value in _named(example, {**columns, "label": "label"}).items()
    }
    return _with_tools(record, example)


def _named(example: Example, columns: Mapping[str, str]) -> Record:
    """The parts of an example in these columns, without those that it does not have."""
    return {column: example[part] for part, column in columns.items() if example.get(part) is not None}


def _sharegpt(example: Example) -> Record:
    turns = []
    for message in example["messages"]:
        if message.get("tool_calls"):
            functions = map(_parsed, message["tool_calls"])
            calls = [{"name": function["name"], "arguments": function["arguments"]} for function in functions]
            value = json.dumps(calls[0] if len(calls) == 1 else calls, ensure_ascii=False)
            turns.append({"from": "function_call", "value": value})
        else:
            turns.append({"from": _SPEAKERS[message["role"]], "value": message["content"]})
    tools = [tool["function"] for tool in example["tools"] or ()]
    record = {"conversations": turns}
    return {**record, "tools": json.dumps(tools, ensure_ascii=False)} if tools else record


def _alpaca(example: Example) -> Record:
    messages = example["messages"]
    system = messages[0]["content"] if messages[0]["role"] in ("system", "developer") else None
    turns = messages[0 if system is None else 1 :]
    if [message["role"] for message in turns] != ["user", "assistant"] * (len(turns) // 2):
        raise Fault("its messages are not user and assistant in turn")
    texts = [message["content"] for message in turns]
    pairs = [texts[place : place + 2] for place in range(0, len(texts), 2)]
    record = {"instruction": pairs[-1][0], "input": "", "output": pairs[-1][1]}
    if system is not None:
        record["system"] = system
    if len(pairs) > 1:
        record["history"] = pairs[:-1]
    return record


def _gemini(example: Example) -> Record:
    contents: list[Record] = []
    names: dict[str, str] = {}
    answers: list[Record] | None = None  # parts of the tool messages that stand together
    record: Record = {}
    for message in example["messages"]:
        if message["role"] in ("system", "developer"):
            record["systemInstruction"] = {"role": "system", "parts": [{"text": message["content"]}]}
            continue
        if message["role"] == "tool":
            response = {"name": names[message["tool_call_id"]], "response": _response(message["content"])}
            if answers is None:
                answers = []
                contents.append({"role": "user", "parts": answers})
            answers.append({"functionResponse": response})
            continue
        answers = None
        parts: list[Record] = [{"text": message["content"]}] if message.get("content") is not None else []
        for call in message.get("tool_calls") or ():
            function = _parsed(call)
            names[call["id"]] = function["name"]
            parts.append({"functionCall": {"name": function["name"], "args": function["arguments"]}})
        contents.append({"role": "model" if message["role"] == "assistant" else "user", "parts": parts})
    record["contents"] = contents
    if example["tools"]:
        record["tools"] = [{"functionDeclarations": [tool["function"] for tool in example["tools"]]}]
    return record


def _response(content: str) -> Record:
    """The tool's answer as an object, as Gemini wants it; read back it is the same text."""
    try:
        value = json.loads(content)
    except ValueError:
        value = None
    if isinstance(value, dict) and list(value) != ["output"] and json.dumps(value, ensure_ascii=False) == content:
        return value
    return {"output": content}


_CHAT = {"messages": "messages", "tools": "tools"}
_COMPLETION = {"prompt": "prompt", "completion": "completion"}
_OPENAI_ANSWERS = {"chosen": "preferred_output", "rejected": "non_preferred_output"}
_PREFERENCE = {"prompt": "prompt", "chosen": "chosen", "rejected": "rejected", "tools": "tools"}
_PAIR = {"source": "input_text", "target": "target_text", "references": "references"}
_ALPACA = {"query": "instruction", "input": "input", "response": "output", "system": "system", "history": "history"}
_GEMINI = {"messages": "contents", "system": "systemInstruction", "tools": "tools"}
# How each is written (None: its parts as they are), and the name and columns of the format in which it is read back.
_WRITERS: dict[tuple[str, Form], tuple[Callable[[Example], Record] | None, str, dict[str, str]]] = {
    ("openai", "chat"): (_openai_chat, "openai", _CHAT),
    ("openai", "completion"): (None, "prompt-completion", _COMPLETION),
    ("openai", "preference"): (_openai_preference, "openai-preference", {"input": "input", **_OPENAI_ANSWERS}),
    ("messages", "chat"): (_messages_chat, "openai", _CHAT),
    ("messages", "completion"): (None, "prompt-completion", _COMPLETION),
    ("messages", "preference"): (_messages_prompted, "preference", _PREFERENCE),
    ("messages", "feedback"): (_messages_prompted, "feedback", {**_COMPLETION, "label": "label", "tools": "tools"}),
    ("messages", "pair"): (None, "pair", _PAIR),
    ("messages", "text"): (None, "text", {"text": "text"}),
    ("sharegpt", "chat"): (_sharegpt, "sharegpt", {"messages": "conversations", "tools": "tools"}),
    ("alpaca", "chat"): (_alpaca, "alpaca", _ALPACA),
    ("gemini", "chat"): (_gemini, "gemini", _GEMINI),
}
