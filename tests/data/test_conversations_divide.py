"""No prompt stands on two sides, running text is cut once, and the same seed divides the same way."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toys import sentence
from tunesmith.core.errors import DataError, OptionError
from tunesmith.core.events import ignore
from tunesmith.data.conversations import Examples, divide, read_examples


def chats(prompts: list[str], system: str | None = None) -> Examples:
    first = [] if system is None else [{"role": "system", "content": system}]
    rows = [
        {"messages": [*first, {"role": "user", "content": text}, {"role": "assistant", "content": f"answer {n}"}]}
        for n, text in enumerate(prompts)
    ]
    return read_examples(rows, emit=ignore)


def sides(examples: Examples, **options: Any) -> dict[str, set[str]]:
    found = divide(examples, seed=0, **options)
    return {
        name: {examples[int(place)]["messages"][0]["content"] for place in places} for name, places in found.items()
    }


@pytest.mark.parametrize(
    ("rows", "sizes"), [(100, (70, 10, 20)), (1_000, (700, 100, 200)), (4, (2, 1, 1)), (1, (1, 0, 0)), (2, (1, 0, 1))]
)
def test_sizes_are_those_of_other_tasks(rows: int, sizes: tuple[int, ...]) -> None:
    found = divide(chats([sentence(n) for n in range(rows)]), seed=0)
    assert tuple(found.facts["rows"].values()) == sizes
    assert sum(found.facts["rows"].values()) == rows
    assert sorted(np.concatenate(list(found.values())).tolist()) == list(range(rows))
    assert all(np.array_equal(places, np.sort(places)) and places.dtype == np.int64 for places in found.values())


def test_shares_may_be_given() -> None:
    examples = chats([sentence(n) for n in range(50)])
    assert divide(examples, validation=0.0, test=0.5, seed=0).facts["rows"] == {
        "train": 25,
        "validation": 0,
        "test": 25,
    }
    with pytest.raises(OptionError, match="validation_size"):
        divide(examples, validation=1.5, seed=0)


def test_one_prompt_stands_on_one_side() -> None:
    prompts = [sentence(n // 4) + ("!" if n % 4 == 1 else "") for n in range(200)]
    examples = chats(prompts)
    found = sides(examples, validation=0.2, test=0.2)
    for left, right in (("train", "validation"), ("train", "test"), ("validation", "test")):
        assert not {text.strip("!") for text in found[left]} & {text.strip("!") for text in found[right]}
    facts = divide(examples, validation=0.2, test=0.2, seed=0).facts
    assert facts["prompts_seen_before"] == 150
    assert facts["moved_rows"] > 50
    assert facts["remaining_rows"] == 0
    assert abs(facts["rows"]["test"] - 40) <= 4


def test_near_identical_prompts_stay_together() -> None:
    long = [f"Please write a long and careful letter to my landlord about {sentence(n)}" for n in range(40)]
    examples = chats([text + end for text in long for end in (".", ", thanks.")])
    found = divide(examples, validation=0.2, test=0.2, seed=0)
    for places in found.values():
        pairs = places // 2
        assert all((pairs == pair).sum() == 2 for pair in np.unique(pairs))
    assert found.facts["near_identical_prompts"] >= 40


def test_a_generic_prompt_does_not_bind_all_rows_together() -> None:
    rows = [
        {"messages": [{"role": "user", "content": "Write a story."}, {"role": "assistant", "content": sentence(n)}]}
        for n in range(100)
    ]
    found = divide(read_examples(rows, emit=ignore), seed=0)
    assert found.facts["rows"] == {"train": 70, "validation": 10, "test": 20}
    assert found.facts["generic_prompts"] == 100


def test_a_shared_system_message_does_not_make_prompts_alike() -> None:
    examples = chats([sentence(n) for n in range(60)], system="You are a helpful assistant. " * 40)
    assert divide(examples, seed=0).facts["moved_rows"] == 0


def test_deterministic_and_seeded() -> None:
    examples = chats([sentence(n) for n in range(100)])
    first, again, other = (divide(examples, seed=seed)["test"].tolist() for seed in (1, 1, 2))
    assert first == again != other


def test_running_text_is_cut_once() -> None:
    examples = read_examples([{"text": sentence(n)} for n in range(100)], emit=ignore)
    found = divide(examples, seed=5)
    assert found["train"].tolist() == list(range(70))
    assert found["validation"].tolist() == list(range(70, 80))
    assert found["test"].tolist() == list(range(80, 100))
    assert found.facts["how"] == "in blocks"
    doubled = read_examples([{"text": sentence(n % 90)} for n in range(100)], emit=ignore)
    assert divide(doubled, seed=5).facts["remaining_rows"] == 10


def test_groups_stay_together() -> None:
    rows = [{"prompt": sentence(n), "completion": "x", "author": n % 10 if n else None} for n in range(100)]
    examples = read_examples(rows, emit=ignore, group="author")
    found = divide(examples, seed=0)
    authors = {name: {rows[place]["author"] for place in places} - {None} for name, places in found.items()}
    assert sum(map(len, authors.values())) == 10
    assert all(authors.values())
    given = divide(read_examples(rows, emit=ignore), seed=0, group=[row["author"] for row in rows])
    assert {name: places.tolist() for name, places in given.items()} == {n: p.tolist() for n, p in found.items()}
    with pytest.raises(DataError, match="2 groups for 100 examples"):
        divide(examples, seed=0, group=[1, 2])


def test_given_parts_stay() -> None:
    source = {
        "train": [{"prompt": sentence(n), "completion": "a"} for n in range(50)],
        "test": [{"prompt": sentence(n), "completion": "b"} for n in range(45, 60)],
    }
    examples = read_examples(source, emit=ignore)
    found = divide(examples, seed=0)
    assert found["test"].tolist() == list(range(50, 65))
    assert found.facts["rows"] == {"train": 45, "validation": 5, "test": 15}
    assert found.facts["remaining_rows"] == 5
    source["validation"] = source["test"][:3]
    assert divide(read_examples(source, emit=ignore), seed=0).facts["how"] == "given files"


def test_too_few_different_examples() -> None:
    rows = [{"prompt": "a", "completion": "b"}] * 50
    with pytest.raises(DataError, match="no examples are left for validation and test: too few prompts are different"):
        divide(read_examples(rows, emit=ignore), seed=0)


@pytest.mark.story
@settings(max_examples=60, deadline=None)
@given(numbers=st.lists(st.integers(0, 30), min_size=40, max_size=120), seed=st.integers(0, 5))
def test_no_prompt_ever_stands_on_two_sides(numbers: list[int], seed: int) -> None:
    numbers = [*numbers, *range(31)]
    examples = read_examples(
        [{"prompt": sentence(n), "completion": str(k)} for k, n in enumerate(numbers)], emit=ignore
    )
    found = divide(examples, seed=seed)
    if found.facts["generic_prompts"]:
        return
    seen = [{numbers[place] for place in places} for places in found.values()]
    assert sum(map(len, seen)) == 31
