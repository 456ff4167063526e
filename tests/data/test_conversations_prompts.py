"""The prompt of a preference or an answer is kept whole, wherever it stands, and stands there once."""

from __future__ import annotations

from typing import Any

import pytest

from tunesmith.core.errors import DataError
from tunesmith.core.events import Event, Warned, ignore
from tunesmith.data.conversations import read_examples

SYSTEM = {"role": "system", "content": "Be brief."}
FIRST, THEN = {"role": "user", "content": "Is the ferry late?"}, {"role": "assistant", "content": "By an hour."}
ASK = {"role": "user", "content": "Why is that so?"}
GOOD, BAD = {"role": "assistant", "content": "A storm."}, {"role": "assistant", "content": "Who knows."}


def read(*rows: dict[str, Any], emit: Any = ignore) -> Any:
    return read_examples(list(rows), emit=emit)


def sides(*begun: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"chosen": [*begun, GOOD], "rejected": [*begun, BAD], **more}


WHOLE = {
    "system in the prompt alone": sides(ASK, prompt=[SYSTEM, ASK]),
    "system in the sides alone": sides(SYSTEM, ASK, prompt=[ASK]),
    "the prompt as a string": sides(SYSTEM, ASK, prompt=ASK["content"]),
    "the prompt is the system message": sides(ASK, prompt=[SYSTEM]),
    "system column": sides(ASK, system=SYSTEM["content"]),
    "system column and prompt": sides(prompt=[ASK], system=SYSTEM["content"]),
    "system everywhere": sides(SYSTEM, ASK, prompt=[SYSTEM, ASK], system="Be brief. "),
    "an empty system message": sides(ASK, prompt=[{"role": "system", "content": ""}, ASK], system=SYSTEM["content"]),
}


@pytest.mark.parametrize("row", WHOLE.values(), ids=list(WHOLE))
def test_the_system_message_is_kept(row: dict[str, Any]) -> None:
    (example,) = read(row)
    assert example["messages"] == [SYSTEM, ASK]
    assert (example["chosen"], example["rejected"]) == ([GOOD], [BAD])


@pytest.mark.parametrize(
    "row",
    [
        sides(ASK, prompt=[FIRST, THEN, ASK]),
        sides(FIRST, THEN, ASK, prompt=[ASK]),
        sides(FIRST, THEN, ASK),
        sides(prompt=[FIRST, THEN, ASK]),
        sides(FIRST, THEN, ASK, prompt=[FIRST]),
        {"prompt": ASK["content"], "chosen": GOOD["content"], "rejected": BAD["content"],
         "history": [[FIRST["content"], THEN["content"]]]},
    ],
)  # fmt: skip
def test_earlier_turns_are_kept(row: dict[str, Any]) -> None:
    (example,) = read(row)
    assert example["messages"] == [FIRST, THEN, ASK]
    assert (example["chosen"], example["rejected"]) == ([GOOD], [BAD])


OTHER = {"role": "user", "content": "And the train?"}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (sides(ASK, prompt="And the train?"), "one prompt must be meant"),
        (sides(ASK, prompt=[SYSTEM, OTHER]), "one prompt must be meant"),
        (sides({"role": "system", "content": "Be long."}, ASK, prompt=[SYSTEM, ASK]), "one prompt must be meant"),
        (sides(SYSTEM, ASK, system="Be long."), "another system message"),
        ({"chosen": [SYSTEM, ASK, GOOD], "rejected": [ASK, BAD]}, "answer different prompts"),
        ({"chosen": [ASK, GOOD], "rejected": [OTHER, BAD], "prompt": [ASK]}, "answer different prompts"),
        ({"messages": [SYSTEM, ASK, GOOD], "system": "Be long."}, "another system message"),
        ({"prompt": [OTHER], "completion": [ASK, GOOD], "label": True}, "one prompt must be meant"),
    ],
)  # fmt: skip
def test_two_prompts_are_one_fault_of_the_row(row: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message) as refused:
        read(row)
    assert len(refused.value.problems) == 1
    assert refused.value.problems[0].row == 1


def test_a_completion_that_is_the_whole_conversation() -> None:
    (example,) = read({"prompt": [SYSTEM, ASK], "completion": [ASK, GOOD], "label": True})
    assert (example["messages"], example["completion"]) == ([SYSTEM, ASK], [GOOD])


QUESTION = "Is the ferry late today?\n"
REPEATS = {
    "preference": {"prompt": QUESTION, "chosen": f"{QUESTION}By an hour.", "rejected": f"{QUESTION}Who knows."},
    "judged": {"prompt": QUESTION, "completion": f"{QUESTION}By an hour.", "label": True},
    "completion": {"prompt": QUESTION, "completion": f"{QUESTION}By an hour."},
}


@pytest.mark.parametrize("row", REPEATS.values(), ids=list(REPEATS))
def test_a_repeat_of_the_prompt_is_cut_and_told(row: dict[str, Any]) -> None:
    events: list[Event] = []
    examples = read(row, emit=events.append)
    (example,) = examples
    assert (example["prompt"], example.get("chosen") or example["completion"]) == (QUESTION, "By an hour.")
    assert examples.ledger.counts()["cut"] == 1
    assert any(isinstance(event, Warned) and "1 rows: the answers begin with their prompt" in event.message
               for event in events)  # fmt: skip


def test_the_last_message_repeated_by_both_answers() -> None:
    answers = {"chosen": f"{ASK['content']} A storm.", "rejected": f"{ASK['content']} Who knows."}
    (example,) = read({"prompt": [SYSTEM, ASK], **answers})
    assert example["chosen"][0]["content"].strip() == "A storm."


@pytest.mark.parametrize(
    ("prompt", "good", "bad"),
    [
        ("Hi", "Hi there", "Hi you"),
        ("The ferry is late", "The ferry is later than that", "The ferry is lateness"),
        ("Is the ferry late today?", "Is the ferry late today? Yes.", "Yes."),
    ],
)
def test_what_only_looks_like_a_repeat_stays(prompt: str, good: str, bad: str) -> None:
    (example,) = read({"prompt": prompt, "chosen": good, "rejected": bad})
    assert (example["chosen"], example["rejected"]) == (good, bad)
