"""One row of any format as one example in internal form. Pure; knows no files and no rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tunesmith.data.conversations.formats import Format, Row
from tunesmith.data.conversations.messages import (
    DIALECTS,
    Fault,
    Message,
    decoded,
    dialect_of,
    gemini_tools,
    is_messages,
    kind,
    read_contents,
    read_messages,
    read_tools,
    structure,
)

Example = dict[str, Any]


class Missing(ValueError):
    """The row lacks what there is to learn; the text is the ledger's reason."""


def example_of(found: Format, row: Row) -> Example:
    """The row as an example (without 'row'). Unknown columns are left out.

    Raises Fault for a row that can not be understood, Missing for one without text or answer.
    """
    cells = _Cells(found, row)
    return {"form": found.form, **_SHAPES[found.name](cells)}


class _Cells:
    """The cells of one row by our words."""

    def __init__(self, found: Format, row: Row):
        self.found = found
        self.row = row

    def __getitem__(self, word: str) -> Any:
        column = self.found.columns.get(word)
        return None if column is None else self.row.get(column)

    def name(self, word: str) -> str:
        return self.found.columns.get(word, word)

    def text(self, word: str, missing: str | None = None) -> str:
        """The string of a cell, '' for none. Raises Fault for another type, Missing(missing) for an empty one."""
        return _text(self[word], self.name(word), missing)

    def needed(self, word: str) -> Any:
        """The cell. Raises Fault if there is none."""
        value = self[word]
        if value is None:
            raise Fault(f'key "{self.name(word)}": is missing')
        return value

    def tools(self) -> list[Any] | None:
        return read_tools(self["tools"], self["functions"])

    def system(self) -> list[Message]:
        """The system column as a list of one message, or of none."""
        text = self.text("system")
        return [{"role": "system", "content": text}] if text.strip() else []


def _text(value: Any, name: str, missing: str | None = None) -> str:
    if value is not None and not isinstance(value, str):
        raise Fault(f'key "{name}": is {kind(value)}, not a string')
    if missing and not (value or "").strip():
        raise Missing(missing)
    return value or ""


def _chat(cells: _Cells) -> Example:
    given, name = cells.needed("messages"), cells.found.name
    if name in DIALECTS and (own := dialect_of(given)) not in (None, name):
        raise Fault(
            f"this row has the format {own!r} (its messages are of {DIALECTS[str(own)]}), and the file has {name!r} "
            f"({cells.found.why}): one file must be of one format"
        )
    messages = read_messages(given)
    if isinstance(messages, list) and not any(isinstance(m, dict) and m.get("role") == "system" for m in messages[:1]):
        messages = [*cells.system(), *messages]
    return {"messages": messages, "tools": cells.tools()}


def _gemini(cells: _Cells) -> Example:
    messages = read_contents(cells.needed("messages"), cells["system"])
    return {"messages": messages, "tools": gemini_tools(cells["tools"])}


def _instruction(cells: _Cells) -> Example:
    answer = cells.text("response", f"no {cells.name('response')}")
    query = "\n".join(text for text in (cells.text("query"), cells.text("input")) if text.strip())
    if not query:
        raise Missing(f"no {cells.name('query')}")
    messages = [*cells.system(), *_history(cells), _said("user", query), _said("assistant", answer)]
    return {"messages": messages, "tools": None}


def _history(cells: _Cells) -> list[Message]:
    """Earlier turns, [[question, answer], ...]."""
    history = structure(cells["history"]) or []
    pairs = isinstance(history, list) and all(isinstance(pair, list) and len(pair) == 2 for pair in history)
    if not pairs or not all(isinstance(text, str) for pair in history for text in pair):
        raise Fault(f'key "{cells.name("history")}": is not a list of pairs of strings, [[question, answer], ...]')
    return [_said(role, text) for pair in history for role, text in zip(("user", "assistant"), pair, strict=True)]


def _said(role: str, content: str) -> Message:
    return {"role": role, "content": content}


def _prompted(cells: _Cells) -> Example:
    if cells.found.form == "chat":
        prompt = _as_messages(cells, "prompt", "user")
        answer = _as_messages(cells, "completion", "assistant")
        # only the completion is learned: what the assistant says in the prompt is given
        given = [{**m, "weight": 0} if m.get("role") == "assistant" else m for m in prompt]
        return {"messages": [*cells.system(), *given, *answer], "tools": cells.tools()}
    return {"prompt": cells.text("prompt"), "completion": cells.text("completion", "no completion")}


def _as_messages(cells: _Cells, word: str, role: str) -> list[Message]:
    value = cells.needed(word)
    if isinstance(value, str) and not is_messages(value):
        return [_said(role, value)]
    value = decoded(value)
    messages = read_messages([value] if isinstance(value, Mapping) else value)
    if not isinstance(messages, list):
        raise Fault(f'key "{cells.name(word)}": is {kind(messages)}, not a string or a list of messages')
    for number, message in enumerate(messages, 1):
        if not isinstance(message, Mapping):
            raise Fault(f'key "{cells.name(word)}", message {number}: is {kind(message)}, not an object')
    return messages


def _openai_preference(cells: _Cells) -> Example:
    given = decoded(cells.needed("input"))
    if not isinstance(given, Mapping):
        raise Fault(f'key "input": is {kind(given)}, not an object such as {{"messages": [...]}}')
    return {
        "messages": read_messages(given.get("messages")),
        "chosen": read_messages(cells.needed("chosen")),
        "rejected": read_messages(cells.needed("rejected")),
        "tools": read_tools(given.get("tools"), given.get("functions")),
    }


def _preference(cells: _Cells) -> Example:
    chosen, rejected, prompt = cells.needed("chosen"), cells.needed("rejected"), cells["prompt"]
    if not any(map(_structured, (chosen, rejected, prompt))) and cells["system"] is None:
        return {"messages": None, "tools": None, **_preference_strings(cells, chosen, rejected)}
    given = _as_messages(cells, "prompt", "user") if prompt is not None else []
    if given and isinstance(prompt, str) and cells.text("input").strip() and not _structured(prompt):
        given = [_said("user", f"{prompt}\n{cells.text('input')}")]
    good, bad = _as_messages(cells, "chosen", "assistant"), _as_messages(cells, "rejected", "assistant")
    shared = _shared(good, bad)
    if shared:  # both are whole conversations, with the prompt in them
        given, good, bad = good[:shared], good[shared:], bad[shared:]
    if not given:
        raise Fault('"chosen" and "rejected" share no beginning, and there is no key "prompt"')
    system = [] if given[0].get("role") == "system" else cells.system()
    return {"messages": [*system, *given], "chosen": good, "rejected": bad, "tools": cells.tools()}


def _structured(value: Any) -> bool:
    return isinstance(value, (list, Mapping)) or is_messages(value)


def _preference_strings(cells: _Cells, chosen: Any, rejected: Any) -> Example:
    good, bad = _text(chosen, cells.name("chosen")), _text(rejected, cells.name("rejected"))
    if cells["prompt"] is not None:
        prompt = "\n".join(text for text in (cells.text("prompt"), cells.text("input")) if text.strip())
        return {"prompt": prompt, "chosen": good, "rejected": bad}
    if "prompt" in cells.found.columns:  # only where no row has one, it is what both begin with
        raise Fault(f'key "{cells.name("prompt")}": is missing')
    cut = _common_start(good, bad)
    turn = good.rfind(_HH_TURN, 0, cut)
    cut = turn + len(_HH_TURN) if turn >= 0 else good.rfind(" ", 0, cut) + 1
    return {"prompt": good[:cut], "chosen": good[cut:], "rejected": bad[cut:]}


_HH_TURN = "\n\nAssistant:"  # how Anthropic's helpful-and-harmless data begins an answer


def _common_start(left: str, right: str) -> int:
    ends = (place for place, (a, b) in enumerate(zip(left, right, strict=False)) if a != b)
    return next(ends, min(len(left), len(right)))


def _shared(left: Sequence[Message], right: Sequence[Message]) -> int:
    """How many messages both begin with, before the last one of each. The
    assistant has the next word."""
    most = max(min(len(left), len(right)) - 1, 0)
    shared = next((n for n in range(most) if left[n] != right[n]), most)
    while shared and left[shared - 1].get("role") == "assistant":
        shared -= 1
    return shared


def _feedback(cells: _Cells) -> Example:
    label = _label(cells.needed("label"), cells.name("label"))
    if "messages" in cells.found.columns:
        chat = _chat(cells)
        if not isinstance(chat["messages"], list):
            raise Fault(f'key "{cells.name("messages")}": is {kind(chat["messages"])}, not a list of messages')
        given, answer = chat["messages"][:-1], chat["messages"][-1:]
        return {"messages": given, "completion": answer, "label": label, "tools": chat["tools"]}
    if _structured(cells["prompt"]) or _structured(cells["completion"]):
        answer = _as_messages(cells, "completion", "assistant")
        given = _as_messages(cells, "prompt", "user") if "prompt" in cells.found.columns else []
        if not given:  # the whole conversation is in the completion
            given, answer = answer[:-1], answer[-1:]
        given = given if given and given[0].get("role") == "system" else [*cells.system(), *given]
        return {"messages": given, "completion": answer, "label": label, "tools": cells.tools()}
    said = cells.text("completion", "no completion")
    return {"messages": None, "prompt": cells.text("prompt"), "completion": said, "label": label, "tools": None}


def _label(value: Any, name: str) -> bool:
    word = str(value).strip().lower()
    if word not in ("true", "false", "0", "1"):
        raise Fault(f'key "{name}": {str(value)[:40]!r} is neither true nor false')
    return word in ("true", "1")


def _pair(cells: _Cells) -> Example:
    columns = cells.found.columns
    if "translation" in columns:
        texts = decoded(cells.needed("translation"))
        if not isinstance(texts, Mapping):
            raise Fault(f'key "{columns["translation"]}": is {kind(texts)}, not an object of two texts')
        source, target = texts.get(columns["source"]), texts.get(columns["target"])
    else:
        source, target = cells["source"], cells["target"]
    references = structure(cells["references"])
    if isinstance(target, list):
        references = references or target
        target = target[0] if target else None
    if references is not None and not isinstance(references, (str, list)):
        raise Fault(f'key "{cells.name("references")}": is {kind(references)}, not a list of strings')
    references = [references] if isinstance(references, str) else references or []
    return {
        "source": _text(_joined(source, columns["source"]), columns["source"], f"no {columns['source']}"),
        "target": _text(target, columns["target"], f"no {columns['target']}"),
        "references": [_text(text, cells.name("references")) for text in references] or None,
    }


def _joined(value: Any, name: str) -> Any:
    """A list of sentences as one text."""
    return " ".join([_text(part, name) for part in value]) if isinstance(value, list) else value


def _plain_text(cells: _Cells) -> Example:
    return {"text": cells.text("text", "no text")}


_SHAPES: dict[str, Callable[[_Cells], Example]] = {
    "openai": _chat,
    "sharegpt": _chat,
    "gemini": _gemini,
    "alpaca": _instruction,
    "query-response": _instruction,
    "prompt-completion": _prompted,
    "openai-preference": _openai_preference,
    "preference": _preference,
    "feedback": _feedback,
    "pair": _pair,
    "text": _plain_text,
}
