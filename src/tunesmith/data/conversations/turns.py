"""Lists of messages as prompts and answers: where a prompt ends, and whether two are the same. Knows no formats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tunesmith.data.conversations.messages import Fault, Message

SYSTEMS = ("system", "developer")


def role(message: object) -> object:
    return message.get("role") if isinstance(message, Mapping) else None


def asks(message: object) -> bool:
    return role(message) in ("user", *SYSTEMS)


def words(message: object) -> object:
    content = message.get("content") if isinstance(message, Mapping) else None
    return content.strip() if isinstance(content, str) else content or ""


def short(message: Message) -> str:
    text = str(words(message))
    return repr(text if len(text) <= 40 else f"{text[:37]}...")


def listed(messages: list[Message]) -> str:
    """Messages for a sentence: who says what, the first and the last."""
    ends = messages if len(messages) < 3 else [messages[0], messages[-1]]
    return (" ... " if len(messages) > 2 else ", ").join(f"{role(one)} {short(one)}" for one in ends)


def answered(
    good: list[Message], bad: list[Message], chosen: str, rejected: str
) -> tuple[list[Message], list[Message], list[Message]]:
    """What both sides begin with, and the two answers. Raises Fault where they answer different prompts."""
    shared = _shared(good, bad)
    left, right = good[shared:], bad[shared:]
    if not any(asks(side[0]) for side in (left, right) if side):
        return good[:shared], left, right
    (asked, better), (other, worse) = split_last_answer(good), split_last_answer(bad)
    if not (better and worse):
        return good[:shared], left, right  # a side without an answer, which validation names
    if asked and other:
        begun = f"they begin with {listed(asked)}, and with {listed(other)}"
        raise Fault(f'key "{chosen}" and key "{rejected}" answer different prompts: {begun}')
    return asked or other, better, worse


def split_last_answer(messages: list[Message]) -> tuple[list[Message], list[Message]]:
    """A conversation up to the last that is asked, and the answer to it."""
    last = max((place for place, message in enumerate(messages, 1) if asks(message)), default=0)
    return messages[:last], messages[last:]


def merge_prompts(given: list[Message], begun: list[Message], key: str, where: str) -> list[Message]:
    """The prompt, where it stands twice: the longer one, if the other is its beginning or its end.

    Raises Fault where the two contradict each other.
    """
    if not given or not begun:
        return given or begun
    less, more = sorted((given, begun), key=len)
    if alike(more[-len(less) :], less) or (more is begun and alike(more[: len(less)], less)):
        return more
    if all(role(message) in SYSTEMS for message in given) and role(begun[0]) not in SYSTEMS:
        return [*given, *begun]
    raise Fault(f'key "{key}" is {listed(given)}, and {where} is {listed(begun)}: one prompt must be meant')


def alike(left: Sequence[Message], right: Sequence[Message]) -> bool:
    """Whether messages are the same but for white space around their texts, and for weights."""

    def plain(message: Message) -> Message:
        return {key: value for key, value in message.items() if key != "weight"} | {"content": words(message)}

    return [plain(message) for message in left] == [plain(message) for message in right]


def common_start(texts: Sequence[str]) -> str:
    first, last = min(texts), max(texts)  # all others lie between them
    return first[: next((n for n, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))]


def _shared(left: Sequence[Message], right: Sequence[Message]) -> int:
    """How many messages both begin with, before the last one of each. The assistant has the next word."""
    most = max(min(len(left), len(right)) - 1, 0)
    shared = next((n for n in range(most) if left[n] != right[n]), most)
    while shared and left[shared - 1].get("role") == "assistant":
        shared -= 1
    return shared
