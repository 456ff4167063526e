"""One chat template: its form, found with sentinels in place of the text, and its output.

Templates run in the immutable sandbox of transformers, with the limits of `template_limits`, since a template is a
program of somebody else.
"""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tunesmith.core.errors import DataError, ModelError, Problem
from tunesmith.models.mask import Span
from tunesmith.models.template_limits import TooLong, TooMuch, limit_templates, time_limit

Message = Mapping[str, Any]
Tools = list[Any] | None

SECONDS = 5.0
"""Time for one run of a template, which takes milliseconds."""

THINK, THOUGHT = "<think>", "</think>"
"""The tags around reasoning. They are tokens of many models, and answers rightly have them as text."""

_QUESTION, _ANSWER, _TOOL = "question-7c1f", "answer-93ab", "tool_4d2e"
_GENERATION = re.compile(r"\{%-?\s*generation\s*-?%\}")
_NOW = re.compile(r"""\bstrftime_now\(\s*(['"])(.*?)\1\s*\)""")
_NINE = re.compile(r"\|\s*length\s*!=\s*9\b")
"""Mistral's templates take no ids of tool calls but those of nine letters and digits."""


class TemplateFailed(Exception):
    """The template raised."""


@contextmanager
def limits() -> Iterator[None]:
    """What renders a chat template in the block has a time limit, and may make nothing that is too large.

    Raises ModelError for a template that does not end, or asks for more.
    """
    limit_templates()
    fix = "Choose another model: this template is broken or hostile."
    try:
        with time_limit(SECONDS):
            yield
    except TooLong:
        raise ModelError(
            f"The chat template of this model's tokenizer did not finish within {SECONDS:g} seconds.", fix
        ) from None
    except TooMuch as error:
        raise ModelError(
            f"The chat template of this model's tokenizer asks for {error}, which no template needs.", fix
        ) from None


class ChatTemplate:
    """A template writes an assistant's turn as prompt + `header` + `opening` + text + `closing`.

    `header` is a role header that the generation prompt lacks, `lead` what stands between a question and its
    answer. `end` counts the characters of `closing` up to the end of the turn; `has_end` says that the turn ends
    in a token, and not in text or nothing. `control` finds the text of tokens that only the template may write: the
    special ones, and added ones that it writes.

    Raises ModelError when the template fails, does not finish, or does not write a question and its answer.
    """

    def __init__(self, source: str, variables: Mapping[str, object], special: set[str], added: set[str]):
        self.source = source
        self._variables = dict(variables)
        self._tags = bool(_GENERATION.search(source))
        self._form: Callable[[object], object] | None = None
        history, prompt, text = self._probe()
        if text.count(_ANSWER) != 1 or text.count(_QUESTION) != 1 or text.find(_QUESTION) > text.find(_ANSWER):
            raise ModelError(
                "The chat template of this model's tokenizer does not write a question and its answer, once each and "
                f"in this order. It wrote {text!r}.",
                "Correct the template (chat_template.jinja), or choose another model.",
            )
        before, _, self.closing = text.partition(_ANSWER)
        opening = before[len(prompt) :] if before.startswith(prompt) else ""
        # A template that writes no generation prompt leaves the role header to the turn. It is no answer.
        self.header = opening if prompt == history and opening.strip() else ""
        self.opening = "" if self.header else opening
        self.lead = (prompt + self.header).partition(_QUESTION)[2]
        forbidden = special | {token for token in added if token.strip() and token in prompt + text}
        longest_first = sorted(forbidden - {THINK, THOUGHT}, key=lambda token: (-len(token), token))
        self.control = re.compile("|".join(re.escape(token) for token in longest_first))
        end = self.control.search(self.closing)
        self.has_end = end is not None
        self.end = end.end() if end else len(self.closing.rstrip())

    def render(self, messages: list[Message], tools: Tools = None, *, prompt: bool = False) -> tuple[str, list[Span]]:
        """The text, and the characters that `{% generation %}` marks; TemplateFailed when it raises."""
        from transformers.utils.chat_template_utils import render_jinja_template

        try:
            with limits():
                texts, spans = render_jinja_template(
                    conversations=[messages], tools=tools or None, chat_template=self.source,
                    add_generation_prompt=prompt, return_assistant_tokens_mask=self._tags, **self._variables,
                )  # fmt: skip
        except ModelError:
            raise
        except Exception as error:  # it may fail in any way
            raise TemplateFailed(str(error) or type(error).__name__) from error
        return texts[0], spans[0] if self._tags else []

    def clean(self, messages: list[Message]) -> list[Message]:
        """Messages as templates expect them: text, not None; known roles; arguments so that they become JSON."""
        cleaned: list[Message] = []
        ids: dict[Any, str] = {}  # of calls, as this template takes them
        for number, message in enumerate(messages, 1):
            clean = {key: value for key, value in message.items() if key != "weight" and value is not None}
            if not isinstance(clean.setdefault("content", ""), str):
                raise refusal(f"the content of message {number} is not text")
            if clean["role"] == "developer" and "developer" not in self.source:
                clean["role"] = "system"
            if clean.get("tool_calls"):
                clean["tool_calls"] = [self._call(call) for call in clean["tool_calls"]]
                if _NINE.search(self.source):
                    ids |= {
                        call.get("id"): _nine(call.get("id") or "", len(ids) + n)
                        for n, call in enumerate(clean["tool_calls"])
                    }
                    clean["tool_calls"] = [{**call, "id": ids[call.get("id")]} for call in clean["tool_calls"]]
            if clean.get("tool_call_id") in ids:
                clean["tool_call_id"] = ids[clean["tool_call_id"]]
            cleaned.append(clean)
        return cleaned

    def _probe(self) -> tuple[str, str, str]:
        question, answer = {"role": "user", "content": _QUESTION}, {"role": "assistant", "content": _ANSWER}
        try:
            history, prompt = (self.render([question], prompt=prompt)[0] for prompt in (False, True))
            return history, prompt, self.render([question, answer])[0]
        except TemplateFailed as failed:
            raise ModelError(
                f"The chat template of this model's tokenizer fails on a question and an answer: {failed}",
                "Correct the template (chat_template.jinja), or choose another model.",
            ) from None

    def _call(self, call: Message) -> Message:
        """A tool call with its arguments in the form of which this template makes JSON: object (usual) or text."""
        if self._form is None:
            self._form = next((form for form in (as_object, as_text) if self._writes_calls(form)), None)
        if self._form is None:
            raise refusal(
                "this model's chat template does not write tool calls",
                "Take the tool calls out of the data, or choose a model trained to call tools.",
            )
        function = call["function"]
        return {**call, "function": {**function, "arguments": self._form(function["arguments"])}}

    def _writes_calls(self, form: Callable[[object], object]) -> bool:
        call = {"id": "call00000", "type": "function"}
        call |= {"function": {"name": _TOOL, "arguments": form({"key": _ANSWER})}}  # type: ignore[dict-item]
        asked = {"role": "user", "content": _QUESTION}
        try:
            text = self.render([asked, {"role": "assistant", "content": "", "tool_calls": [call]}])[0]
        except TemplateFailed:
            return False
        if re.search(rf'\{{\s*"key"\s*:\s*"{_ANSWER}"\s*\}}', text):
            return _TOOL in text
        # Some templates write objects in a form of their own, but never as Python does or as JSON within JSON.
        own = form is as_object and "'key'" not in text and '\\"key' not in text
        return own and all(part in text for part in (_TOOL, "key", _ANSWER))


def with_date(source: str, day: datetime.date) -> str:
    """The template with a day in place of each question for the time: what is learned must not change by the clock."""
    at = datetime.datetime.combine(day, datetime.time())

    def written(found: re.Match[str]) -> str:
        try:
            return repr(at.strftime(found[2]))
        except ValueError:  # a form that no day has; the template fails on it, and that is told
            return found[0]

    return _NOW.sub(written, source)


def refusal(message: str, fix: str | None = None) -> DataError:
    """A row that can not be learned from as it is; who knows its number adds it."""
    return DataError(Problem(message), fix)


def without_reasoning(text: str) -> str:
    """What an answer says after its reasoning: what is compared with the answer that was wanted."""
    return text.rpartition(THOUGHT)[2].strip()


def as_text(value: object) -> str:
    """Text as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _nine(given: str, number: int) -> str:
    """An id of nine letters and digits: the one given, or one of the call's number in its conversation."""
    return given if len(given) == 9 and given.isalnum() else f"call{number:05d}"


def as_object(value: object) -> object:
    """What a JSON text holds, anything else as it is."""
    return json.loads(value) if isinstance(value, str) else value
