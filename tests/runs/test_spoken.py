"""The language of the texts, and the base that speaks it."""

from __future__ import annotations

from typing import Any

import pytest

from tunesmith.data import languages
from tunesmith.models import catalog
from tunesmith.runs import text_language

GERMAN = ["Mein Paket ist noch nicht angekommen", "Die Rechnung stimmt leider nicht", "Danke", "ok"] * 10
ENGLISH = ["My parcel has not arrived yet", "I was charged twice for one order", "thx", "ok", "pls call me"] * 10


@pytest.mark.parametrize(
    ("texts", "code"),
    [
        (GERMAN, "de"),
        (ENGLISH, "en"),
        (["¿Dónde está mi pedido?", "Quiero devolver el producto"] * 10, "es"),
        (["荷物がまだ届きません", "返金してください"] * 10, "ja"),
        (["Где мой заказ?", "Приложение совсем не работает"] * 10, "ru"),
        (["refund", "broken screen", "late delivery", "password reset", "wrong invoice"] * 20, "en"),
        (["def f(x):\n    return x + 1", "sum += a[i];"] * 20, None),
        (["A12", "B-33"] * 20, None),
        (["Anna Müller", "José García", "Li Wei"] * 20, None),
        ([], None),
    ],
)
def test_the_language_of_texts(texts: list[str], code: str | None) -> None:
    found = languages.detect(texts)
    assert (found.main if found else None) == code


def test_two_languages_are_both_said() -> None:
    found = languages.detect(
        ["Mein Paket ist noch nicht angekommen", "My parcel has not arrived yet, please help"] * 20
    )
    assert found is not None
    assert found.described() in ("German (50%) and English (50%)", "English (50%) and German (50%)")


def test_a_base_that_does_not_speak_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def chosen(asked: str, texts: list[str]) -> tuple[str, dict[str, Any]]:
        events: list[Any] = []
        name = text_language.base_for(asked, texts, events.append)
        return name, {event.what: getattr(event, "message", event) for event in events if event.name == "warned"}

    monkeypatch.setattr(catalog, "on_this_machine", lambda: ["minilm"])
    name, warned = chosen("auto", GERMAN)
    assert name == "minilm"
    assert "the texts are German, and the base minilm was made for English" in warned["language"]
    assert "--model e5-small" in warned["language"]
    assert chosen("auto", ENGLISH) == ("minilm", {})
    assert chosen("xlm-roberta-base", GERMAN) == ("xlm-roberta-base", {})
    assert chosen("some/folder", GERMAN) == ("some/folder", {})
    monkeypatch.setattr(catalog, "on_this_machine", lambda: ["minilm", "e5-small"])
    assert chosen("auto", GERMAN) == ("e5-small", {})
    assert "language" in chosen("minilm", GERMAN)[1]


def test_the_words_of_an_example_are_what_people_read() -> None:
    chat = {
        "form": "chat",
        "messages": [{"role": "user", "content": "Wo ist es?"}, {"role": "assistant", "content": "Da."}],
    }
    pair = {"form": "pair", "source": "a", "target": "b", "tools": None}
    assert text_language.sample_of([chat, pair]) == ["Wo ist es? Da.", "a b"]
