"""The sixty short messages that tests learn from, the tiny model that learns them, and sentences far apart."""

from __future__ import annotations

from tunesmith.testing import tiny_encoder as save_bert

__all__ = ["save_bert", "sentence", "tickets"]

WORDS = [
    "river", "stone", "lamp", "cloud", "garden", "engine", "paper", "silver", "winter", "market", "bridge", "yellow",
]  # fmt: skip


def tickets() -> list[dict[str, str]]:
    """Sixty short messages in three classes that share no telling word: easy, and no two alike."""
    subjects = ["card", "order", "parcel", "refund", "app"]
    patterns = {
        "praise": ["thanks, the {0} works again", "my {0} arrived and i am happy", "good {0}, thanks you {1}",
                   "happy with this {0} and the {1}"],
        "complaint": ["the {0} is broken", "i am angry, my {0} was lost", "this {0} is bad, not the {1}",
                      "sorry but your {0} never works"],
        "question": ["where is my {0}?", "how and when is the {0} here?", "why the {0}, what is it?",
                     "when is a {0} what a {1} was?"],
    }  # fmt: skip
    return [
        {"text": pattern.format(subject, subjects[number - 1]), "label": label}
        for label, some in patterns.items()
        for pattern in some
        for number, subject in enumerate(subjects)
    ]


def sentence(number: int) -> str:
    """A short sentence that is far from every other number's."""
    picks = [WORDS[(number * 7 + place * number * place + place) % 12] for place in range(4)]
    return f"{' '.join(picks)} {number * 7919 % 10_007:x}{number * 104_729 % 65_537:x}"
