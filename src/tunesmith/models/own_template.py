"""A chat template given by the user, for a base model that has none or whose own is not wanted."""

from __future__ import annotations

from pathlib import Path

from tunesmith.core.errors import ModelError, OptionError
from tunesmith.core.events import Decided, Emit, Warned, ignore
from tunesmith.core.files import read_bytes
from tunesmith.models.types import Tokenizer

CHATML = (
    "{% if tools %}<|im_start|>system\nFunctions, called as <tool_call>{name, arguments}</tool_call>:\n"
    "{% for tool in tools %}{{ tool | tojson }}\n{% endfor %}<|im_end|>\n{% endif %}"
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content or '' }}"
    "{% for call in message.tool_calls or [] %}<tool_call>{{ call.function | tojson }}</tool_call>{% endfor %}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_MOST_BYTES = 1 << 20
BUNDLED = {"chatml": (CHATML, {"<|im_start|>": "bos_token", "<|im_end|>": "eos_token"})}
"""Name -> template, and its markers: tokens of their own, so that no text can be mistaken for one. Each with the
token of a base that says what is nearest, the start or the end of a text."""


def use_template(tokenizer: Tokenizer, template: str | None, emit: Emit = ignore) -> dict[str, str]:
    """Give the tokenizer the template called `template`, or that of a file; None leaves it as it is.

    Returns the tokens that the vocabulary lacks for it, each with the one that is nearest in meaning; they are added
    as special ones, and their embeddings have to be learned. Raises OptionError for an unknown name, ModelError for
    a file that can not be read.
    """
    if template is None:
        return {}
    text, markers = _found(template)
    if tokenizer.chat_template and tokenizer.chat_template != text:
        emit(Warned("template", f"{template} takes the place of the template that the model was trained with"))
    tokenizer.chat_template = text
    missing = {marker: near for marker, near in markers.items() if marker not in tokenizer.get_vocab()}
    if missing:
        tokenizer.add_special_tokens({"additional_special_tokens": list(missing)})
    added = f"; new tokens: {', '.join(missing)}" if missing else ""
    emit(Decided("template", template, f"asked for{added}"))
    return missing


def _found(template: str) -> tuple[str, dict[str, str]]:
    if template in BUNDLED:
        return BUNDLED[template]
    path = Path(template).expanduser()
    if path.suffix not in (".jinja", ".j2", ".txt"):
        raise OptionError(
            f"--template {template}: there is no such template.",
            f"Expected {', '.join(BUNDLED)}, or a .jinja file in the form of a tokenizer's chat_template.",
        )
    try:
        return read_bytes(path, _MOST_BYTES).decode("utf-8"), {}
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"--template {template}: the file can not be read ({error}).") from None
