"""One row of any format as one example in internal form. Pure; knows no files and no rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from tunesmith.data.conversations.formats import Format, Row
from tunesmith.data.conversations.messages import (
    DIALECTS,
    Fault,
    Message,
    Note,
    decoded,
    dialect_of,
    gemini_tools,
    is_messages,
    read_contents,
    read_messages,
    read_tools,
    structure,
)
from tunesmith.data.conversations.turns import (
    SYSTEMS,
    answered,
    common_start,
    merge_prompts,
    role,
    short,
    split_last_answer,
    words,
)
from tunesmith.data.conversations.verdict import Verdict, cell_of
from tunesmith.data.jsonkeys import kind
from tunesmith.data.nothing import nothing_in_text

Example = dict[str, Any]


class Missing(ValueError):
    """The row lacks what there is to learn; the text is the ledger's reason."""


REPEATED = "the answers begin with their prompt again: the repeat is cut"


def example_of(found: Format, row: Row, note: Note = lambda _: None, *, keep_nothing: bool = True) -> Example:
    """The row as an example (without 'row'). Unknown columns are left out. keep_nothing: a cell that holds but a word
    for nothing ('nan', 'N/A') is text like any other, and not empty.

    Raises Fault for a row that can not be understood, Missing for one without text or answer.
    """
    cells = _Cells(found, row, note, keep_nothing)
    return {"form": found.form, **_SHAPES[found.name](cells)}


@dataclass
class _Cells:
    """The cells of one row by our words."""

    found: Format
    row: Row
    note: Note
    keep_nothing: bool

    def __getitem__(self, word: str) -> object:
        column = self.found.columns.get(word)
        return None if column is None else cell_of(self.row, column)

    def name(self, word: str) -> str:
        return self.found.columns.get(word, word)

    def text(self, word: str, missing: str | None = None) -> str:
        """The string of a cell, '' for none. Raises Fault for another type, Missing(missing) for an empty one."""
        return self.words(self[word], self.name(word), missing)

    def words(self, value: object, name: str, missing: str | None = None) -> str:
        """The same for a value that was found elsewhere under that name."""
        text = _text(value, name, missing)
        if self.keep_nothing or not text.strip() or not nothing_in_text(text):
            return text
        if missing:
            raise Missing(f"a word for nothing in {name!r}")
        self.note(f"a word for nothing in {name!r} is read as an empty cell")
        return ""

    def needed(self, word: str) -> object:
        """The cell. Raises Fault if there is none."""
        value = self[word]
        if value is None:
            raise Fault(f'key "{self.name(word)}": is missing')
        return value

    def tools(self) -> list[object] | None:
        return read_tools(self["tools"], self["functions"])

    def system(self) -> list[Message]:
        """The system column as a list of one message, or of none."""
        text = self.text("system")
        return [{"role": "system", "content": text}] if text.strip() else []

    def begun(self, messages: list[Message]) -> list[Message]:
        """The messages with the system column before them. An empty system message is left out.

        Raises Fault where the column and the messages give two different ones.
        """
        if messages and role(messages[0]) in SYSTEMS and not words(messages[0]):
            self.note("an empty system message is left out")
            messages = messages[1:]
        system = self.system()
        if not system or not messages or role(messages[0]) not in SYSTEMS:
            return [*system, *messages]
        if words(messages[0]) != words(system[0]):
            other = (
                f"the messages begin with another system message, {short(messages[0])}: one of the two must be meant"
            )
            raise Fault(f'key "{self.name("system")}": says {short(system[0])}, and {other}')
        return messages


def _text(value: object, name: str, missing: str | None = None) -> str:
    if value is not None and not isinstance(value, str):
        raise Fault(f'key "{name}": is {kind(value)}, not a string')
    if missing and not (value or "").strip():
        raise Missing(missing)
    return value or ""


def _chat(cells: _Cells) -> Example:
    given, name = cells.needed("messages"), cells.found.name
    if name in DIALECTS and (own := dialect_of(given)) not in (None, name):
        told = f"this row has the format {own!r} (its messages are of {DIALECTS[str(own)]})"
        file = f"the file has {name!r} ({cells.found.why}): one file must be of one format"
        raise Fault(f"{told}, and {file}")
    messages = read_messages(given, cells.note)
    messages = cells.begun(messages) if isinstance(messages, list) else messages
    if isinstance(messages, list) and messages and role(messages[0]) == "assistant":
        cells.note("the conversation begins with the assistant: its first message is learned without a question")
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
    pairs: list[list[str]] = history if isinstance(history, list) else [[]]
    if not all(isinstance(pair, list) and list(map(type, pair)) == [str, str] for pair in pairs):
        raise Fault(f'key "{cells.name("history")}": is not a list of pairs of strings, [[question, answer], ...]')
    return [_said(role, text) for pair in pairs for role, text in zip(("user", "assistant"), pair, strict=True)]


def _said(role: str, content: str) -> Message:
    return {"role": role, "content": content}


def _prompted(cells: _Cells) -> Example:
    if cells.found.form == "chat":
        asked, answer = _asked_and_answered(cells)
        # only the completion is learned: what the assistant says in the prompt is given
        given = [{**m, "weight": 0} if m.get("role") == "assistant" else m for m in asked]
        return {"messages": [*given, *answer], "tools": cells.tools()}
    prompt, said = cells.text("prompt"), cells.text("completion", "no completion")
    return {"prompt": prompt, "completion": _unrepeated(cells, prompt, said)[0]}


def _asked_and_answered(cells: _Cells) -> tuple[list[Message], list[Message]]:
    """Prompt and completion, of which one at least is messages. The completion may be the whole conversation."""
    answer = _as_messages(cells, "completion", "assistant")
    asked = _as_messages(cells, "prompt", "user") if cells["prompt"] is not None else []
    context, answer = split_last_answer(answer)
    return cells.begun(merge_prompts(asked, context, cells.name("prompt"), f'"{cells.name("completion")}"')), answer


def _as_messages(cells: _Cells, word: str, role: str) -> list[Message]:
    value = cells.needed(word)
    if isinstance(value, str) and not is_messages(value):
        return [_said(role, value)]
    value = decoded(value)
    messages = read_messages([value] if isinstance(value, Mapping) else value, cells.note)
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
    asked = read_messages(given.get("messages"), cells.note)
    return {
        "messages": cells.begun(asked) if isinstance(asked, list) else asked,
        "chosen": read_messages(cells.needed("chosen"), cells.note),
        "rejected": read_messages(cells.needed("rejected"), cells.note),
        "tools": read_tools(given.get("tools"), given.get("functions")),
    }


def _chosen(cells: _Cells) -> _Cells:
    """The cells of a row with two answers, the better one as 'chosen'. Raises Missing for a tie."""
    found = cells.found
    assert found.choice is not None
    try:
        side = found.choice.read(cells.row)
    except ValueError as error:
        raise Fault(f'key "{found.choice.columns[0]}": {error}') from None
    if side is None:
        raise Missing("neither of the two answers is the better one")
    better, worse = found.choice.answers[side], found.choice.answers[1 - side]
    row = {name: _alone(cell) for name, cell in cells.row.items()}
    columns = {**found.columns, "chosen": better, "rejected": worse}
    return _Cells(replace(found, columns=columns, choice=None), row, cells.note, cells.keep_nothing)


def _alone(cell: object) -> object:
    """The text of a list of one text, as turns are written, and of an object that holds it."""
    value = decoded(cell) if isinstance(cell, str) and cell[:1] in "[{" else cell
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], str):
        return value[0]
    if isinstance(value, Mapping) and isinstance(value.get("full_text"), str):
        return value["full_text"]
    return cell


def _preference(cells: _Cells) -> Example:
    if cells.found.choice is not None:
        cells = _chosen(cells)
    rejected, prompt = cells.needed("rejected"), cells["prompt"]
    context: list[Message] = []
    if "chosen" in cells.found.columns:
        chosen = cells.needed("chosen")
        # what only a conversation can hold
        more = cells.text("system").strip() or structure(cells["history"]) or "messages" in cells.found.columns
        if not more and not any(map(_structured, (chosen, rejected, prompt))):
            return {"messages": None, "tools": None, **_preference_strings(cells, chosen, rejected)}
        good = _as_messages(cells, "chosen", "assistant")
        if "messages" in cells.found.columns and cells.found.columns["messages"] != cells.found.columns["prompt"]:
            context = split_last_answer(_as_messages(cells, "messages", "user"))[0]
    else:  # the answer that is in the conversation is the better one
        good = _as_messages(cells, "messages", "user")
    given = _as_messages(cells, "prompt", "user") if prompt is not None else []
    if given and isinstance(prompt, str) and cells.text("input").strip() and not _structured(prompt):
        given = [_said("user", f"{prompt}\n{cells.text('input')}")]
    given = [*_history(cells), *given]
    if given and given[-1].get("role") == "assistant" and given[-1:] == good[-1:]:
        given = split_last_answer(given)[0]  # the whole conversation, with the better answer
    bad = _as_messages(cells, "rejected", "assistant")
    if given and len(good) == len(bad) == 1 and isinstance(last := given[-1].get("content"), str):
        texts = [one.get("content") for one in (*good, *bad)]
        if all(isinstance(text, str) for text in texts):
            cut = _unrepeated(cells, last, *texts)  # type: ignore[arg-type]
            good, bad = [{**good[0], "content": cut[0]}], [{**bad[0], "content": cut[1]}]
    both, good, bad = answered(good, bad, cells.name("chosen"), cells.name("rejected"))
    sides = f'what "{cells.name("chosen")}" and "{cells.name("rejected")}" begin with'
    given = merge_prompts(merge_prompts(given, context, cells.name("prompt"), f'"{cells.name("messages")}"'),
                    both, cells.name("prompt"), sides)  # fmt: skip
    if not given:
        raise Fault('"chosen" and "rejected" share no beginning, and there is no key "prompt"')
    return {"messages": cells.begun(given), "chosen": good, "rejected": bad, "tools": cells.tools()}


def _structured(value: object) -> bool:
    return isinstance(value, (list, Mapping)) or is_messages(value)


def _preference_strings(cells: _Cells, chosen: object, rejected: object) -> Example:
    good, bad = (
        cells.words(side, name, f"no {name}" if isinstance(side, str) and side.strip() else None)
        for side, name in ((chosen, cells.name("chosen")), (rejected, cells.name("rejected")))
    )
    if cells["prompt"] is not None:
        prompt = "\n".join(text for text in (cells.text("prompt"), cells.text("input")) if text.strip())
        good, bad = _unrepeated(cells, prompt, good, bad)
        return {"prompt": prompt, "chosen": good, "rejected": bad}
    if "prompt" in cells.found.columns:  # only where no row has one, it is what both begin with
        raise Fault(f'key "{cells.name("prompt")}": is missing')
    cut = len(common_start([good, bad]))
    turn = good.rfind(_HH_TURN, 0, cut)
    cut = turn + len(_HH_TURN) if turn >= 0 else good.rfind(" ", 0, cut) + 1
    return {"prompt": good[:cut], "chosen": good[cut:], "rejected": bad[cut:]}


def _unrepeated(cells: _Cells, prompt: str, *answers: str) -> list[str]:
    """The answers without the prompt that all of them begin with. A prompt of one word proves nothing."""
    head = next((head for head in (prompt, prompt.strip()) if all(a.startswith(head) for a in answers)), "")
    rests = [answer[len(head) :] for answer in answers]
    # the prompt ends where a word does, and something follows
    apart = all(rest.strip() and not (head[-1:].isalnum() and rest[:1].isalnum()) for rest in rests)
    if len(head.strip()) < _REPEAT or not apart:
        return list(answers)
    cells.note(REPEATED)
    return rests if head[-1:].isspace() or not prompt[len(head) :] else [rest.lstrip() for rest in rests]


_REPEAT = 8
"""Letters of a prompt, from which on an answer that begins with it repeats it."""
_HH_TURN = "\n\nAssistant:"  # how Anthropic's helpful-and-harmless data begins an answer


def _feedback(cells: _Cells) -> Example:
    label = _label(cells)
    base = cells.found.base or ("openai" if "messages" in cells.found.columns else "prompt-completion")
    if base == "prompt-completion":
        if _structured(cells["prompt"]) or _structured(cells["completion"]):
            given, answer = _asked_and_answered(cells)
            return {"messages": given, "completion": answer, "label": label, "tools": cells.tools()}
        prompt, said = cells.text("prompt"), cells.text("completion", "no completion")
        said = _unrepeated(cells, prompt, said)[0]
        return {"messages": None, "prompt": prompt, "completion": said, "label": label, "tools": None}
    chat = _SHAPES[base](cells)
    if not isinstance(chat["messages"], list):
        raise Fault(f'key "{cells.name("messages")}": is {kind(chat["messages"])}, not a list of messages')
    given, answer = chat["messages"][:-1], chat["messages"][-1:]
    return {"messages": given, "completion": answer, "label": label, "tools": chat["tools"]}


def _label(cells: _Cells) -> bool:
    """Whether the answer is good. Raises Fault for a cell that does not say so."""
    value = cells.needed("label")
    judge = cells.found.verdict or Verdict(cells.found.columns["label"])
    found = judge.read(value)
    if found is None:
        raise Fault(f'key "{cells.name("label")}": {str(value)[:40]!r} is neither true nor false')
    return found


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
    if isinstance(source, list):  # of sentences
        source = " ".join([_text(part, columns["source"]) for part in source])
    return {
        "source": cells.words(source, columns["source"], f"no {columns['source']}"),
        "target": cells.words(target, columns["target"], f"no {columns['target']}"),
        "references": [_text(text, cells.name("references")) for text in references] or None,
    }


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
    "text": lambda cells: {"text": cells.text("text", "no text")},
}
